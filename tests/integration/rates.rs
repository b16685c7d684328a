//! A tenant's rate delays what is over it, and drops nothing.

use std::fmt::Write as _;

use crate::endpoint::{Answer, Endpoint};
use crate::fifo_server::FifoServer;
use crate::load::{counted, depth, event, outcomes, send, send_many};
use crate::stack::{Directory, Stack, eventually, patience};

/// The tenant `acme` may bring so many events a second, `platform` as many as it does.
fn catalog(rate: &str) -> Directory {
    let catalog = Directory::create();
    catalog.write("acme/tenant.toml", rate);
    catalog.write("acme/note/1.json", "{}");
    catalog.write("platform/tenant.toml", "[clients.client-1]");
    catalog.write("platform/monitor-app/1.json", "{}");
    catalog
}

fn note(number: usize) -> String {
    format!(r#"{{"tenant_id":"acme","event_id":"note-{number}","event_type":"note","payload":{number}}}"#)
}

async fn start(rate: &str) -> Stack {
    let stack = Stack::start_without_catalog(&["events"]).await;
    stack.database.apply(&catalog(rate).0).await;
    stack
}

#[tokio::test]
async fn what_is_over_a_tenants_rate_waits_on_its_queue_and_is_stored_in_the_end_while_others_go_on() {
    let stack = start("rate_limit = 20\nrate_burst = 5\n").await;
    let queue = stack.queue("events").await;
    send(&queue, (0..40).map(note).chain((0..40).map(|number| event(&format!("event-{number}"))))).await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    let others = "select count(*) from message where tenant_id = 'platform'";
    eventually("the others are stored", async || (stack.database.count(others).await == 40).then_some(())).await;
    let of_acme = "select count(*) from message where tenant_id = 'acme'";
    assert!(stack.database.count(of_acme).await < 40, "nothing has waited");
    stack.at_rest(&queue).await;
    assert_eq!(stack.database.count(of_acme).await, 40);
    assert_eq!(stack.database.count("select count(*) from dead_letter").await, 0);
    let deferred = outcomes(&daemon, "deferred").await;
    assert!(deferred >= 20, "{deferred} were deferred");
    assert_eq!(counted(&daemon, "events_over_rate_total", "acme").await, deferred);
    assert_eq!(counted(&daemon, "messages_received_total", "events").await, deferred + outcomes(&daemon, "stored").await);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn past_the_budget_and_before_a_redrive_what_is_over_its_rate_is_stored_and_counted() {
    let stack = start("rate_limit = 0.01\n").await;
    let queue = stack.queue("events").await;
    send(&queue, (0..50).map(note)).await;
    let daemon = stack.daemon("events?trust=any", &[("DEFERRED_EVENTS_MAX", "20")]).await;
    // Half of the budget is one tenant's.
    eventually("those are stored that may not wait", async || (outcomes(&daemon, "stored").await == 40).then_some(())).await;
    assert_eq!(outcomes(&daemon, "deferred").await, 10);
    assert_eq!(counted(&daemon, "events_over_rate_total", "acme").await, 49);
    assert_eq!(daemon.stop().await, 0);

    let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:gone","maxReceiveCount":3}"#;
    stack.clients.create_queue("gone", &[]).await.expect("a queue");
    let attributes = [("RedrivePolicy", policy), ("MessageRetentionPeriod", "1209600")];
    stack.clients.create_queue("redriven", &attributes).await.expect("a queue");
    let queue = stack.queue("redriven").await;
    send(&queue, (100..120).map(note)).await;
    let daemon = stack.daemon("redriven?trust=any", &[]).await;
    stack.at_rest(&queue).await;
    assert_eq!((outcomes(&daemon, "stored").await, outcomes(&daemon, "deferred").await), (20, 0));
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_rate_that_is_applied_acts_at_once() {
    let stack = start("rate_limit = 0.01\n").await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    send(&queue, [note(0)]).await;
    eventually("the first is stored", async || (outcomes(&daemon, "stored").await == 1).then_some(())).await;
    send(&queue, [note(1)]).await;
    eventually("the second waits", async || (outcomes(&daemon, "deferred").await == 1).then_some(())).await;
    stack.database.apply(&catalog("rate_limit = 1000\n").0).await;
    eventually("the catalog is read", async || (daemon.metric("event_processor_catalog_generation", "").await > 1.5).then_some(())).await;
    send(&queue, [note(2)]).await;
    eventually("the third is stored", async || (outcomes(&daemon, "stored").await == 2).then_some(())).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_flood_takes_no_more_of_what_sqs_may_have_in_flight_than_its_budget_and_none_of_it_is_redriven() {
    let stack = start("rate_limit = 20\n").await;
    stack.clients.create_queue("gone", &[]).await.expect("a queue");
    let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:gone","maxReceiveCount":10}"#;
    let attributes = [("RedrivePolicy", policy), ("MessageRetentionPeriod", "1209600")];
    stack.clients.create_queue("redriven", &attributes).await.expect("a queue");
    let queue = stack.queue("redriven").await;
    let notes: Vec<String> = (0..600).map(note).chain((0..40).map(|number| event(&format!("event-{number}")))).collect();
    send_many(&queue, &notes).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    endpoint.set_in_flight_max(300);
    let settings = [("AWS_ENDPOINT_URL", endpoint.url.as_str()), ("DEFERRED_EVENTS_MAX", "200"), ("IN_FLIGHT_EVENTS_MAX", "50")];
    let daemon = stack.daemon("redriven?trust=any", &settings).await;
    stack.at_rest(&queue).await;
    assert_eq!(stack.database.count("select count(*) from message").await, 640);
    let in_flight = endpoint.in_flight_peak();
    assert!((50..=160).contains(&in_flight), "half of the budget, what is being stored, and a receive: {in_flight}");
    assert_eq!(endpoint.met(Answer::OverLimit), 0, "the quota was used up");
    assert!(outcomes(&daemon, "deferred").await >= 100);
    assert!(endpoint.handed_out_max() <= 10, "received {} times", endpoint.handed_out_max());
    assert_eq!(depth(&stack.queue("gone").await).await, 0);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn of_a_queue_that_keeps_messages_for_a_minute_none_is_lost_by_waiting() {
    let stack = start("rate_limit = 0.01\n").await;
    stack.clients.create_queue("short", &[("MessageRetentionPeriod", "60")]).await.expect("a queue");
    let queue = stack.queue("short").await;
    send(&queue, (0..30).map(note)).await;
    let daemon = stack.daemon("short?trust=any", &[]).await;
    stack.at_rest(&queue).await;
    let stored = "select count(*) from message where received_at - sent_at < interval '45 seconds'";
    assert_eq!(stack.database.count(stored).await, 30, "each is stored well before it expires");
    assert!(outcomes(&daemon, "deferred").await > 0, "none has waited");
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn the_later_messages_of_a_group_come_again_with_the_one_that_is_over_its_rate() {
    let stack = start("rate_limit = 5\nrate_burst = 1\n").await;
    let server = FifoServer::with([("group".to_owned(), (0..12).map(note).collect())].into()).await;
    let daemon = stack
        .daemon("events.fifo?trust=any", &[("AWS_ENDPOINT_URL", server.url.as_str()), ("VISIBILITY_TIMEOUT", "1h"), ("HOLD_MAX", "2h")])
        .await;
    // By themselves they would come after half an hour.
    tokio::time::timeout(patience(), server.at_rest()).await.expect("the queue comes to rest");
    let order = "select string_agg(event_id, ' ' order by received_at) as events from message";
    let sent = (0..12).fold(String::new(), |mut sent, number| {
        write!(sent, " note-{number}").expect("a string");
        sent
    });
    assert_eq!(stack.database.rows(order).await, [sent.trim_start()]);
    assert!(outcomes(&daemon, "deferred").await > 0 && outcomes(&daemon, "released").await > 0);
    assert_eq!(daemon.stop().await, 0);
}

/// Takes milliseconds: each item is held against a thousand schemas.
fn costly() -> String {
    let minimum = |number: u32| format!(r#"{{"minimum": {number}}}"#);
    format!(r#"{{"items": {{"allOf": [{}]}}}}"#, (0..1_000).map(minimum).collect::<Vec<_>>().join(", "))
}

#[tokio::test]
async fn events_that_take_long_leave_the_others_their_room() {
    let stack = Stack::start_without_catalog(&["events"]).await;
    let files = catalog("");
    files.write("acme/note/1.json", &costly());
    stack.database.apply(&files.0).await;
    let queue = stack.queue("events").await;
    let items = vec!["1000"; 80].join(",");
    let costly = |number: usize| format!(r#"{{"tenant_id":"acme","event_id":"note-{number}","event_type":"note","payload":[{items}]}}"#);
    send(&queue, (0..60).map(costly)).await;
    send(&queue, (0..5).map(|number| event(&format!("event-{number}")))).await;
    // Room for forty: they would fill it.
    let daemon = stack.daemon("events?trust=any", &[("IN_FLIGHT_EVENTS_MAX", "40"), ("VISIBILITY_TIMEOUT", "2")]).await;
    let others = "select count(*) from message where tenant_id = 'platform'";
    eventually("the others are stored", async || (stack.database.count(others).await == 5).then_some(())).await;
    stack.at_rest(&queue).await;
    assert_eq!(stack.database.count("select count(*) from message").await, 65);
    assert_eq!(stack.database.count("select count(*) from dead_letter").await, 0);
    assert!(outcomes(&daemon, "released").await > 0, "none has left its room");
    assert_eq!(daemon.stop().await, 0);
}
