//! What the programs say where a role lacks something, and how a login becomes a reader.

use super::{Login, stack_of_two_tenants};
use crate::load::{assert_each_stored_once, event, send};
use crate::stack::{Database, PROCESSOR, PRODUCERS, Stack, sample_catalog};
use crate::terminal::{Ended, Terminal};

async fn run(terminal: &Terminal, line: &str) -> Ended {
    terminal.run(PROCESSOR, &line.split(' ').collect::<Vec<_>>()).await
}

#[tokio::test]
async fn each_command_says_which_right_its_role_lacks_and_migrate_grants_it() {
    let stack = stack_of_two_tenants().await;
    let mut terminal = Terminal::with(stack.environment());
    terminal.environment.push(("QUEUES", "events?trust=any".to_owned()));
    let catalog = sample_catalog().display().to_string();
    let lines = [
        format!("catalog apply {catalog}"),
        "validate --queue events?trust=any".to_owned(),
        "dead-letter list".to_owned(),
        "dead-letter show 1".to_owned(),
        "dead-letter summary".to_owned(),
        "dead-letter replay --all".to_owned(),
        "dead-letter replay --dry-run".to_owned(),
        "dead-letter discard --all --because x".to_owned(),
        "dead-letter reopen --all".to_owned(),
        "dead-letter example 1 --name x".to_owned(),
        "dead-letter export".to_owned(),
        "delivery list".to_owned(),
        "delivery show shop x".to_owned(),
        "delivery requeue --all".to_owned(),
        "delivery cancel --all".to_owned(),
        "client list".to_owned(),
        "client pause shop billing".to_owned(),
        "tenant list".to_owned(),
        "tenant show shop".to_owned(),
        "tenant pause shop".to_owned(),
        "tenant grant-reader shop nobody".to_owned(),
        "tenant revoke-reader shop nobody".to_owned(),
        "trace shop x".to_owned(),
    ];
    let revoke = "revoke all on all tables in schema public from event_processor_operator;
        revoke all on all functions in schema public from event_processor_operator";
    stack.database.execute(revoke).await;
    for line in &lines {
        let ended = terminal.run_on(PROCESSOR, &line.split(' ').collect::<Vec<_>>(), "{}").await;
        let is_clear =
            ended.errors.contains("permission denied for ") && ended.errors.contains("(SQLSTATE 42501); run `processor migrate`");
        assert!(ended.status == 78 && is_clear, "{line}: {ended:?}");
    }
    let sent = terminal.run_on(PRODUCERS, &["send", "--queue", "events", "--wait"], "{}").await;
    assert!(sent.status == 78 && sent.errors.contains("permission denied for "), "{sent:?}");

    let migrated = run(&terminal, "migrate").await;
    assert_eq!((migrated.status, migrated.output.as_str()), (0, "the tables are up to date\n"));
    for line in &lines {
        let ended = terminal.run_on(PROCESSOR, &line.split(' ').collect::<Vec<_>>(), "{}").await;
        assert!(!ended.errors.contains("permission denied"), "{line}: {ended:?}");
    }
}

