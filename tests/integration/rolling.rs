//! A release under load: the next migration, then one replica after the other. No event is lost, and commits hardly pause.

use std::path::Path;

use sqlx::Connection as _;
use sqlx::migrate::Migrator;

use crate::ledger::Ledger;
use crate::stack::{Database, Directory, PROCESSOR, Stack, command, eventually};

const QUEUES: &str = "events?trust=any";

/// How many events a second are sent, `ROLLING_RATE`; debug builds take few.
fn rate() -> String {
    std::env::var("ROLLING_RATE").unwrap_or_else(|_| "200".to_owned())
}

/// Migrations of a build that is still to come, as the rules for them have it: a column without a value, an index beside running writers.
const NEXT: [(&str, &str); 2] = [
    ("9998_next_column.sql", "alter table message add column next integer;"),
    ("9999_next_index.sql", "-- no-transaction\ncreate index concurrently message_next on message (received_at);"),
];

async fn stored(database: &Database) -> i64 {
    database.count("select count(*) from message").await
}

/// Waits until more is stored.
async fn go_on(database: &Database, events: i64) {
    let before = stored(database).await;
    eventually("more is stored", async || (stored(database).await >= before + events).then_some(())).await;
}

async fn migrate_to_the_next(database: &Database) {
    let directory = Directory::create();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    for entry in std::fs::read_dir(own).expect("migrations") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_str().expect("UTF-8");
        directory.write(name, &std::fs::read_to_string(&path).expect("a migration"));
    }
    for (name, sql) in NEXT {
        directory.write(name, sql);
    }
    let migrator = Migrator::new(directory.0.as_path()).await.expect("migrations");
    let mut connection = database.connect().await;
    migrator.run_direct(None, &mut connection, false).await.expect("migrated");
    connection.close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_two_replicas_and_the_next_migration_lose_no_event() {
    let stack = Stack::start(&["events"]).await;
    let database = &stack.database;
    let mut replicas = Vec::new();
    for _ in 0..2 {
        let replica = stack.daemon(QUEUES, &[]).await;
        replica.ready().await;
        replicas.push(replica);
    }
    let ledger = Ledger::on(&stack);
    let producers = ledger.begin(QUEUES, &format!("--rate {} --invalid 0.05 --duplicates 0.05", rate()), 1).await;
    go_on(database, 200).await;

    migrate_to_the_next(database).await;
    // What this build has is there already, and what it does not know stays.
    let (status, said, _) = command(PROCESSOR, &["migrate"], &stack.environment()).await;
    assert_eq!((status, said.as_str()), (0, "the tables are up to date\n"));
    go_on(database, 200).await;

    for replica in &mut replicas {
        // As Kubernetes does: the new one first, and the old one is told to stop when that is ready.
        let newer = stack.daemon(QUEUES, &[]).await;
        newer.ready().await;
        let older = std::mem::replace(replica, newer);
        assert_eq!(older.stop().await, 0);
        go_on(database, 200).await;
    }
    ledger.interrupt(producers).await;
    let report = ledger.assert_clean().await;
    let gap = "select (1000 * extract(epoch from max(gap)))::bigint from
         (select received_at - lag(received_at) over (order by received_at) as gap from message) gaps";
    println!(
        "{} sent, {} stored; longest gap between commits, over the migration and both restarts: {} ms",
        report["sent"],
        report["stored"],
        database.count(gap).await
    );
    for replica in replicas {
        assert_eq!(replica.stop().await, 0);
    }
}
