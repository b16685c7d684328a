//! What the tables refuse by themselves, whoever writes; and a daemon on a database that is not ready for it.

use std::time::Duration;

use event_processor::store::Session;

use crate::load::{event, events, requests, send, visible};
use crate::stack::{Database, PROCESSOR, Stack, command, eventually, sample_catalog};

/// A database with the sample catalog.
async fn database() -> Database {
    let database = Database::create().await;
    database.apply(&sample_catalog()).await;
    database
}

/// Inserts a message of tenant `platform`, with other values for some columns, as the tables' owner.
fn insert(different: &[(&str, &str)]) -> String {
    let mut columns = vec![
        ("tenant_id", "'platform'"),
        ("source", "''"),
        ("event_id", "'e'"),
        ("event_type", "'monitor-app'"),
        ("schema_version", "1"),
        ("client_id", "null"),
        ("payload", "'1'"),
        ("payload_hash", "sha256('1')"),
        ("queue", "'q'"),
        ("sqs_message_id", "'m'"),
        ("catalog_generation", "1"),
    ];
    for (name, value) in &mut columns {
        *value = different.iter().find(|(other, _)| other == name).map_or(*value, |(_, other)| *other);
    }
    let (names, values): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    format!("insert into message ({}) values ({})", names.join(", "), values.join(", "))
}

/// The SQLSTATE with which Postgres refuses a statement; `00000` where it does not.
async fn sqlstate(database: &Database, statement: &str) -> String {
    let mut connection = database.connect().await;
    let outcome = sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut connection).await;
    let Err(error) = outcome else { return "00000".to_owned() };
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).expect("a SQLSTATE").into_owned()
}

#[tokio::test]
async fn postgres_refuses_what_refers_to_nothing_and_what_is_there_already() {
    let database = database().await;
    let delivery = |event_id: &str, client_id: &str| {
        format!("insert into delivery (tenant_id, source, event_id, client_id) values ('platform', '', '{event_id}', '{client_id}')")
    };
    for (statement, expect) in [
        // First with no client named: then a key that held the client, too, would check nothing.
        (insert(&[("tenant_id", "'nobody'")]), "23503"),
        (insert(&[("event_type", "'nothing'")]), "23503"),
        (insert(&[("schema_version", "7")]), "23503"),
        (insert(&[("tenant_id", "'shop'")]), "23503"),
        (insert(&[("client_id", "'nobody'")]), "23503"),
        (insert(&[("client_id", "'billing'")]), "23503"),
        (insert(&[("client_id", "'client-1'"), ("schema_version", "7")]), "23503"),
        (insert(&[("client_id", "'client-1'")]), "00000"),
        (insert(&[]), "23505"),
        (insert(&[("source", "'other'")]), "00000"),
        (insert(&[("event_id", "'f'"), ("payload_hash", "'\\x00'")]), "23514"),
        (insert(&[("event_id", "'f'"), ("payload", "'{'")]), "22P02"),
        (delivery("e", "client-1"), "00000"),
        (delivery("e", "client-1"), "23505"),
        (delivery("e", "nobody"), "23503"),
        (delivery("none", "client-1"), "23503"),
        ("update delivery set client_id = 'nobody'".to_owned(), "23503"),
        ("update message set event_id = 'other' where client_id = 'client-1'".to_owned(), "23503"),
        ("update message set schema_version = 7".to_owned(), "23503"),
        ("update message set client_id = 'nobody'".to_owned(), "23503"),
        ("update message set client_id = null".to_owned(), "00000"),
        ("delete from message".to_owned(), "23503"),
        ("delete from event_schema".to_owned(), "23503"),
        ("delete from client where client_id = 'client-1'".to_owned(), "23503"),
    ] {
        assert_eq!(sqlstate(&database, &statement).await, expect, "{statement}");
    }
    assert_eq!(database.count("select count(*) from message").await, 2);
}

#[tokio::test]
async fn integrity_is_declared_by_four_keys_and_by_no_trigger() {
    let database = database().await;
    let of_ours = "conrelid in ('message'::regclass, 'delivery'::regclass)";
    let keys = format!(
        "select conrelid::regclass::text, confrelid::regclass::text, convalidated from pg_constraint where contype = 'f' and {of_ours} \
         order by 1, 2"
    );
    assert_eq!(
        database.rows(&keys).await,
        ["delivery | client | true", "delivery | message | true", "message | client | true", "message | event_schema | true"]
    );
    let triggers = "select count(*) from pg_trigger where not tgisinternal and tgrelid in ('message'::regclass, 'delivery'::regclass)";
    assert_eq!(database.count(triggers).await, 0);
}

