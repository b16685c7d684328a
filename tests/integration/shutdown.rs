//! Daemons that end in the middle of their work, and daemons that share it.

use crate::daemon::Daemon;
use crate::load::{Lock, assert_each_stored_once, catalog_of_acme, counted, depth, event, events, outcomes, send, visible, waiting_for};
use crate::proxy::{Fault, Proxy};
use crate::stack::{Stack, eventually};

const QUEUES: &str = "events?trust=any";

/// A daemon that holds received events which it cannot store, because the table is held shut.
async fn stuck(stack: &Stack, count: usize, settings: &[(&'static str, &str)]) -> (Lock, Daemon) {
    let lock = Lock::table(&stack.database, "message").await;
    send(&stack.queue("events").await, events(count)).await;
    let daemon = stack.daemon(QUEUES, settings).await;
    waiting_for(&stack.database, "message", 2).await;
    eventually("events are in flight", async || (counted(&daemon, "in_flight_events", "").await > 50).then_some(())).await;
    (lock, daemon)
}

/// A further daemon finds each event that is not stored in the queue.
async fn assert_nothing_is_lost(stack: &Stack, count: usize) {
    let daemon = stack.daemon(QUEUES, &[("VISIBILITY_TIMEOUT", "2")]).await;
    stack.at_rest(&stack.queue("events").await).await;
    assert_each_stored_once(&stack.database, count).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_drain_stores_what_is_in_flight_and_leaves_the_rest() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let (lock, mut daemon) = stuck(&stack, 300, &[("DRAIN_TIMEOUT", "30"), ("IN_FLIGHT_EVENTS_MAX", "100")]).await;
    daemon.signal("TERM");
    daemon.says("shutdown: draining").await;
    lock.release().await;
    assert_eq!(daemon.ended().await, 0);
    let stored = stack.database.count("select count(*) from message").await;
    assert!((51..300).contains(&stored), "{stored} were in flight");
    assert_eq!((stored + visible(&queue).await, depth(&queue).await), (300, visible(&queue).await), "stored or back in the queue");
    assert_nothing_is_lost(&stack, 300).await;
}

#[tokio::test]
async fn what_a_poll_brings_after_the_signal_is_handed_back_at_once() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let mut daemon = stack.daemon(QUEUES, &[("DRAIN_TIMEOUT", "20"), ("VISIBILITY_TIMEOUT", "1h")]).await;
    send(&queue, [event("before")]).await;
    stack.at_rest(&queue).await;
    daemon.signal("TERM");
    daemon.says("shutdown: draining").await;
    send(&queue, [event("after")]).await;
    assert_eq!(daemon.ended().await, 0);
    assert_eq!((visible(&queue).await, depth(&queue).await), (1, 1), "nobody may receive it for an hour");
    assert_nothing_is_lost(&stack, 2).await;
}

#[tokio::test]
async fn a_daemon_with_nothing_to_finish_ends_well() {
    let stack = Stack::start_without_catalog(&["events"]).await;
    // Without a catalog no poll is under way, so that everything ends at the signal, in any order.
    for _ in 0..10 {
        let daemon = stack.daemon(QUEUES, &[]).await;
        daemon.says("catalog: none was applied").await;
        assert_eq!(daemon.stop().await, 0);
    }
}

#[tokio::test]
async fn a_second_signal_ends_at_once_and_loses_nothing() {
    let stack = Stack::start(&["events"]).await;
    let settings = [("DRAIN_TIMEOUT", "1h"), ("VISIBILITY_TIMEOUT", "2")];
    let (lock, mut daemon) = stuck(&stack, 100, &settings).await;
    daemon.signal("TERM");
    daemon.says("shutdown: draining").await;
    daemon.signal("INT");
    assert_eq!(daemon.ended().await, 75);
    lock.release().await;
    assert_nothing_is_lost(&stack, 100).await;
}

#[tokio::test]
async fn a_drain_that_runs_out_of_time_says_so_and_hands_everything_back() {
    let stack = Stack::start(&["events"]).await;
    let settings = [("DRAIN_TIMEOUT", "1"), ("VISIBILITY_TIMEOUT", "1h")];
    let (lock, mut daemon) = stuck(&stack, 100, &settings).await;
    daemon.signal("TERM");
    assert_eq!(daemon.ended().await, 75);
    assert_eq!(visible(&stack.queue("events").await).await, 100, "not handed back");
    eventually("the reason is logged", async || daemon.log().contains("raise DRAIN_TIMEOUT").then_some(())).await;
    assert_eq!(stack.database.count("select count(*) from dead_letter").await, 0);
    lock.release().await;
    assert_nothing_is_lost(&stack, 100).await;
}

#[tokio::test]
async fn a_daemon_killed_amid_its_load_loses_nothing() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    send(&queue, events(1_000)).await;
    // Fifty batches, each of which waits for the deletes of the one before.
    let settings = [("VISIBILITY_TIMEOUT", "2"), ("IN_FLIGHT_EVENTS_MAX", "20")];
    let mut daemon = stack.daemon(QUEUES, &settings).await;
    eventually("some events are stored", async || (outcomes(&daemon, "stored").await > 0).then_some(())).await;
    daemon.signal("KILL");
    assert_eq!(daemon.ended().await, -1);
    assert!(depth(&queue).await > 0, "the daemon was done before it was killed");
    assert_nothing_is_lost(&stack, 1_000).await;
}

