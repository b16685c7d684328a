//! What is held is extended, and only that.

use crate::endpoint::Endpoint;
use crate::load::{Lock, assert_each_stored_once, events, send, waiting_for};
use crate::stack::{Stack, eventually};

const EVENTS: usize = 60;

#[tokio::test]
async fn what_waits_for_the_database_is_extended_and_comes_only_once() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    let lock = Lock::table(&stack.database, "message").await;
    send(&queue, events(EVENTS)).await;
    let daemon = stack.daemon("events?trust=any", &[("AWS_ENDPOINT_URL", &endpoint.url), ("VISIBILITY_TIMEOUT", "3")]).await;
    waiting_for(&stack.database, "message", 1).await;
    eventually("all are held", async || (endpoint.handed_out().1 == EVENTS).then_some(())).await;
    // Each extension comes after half a lease at the earliest, so that by then two leases would have ended.
    eventually("each is extended five times", async || (endpoint.extensions_min() >= 5).then_some(())).await;
    assert_eq!(endpoint.handed_out(), (EVENTS, EVENTS), "something came again while it was held");
    lock.release().await;
    stack.at_rest(&queue).await;
    assert_eq!(endpoint.handed_out(), (EVENTS, EVENTS));
    assert_eq!(endpoint.late_extensions(), 0, "something was extended that was deleted");
    assert_each_stored_once(&stack.database, EVENTS).await;
    assert_eq!(daemon.stop().await, 0);
}
