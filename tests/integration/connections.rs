//! What a session needs it says itself, whatever the defaults of a role or a database are; and the sessions that there are go on being used.

use std::time::Duration;

use event_processor::audit::Audit;
use event_processor::catalog::{directory, publication};
use event_processor::dev::cluster::Cluster;
use event_processor::store::Session;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tokio::task::block_in_place;

use crate::daemon::Daemon;
use crate::load::{WRITERS, assert_each_stored_once, event, occupy_writers, requests, send};
use crate::stack::{Database, Stack, WRITER_LOGIN, eventually, log_in_as, sample_catalog};

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

/// What takes a superuser where a default has foreign keys unchecked: the other settings are anybody's to change.
pub const LET_WRITER_CHECK_KEYS: &str = "grant set on parameter session_replication_role to tests_writer";

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
    for of in [format!("role {WRITER_LOGIN}"), "role postgres".to_owned(), "database postgres".to_owned()] {
        let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
        let stack = Stack::start_on(Database::on(&cluster).await, &["events"]).await;
        stack.database.apply(&sample_catalog()).await;
        set_defaults(&stack.database, &of).await;
        assert_pinned(&stack.database.url).await;
        let queue = stack.queue("events").await;
        let daemon = stack.daemon(QUEUES, &[]).await;
        // Without foreign keys nothing is stored; who may not have them checked again says so.
        if of != "role postgres" {
            daemon.says("permission denied to set parameter").await;
            assert_eq!(requests(&daemon, "receive").await, 0);
            stack.database.execute(LET_WRITER_CHECK_KEYS).await;
        }
        daemon.ready().await;
        assert_pinned(&log_in_as(WRITER_LOGIN, &stack.database.url)).await;
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

/// Until the condition holds the daemon is ready and stores an event each time. Gives how many.
async fn stores_until(stack: &Stack, daemon: &Daemon, what: &str, mut condition: impl AsyncFnMut() -> bool) -> i64 {
    let queue = stack.queue("events").await;
    let mut sent = 0;
    eventually(what, async || {
        sent += 1;
        send(&queue, [event(&format!("{what} {sent}"))]).await;
        assert_eq!(daemon.get("/readyz").await, (200, "ready\n".to_owned()), "{what}: {}", daemon.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
        condition().await.then_some(())
    })
    .await;
    sent
}

/// Another program leaks connections while the daemon works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_servers_connections_are_used_up_the_sessions_that_there_are_go_on() {
    let cluster = block_in_place(|| Cluster::temporary(&["max_connections=25"])).expect("a Postgres of the test's own");
    let stack = Stack::start_on(Database::on(&cluster).await, &["events"]).await;
    stack.database.apply(&sample_catalog()).await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon(QUEUES, &[("VISIBILITY_TIMEOUT", "1"), ("FAILPOINTS", "panic=return(trip-me)")]).await;
    daemon.ready().await;
    occupy_writers(&stack.database, &queue, "first").await.release().await;
    stack.at_rest(&queue).await;
    let mut watching = stack.database.connect().await;
    let mut leaked = use_up(&stack.database).await;

    let probe = "from pg_stat_activity where query like '%_sqlx_migrations%' and pid <> pg_backend_pid()";
    let began: String = sqlx::query_scalar("select now()::text").fetch_one(&mut watching).await.expect("a time");
    let probed = format!("select count(*) {probe} and query_start > '{began}'");
    let mut sent = stores_until(&stack, &daemon, "the daemon has probed", async || {
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(probed.clone())).fetch_one(&mut watching).await.expect("an answer");
        count > 0
    })
    .await;

    // What was said of another session says nothing of the writers'.
    let end = format!("select pg_terminate_backend(pid) {probe}");
    sqlx::query(AssertSqlSafe(end)).execute(&mut watching).await.expect("the probe's session has ended");
    leaked.extend(use_up(&stack.database).await);
    let line = "not probed; the sessions that there are go on";
    sent += stores_until(&stack, &daemon, "the daemon cannot probe", async || daemon.log().contains(line)).await;
    send(&queue, [event("trip-me")]).await;
    let line = "handed back: what came often is counted before it is validated";
    sent += stores_until(&stack, &daemon, "the daemon cannot count", async || daemon.log().contains(line)).await;

    let declaration = directory::read(&sample_catalog()).expect("the sample catalog");
    publication::apply(
        &mut watching,
        &declaration,
        publication::Undeclared::Stays,
        &Audit::new("tests".to_owned(), "catalog apply", std::iter::empty()),
    )
    .await
    .expect("applied");
    let is_new = async || daemon.metric("event_processor_catalog_generation", "").await > 1.5;
    sent += stores_until(&stack, &daemon, "the new catalog is read", is_new).await;
    drop((leaked, watching));
    stack.at_rest(&queue).await;
    assert_eq!(stack.database.rows("select reason from dead_letter").await, ["received_too_often"]);
    assert_eq!(stack.database.count("select count(*) from message").await, sent + i64::try_from(WRITERS).expect("a small number"));
    assert_eq!(daemon.stop().await, 0);
}
