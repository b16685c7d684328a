//! Which databases are fit for the tables and for events.

use event_processor::dev::cluster::Cluster;
use tokio::task::block_in_place;

use crate::load::{event, requests, send};
use crate::stack::{Database, PROCESSOR, Stack, eventually, sample_catalog};
use crate::terminal::Terminal;

/// Encodings in which some events cannot be stored, or are stored unchecked.
const ENCODINGS: [&str; 3] = ["LATIN1", "WIN1252", "SQL_ASCII"];

async fn of_encoding(encoding: &str) -> Database {
    Database::create_with(&format!("encoding '{encoding}' locale 'C' template template0")).await
}

fn sentence(encoding: &str) -> String {
    format!(
        "the database's encoding is {encoding}, which cannot hold every event; make another one by `create database NAME encoding 'UTF8' template template0`"
    )
}

/// `migrate` and `dev` end with 78 and the sentence, `run` is not ready for it and polls nothing.
async fn check_is_refused(database: Database, encoding: &str) {
    let stack = Stack::start_on(database, &["events"]).await;
    send(&stack.queue("events").await, [event("waits")]).await;
    let terminal = Terminal::with(stack.environment());
    for line in [&["migrate"][..], &["dev", "--queue-port", "0"]] {
        let ended = terminal.run(PROCESSOR, line).await;
        assert!(ended.status == 78 && ended.errors.contains(&sentence(encoding)), "{encoding} {line:?}: {ended:?}");
    }
    let daemon = stack.daemon("events?trust=any", &[]).await;
    daemon.says(&sentence(encoding)).await;
    assert_eq!(requests(&daemon, "receive").await, 0, "{encoding}");
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_database_in_another_encoding_than_utf8_is_refused_with_how_to_make_one() {
    for encoding in ENCODINGS {
        check_is_refused(of_encoding(encoding).await, encoding).await;
    }
}

/// As an earlier build has left it, which did not ask.
#[tokio::test]
async fn one_that_was_migrated_in_another_encoding_is_refused_as_well() {
    for encoding in ENCODINGS {
        let database = of_encoding(encoding).await;
        sqlx::migrate!().run(&mut database.connect().await).await.expect("migrations");
        check_is_refused(database, encoding).await;
    }
}

#[tokio::test]
async fn a_database_in_utf8_whatever_its_locale_is_migrated_and_used() {
    let stack = Stack::start_on(of_encoding("UTF8").await, &["events"]).await;
    let terminal = Terminal::with(stack.environment());
    let migrated = terminal.run(PROCESSOR, &["migrate"]).await;
    assert_eq!(migrated.status, 0, "{migrated:?}");
    let daemon = stack.daemon("events?trust=any", &[]).await;
    daemon.says("catalog: none was applied").await;
    assert_eq!(daemon.stop().await, 0);

    let for_dev = of_encoding("UTF8").await;
    let terminal = Terminal::with(vec![("DATABASE_URL", for_dev.url.clone())]);
    let catalog = sample_catalog().display().to_string();
    let line = ["dev", "--queue-port", "0", "--listen-address", "127.0.0.1:0", "--exit-after-sample", "--schemas", &catalog];
    let ended = terminal.run(PROCESSOR, &line).await;
    assert_eq!(ended.status, 0, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_writes_no_full_pages_is_used_and_warned_of_once() {
    let cluster = block_in_place(|| Cluster::temporary(&["full_page_writes=off"])).expect("a Postgres of the test's own");
    let stack = Stack::start_on(Database::on(&cluster).await, &["events"]).await;
    stack.database.apply(&sample_catalog()).await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    daemon.ready().await;
    send(&queue, [event("event-1")]).await;
    stack.at_rest(&queue).await;
    // A failed look, and another that finds it fit again.
    stack.database.execute("alter table message rename to hidden").await;
    send(&queue, [event("event-2")]).await;
    daemon.says("database").await;
    stack.database.execute("alter table hidden rename to message").await;
    daemon.ready().await;
    assert_eq!(daemon.log().matches("full_page_writes off").count(), 1, "{}", daemon.log());
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_sync_is_not_used() {
    let cluster = block_in_place(|| Cluster::temporary(&["fsync=off"])).expect("a Postgres of the test's own");
    let stack = Stack::start_on(Database::on(&cluster).await, &["events"]).await;
    stack.database.apply(&sample_catalog()).await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    daemon.says("the server runs with fsync off and would lose events at a crash; set it to on").await;
    stack.database.execute("alter system set fsync = on").await;
    assert_eq!(daemon.stop().await, 0);
}

/// A URL has brackets around an IPv6 address, which no resolver knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_is_reached_by_its_ipv6_address() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: there is no IPv6 here");
        return;
    }
    let cluster = block_in_place(|| Cluster::temporary(&["listen_addresses=127.0.0.1,::1"])).expect("a Postgres of the test's own");
    let hba_file = Database::on(&cluster).await.rows("select current_setting('hba_file')").await.remove(0);
    let rules = std::fs::read_to_string(&hba_file).expect("the rules");
    std::fs::write(&hba_file, format!("host all all ::1/128 trust\n{rules}")).expect("written");
    Database::on(&cluster).await.execute("select pg_reload_conf()").await;
    let url = cluster.url("postgres").replace("127.0.0.1", "[::1]");
    eventually("the rules are read", async || {
        let ended = Terminal::with(vec![("DATABASE_URL", url.clone())]).run(PROCESSOR, &["dead-letter", "list"]).await;
        assert!(!ended.errors.contains("lookup") && !ended.errors.contains("not found"), "{ended:?}");
        (ended.status == 0).then_some(())
    })
    .await;
}