#[tokio::test]
async fn a_daemon_killed_amid_its_transactions_loses_nothing() {
    let stack = Stack::start(&["events"]).await;
    let (lock, mut daemon) = stuck(&stack, 100, &[("VISIBILITY_TIMEOUT", "2")]).await;
    daemon.signal("KILL");
    assert_eq!(daemon.ended().await, -1);
    // Its transactions go on to the next word from the daemon, which never comes.
    lock.release().await;
    assert_nothing_is_lost(&stack, 100).await;
}

#[tokio::test]
async fn a_daemon_killed_between_commit_and_delete_leaves_duplicates() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let proxy = Proxy::before(&stack.server.endpoint_url()).await;
    proxy.trap("DeleteMessageBatch", Fault::LoseRequest);
    let mut daemon = stack.daemon(QUEUES, &[("AWS_ENDPOINT_URL", &proxy.url), ("VISIBILITY_TIMEOUT", "2")]).await;
    send(&queue, events(20)).await;
    let stored = async || stack.database.count("select count(*) from message").await;
    eventually("all are stored", async || (stored().await == 20).then_some(())).await;
    daemon.signal("KILL");
    daemon.ended().await;
    assert_eq!(depth(&queue).await, 20);

    let successor = stack.daemon(QUEUES, &[]).await;
    stack.at_rest(&queue).await;
    assert_eq!((outcomes(&successor, "duplicate").await, outcomes(&successor, "stored").await), (20, 0));
    assert_each_stored_once(&stack.database, 20).await;
    assert_eq!(successor.stop().await, 0);
}

#[tokio::test]
async fn two_daemons_share_a_queue_and_every_copy_has_one_outcome() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let daemons = [stack.daemon(QUEUES, &[]).await, stack.daemon(QUEUES, &[]).await];
    for daemon in &daemons {
        daemon.ready().await;
    }
    send(&queue, events(2_000)).await;
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, 2_000).await;
    let (mut received, mut stored) = (Vec::new(), 0);
    for daemon in &daemons {
        eventually("nothing is in flight", async || (counted(daemon, "in_flight_events", "").await == 0).then_some(())).await;
        received.push(counted(daemon, "messages_received_total", r#"queue="events""#).await);
        stored += outcomes(daemon, "stored").await;
        assert_eq!(received.last(), Some(&counted(daemon, "events_total", "").await), "received and not accounted for");
    }
    assert_eq!(stored, 2_000);
    assert!(received.iter().all(|received| *received > 0), "one daemon did it all: {received:?}");
    for daemon in daemons {
        assert_eq!(daemon.stop().await, 0);
    }
}

/// A dead letter whose delete was lost is closed when its event comes again and is stored after all.
#[tokio::test]
async fn a_dead_letter_is_closed_when_its_event_is_stored_after_all() {
    let catalog = catalog_of_acme();
    let stack = Stack::start_without_catalog(&["events"]).await;
    stack.database.apply(&catalog.0).await;
    let queue = stack.queue("events").await;
    let proxy = Proxy::before(&stack.server.endpoint_url()).await;
    proxy.trap("DeleteMessageBatch", Fault::LoseRequest);
    let mut daemon = stack.daemon("events=acme", &[("AWS_ENDPOINT_URL", &proxy.url), ("VISIBILITY_TIMEOUT", "2")]).await;
    let body = r#"{"event_id":"e","event_type":"memo","payload":"a"}"#;
    let sqs_message_id = queue.send(body).await.expect("sent");
    let dead_letter = "select event_id, reason, replay_outcome from dead_letter where queue = 'events'";
    eventually("there is a dead letter", async || (!stack.database.rows(dead_letter).await.is_empty()).then_some(())).await;
    daemon.signal("KILL");
    daemon.ended().await;
    assert_eq!(stack.database.rows(dead_letter).await, ["e | unknown_event_type | -"]);

    catalog.write("acme/memo/1.json", r#"{"type": "string"}"#);
    stack.database.apply(&catalog.0).await;
    // The same id on another queue is another message.
    let of_another_queue = format!(
        "insert into dead_letter (queue, sqs_message_id, reason, body, queue_format, catalog_generation, receive_count) \
         values ('others', '{sqs_message_id}', 'malformed_json', '', 'native', 1, 1)"
    );
    stack.database.execute(&of_another_queue).await;
    let successor = stack.daemon("events=acme", &[]).await;
    stack.at_rest(&queue).await;
    assert_eq!(stack.database.rows(dead_letter).await, ["e | unknown_event_type | stored"]);
    let stored = "select m.event_id, m.received_at = d.replayed_at as at_once from message m, dead_letter d where d.queue = 'events'";
    assert_eq!(stack.database.rows(stored).await, ["e | true"], "not closed by the transaction that stored it");
    assert_eq!(stack.database.rows("select replay_outcome from dead_letter where queue = 'others'").await, ["-"]);
    assert_eq!(successor.stop().await, 0);
}
