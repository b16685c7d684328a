//! What is held is extended, and only that.
//!
//! `LOCK_SECONDS=12` holds the table shut for as long.

use std::time::Duration;

use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::load::{Lock, WRITERS, assert_each_stored_once, counted, events, outcomes, send, waiting_for};
use crate::stack::{Stack, eventually};

const EVENTS: usize = 60;

#[tokio::test]
async fn what_waits_for_the_database_is_extended_and_comes_only_once() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    let lock = Lock::table(&stack.database, "message").await;
    let since = Instant::now();
    let locked_seconds = std::env::var("LOCK_SECONDS").map_or(0, |text| text.parse().expect("LOCK_SECONDS in seconds"));
    send(&queue, events(EVENTS)).await;
    let daemon = stack.daemon("events?trust=any", &[("AWS_ENDPOINT_URL", &endpoint.url), ("VISIBILITY_TIMEOUT", "3")]).await;
    waiting_for(&stack.database, "message", 1).await;
    eventually("all are held", async || (endpoint.handed_out().1 == EVENTS).then_some(())).await;
    // Each extension comes after half a lease at the earliest, so that by then two leases would have ended.
    let is_long_enough = || endpoint.extensions_min() >= 5 && since.elapsed() >= Duration::from_secs(locked_seconds);
    eventually("each is extended five times", async || is_long_enough().then_some(())).await;
    println!("the table was shut for {:.1?}, each event was extended {} times or more", since.elapsed(), endpoint.extensions_min());
    assert_eq!(endpoint.handed_out(), (EVENTS, EVENTS), "something came again while it was held");
    lock.release().await;
    stack.at_rest(&queue).await;
    assert_eq!(endpoint.handed_out(), (EVENTS, EVENTS));
    assert_eq!(endpoint.late_extensions(), 0, "something was extended that was deleted");
    assert_each_stored_once(&stack.database, EVENTS).await;
    assert_eq!(daemon.stop().await, 0);
}

/// The replica stands still amid its transactions; what it does when it wakes meets what the other one has done.
#[tokio::test]
async fn a_replica_that_stands_still_past_its_leases_wakes_and_harms_nothing() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let settings = [("VISIBILITY_TIMEOUT", "2")];
    let all = i64::try_from(EVENTS).expect("a small number");
    let lock = Lock::table(&stack.database, "message").await;
    send(&queue, events(EVENTS)).await;
    let first = stack.daemon("events?trust=any", &settings).await;
    waiting_for(&stack.database, "message", i64::try_from(WRITERS).expect("a small number")).await;
    eventually("all are held", async || (counted(&first, "in_flight_events", "").await == all).then_some(())).await;
    first.signal("STOP");
    // Each of its threads stops when it is its turn.
    eventually("the first stands still", async || first.stands_still().then_some(())).await;
    lock.release().await;
    let second = stack.daemon("events?trust=any", &settings).await;
    stack.at_rest(&queue).await;
    assert_eq!(outcomes(&second, "stored").await, all, "the other one stores what is not stored");
    first.signal("CONT");
    eventually("the first has dealt with what it held", async || (counted(&first, "in_flight_events", "").await == 0).then_some(())).await;
    let (released, duplicates) = (outcomes(&first, "released").await, outcomes(&first, "duplicate").await);
    println!("of its {EVENTS} events, the first has released {released} and found {duplicates} to be duplicates");
    assert_each_stored_once(&stack.database, EVENTS).await;
    for daemon in [first, second] {
        assert_eq!(daemon.stop().await, 0);
    }
}
