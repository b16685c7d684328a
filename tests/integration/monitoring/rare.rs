//! The alerts of what is rare: an event that never ends, and a replica that is left behind.

use super::alerts::{OFTEN, QUEUES, watch};
use super::file;
use super::prometheus::{Prometheus, free_port, scaled};
use crate::load::{catalog_of_acme, event, send};
use crate::poison::{MORTAL, outlive};
use crate::proxy::{Fault, Proxy};
use crate::stack::{Stack, eventually};

/// The counter of poison messages, as the first scrape has it. Whose such an event is was never found out.
const NONE_YET: &str = "event_processor_events_rejected_total{tenant=\"unknown\", reason=\"received_too_often\"} == 0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_was_begun_three_times_and_never_ended_is_told() {
    let stack = Stack::start(&["events"]).await;
    let fail_points = format!("panic=return(trip-me);{}", OFTEN.1);
    let daemon = stack.daemon(QUEUES, &[("FAILPOINTS", &fail_points), ("VISIBILITY_TIMEOUT", "1")]).await;
    daemon.ready().await;
    let Some(prometheus) = watch(&daemon.address).await else { return };
    // Of what is there at the first scrape nothing is an increase.
    eventually("the counter is scraped", async || (!prometheus.query(NONE_YET).await.is_empty()).then_some(())).await;
    send(&stack.queue("events").await, [event("trip-me")]).await;
    prometheus.fires("EventProcessorPoisonMessage", &[("tenant", "unknown")]).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_ends_each_process_that_begins_it_is_told_by_the_one_that_outlives_it() {
    let stack = Stack::start(&["events"]).await;
    // Each is started in the place of the one before, as by systemd, and counts from 0.
    let address = format!("127.0.0.1:{}", free_port());
    let settings = [MORTAL[0], MORTAL[1], ("LISTEN_ADDRESS", &address)];
    let mut first = stack.daemon(QUEUES, &settings).await;
    first.ready().await;
    let Some(prometheus) = watch(&address).await else { return };
    eventually("the counter is scraped", async || (!prometheus.query(NONE_YET).await.is_empty()).then_some(())).await;
    send(&stack.queue("events").await, [event("kill-me")]).await;
    assert_eq!(first.ended().await, -1, "a signal ends it");
    let (last, _) = outlive(&stack, &settings, async || ()).await;
    prometheus.fires("EventProcessorPoisonMessage", &[("tenant", "unknown")]).await;
    assert_eq!(last.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_cannot_read_the_catalog_that_another_has_is_told() {
    let stack = Stack::start_without_catalog(&["events"]).await;
    let catalog = catalog_of_acme();
    stack.database.apply(&catalog.0).await;
    let proxy = Proxy::before(&stack.database.url).await;
    let (first, second) = (stack.daemon(QUEUES, &[OFTEN]).await, stack.daemon(QUEUES, &[OFTEN, ("DATABASE_URL", &proxy.url)]).await);
    first.ready().await;
    second.ready().await;
    let addresses = [first.address.as_str(), second.address.as_str()];
    let rules = scaled(&file("prometheus/rules.yaml"));
    let Some(prometheus) = Prometheus::start(&[("event-processor", &addresses)], &rules, std::time::Duration::from_millis(100)).await
    else {
        return;
    };
    let both = "count(event_processor_catalog_generation == 1) == 2";
    eventually("both are scraped", async || (!prometheus.query(both).await.is_empty()).then_some(())).await;
    // Connections that are there have the query prepared already.
    proxy.trap("from event_schema", Fault::LoseRequest);
    proxy.cut();
    catalog.write("acme/memo/1.json", "{}");
    stack.database.apply(&catalog.0).await;
    prometheus.fires("EventProcessorCatalogSpread", &[("instance", &second.address)]).await;
    // What is told of both has no instance.
    let spread = "ALERTS{alertname=\"EventProcessorCatalogSpread\", alertstate=\"firing\", instance=\"\"}";
    eventually("the generations differ", async || (!prometheus.query(spread).await.is_empty()).then_some(())).await;
    let of_first = format!("ALERTS{{alertname=\"EventProcessorCatalogSpread\", instance=\"{}\"}}", first.address);
    assert!(prometheus.query(&of_first).await.is_empty(), "it has followed");
    proxy.mend();
    prometheus.ends("EventProcessorCatalogSpread").await;
    assert_eq!(second.stop().await, 0);
    assert_eq!(first.stop().await, 0);
}
