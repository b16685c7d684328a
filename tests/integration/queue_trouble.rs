//! SQS fails, throttles, denies, has lost its queue or does not answer: it is asked seldom, the log stays quiet, and work goes on soon after.
//!
//! `TROUBLE_REQUESTS=20` lets each fault last for so many requests more, with `-- queue_trouble --nocapture` behind `cargo test --test integration`.

use std::time::Duration;

use tokio::time::Instant;

use crate::daemon::Daemon;
use crate::endpoint::{Answer, Endpoint};
use crate::load::{assert_each_stored_once, assert_quiet, counted, event, events, requests, send, send_many};
use crate::stack::{Stack, eventually};

const QUEUES: &str = "events?trust=any";
const RECEIVE: &str = "ReceiveMessage";

/// A poll waits for 1 s, and is given up half a second later.
const SETTINGS: [(&str, &str); 3] = [("DRAIN_TIMEOUT", "2"), ("VISIBILITY_TIMEOUT", "2"), ("FAILPOINTS", "poll_grace=return(500)")];

/// How many requests a fault lasts for, behind its first second.
fn lasting() -> usize {
    std::env::var("TROUBLE_REQUESTS").map_or(4, |text| text.parse().expect("TROUBLE_REQUESTS is a number"))
}

/// Requests that have met the fault behind its first second, in which the pauses grow.
fn settled(met_at: &[Instant]) -> Vec<Instant> {
    met_at.iter().copied().filter(|at| *at > met_at[0] + Duration::from_secs(1)).collect()
}

async fn before(stack: &Stack) -> Endpoint {
    Endpoint::before(&stack.server.endpoint_url()).await
}

async fn daemon(stack: &Stack, endpoint: &Endpoint, queues: &str) -> Daemon {
    let settings: Vec<_> = [("AWS_ENDPOINT_URL", endpoint.url.as_str())].into_iter().chain(SETTINGS).collect();
    stack.daemon(queues, &settings).await
}

async fn stored(stack: &Stack, queue: &str) -> i64 {
    stack.database.count(&format!("select count(*) from message where queue = '{queue}'")).await
}

/// So many events, named after their queue.
fn events_of(queue: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| event(&format!("{queue}-{number}")))
}

/// What SQS is spared: in no second are there more than five requests a poller, and behind the first second, when one poller of the queue is
/// left that tries, not more than three in all.
fn assert_seldom(met_at: &[Instant]) {
    for (requests, max) in [(met_at, 4 * 5), (&settled(met_at), 3)] {
        for (number, at) in requests.iter().enumerate() {
            let within = requests[number..].iter().take_while(|later| **later < *at + Duration::from_secs(1)).count();
            assert!(within <= max, "{within} requests in a second: {met_at:?}");
        }
    }
}

