//! `processor dev`: which Postgres it uses, what it leaves for other commands, and what it shows.

use crate::readme::Dev;
use crate::stack::{Database, Directory, PROCESSOR, PRODUCERS, Stack, eventually, sample_catalog};
use crate::terminal::{Terminal, copy};

/// What a developer may have set for another Postgres.
const OF_ANOTHER_POSTGRES: [(&str, &str); 11] = [
    ("PGSSLMODE", "verify-full"),
    ("PGSSLROOTCERT", "/nonexistent"),
    ("PGOPTIONS", "-c default_transaction_read_only=on"),
    ("PGHOST", "db.invalid"),
    ("PGHOSTADDR", "127.0.0.2"),
    ("PGPORT", "1"),
    ("PGUSER", "someone"),
    ("PGPASSWORD", "s3cret"),
    ("PGDATABASE", "events"),
    ("PGSERVICE", "none"),
    ("PGDATA", "/nonexistent"),
];

#[tokio::test]
async fn dev_uses_the_database_that_it_has_checked() {
    let (given, elsewhere) = (Database::create_empty().await, Database::create_empty().await);
    let arguments = ["--exit-after-sample", "--database-url", &given.url];
    let mut dev = Dev::start_with(&arguments, &[("DATABASE_URL", &elsewhere.url)]);
    let status = dev.child.wait().await.expect("a status").code();
    assert_eq!(status, Some(0), "{}{}", dev.output(), dev.errors());
    let told = dev.output();
    for (client, proof) in
        [("shop/billing", "signature verified"), ("onboarding/welcome.email", "mail"), ("onboarding/welcome.whatsapp", "token accepted")]
    {
        let line = told.lines().find(|line| line.starts_with(&format!("{client} "))).unwrap_or_default();
        assert!(line.contains(proof), "{client}: {told}");
    }
    assert_eq!(given.count("select count(*) from delivery").await, 0, "{told}");
    assert!(given.count("select count(*) from message").await > 0);
    let tables = "select count(*) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')";
    assert_eq!(elsewhere.count(tables).await, 0, "a database that nobody checked");
}

/// Lets what one tenant has stored look as if it came from elsewhere.
const FORGERY: &str = "create function forge() returns trigger language plpgsql security definer as $$ begin
        update message set queue = 'elsewhere' where (tenant_id, source, event_id) = (new.tenant_id, new.source, new.event_id);
        return null;
    end $$;
    create trigger forge after insert on message for each row when (new.tenant_id = 'crm') execute function forge()";

#[tokio::test]
async fn dev_ends_with_65_when_a_sample_event_is_not_as_it_was_sent() {
    let given = Database::create_empty().await;
    let arguments = ["--exit-after-sample", "--database-url", &given.url];
    for (forgery, status) in [("", 0), (FORGERY, 65)] {
        given.execute(forgery).await;
        let mut dev = Dev::start(&arguments);
        let ended = dev.child.wait().await.expect("a status").code();
        assert_eq!(ended, Some(status), "{}{}", dev.output(), dev.errors());
        let told = dev.output().contains("\naltered: event ");
        assert_eq!(told, status == 65, "{}", dev.output());
    }
}

#[tokio::test]
async fn dev_has_nothing_to_send_where_no_event_type_has_an_example() {
    let mut dev = Dev::start_with_catalog(&["--exit-after-sample"], &[("acme/tenant.toml", ""), ("acme/note/1.json", "{}")]);
    assert_eq!(dev.child.wait().await.expect("a status").code(), Some(0), "{}{}", dev.output(), dev.errors());
    assert!(dev.output().contains("no sample events: no event type has a payload below `examples/valid`"), "{}", dev.output());
}

#[tokio::test]
async fn dev_and_the_commands_beside_it_heed_no_settings_of_another_postgres() {
    let mut dev = Dev::start_with(&[], &OF_ANOTHER_POSTGRES);
    dev.says("In another terminal").await;
    let environment = OF_ANOTHER_POSTGRES.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let beside = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(PROCESSOR);
        command.args(arguments).env_clear().envs(environment.clone()).current_dir(&dev.directory.0);
        command.output().await.expect("it starts")
    };
    let listed = beside(&["dead-letter", "list", "--limit", "1"]).await;
    assert!(listed.status.success(), "{listed:?}");
    assert_eq!(dev.interrupt().await, 0, "{}{}", dev.output(), dev.errors());
}

#[tokio::test]
async fn dev_has_its_postgres_on_the_same_port_again() {
    let database_url = async |dev: &Dev| {
        dev.says("In another terminal").await;
        let environment = std::fs::read_to_string(dev.directory.0.join(".dev/env")).expect("what dev has left");
        environment.lines().find(|line| line.starts_with("DATABASE_URL=")).expect("a URL").to_owned()
    };
    let mut dev = Dev::start(&[]);
    let first = database_url(&dev).await;
    assert_eq!(dev.interrupt().await, 0);
    let mut dev = dev.start_again();
    assert_eq!(database_url(&dev).await, first);
    assert_eq!(dev.interrupt().await, 0);
}