#[tokio::test]
async fn a_delivery_is_held_against_the_messages_of_its_transaction_and_against_those_before() {
    let database = database().await;
    let message = |event_id: &str| insert(&[("event_id", &format!("'{event_id}'"))]);
    let deliveries = |event_ids: &[&str]| {
        let rows: Vec<_> = event_ids.iter().map(|event_id| format!("('platform', '', '{event_id}', 'client-1')")).collect();
        format!("insert into delivery (tenant_id, source, event_id, client_id) values {}", rows.join(", "))
    };
    assert_eq!(sqlstate(&database, &message("early")).await, "00000");
    for (event_ids, expect) in
        [(["late", "none"], "23503"), (["early", "none"], "23503"), (["late", "late"], "23505"), (["early", "late"], "00000")]
    {
        // One transaction: the server's where none was begun.
        let statements = format!("{}; {}", message("late"), deliveries(&event_ids));
        assert_eq!(sqlstate(&database, &statements).await, expect, "{event_ids:?}");
    }
    assert_eq!(database.rows("select event_id from delivery order by 1").await, ["early", "late"]);
}

#[tokio::test]
async fn dead_letters_are_looked_for_by_their_ids_however_little_postgres_knows_of_their_table() {
    let database = Database::create().await;
    let dead_letters = "select 'events', n::text, 'too_large', '', 'native', 1, 1 from generate_series(1, 2000) n";
    let columns = "queue, sqs_message_id, reason, body, queue_format, catalog_generation, receive_count";
    database.execute(&format!("insert into dead_letter ({columns}) {dead_letters}")).await;
    let statement = include_str!("../../src/store/close_dead_letters.sql");
    let prepare = format!("set plan_cache_mode = force_generic_plan; prepare closing (text, text[], text[]) as {statement}");
    let mut session = Session::new(database.settings_of_writer());
    let explaining = session.run(Duration::from_secs(20), |connection| {
        Box::pin(async move {
            sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&mut *connection).await?;
            sqlx::query_scalar("explain execute closing ('events', '{1,2}', '{}')").fetch_all(connection).await
        })
    });
    let plan: Vec<String> = explaining.await.expect("a plan");
    let has = |what: &str| plan.iter().any(|line| line.contains(what) && line.contains("sqs_message_id = ANY"));
    assert!(has("Index Cond") && !has("Filter"), "{plan:#?}");
}

#[tokio::test]
async fn postgres_refuses_names_that_are_none() {
    let database = database().await;
    let tenant = |name: &str| format!("insert into tenant (tenant_id, name) values ('{name}', '')");
    let client = |name: &str| format!("insert into client (tenant_id, client_id, name) values ('platform', '{name}', '')");
    let event_type = |name: &str| format!("insert into event_type (tenant_id, event_type) values ('platform', '{name}')");
    for name in ["", "Upper", "-first", "a b", "a/b", "ä", &"a".repeat(101)] {
        assert_eq!(sqlstate(&database, &tenant(name)).await, "23514", "{name}");
        assert_eq!(sqlstate(&database, &client(name)).await, "23514", "{name}");
    }
    for name in ["", "tab\tbed", "ä", &"a".repeat(129)] {
        assert_eq!(sqlstate(&database, &event_type(name)).await, "23514", "{name}");
    }
    for statement in [tenant("a.b_c-9"), client(&"a".repeat(100)), event_type("Any Printable~")] {
        assert_eq!(sqlstate(&database, &statement).await, "00000", "{statement}");
    }
    let second_catalog = sqlstate(&database, "insert into catalog default values").await;
    assert_eq!(second_catalog, "23505", "there is one generation");
}

#[tokio::test]
async fn payloads_are_compressed_by_lz4_where_the_server_has_it() {
    let database = database().await;
    let has_lz4 = "select count(*) from pg_settings where name = 'default_toast_compression' and 'lz4' = any (enumvals)";
    let expect = if database.count(has_lz4).await == 1 { "lz4" } else { "pglz" };
    let payload = "to_json(repeat('compressible ', 10000))";
    database.execute(&insert(&[("payload", payload)])).await;
    assert_eq!(database.rows("select pg_column_compression(payload) from message").await, [expect]);
}