/// Polls of a queue meet an answer amid a load, by all pollers at once, until there were enough of them.
async fn check(stack: &Stack, name: &str, answer: Answer, advice: &str) {
    let endpoint = before(stack).await;
    let queue = stack.queue(name).await;
    send_many(&queue, &events_of(name, 300).collect::<Vec<_>>()).await;
    let daemon = daemon(stack, &endpoint, &format!("{name}?trust=any")).await;
    eventually("work is under way", async || (endpoint.handed_out().0 >= 60).then_some(())).await;
    endpoint.always(RECEIVE, answer);
    for requests in 1..=lasting() {
        eventually("the fault lasts", async || (settled(&endpoint.met_at()).len() >= requests).then_some(())).await;
    }
    daemon.says(advice).await;
    let met_at = endpoint.met_at();
    assert_seldom(&met_at);
    let lines = daemon.log_of(name);
    let problem = advice.split("; ").next().expect("a problem");
    assert_eq!(lines.iter().filter(|(_, line)| line.contains(problem)).count(), 1, "{lines:#?}");
    // What was received before is stored by now or never.
    send(&queue, [event(&format!("{name}-amid-the-fault"))]).await;
    let (mended, before) = (Instant::now(), stored(stack, name).await);
    endpoint.mend();
    eventually("more is stored", async || (stored(stack, name).await > before).then_some(())).await;
    println!("{answer:?}: {} requests in {:.1?}; stored {:.1?} after the end", met_at.len(), mended - met_at[0], mended.elapsed());
    stack.at_rest(&queue).await;
    assert_quiet(&daemon, name);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn polls_in_vain_are_repeated_seldom_and_said_once_and_work_goes_on_soon_after() {
    let stack = Stack::start(&["failing", "throttled", "denied", "gone", "silent", "empty", "cut"]).await;
    // All at once: most of the time each waits.
    tokio::join!(
        check(&stack, "failing", Answer::InternalFailure, "SQS fails (InternalFailure"),
        check(&stack, "throttled", Answer::TooManyRequests, "requests are throttled (TooManyRequestsException)"),
        check(&stack, "denied", Answer::Denied, "access is denied (AccessDeniedException"),
        check(&stack, "gone", Answer::MissingQueue, "does not exist; create it or correct QUEUES"),
        check(&stack, "silent", Answer::Never, "SQS does not answer (timeout"),
        check(&stack, "empty", Answer::Empty, "polls come back empty before their wait is over"),
        check(&stack, "cut", Answer::LoseRequest, "SQS does not answer (connection"),
    );
    assert_each_stored_once(&stack.database, 7 * 301).await;
}

#[tokio::test]
async fn faults_that_alternate_with_each_other_and_with_success_do_not_fill_the_log() {
    let stack = Stack::start(&["events"]).await;
    let endpoint = before(&stack).await;
    let queue = stack.queue("events").await;
    let daemon = daemon(&stack, &endpoint, QUEUES).await;
    daemon.ready().await;
    endpoint.by_turns(RECEIVE, &[Some(Answer::InternalFailure), None, Some(Answer::TooManyRequests), Some(Answer::Denied), None]);
    // Events do flow, each in a poll of its own.
    for number in 0..lasting() {
        send(&queue, [event(&format!("event-{number}"))]).await;
        stack.at_rest(&queue).await;
    }
    let warnings = daemon.log_of("events").iter().filter(|(_, line)| line.contains("WARN")).count();
    assert!(warnings > 0, "the trouble was not told");
    assert_quiet(&daemon, "events");
    endpoint.mend();
    daemon.ready().await;
    assert_each_stored_once(&stack.database, lasting()).await;
    assert_eq!(daemon.stop().await, 0);
}

/// A request that is made at the start meets an answer; the daemon waits, and begins when it may.
async fn check_start(stack: &Stack, name: &str, operation: &str, answer: Answer, advice: &str) {
    let endpoint = before(stack).await;
    endpoint.always(operation, answer);
    let queue = stack.queue(name).await;
    send(&queue, events_of(name, 1)).await;
    let daemon = daemon(stack, &endpoint, &format!("{name}?trust=any")).await;
    daemon.says(&format!("queue {name}: {advice}")).await;
    // One that nobody answers takes 5 s.
    let enough = if answer == Answer::Never { 1 } else { lasting() };
    eventually("it is asked again", async || (settled(&endpoint.met_at()).len() >= enough).then_some(())).await;
    let met_at = endpoint.met_at();
    assert_seldom(&met_at);
    assert_eq!(endpoint.requests(RECEIVE), 0, "polled before it is known");
    let mended = Instant::now();
    endpoint.mend();
    eventually("it is polled", async || (stored(stack, name).await == 1).then_some(())).await;
    println!(
        "{operation}, {answer:?}: {} requests in {:.1?}; stored {:.1?} after the end",
        met_at.len(),
        mended - met_at[0],
        mended.elapsed()
    );
    stack.at_rest(&queue).await;
    daemon.ready().await;
    assert_quiet(&daemon, name);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_queue_that_cannot_be_had_at_the_start_is_asked_for_seldom_and_polled_soon_after() {
    let stack = Stack::start(&["denied", "throttled", "silent", "closed", "failing"]).await;
    tokio::join!(
        check_start(&stack, "denied", "GetQueueUrl", Answer::Denied, "access is denied (AccessDeniedException"),
        check_start(&stack, "throttled", "GetQueueUrl", Answer::Throttled, "requests are throttled (RequestThrottled)"),
        check_start(&stack, "silent", "GetQueueUrl", Answer::Never, "SQS does not answer (timeout"),
        check_start(&stack, "closed", "GetQueueAttributes", Answer::Denied, "access is denied (AccessDeniedException"),
        check_start(&stack, "failing", "GetQueueAttributes", Answer::InternalFailure, "SQS fails (InternalFailure"),
    );
    assert_each_stored_once(&stack.database, 5).await;
}

#[tokio::test]
async fn a_queue_that_does_not_exist_leaves_the_others_to_work_and_is_polled_when_it_does() {
    let stack = Stack::start(&["events"]).await;
    let endpoint = before(&stack).await;
    let daemon = daemon(&stack, &endpoint, "absent?trust=any,events?trust=any").await;
    daemon.says("queue absent: does not exist; create it or correct QUEUES").await;
    let queue = stack.queue("events").await;
    send(&queue, events(50)).await;
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, 50).await;
    let looked_up = endpoint.requests("GetQueueUrl");
    eventually("it is looked for again", async || (endpoint.requests("GetQueueUrl") > looked_up).then_some(())).await;
    let (status, problems) = daemon.get("/readyz").await;
    assert!(status == 200 && problems.starts_with("ready\nqueue absent: ") && !problems.contains("queue events"), "{problems}");
    let created = Instant::now();
    stack.clients.create_queue("absent", &[]).await.expect("a queue");
    send(&stack.queue("absent").await, [event("event-of-the-other-queue")]).await;
    eventually("it is polled", async || (stored(&stack, "absent").await == 1).then_some(())).await;
    println!("stored {:.1?} after the queue was created", created.elapsed());
    daemon.ready().await;
    assert_eq!(
        counted(&daemon, "sqs_requests_total", r#"operation="receive",queue="absent",result="missing_queue""#).await,
        0,
        "it was polled in vain"
    );
    assert!(requests(&daemon, "receive").await > 0);
    assert_eq!(daemon.stop().await, 0);
}
