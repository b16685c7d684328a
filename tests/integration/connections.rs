//! What a session needs it says itself, whatever the defaults of a role or a database are; and the sessions that there are go on being used.

use std::time::Duration;

use event_processor::dev::cluster::Cluster;
use event_processor::store::Session;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tokio::task::block_in_place;

use crate::load::{WRITERS, assert_each_stored_once, event, occupy_writers, send};
use crate::stack::{Database, Stack, eventually, sample_catalog};

const QUEUES: &str = "events?trust=any";

/// Defaults under which a session would lose events, fail, or read something else than was written.
const DEFAULTS: [(&str, &str); 16] = [
    ("synchronous_commit", "off"),
    ("session_replication_role", "replica"),
    ("statement_timeout", "'1h'"),
    ("idle_in_transaction_session_timeout", "'1h'"),
    ("idle_session_timeout", "'700ms'"),
    ("lock_timeout", "'1ms'"),
    ("default_transaction_isolation", "serializable"),
    ("enable_seqscan", "on"),
    ("enable_indexscan", "off"),
    ("enable_bitmapscan", "off"),
    ("jit", "on"),
    ("plan_cache_mode", "force_generic_plan"),
    ("client_encoding", "LATIN1"),
    ("DateStyle", "'SQL, DMY'"),
    ("TimeZone", "'Asia/Tokyo'"),
    ("standard_conforming_strings", "off"),
];

/// What a writer's session has, in the order of `DEFAULTS`.
const PINNED: [&str; 16] =
    ["on", "origin", "30s", "8s", "0", "0", "read committed", "off", "on", "on", "off", "auto", "UTF8", "ISO, MDY", "UTC", "on"];

/// What holds in a writer's session at this address.
pub async fn settings_of_session(url: &str) -> Vec<String> {
    let mut session = Session::new(url.parse().expect("a URL"));
    let settings = DEFAULTS.map(|(name, _)| format!("current_setting('{name}')")).join(", ");
    let asking = session.run(Duration::from_secs(30), move |connection| {
        Box::pin(async move { sqlx::query_scalar(AssertSqlSafe(format!("select unnest(array[{settings}])"))).fetch_all(connection).await })
    });
    asking.await.expect("an answer")
}

/// Makes these the defaults of a role or a database.
pub async fn set_defaults(database: &Database, of: &str) {
    let statements = DEFAULTS.map(|(name, value)| format!("alter {of} set {name} = {value}")).join("; ");
    database.execute(&statements).await;
}

/// The settings of a session are these whatever is beneath.
pub async fn assert_pinned(url: &str) {
    let settings = settings_of_session(url).await;
    for (position, (name, _)) in DEFAULTS.iter().enumerate() {
        assert_eq!(settings[position], PINNED[position], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_role_or_a_database_prefers_changes_no_session() {
    for of in ["role postgres", "database postgres"] {
        let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
        let stack = Stack::start_on(Database::on(&cluster).await, &["events"]).await;
        stack.database.apply(&sample_catalog()).await;
        set_defaults(&stack.database, of).await;
        assert_pinned(&stack.database.url).await;
        let queue = stack.queue("events").await;
        let daemon = stack.daemon(QUEUES, &[]).await;
        daemon.ready().await;
        send(&queue, [event("event-1")]).await;
        stack.at_rest(&queue).await;
        assert_each_stored_once(&stack.database, 1).await;
        assert!(!daemon.log().contains("not stored"), "{}", daemon.log());
        assert_eq!(daemon.stop().await, 0);
    }
}

/// Opens connections until the server has none left; gives them.
async fn use_up(database: &Database) -> Vec<PgConnection> {
    let mut connections = Vec::new();
    loop {
        match database.options().connect().await {
            Ok(connection) => connections.push(connection),
            Err(error) => {
                let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
                assert_eq!(code.as_deref(), Some("53300"), "{error}");
                return connections;
            }
        }
    }
}

/// Another program leaks connections while the daemon works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_connections_are_used_up_goes_on_storing_by_the_sessions_that_there_are() {
    let cluster = block_in_place(|| Cluster::temporary(&["max_connections=25"])).expect("a Postgres of the test's own");
    let stack = Stack::start_on(Database::on(&cluster).await, &["events"]).await;
    stack.database.apply(&sample_catalog()).await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon(QUEUES, &[]).await;
    daemon.ready().await;
    occupy_writers(&stack.database, &queue, "first").await.release().await;
    stack.at_rest(&queue).await;

    let mut watching = stack.database.connect().await;
    let leaked = use_up(&stack.database).await;
    let probes = "select count(*) from pg_stat_activity where query like '%_sqlx_migrations%' and pid <> pg_backend_pid() \
                  and query_start > $1::timestamptz";
    let now: String = sqlx::query_scalar("select now()::text").fetch_one(&mut watching).await.expect("a time");
    let mut sent = 0;
    eventually("the daemon has probed the database", async || {
        sent += 1;
        send(&queue, [event(&format!("amid-{sent}"))]).await;
        assert_eq!(daemon.get("/readyz").await, (200, "ready\n".to_owned()), "{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
        let probes = sqlx::query_scalar(probes).bind(&now).fetch_one(&mut watching).await;
        let probed: i64 = probes.expect("an answer");
        (probed > 0).then_some(())
    })
    .await;
    stack.at_rest(&queue).await;
    assert_eq!(daemon.get("/readyz").await.0, 200, "{}", daemon.log());
    drop((leaked, watching));
    assert_each_stored_once(&stack.database, WRITERS + sent).await;
    assert_eq!(daemon.stop().await, 0);
}