#[tokio::test]
async fn a_daemon_whose_role_lacks_a_right_condemns_nothing_and_goes_on_once_migrate_has_granted_it() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    stack.database.execute("revoke insert on message from event_processor_writer").await;
    let daemon = stack.daemon("events?trust=any", &[("VISIBILITY_TIMEOUT", "2")]).await;
    send(&queue, (0..20).map(|number| event(&format!("event-{number}")))).await;
    daemon.says("permission denied for table message (SQLSTATE 42501); run `processor migrate`").await;
    let migrated = run(&Terminal::with(stack.environment()), "migrate").await;
    assert_eq!(migrated.status, 0, "{migrated:?}");
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, 20).await;
    assert!(!daemon.log().contains("rights of the tables' owner"), "it works as the writer:\n{}", daemon.log());
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_login_becomes_a_reader_and_ceases_to_be_one() {
    let database = Database::create().await;
    database.apply(&sample_catalog()).await;
    let reader = Login::create(&database, "").await;
    let operator = Login::create(&database, "in role event_processor_operator").await;
    let (name, terminal) = (&reader.name, operator.terminal());
    let superuser = Terminal::with(vec![("DATABASE_URL", database.url.clone()), ("OPERATOR", "paul".to_owned())]);

    // Who runs commands only has no rights over roles.
    let granted = run(&terminal, &format!("tenant grant-reader shop {name}")).await;
    let left = format!("grant event_processor_reader to {name};\n");
    assert!(granted.status == 0 && granted.output.ends_with(&format!("as soon as somebody who may has run:\n{left}")), "{granted:?}");
    let granted = run(&superuser, &format!("tenant grant-reader shop {name} --json")).await.json();
    let expected = serde_json::json!({ "tenant_id": "shop", "role_name": name, "is_new": false, "statement_left": null });
    assert_eq!(granted, expected);
    let granted = run(&terminal, &format!("tenant grant-reader platform {name}")).await;
    assert_eq!(granted.output, format!("role {name} reads the rows of tenant platform from now on\n"));
    let tenants = "select tenant_id from tenant order by 1";
    assert_eq!(reader.database().rows(tenants).await, ["platform", "shop"]);
    let revoked = run(&terminal, &format!("tenant revoke-reader shop {name}")).await;
    assert_eq!(revoked.output, format!("role {name} reads no rows of tenant shop any more\n"));
    assert_eq!(reader.database().rows(tenants).await, ["platform"]);
    let audited = "select operator, command, counts::text from audit where command like 'tenant%' and ended_at is not null order by at";
    let expected = [
        "mara | tenant grant-reader | {\"readers\": 1}",
        "paul | tenant grant-reader | {\"readers\": 0}",
        "mara | tenant grant-reader | {\"readers\": 1}",
        "mara | tenant revoke-reader | {\"readers\": 1}",
    ];
    assert_eq!(database.rows(audited).await, expected);
}

#[tokio::test]
async fn a_role_that_would_see_other_tenants_rows_does_not_become_a_reader() {
    let database = Database::create().await;
    database.apply(&sample_catalog()).await;
    let terminal = Terminal::with(vec![("DATABASE_URL", database.url.clone())]);
    let plain = Login::create(&database, "").await;
    let refused = async |tenant: &str, role: &str, sentence: &str| {
        let ended = run(&terminal, &format!("tenant grant-reader {tenant} {role}")).await;
        assert!(ended.status == 65 && ended.errors.contains(sentence), "{role}: {ended:?}");
    };
    refused("nobody", &plain.name, "there is no tenant \"nobody\"; `processor tenant list` shows which there are").await;
    refused("shop", "nobody", "there is no role \"nobody\"; make it first by `create role NAME login`").await;
    for (options, sentence) in [
        ("superuser", "is a superuser"),
        ("bypassrls", "has BYPASSRLS"),
        ("createrole", "has CREATEROLE"),
        ("noinherit", "has NOINHERIT"),
        ("in role event_processor_owner", "may take the role event_processor_owner, which owns the tables"),
        ("in role event_processor_operator", "may take the role event_processor_operator, which reads every tenant's rows"),
        ("in role pg_read_all_data", "may take the role pg_read_all_data, which reads every tenant's rows"),
        ("in role pg_execute_server_program", "which reads or writes the server's files"),
    ] {
        let login = Login::create(&database, options).await;
        refused("shop", &login.name, sentence).await;
    }
    for role in ["owner", "writer", "reader"] {
        refused("shop", &format!("event_processor_{role}"), "; name a login that may do nothing else").await;
    }
    let ended = run(&terminal, &format!("tenant revoke-reader shop {}", plain.name)).await;
    assert!(ended.status == 65 && ended.errors.contains("is no reader of tenant \"shop\""), "{ended:?}");
    assert_eq!(database.rows("select * from tenant_reader").await, Vec::<String>::new());
}
