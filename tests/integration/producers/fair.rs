//! SQS's fair queues: producers tell the tenant of each message as its group.

use crate::endpoint::Endpoint;
use crate::ledger::Ledger;
use crate::producer::Producer;
use crate::stack::Stack;

/// The tenant that a body names.
fn tenant_of(body: &str) -> Option<String> {
    serde_json::from_str::<serde_json::Value>(body).ok()?["tenant_id"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn each_message_is_sent_in_its_tenants_group_where_that_is_asked_and_in_none_else() {
    let stack = Stack::start(&["events"]).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    let mut ledger = Ledger::on(&stack);
    ledger.terminal.environment.retain(|(name, _)| *name != "AWS_ENDPOINT_URL");
    ledger.terminal.environment.push(("AWS_ENDPOINT_URL", endpoint.url.clone()));
    ledger.send("events?trust=any", "--events 100 --rate 5000 --fair").await;
    let sent = endpoint.groups();
    assert_eq!(sent.len(), 100);
    for (body, group) in &sent {
        assert!(group.is_some() && *group == tenant_of(body), "{group:?}: {body}");
    }
    let daemon = stack.daemon("events?trust=any", &[]).await;
    ledger.assert_clean().await;
    assert_eq!(stack.database.count("select count(*) from message where message_group is not null").await, 0);
    assert_eq!(daemon.stop().await, 0);

    let stack = Stack::start(&["events"]).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    let mut ledger = Ledger::on(&stack);
    ledger.terminal.environment.retain(|(name, _)| *name != "AWS_ENDPOINT_URL");
    ledger.terminal.environment.push(("AWS_ENDPOINT_URL", endpoint.url.clone()));
    ledger.send("events?trust=any", "--events 10 --rate 5000").await;
    assert!(endpoint.groups().iter().all(|(_, group)| group.is_none()), "{:?}", endpoint.groups());
}

#[tokio::test]
async fn a_group_on_a_standard_queue_is_taken_and_proves_nothing() {
    let stack = Stack::start(&["events", "platform-events"]).await;
    let daemon = stack.daemon("events,platform-events=platform", &[]).await;
    let producer = Producer::of(&stack);
    let body = r#"{"tenant_id":"platform","event_type":"monitor-app","payload":"hello"}"#;
    for queue in ["events", "platform-events"] {
        let url = stack.queue(queue).await;
        producer.send_fairly("platform", queue, body).await;
        stack.at_rest(&url).await;
    }
    // On the shared queue it is the sender that counts; on the bound one the queue.
    assert_eq!(stack.database.rows("select queue from message").await, ["platform-events"]);
    assert_eq!(stack.database.rows("select queue, reason from dead_letter").await, ["events | unauthorized_sender"]);
    assert_eq!(daemon.stop().await, 0);
}
