//! A poller that hangs or panics is started anew, and no other.

use crate::endpoint::Endpoint;
use crate::load::{Lock, assert_each_stored_once, counted, events, outcomes, send, waiting_for};
use crate::stack::{Stack, eventually};

const QUEUES: &str = "events?trust=any";

/// A poll waits for 1 s and is given up half a second later; half a second after that its poller counts as silent.
const LIMITS: &str = "poll_grace=return(500);watchdog_slack=return(500)";

#[tokio::test]
async fn a_receive_that_never_returns_is_given_up_and_its_poller_started_anew() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    send(&queue, events(50)).await;
    let planted = format!("hung_receive=1*return->off;{LIMITS}");
    let daemon = stack.daemon(QUEUES, &[("DRAIN_TIMEOUT", "2"), ("FAILPOINTS", &planted)]).await;
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, 50).await;
    assert_eq!(counted(&daemon, "poller_restarts_total", r#"queue="events""#).await, 1);
    let alarms =
        daemon.log_of("events").into_iter().filter(|(_, line)| line.contains("SQS was silent for longer than any request may take"));
    assert_eq!(alarms.count(), 1, "{}", daemon.log());
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_poller_that_panics_is_started_anew_and_what_it_held_comes_again() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    send(&queue, events(50)).await;
    let settings = [("VISIBILITY_TIMEOUT", "2"), ("DRAIN_TIMEOUT", "2"), ("FAILPOINTS", "received=1*panic->off")];
    let daemon = stack.daemon(QUEUES, &settings).await;
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, 50).await;
    assert_eq!(counted(&daemon, "poller_restarts_total", r#"queue="events""#).await, 1);
    let released = outcomes(&daemon, "released").await;
    assert!((1..=10).contains(&released), "{released} were released");
    assert_eq!(counted(&daemon, "messages_received_total", "").await, counted(&daemon, "events_total", "").await);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_poller_that_waits_for_room_is_left_alone() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    let lock = Lock::table(&stack.database, "message").await;
    send(&queue, events(50)).await;
    let settings = [
        ("AWS_ENDPOINT_URL", endpoint.url.as_str()),
        ("IN_FLIGHT_EVENTS_MAX", "10"),
        ("VISIBILITY_TIMEOUT", "2"),
        ("DRAIN_TIMEOUT", "2"),
        ("FAILPOINTS", LIMITS),
    ];
    let daemon = stack.daemon(QUEUES, &settings).await;
    waiting_for(&stack.database, "message", 1).await;
    // Each comes after half a lease, 1 s, at the earliest: in all longer than a silence may last.
    eventually("what is held is extended three times", async || (endpoint.extensions_min() >= 3).then_some(())).await;
    lock.release().await;
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, 50).await;
    assert_eq!(counted(&daemon, "poller_restarts_total", "").await, 0);
    assert_eq!(daemon.stop().await, 0);
}
