//! What SQS does with deletes and receives that do not go as they should.

use std::time::Duration;

use event_processor::queue::{Clients, Queue};
use event_processor::settings::parse_queues;

use crate::daemon::Daemon;
use crate::endpoint::{Answer, Endpoint};
use crate::load::{Lock, assert_each_stored_once, assert_quiet, counted, events, outcomes, send, waiting_for};
use crate::stack::{Stack, eventually};

const QUEUES: &str = "events?trust=any";

/// Events on a queue, behind an endpoint.
async fn start(count: usize) -> (Stack, Endpoint) {
    let stack = Stack::start(&["events"]).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    send(&stack.queue("events").await, events(count)).await;
    (stack, endpoint)
}

async fn daemon(stack: &Stack, endpoint: &Endpoint, visibility_timeout: &str) -> Daemon {
    stack.daemon(QUEUES, &[("AWS_ENDPOINT_URL", &endpoint.url), ("VISIBILITY_TIMEOUT", visibility_timeout)]).await
}

/// The queue is empty, each event is stored once, and each copy that was handed out has an outcome.
async fn assert_settled(stack: &Stack, endpoint: &Endpoint, daemon: Daemon, count: usize) {
    stack.at_rest(&stack.queue("events").await).await;
    assert_each_stored_once(&stack.database, count).await;
    let (copies, messages) = endpoint.handed_out();
    let copies = i64::try_from(copies).expect("a number");
    eventually("each copy has an outcome", async || (counted(&daemon, "events_total", "").await == copies).then_some(())).await;
    assert_eq!((outcomes(&daemon, "stored").await, messages), (i64::try_from(count).expect("a number"), count));
    assert_eq!(endpoint.unsigned(), 0, "requests without a signature");
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn what_sqs_did_not_delete_is_tried_again() {
    let (stack, endpoint) = start(40).await;
    endpoint.next("DeleteMessageBatch", &[Answer::FailEntries, Answer::ForgetEntries]);
    // None comes again by itself.
    let daemon = daemon(&stack, &endpoint, "1h").await;
    stack.at_rest(&stack.queue("events").await).await;
    assert_eq!((endpoint.met(Answer::FailEntries), endpoint.met(Answer::ForgetEntries)), (1, 1));
    let again = endpoint.entries("DeleteMessageBatch") - 40;
    assert!((2..=10).contains(&again), "{again} entries came again: more than half of two batches of ten");
    assert_eq!(counted(&daemon, "delete_failures_total", "").await, 0);
    assert_settled(&stack, &endpoint, daemon, 40).await;
}

#[tokio::test]
async fn a_stale_receipt_handle_is_counted_and_its_event_comes_again_as_a_duplicate() {
    let (stack, endpoint) = start(1).await;
    endpoint.next("DeleteMessageBatch", &[Answer::RefuseHandles]);
    let daemon = daemon(&stack, &endpoint, "2").await;
    stack.at_rest(&stack.queue("events").await).await;
    assert_eq!(counted(&daemon, "delete_failures_total", r#"reason="receipt_handle_invalid""#).await, 1);
    assert_eq!((outcomes(&daemon, "duplicate").await, endpoint.requests("DeleteMessageBatch")), (1, 2), "tried again in vain");
    assert_settled(&stack, &endpoint, daemon, 1).await;
}

#[tokio::test]
async fn a_delete_that_is_given_up_is_counted_and_its_event_comes_again_as_a_duplicate() {
    let (stack, endpoint) = start(60).await;
    endpoint.always("DeleteMessageBatch", Answer::Denied);
    let daemon = daemon(&stack, &endpoint, "2").await;
    eventually("each delete is given up", async || {
        (counted(&daemon, "delete_failures_total", r#"reason="given_up""#).await >= 60).then_some(())
    })
    .await;
    eventually("each event comes again", async || (outcomes(&daemon, "duplicate").await >= 60).then_some(())).await;
    endpoint.mend();
    assert!(daemon.log().contains("could not be deleted") && daemon.log().contains("sqs:DeleteMessage"), "{}", daemon.log());
    assert_quiet(&daemon, "events");
    assert_settled(&stack, &endpoint, daemon, 60).await;
}

#[tokio::test]
async fn a_delete_that_sqs_only_says_to_have_done_makes_a_duplicate() {
    let (stack, endpoint) = start(10).await;
    endpoint.next("DeleteMessageBatch", &[Answer::Pretend]);
    let daemon = daemon(&stack, &endpoint, "2").await;
    stack.at_rest(&stack.queue("events").await).await;
    assert!(outcomes(&daemon, "duplicate").await > 0, "nothing came again");
    assert_settled(&stack, &endpoint, daemon, 10).await;
}

#[tokio::test]
async fn a_message_twice_in_one_reply_is_stored_once_and_has_two_outcomes() {
    let (stack, endpoint) = start(10).await;
    endpoint.always("ReceiveMessage", Answer::Twice);
    let daemon = daemon(&stack, &endpoint, "1h").await;
    stack.at_rest(&stack.queue("events").await).await;
    assert_eq!(endpoint.handed_out(), (20, 10));
    eventually("the second copies are duplicates", async || (outcomes(&daemon, "duplicate").await == 10).then_some(())).await;
    assert_settled(&stack, &endpoint, daemon, 10).await;
}

#[tokio::test]
async fn while_too_many_messages_are_in_flight_the_queue_hands_out_none_and_work_goes_on() {
    let (stack, endpoint) = start(60).await;
    endpoint.set_in_flight_max(10);
    let daemon = daemon(&stack, &endpoint, "1h").await;
    eventually("the quota was met", async || (endpoint.met(Answer::OverLimit) > 0).then_some(())).await;
    assert_settled(&stack, &endpoint, daemon, 60).await;
}

#[tokio::test]
async fn failing_polls_leave_deletes_their_retries() {
    let (_stack, endpoint) = start(1).await;
    let clients = Clients::local(&endpoint.url, "us-east-1").await;
    let queue = Queue::open(&clients, &parse_queues("events").expect("a queue").remove(0)).await.expect("the queue is there");
    let second = Duration::from_secs(1);
    let received = queue.receive(1, second, 10 * second).await.expect("a message");
    endpoint.always("ReceiveMessage", Answer::Unavailable);
    // The SDK's budget is 500, and a retry costs 5.
    for _ in 0..120 {
        queue.receive(1, second, second).await.expect_err("it fails");
    }
    assert_eq!(endpoint.requests("ReceiveMessage"), 121, "a poll is the daemon's own to repeat");
    endpoint.next("DeleteMessageBatch", &[Answer::Unavailable, Answer::Unavailable]);
    let reply = queue.delete(&[&received[0].lease]).await.expect("the third attempt succeeds");
    assert_eq!((reply.successful, endpoint.requests("DeleteMessageBatch")), (vec![0], 3));
}

#[tokio::test]
async fn room_is_taken_until_the_delete_and_not_only_until_the_commit() {
    let (stack, endpoint) = start(100).await;
    // A reply that takes long: meanwhile the next could be stored, and those behind them.
    endpoint.always("DeleteMessageBatch", Answer::Drip);
    let settings = [("AWS_ENDPOINT_URL", endpoint.url.as_str()), ("IN_FLIGHT_EVENTS_MAX", "10"), ("VISIBILITY_TIMEOUT", "1h")];
    let daemon = stack.daemon(QUEUES, &settings).await;
    stack.at_rest(&stack.queue("events").await).await;
    // The poll of a queue that looks idle may overshoot by nine.
    let peak = endpoint.in_flight_peak();
    println!("{peak} were in flight at once");
    assert!((1..=19).contains(&peak), "{peak} were in flight");
    assert_settled(&stack, &endpoint, daemon, 100).await;
}

#[tokio::test]
async fn a_drain_goes_on_until_deletes_that_fail_have_been_tried_again() {
    let (stack, endpoint) = start(60).await;
    let lock = Lock::table(&stack.database, "message").await;
    let settings = [("AWS_ENDPOINT_URL", endpoint.url.as_str()), ("VISIBILITY_TIMEOUT", "1h"), ("DRAIN_TIMEOUT", "30")];
    let mut daemon = stack.daemon(QUEUES, &settings).await;
    waiting_for(&stack.database, "message", 1).await;
    eventually("all are held", async || (endpoint.handed_out().1 == 60).then_some(())).await;
    daemon.signal("TERM");
    daemon.says("shutdown: draining").await;
    endpoint.next("DeleteMessageBatch", &[Answer::FailEntries, Answer::LoseRequest, Answer::ForgetEntries]);
    lock.release().await;
    assert_eq!(daemon.ended().await, 0);
    assert_eq!((endpoint.met(Answer::FailEntries), endpoint.met(Answer::ForgetEntries)), (1, 1));
    stack.at_rest(&stack.queue("events").await).await;
    assert_each_stored_once(&stack.database, 60).await;
}

#[tokio::test]
async fn a_busy_queue_is_polled_by_several_at_once_and_an_idle_one_by_one() {
    let (stack, endpoint) = start(600).await;
    let settings = [("AWS_ENDPOINT_URL", endpoint.url.as_str()), ("DRAIN_TIMEOUT", "2")];
    let daemon = stack.daemon(QUEUES, &settings).await;
    stack.at_rest(&stack.queue("events").await).await;
    let busy = endpoint.take_receiving_peak();
    let polled = async |times: usize| {
        let before = endpoint.requests("ReceiveMessage");
        eventually("it is polled", async || (endpoint.requests("ReceiveMessage") >= before + times).then_some(())).await;
    };
    assert!(busy > 1, "receives at once when busy: {busy}");
    eventually("one poll pays", async || (counted(&daemon, "polls", "").await == 1).then_some(())).await;
    // By the third, those that were under way have ended.
    polled(3).await;
    endpoint.take_receiving_peak();
    polled(2).await;
    assert_eq!(endpoint.take_receiving_peak(), 1, "receives at once when idle");
    assert_settled(&stack, &endpoint, daemon, 600).await;
}

#[tokio::test]
async fn no_answer_of_sqs_loses_or_doubles_an_event() {
    let answers = [
        Answer::Throttled,
        Answer::TooManyRequests,
        Answer::InternalFailure,
        Answer::Unavailable,
        Answer::Denied,
        Answer::MissingQueue,
        Answer::LoseRequest,
        Answer::LoseReply,
        Answer::Drip,
        Answer::Empty,
        Answer::Truncated,
    ];
    let (stack, endpoint) = start(0).await;
    let queue = stack.queue("events").await;
    let daemon = daemon(&stack, &endpoint, "2").await;
    daemon.ready().await;
    for (number, answer) in answers.into_iter().enumerate() {
        endpoint.next("ReceiveMessage", &[answer]);
        endpoint.next("DeleteMessageBatch", &[answer]);
        let event = |event: usize| crate::load::event(&format!("event-{number}-{event}"));
        send(&queue, (0..5).map(event)).await;
        eventually(&format!("{answer:?} is met twice"), async || (endpoint.met(answer) == 2).then_some(())).await;
        stack.at_rest(&queue).await;
    }
    assert_settled(&stack, &endpoint, daemon, 5 * answers.len()).await;
}
