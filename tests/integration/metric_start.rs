//! What will be counted is there at 0 before it first is, so that `increase()` does not miss the first time.

use std::collections::BTreeMap;

use crate::load::{event, send};
use crate::stack::{Stack, eventually};

/// The series of a scrape and their values.
fn series(scrape: &str) -> BTreeMap<String, String> {
    let lines = scrape.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test]
async fn every_counter_that_moves_was_there_at_0_before() {
    let stack = Stack::start(&["events", "platforms"]).await;
    let (queue, bound) = (stack.queue("events").await, stack.queue("platforms").await);
    let daemon = stack.daemon("events?trust=any,platforms=platform", &[]).await;
    daemon.ready().await;
    let named = r#"event_processor_events_rejected_total{reason="schema_violation",tenant="platform"}"#;
    let before = async || series(&daemon.get("/metrics").await.1);
    let before = eventually("the catalog's tenants are there", async || Some(before().await).filter(|all| all.contains_key(named))).await;

    let violation = r#"{"tenant_id":"platform","event_id":"2","event_type":"monitor-app","payload":7}"#;
    send(&queue, [event("1"), violation.to_owned(), "Hello World".to_owned()]).await;
    send(&bound, [event("1"), "Hello World".to_owned()]).await;
    for queue in [&queue, &bound] {
        stack.at_rest(queue).await;
    }
    let after = series(&daemon.get("/metrics").await.1);
    let counters =
        after.iter().filter(|(name, value)| *value != "0" && name.split('{').next().is_some_and(|name| name.ends_with("_total")));
    let late: Vec<_> = counters.filter(|(name, _)| !before.contains_key(*name)).collect();
    assert_eq!(late, [], "not there before");
    assert_eq!((before[named].as_str(), after[named].as_str()), ("0", "1"));
    for name in [
        "poller_restarts_total{queue=\"events\"}",
        "store_errors_total{class=\"conflict\"}",
        "store_transactions_total{result=\"unknown\"}",
    ] {
        assert_eq!(after[&format!("event_processor_{name}")], "0", "{name}");
    }
    assert_eq!(daemon.stop().await, 0);
}