#[tokio::test]
async fn dev_shows_what_arrives_and_ends_with_a_whole_line() {
    let mut dev = Dev::start(&[]);
    dev.says("In another terminal").await;
    let body = r#"{"tenant_id":"platform","event_type":"monitor-app","message":"hello 9"}"#;
    for (body, name) in [(body, "good"), ("Hello World", "bad")] {
        dev.directory.write(name, body);
        let mut command = tokio::process::Command::new(PRODUCERS);
        command.args(["send", name, "--queue", "events"]).env_clear().current_dir(&dev.directory.0);
        let sent = command.output().await.expect("it starts");
        assert!(sent.status.success(), "{sent:?}");
    }
    dev.says("in the last 10 s: platform 1 stored").await;
    dev.says("(no tenant) 1 refused: malformed_json\n").await;
    assert_eq!(dev.interrupt().await, 0);
    let last = "stopped; what was still on the queues is gone\n";
    eventually("its last line", async || dev.output().ends_with(last).then_some(())).await;
}

#[tokio::test]
async fn what_dev_has_left_is_used_only_where_nothing_else_is_named_and_only_what_it_writes() {
    let stack = Stack::start(&["events"]).await;
    let environment = stack.environment();
    let value = |wanted: &str| environment.iter().find(|(name, _)| *name == wanted).expect("set").1.clone();
    let lines: Vec<_> = environment.iter().map(|(name, value)| format!("{name}='{value}'")).collect();
    // The last would end each command with 78.
    let left = format!("{}\nVISIBILITY_TIMEOUT='soon'\nAWS_SESSION_TOKEN='to ken'\n", lines.join("\n"));
    let terminal = |variables: &[(&'static str, &str)]| {
        let terminal = Terminal::with(variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect());
        terminal.directory.write(".dev/env", &left);
        terminal
    };
    let used = terminal(&[]).run_on(PRODUCERS, &["send", "--queue", "events"], "{}").await;
    assert!(used.status == 0 && used.errors.starts_with("using .dev/env"), "{used:?}");

    let elsewhere = "http://127.0.0.1:1/000000000000/events";
    let nowhere = "postgres://127.0.0.1:1/events";
    for (program, line) in [
        (PROCESSOR, format!("dead-letter list --database-url {nowhere}")),
        (PROCESSOR, format!("dead-letter list --database-url={nowhere}")),
        (PROCESSOR, "run --queues events".to_owned()),
        (PROCESSOR, "run --queue-name=events".to_owned()),
        (PRODUCERS, format!("send --queue {elsewhere}")),
        (PRODUCERS, format!("send --queue={elsewhere}")),
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let own = terminal(&[]).run_on(program, &arguments, "{}").await;
        assert!(own.status != 0 && !own.errors.contains(".dev/env"), "{line}: {own:?}");
    }
    let (url, file) = (value("AWS_ENDPOINT_URL"), "/nonexistent");
    for (name, value) in [("DATABASE_URL_FILE", file), ("AWS_ENDPOINT_URL_SQS", url.as_str()), ("QUEUES", "")] {
        let own = terminal(&[(name, value)]).run_on(PRODUCERS, &["send", "--queue", "events"], "{}").await;
        assert!(!own.errors.contains(".dev/env"), "{name}: {own:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn dev_follows_a_config_map_when_kubernetes_swaps_its_link() {
    use std::os::unix::fs::symlink;
    let directory = Directory::create();
    let schemas = directory.0.join("schemas");
    copy(&sample_catalog(), &schemas.join("..2026_11_30_1"));
    copy(&sample_catalog(), &schemas.join("..2026_11_30_2"));
    directory.write("schemas/..2026_11_30_2/platform/note/1.json", "true");
    symlink("..2026_11_30_1", schemas.join("..data")).expect("a link");
    for tenant in ["crm", "customers", "onboarding", "platform", "shop"] {
        symlink(format!("..data/{tenant}"), schemas.join(tenant)).expect("a link");
    }
    let mut dev = Dev::start_in(directory, &[], &[]);
    dev.says("In another terminal").await;
    symlink("..2026_11_30_2", schemas.join("..data_tmp")).expect("a link");
    std::fs::rename(schemas.join("..data_tmp"), schemas.join("..data")).expect("swapped");
    dev.says("; new or changed: platform\n").await;
    assert_eq!(dev.interrupt().await, 0, "{}{}", dev.output(), dev.errors());
}