#[tokio::test]
async fn on_an_empty_database_run_names_the_command_and_goes_on_once_it_has_run() {
    let stack = Stack::start_on(Database::create_empty().await, &["events"]).await;
    let queue = stack.queue("events").await;
    send(&queue, [event("early"), "Hello World".to_owned()]).await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    daemon.says("run `processor migrate`").await;
    assert_eq!(daemon.get("/livez").await.0, 200);

    let environment = stack.environment();
    let (status, said, _) = command(PROCESSOR, &["migrate"], &environment).await;
    assert!(status == 0 && said.starts_with("applied "), "{status} {said}");
    daemon.says("run `processor catalog apply DIR`").await;
    assert_eq!((requests(&daemon, "receive").await, visible(&queue).await), (0, 2));
    let catalog = sample_catalog();
    let (status, ..) = command(PROCESSOR, &["catalog", "apply", catalog.to_str().expect("UTF-8")], &environment).await;
    assert_eq!(status, 0);
    stack.at_rest(&queue).await;

    assert_eq!(stack.database.rows("select event_id from message").await, ["early"]);
    assert_eq!(stack.database.rows("select receive_count from dead_letter").await, ["1"], "received while nothing could be stored");
    daemon.ready().await;
    let (status, said, _) = command(PROCESSOR, &["migrate"], &environment).await;
    assert_eq!((status, said.as_str()), (0, "the tables are up to date\n"));
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn an_older_schema_is_not_written_to_and_a_newer_one_is_accepted() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    stack.database.execute("create table kept as select * from _sqlx_migrations; delete from _sqlx_migrations where version = 4").await;
    send(&queue, [event("first")]).await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    daemon.says("the database lacks 1 of this build's migrations; run `processor migrate`").await;
    assert_eq!(visible(&queue).await, 1);
    let of_a_newer_build =
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'newer', true, '', 0)";
    stack.database.execute("insert into _sqlx_migrations select * from kept where version = 4").await;
    stack.database.execute(of_a_newer_build).await;
    stack.at_rest(&queue).await;
    daemon.ready().await;
    assert_eq!(stack.database.count("select count(*) from message").await, 1);
    let (status, said, _) = command(PROCESSOR, &["migrate"], &stack.environment()).await;
    assert_eq!((status, said.as_str()), (0, "the tables are up to date\n"));
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn without_a_catalog_a_full_queue_is_left_alone() {
    let stack = Stack::start_without_catalog(&["events"]).await;
    let queue = stack.queue("events").await;
    send(&queue, events(50).into_iter().chain(["Hello World".to_owned()])).await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    // The queue is found and the database fit.
    let only_problem = "catalog: none was applied; run `processor catalog apply DIR`\n";
    eventually("nothing but the catalog is missing", async || (daemon.get("/readyz").await.1 == only_problem).then_some(())).await;
    assert_eq!((requests(&daemon, "receive").await, visible(&queue).await), (0, 51));

    stack.database.apply(&sample_catalog()).await;
    stack.at_rest(&queue).await;
    assert_eq!(stack.database.count("select count(*) from message").await, 50);
    assert_eq!(stack.database.rows("select reason, receive_count from dead_letter").await, ["malformed_json | 1"]);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn dead_letters_from_before_they_could_be_replayed_keep_all_that_they_have_and_the_build_before_writes_more() {
    let database = Database::create_empty().await;
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let mut migrations: Vec<_> = std::fs::read_dir(directory).expect("migrations").map(|entry| entry.expect("a file").path()).collect();
    migrations.sort();
    let read = |path: &std::path::PathBuf| std::fs::read_to_string(path).expect("SQL");
    for migration in &migrations[..9] {
        database.execute(&read(migration)).await;
    }
    // What the build before sends, in all that matters here.
    let write = |id: &str, attributes: &str| {
        format!(
            "insert into dead_letter as d (queue, sqs_message_id, reason, body, attributes, queue_format, catalog_generation, receive_count)
             select 'q', '{id}', 'too_large', '\\x00ff', unnest(array['{attributes}']::text[]::jsonb[]), 'native', 1, 1
             on conflict (queue, sqs_message_id) do update set attributes = excluded.attributes, last_seen_at = now()"
        )
    };
    for id in ["open", "stored", "duplicate", "refused", "discarded"] {
        database.execute(&write(id, r#"{"a": [1, "é"]}"#)).await;
    }
    database
        .execute("update dead_letter set replay_outcome = 'rejected', replay_reason = 'too_deep' where sqs_message_id = 'refused'")
        .await;
    database.execute("update dead_letter set replay_outcome = sqs_message_id where sqs_message_id in ('stored', 'duplicate')").await;
    database.execute("update dead_letter set discarded_at = now(), discard_reason = 'old' where sqs_message_id = 'discarded'").await;
    let before = database.rows("select * from dead_letter order by dead_letter_id").await;

    database.execute(&read(&migrations[9])).await;

    let after = database.rows("select * from dead_letter order by dead_letter_id").await;
    for (before, after) in before.iter().zip(&after) {
        assert!(after.starts_with(before.as_str()), "{before}\n{after}");
    }
    let open = "select sqs_message_id, is_open, replays, queue_trusts_any_sender from dead_letter order by dead_letter_id";
    let expected = ["open | true", "stored | false", "duplicate | false", "refused | true", "discarded | false"];
    assert_eq!(database.rows(open).await, expected.map(|row| format!("{row} | 0 | -")));
    for id in ["open", "new"] {
        database.execute(&write(id, r#"{"b": 2}"#)).await;
    }
    let written =
        database.rows("select sqs_message_id, attributes::text, is_open from dead_letter where attributes ->> 'b' = '2' order by 1").await;
    assert_eq!(written, [r#"new | {"b": 2} | true"#, r#"open | {"b": 2} | true"#]);
}
