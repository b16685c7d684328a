//! The real daemon ends at a certain place of its path, five times, under two thousand events; afterwards each event is where it must be.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::ledger::Ledger;
use crate::stack::{Stack, eventually};

const QUEUES: &str = "events?trust=any";
const CRASHES: u32 = 5;

/// Small batches, so that each place is passed often; short leases, so that what a crash has held comes back soon.
const SETTINGS: [(&str, &str); 3] = [("VISIBILITY_TIMEOUT", "2"), ("BATCH_ROWS_MAX", "20"), ("IN_FLIGHT_EVENTS_MAX", "200")];

async fn check(location: &str) {
    let stack = Stack::start(&["events"]).await;
    let ledger = Ledger::on(&stack);
    let mut producers = ledger.begin(QUEUES, "--events 2000 --rate 2000 --invalid 0.11 --duplicates 0.05 --seed 5", 1).await;
    let seed = rand::random();
    println!("{location}: seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for crash in 0..CRASHES {
        let passages = random.random_range(1..10);
        let crashing = format!("{location}={passages}*off->return");
        let settings: Vec<_> = SETTINGS.into_iter().chain([("FAILPOINTS", crashing.as_str())]).collect();
        let mut daemon = stack.daemon(QUEUES, &settings).await;
        eventually("the daemon crashes", async || {
            // The catalog is read again when it has changed.
            stack.database.execute("update catalog set generation = generation + 1; select pg_notify('catalog_changed', '')").await;
            daemon.has_ended().then_some(())
        })
        .await;
        assert_eq!(daemon.ended_by().await, Some(SIGABRT), "{location}, crash {crash}");
    }
    let stored = stack.database.count("select count(*) from message").await;
    println!("{location}: {stored} stored when the last one had crashed");
    let successor = stack.daemon(QUEUES, &SETTINGS).await;
    assert!(producers.wait().await.expect("a status").success());
    let report = ledger.assert_clean().await;
    assert_eq!(report["sent"], 2000, "{report}");
    assert_eq!(successor.stop().await, 0);
}

/// The signal that `abort` raises.
const SIGABRT: i32 = 6;

#[tokio::test]
async fn a_crash_when_events_were_received_loses_nothing() {
    check("received").await;
}

#[tokio::test]
async fn a_crash_before_a_transaction_loses_nothing() {
    check("before_begin").await;
}

#[tokio::test]
async fn a_crash_after_the_insert_loses_nothing() {
    check("after_insert").await;
}

#[tokio::test]
async fn a_crash_before_the_commit_loses_nothing() {
    check("before_commit").await;
}

#[tokio::test]
async fn a_crash_after_a_commit_of_unknown_outcome_loses_nothing() {
    check("commit_sent").await;
}

#[tokio::test]
async fn a_crash_before_a_delete_loses_and_doubles_nothing() {
    check("before_delete").await;
}

#[tokio::test]
async fn a_crash_amid_the_deletes_loses_and_doubles_nothing() {
    check("mid_delete").await;
}

#[tokio::test]
async fn a_crash_while_the_catalog_is_read_loses_nothing() {
    check("mid_reload").await;
}
