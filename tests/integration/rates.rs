//! A tenant's rate delays what is over it, and drops nothing.

use crate::load::{counted, event, outcomes, send};
use crate::stack::{Directory, Stack, eventually};

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
