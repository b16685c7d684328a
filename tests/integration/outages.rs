//! Postgres that is away, or there and unable to store: polling pauses, nothing becomes a dead letter, and work goes on by itself.
//!
//! `OUTAGE_SECONDS=60` makes it long, with `-- outages --nocapture` behind `cargo test --test integration`.

mod refusing;

use std::time::Duration;

use event_processor::dev::cluster::Cluster;
use tokio::task::block_in_place;
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::ledger::Ledger;
use crate::load::{assert_each_stored_once, counted, events, outcomes, send};
use crate::proxy::Proxy;
use crate::stack::{Database, Stack, eventually, sample_catalog};

const QUEUES: &str = "events?trust=any";

/// From so long an outage on, the memory of the daemon has come to rest before it.
const LONG_SECONDS: u64 = 60;

fn outage_seconds() -> u64 {
    std::env::var("OUTAGE_SECONDS").map_or(2, |text| text.parse().expect("OUTAGE_SECONDS in seconds"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_away_under_load_costs_no_event_and_one_receive_at_most() {
    let outage = Duration::from_secs(outage_seconds());
    let mut cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
    let stack = Stack::start_on(Database::on(&cluster).await, &["events"]).await;
    stack.database.apply(&sample_catalog()).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    let daemon = stack.daemon(QUEUES, &[("AWS_ENDPOINT_URL", &endpoint.url), ("VISIBILITY_TIMEOUT", "4")]).await;
    daemon.ready().await;
    let ledger = Ledger::on(&stack);
    let producers = ledger.begin(QUEUES, "--rate 150 --invalid 0 --duplicates 0", 1).await;
    let stored = async || stack.database.count("select count(*) from message").await;
    let enough = i64::try_from(outage.as_secs() * 50).expect("a small number").max(300);
    eventually("enough is stored", async || (stored().await >= enough).then_some(())).await;

    let memory = async || daemon.metric("process_resident_memory_bytes", "").await / f64::from(1 << 20);
    let before = memory().await;
    block_in_place(|| cluster.crash()).expect("Postgres ends");
    let since = Instant::now();
    daemon.says("database").await;
    eventually("what was in flight is handed back", async || (counted(&daemon, "in_flight_events", "").await == 0).then_some(())).await;
    let (copies, _) = endpoint.handed_out();
    let mut most = before;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    while since.elapsed() < outage {
        ticks.tick().await;
        assert_eq!((daemon.get("/livez").await.0, daemon.get("/readyz").await.0), (200, 503));
        most = most.max(memory().await);
    }
    assert_eq!(endpoint.handed_out().0, copies, "received while nothing can be stored");
    block_in_place(|| cluster.recover()).expect("Postgres starts again");

    let since = Instant::now();
    let kept = stored().await;
    eventually("more is stored", async || (stored().await > kept).then_some(())).await;
    println!("away for {outage:?}: first commit {:.1?} after Postgres answers", since.elapsed());
    ledger.interrupt(producers).await;
    let report = ledger.assert_clean().await;
    println!("all {} of {} stored {:.1?} after Postgres answers", report["stored"], report["sent"], since.elapsed());
    println!("memory in MiB: {before:.0} before, {most:.0} at most; a message was received {} times at most", endpoint.handed_out_max());
    assert_eq!(stack.database.count("select count(*) from dead_letter").await, 0);
    assert!(endpoint.handed_out_max() <= 2, "received {} times", endpoint.handed_out_max());
    // A daemon that has just begun still grows into its buffers.
    assert!(outage.as_secs() < LONG_SECONDS || most <= before * 1.2, "memory grew from {before} to {most} MiB");
    assert_eq!(daemon.stop().await, 0);
}

/// How many events that a test like this sends: more than are received before a write fails.
const EVENTS: usize = 3_000;

/// So many events can be on their way by a poll when a write fails: ten in its reply, and more in the next ones until the writer has seen it.
const ON_THEIR_WAY_MAX: usize = 25;

#[tokio::test]
async fn a_failed_write_stops_polling_before_it_is_tried_again() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let proxy = Proxy::before(&stack.database.url).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    send(&queue, events(EVENTS)).await;
    let settings = [("DATABASE_URL", proxy.url.as_str()), ("AWS_ENDPOINT_URL", &endpoint.url), ("VISIBILITY_TIMEOUT", "2")];
    let daemon = stack.daemon(QUEUES, &settings).await;
    eventually("work has begun", async || (outcomes(&daemon, "stored").await > 0).then_some(())).await;
    // Nobody listens there.
    proxy.redirect("postgres://127.0.0.1:1");
    proxy.cut();
    let (before, _) = endpoint.handed_out();
    daemon.says("database").await;
    eventually("what was in flight is handed back", async || (counted(&daemon, "in_flight_events", "").await == 0).then_some(())).await;
    let (after, messages) = endpoint.handed_out();
    let on_their_way_max = ON_THEIR_WAY_MAX * endpoint.take_receiving_peak();
    println!("{} more were received when the database was gone, {messages} in all", after - before);
    assert!(after - before <= on_their_way_max, "{} more were received when the database was gone", after - before);
    assert!(messages < EVENTS, "too few events to tell");
    proxy.redirect(&stack.database.url);
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, EVENTS).await;
    assert_eq!(daemon.stop().await, 0);
}
