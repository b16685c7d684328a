//! Each alert fires when its fault is made for a real daemon, and none in healthy operation.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::file;
use super::prometheus::{Prometheus, free_port, scaled};
use crate::daemon::Daemon;
use crate::ledger::Ledger;
use crate::load::{Lock, event, send, send_many};
use crate::sender::Deliveries;
use crate::sender::receiver::Receiver;
use crate::stack::{Database, Stack, eventually};

pub const QUEUES: &str = "events?trust=any";

/// How often queues are measured, and the database's gauges read: a minute lasts 300 ms here.
pub const OFTEN: (&str, &str) = ("FAILPOINTS", "depth_interval=return(200);backlog_interval=return(200)");

/// A Prometheus by the scaled rules, before the daemon at this address.
pub async fn watch(address: &str) -> Option<Prometheus> {
    Prometheus::start(&[("event-processor", &[address])], &scaled(&file("prometheus/rules.yaml")), Duration::from_millis(100)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_away_and_a_daemon_that_is_gone_are_told() {
    let stack = Stack::start(&["events"]).await;
    let daemon = stack.daemon(QUEUES, &[OFTEN]).await;
    daemon.ready().await;
    let Some(prometheus) = watch(&daemon.address).await else { return };
    eventually("it is scraped", async || (!prometheus.query("event_processor_store_up == 1").await.is_empty()).then_some(())).await;
    stack.database.turn_away().await;
    // By which it is noticed at once.
    send(&stack.queue("events").await, [event("one")]).await;
    prometheus.fires("EventProcessorStoreAway", &[("instance", &daemon.address)]).await;
    assert!(!prometheus.firing().await.contains("EventProcessorQueueNotPolled"), "the store's alert says it already");
    stack.database.let_in().await;
    prometheus.ends("EventProcessorStoreAway").await;
    let address = daemon.address.clone();
    daemon.kill().await;
    prometheus.fires("EventProcessorDown", &[("instance", &address)]).await;
}

/// Has the queue server delete a queue.
async fn delete_queue(stack: &Stack, name: &str) {
    let url = stack.queue(name).await.url().to_owned();
    let endpoint = stack.server.endpoint_url();
    let host = endpoint.trim_start_matches("http://");
    let body = json!({ "QueueUrl": url }).to_string();
    let mut stream = tokio::net::TcpStream::connect(host).await.expect("the queue server");
    let request = format!(
        "POST / HTTP/1.0\r\nhost: {host}\r\nx-amz-target: AmazonSQS.DeleteQueue\r\ncontent-type: application/x-amz-json-1.0\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("a reply");
    assert!(reply.starts_with("HTTP/1.0 200") || reply.starts_with("HTTP/1.1 200"), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_deleted_is_told_and_the_other_one_is_not() {
    let stack = Stack::start(&["events", "other"]).await;
    let daemon = stack.daemon("events?trust=any,other?trust=any", &[OFTEN]).await;
    daemon.ready().await;
    let Some(prometheus) = watch(&daemon.address).await else { return };
    delete_queue(&stack, "other").await;
    prometheus.fires("EventProcessorQueueNotPolled", &[("queue", "other")]).await;
    let others = prometheus.query("ALERTS{queue=\"events\"}").await;
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(daemon.stop().await, 0);
}

/// The rules' objective: what is committed later than this is late.
const LATE: Duration = Duration::from_secs(31);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_a_retention_that_runs_out_and_late_commits_are_told() {
    let stack = Stack::start(&[]).await;
    // SQS's shortest, a minute.
    stack.clients.create_queue("events", &[("MessageRetentionPeriod", "60"), ("VisibilityTimeout", "43200")]).await.expect("a queue");
    let queue = stack.queue("events").await;
    let daemon = stack.daemon(QUEUES, &[OFTEN, ("IN_FLIGHT_EVENTS_MAX", "100")]).await;
    daemon.ready().await;
    let lock = Lock::table(&stack.database, "message").await;
    let Some(prometheus) = watch(&daemon.address).await else { return };
    let began = Instant::now();
    let mut sent = 0;
    let mut expected: BTreeSet<&str> = ["EventProcessorBacklogGrows", "EventProcessorRetentionRunsOut"].into();
    // It grows, for as long as it takes, and until the oldest are late.
    while !expected.is_empty() || began.elapsed() < LATE {
        let bodies: Vec<String> = (sent..sent + 400).map(|number| event(&format!("event-{number}"))).collect();
        send_many(&queue, &bodies).await;
        sent += bodies.len();
        let firing = prometheus.firing().await;
        expected.retain(|alert| !firing.contains(*alert));
        assert!(began.elapsed() < 2 * LATE, "these do not fire: {expected:?}");
    }
    lock.release().await;
    for alert in ["EventProcessorCommitDelayBurnsFast", "EventProcessorCommitDelayBurns"] {
        prometheus.fires(alert, &[("queue", "events")]).await;
    }
    assert_eq!(daemon.stop().await, 0);
}

/// How many messages another consumer takes and hands back when they are late, and how many come meanwhile that are not: a share of 9 %,
/// which burns the budget slowly.
const SLOW_BURN: (usize, usize) = (50, 500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_of_late_commits_that_burns_slowly_is_told_and_not_as_one_that_burns_fast() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let (late, in_time) = SLOW_BURN;
    send_many(&queue, &(0..late).map(|number| event(&format!("late-{number}"))).collect::<Vec<_>>()).await;
    let began = Instant::now();
    let mut taken = Vec::new();
    while taken.len() < late {
        taken.extend(queue.receive(10, Duration::ZERO, 10 * LATE).await.expect("the queue answers"));
    }
    let daemon = stack.daemon(QUEUES, &[OFTEN]).await;
    daemon.ready().await;
    let Some(prometheus) = watch(&daemon.address).await else { return };
    let are_committed = async |count: usize| {
        let expression = format!("event_processor_event_commit_delay_seconds_count == {count}");
        eventually(&expression, async || (!prometheus.query(&expression).await.is_empty()).then_some(())).await;
    };
    are_committed(0).await;
    eventually("they are late", async || (began.elapsed() > LATE).then_some(())).await;
    send_many(&queue, &(0..in_time).map(|number| event(&format!("event-{number}"))).collect::<Vec<_>>()).await;
    are_committed(in_time).await;
    for messages in taken.chunks(10) {
        let handed_back: Vec<_> = messages.iter().map(|message| (&message.lease, Duration::ZERO)).collect();
        queue.set_visibility(&handed_back).await.expect("handed back");
    }
    prometheus.fires("EventProcessorCommitDelayBurns", &[("queue", "events")]).await;
    assert!(!prometheus.fired().await.contains("EventProcessorCommitDelayBurnsFast"), "nobody is woken up for it");
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_events_are_told_by_share_and_by_reason() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon(QUEUES, &[OFTEN]).await;
    daemon.ready().await;
    let Some(prometheus) = watch(&daemon.address).await else { return };
    let mut number = 0;
    let mut expected: BTreeSet<&str> = ["EventProcessorDeadLetterShare", "EventProcessorDeadLetterReason"].into();
    let began = Instant::now();
    while !expected.is_empty() {
        let good = (0..40).map(|one| event(&format!("good-{number}-{one}")));
        let bad = (0..10).map(|one| event(&format!("bad-{number}-{one}")).replace("\"hello\"", "7"));
        let unknown = (0..5).map(|one| event(&format!("unknown-{number}-{one}")).replace("monitor-app", "nothing-app"));
        send_many(&queue, &good.chain(bad).chain(unknown).collect::<Vec<_>>()).await;
        number += 1;
        let firing = prometheus.firing().await;
        expected.retain(|alert| !firing.contains(*alert));
        assert!(began.elapsed() < crate::stack::patience(), "these do not fire: {expected:?}");
    }
    prometheus.fires("EventProcessorDeadLetterReason", &[("tenant", "platform"), ("reason", "unknown_event_type")]).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_that_nobody_takes_and_a_client_that_is_disabled_are_told() {
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start().await;
    deliveries.client("t", "gone", &json!({ "url": receiver.url("/status/410") })).await;
    let stack = Stack::start_on(Database { url: deliveries.database.url.clone(), name: None }, &["events"]).await;
    let daemon = stack.daemon(QUEUES, &[OFTEN]).await;
    let sender_address = format!("127.0.0.1:{}", free_port());
    let jobs = [("event-processor", [daemon.address.as_str()]), ("event-processor-sender", [sender_address.as_str()])];
    let jobs = jobs.each_ref().map(|(job, addresses)| (*job, addresses.as_slice()));
    let Some(prometheus) = Prometheus::start(&jobs, &scaled(&file("prometheus/rules.yaml")), Duration::from_millis(100)).await else {
        return;
    };
    deliveries.events("t", "gone", &json!({}), 3).await;
    prometheus.fires("EventProcessorDeliveriesOverdue", &[]).await;
    // Until the sender's first scrape, for of what is there then nothing is an increase.
    deliveries.database.execute("update delivery set due_at = clock_timestamp() + interval '1 day'").await;
    let sender = deliveries.sender(&[("LISTEN_ADDRESS", &sender_address)]).await;
    sender.ready().await;
    let is_scraped = "event_processor_sender_clients_disabled_total{reason=\"gone\"} == 0";
    eventually("the sender is scraped", async || (!prometheus.query(is_scraped).await.is_empty()).then_some(())).await;
    deliveries.database.execute("update delivery set due_at = clock_timestamp(); notify delivery_ready").await;
    prometheus.fires("EventProcessorClientDisabled", &[("reason", "gone")]).await;
    // What waits for a client that is disabled is not overdue.
    prometheus.ends("EventProcessorDeliveriesOverdue").await;
    assert_eq!(sender.stop().await, 0);
    assert_eq!(daemon.stop().await, 0);
}

/// For how long healthy operation is watched, by the rules as they are: `HEALTHY_SECONDS`, ten minutes in the long form.
fn healthy() -> Duration {
    Duration::from_secs(std::env::var("HEALTHY_SECONDS").map_or(12, |text| text.parse().expect("HEALTHY_SECONDS is a number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthy_load_with_restarts_fires_nothing() {
    let stack = Stack::start(&["events"]).await;
    let addresses = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let start = async |address: &str| {
        let daemon = stack.daemon(QUEUES, &[("LISTEN_ADDRESS", address)]).await;
        daemon.ready().await;
        daemon
    };
    let mut daemons = vec![start(&addresses[0]).await, start(&addresses[1]).await];
    let receiver = Receiver::start().await;
    let sender = start_sender(&stack, &receiver).await;
    let of_sender = [sender.address.as_str()];
    let jobs: [(&str, &[&str]); 2] =
        [("event-processor", &addresses.each_ref().map(String::as_str)), ("event-processor-sender", &of_sender)];
    let Some(prometheus) = Prometheus::start(&jobs, &file("prometheus/rules.yaml"), Duration::from_secs(1)).await else { return };
    let ledger = Ledger::on(&stack);
    let producers = ledger.begin(QUEUES, "--rate 100 --invalid 0 --duplicates 0.01", 1).await;
    let (began, mut number) = (Instant::now(), 0);
    while began.elapsed() < healthy() {
        // In its place, as `systemctl restart` does.
        assert_eq!(daemons.remove(number).stop().await, 0);
        daemons.insert(number, start(&addresses[number]).await);
        go_on(&stack.database).await;
        number = 1 - number;
    }
    ledger.interrupt(producers).await;
    ledger.assert_clean().await;
    assert_eq!(prometheus.fired().await, BTreeSet::new());
    eventually("nothing is about to fire", async || {
        let pending = prometheus.query("ALERTS").await;
        if !pending.is_empty() {
            println!("about to fire: {pending:?}");
        }
        pending.is_empty().then_some(())
    })
    .await;
    assert_eq!(sender.stop().await, 0);
    for daemon in daemons {
        assert_eq!(daemon.stop().await, 0);
    }
}

/// A sender, and clients that are all at one receiver.
pub async fn start_sender(stack: &Stack, receiver: &Receiver) -> Daemon {
    stack.database.execute(&format!("update client set settings = '{}'", json!({ "url": receiver.url("/status/200") }))).await;
    let mut environment = stack.environment();
    environment.push(("SENDER_ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()));
    Daemon::start_sender(environment).await
}

/// Waits until as much is stored as comes in some seconds.
async fn go_on(database: &Database) {
    let stored = async || database.count("select count(*) from message").await;
    let before = stored().await;
    eventually("more is stored", async || (stored().await >= before + 300).then_some(())).await;
}
