//! One client that hangs, among many.

use serde_json::json;

use super::Deliveries;
use super::receiver::Receiver;
use crate::stack::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_keeps_no_other_from_its_deliveries() {
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start().await;
    deliveries.tenant("u").await;
    deliveries.client("u", "hangs", &json!({ "url": receiver.url("/hang") })).await;
    deliveries.events("u", "hangs", &json!({}), 500).await;
    let sender = deliveries.sender(&[("SENDER_CONCURRENCY_MAX", "8")]).await;
    eventually("it has its places", async || (receiver.requests("/hang").len() >= 4).then_some(())).await;
    for client in 0..20 {
        let client = format!("c{client}");
        deliveries.client("t", &client, &json!({ "url": receiver.url(&format!("/status/200/{client}")) })).await;
        deliveries.events("t", &client, &json!({}), 5).await;
    }
    let delivered = "select count(*) from delivery_log where tenant_id = 't' and outcome = 'delivered'";
    eventually("all others are delivered", async || (deliveries.database.count(delivered).await == 100).then_some(())).await;
    // Not one of them waited for a place of the client that hangs.
    let hanging = receiver.requests("/hang").len();
    assert!(hanging <= 8, "{hanging} requests to the client that hangs");
    sender.kill().await;
}
