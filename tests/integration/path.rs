//! From queue to row.

use crate::stack::Stack;

/// The message with which everything began, as it stands in the contract.
const FOUNDING_MESSAGE: &str = r#"{"event_type":"monitor-app","client_id":"client-1","message":"hello 7"}"#;

#[tokio::test]
async fn the_founding_message_on_a_bound_queue_becomes_a_row_and_a_delivery() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let sqs_message_id = queue.send(FOUNDING_MESSAGE).await.expect("sent");
    let daemon = stack.daemon("events=platform", &[]).await;
    stack.at_rest(&queue).await;

    let rows = stack.database.rows("select tenant_id, source, event_id, event_type, schema_version, client_id, payload::text as payload, queue, catalog_generation from message").await;
    assert_eq!(rows, [format!("platform |  | {sqs_message_id} | monitor-app | 1 | client-1 | \"hello 7\" | events | 1")]);
    let deliveries = stack.database.rows("select tenant_id, event_id, client_id, state, attempts from delivery_state").await;
    assert_eq!(deliveries, [format!("platform | {sqs_message_id} | client-1 | pending | 0")]);
    assert_eq!(stack.database.count("select count(*) from dead_letter").await, 0);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_body_that_is_no_json_is_a_dead_letter_and_leaves_the_queue() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    queue.send("Hello World").await.expect("sent");
    let daemon = stack.daemon("events?trust=any", &[]).await;
    stack.at_rest(&queue).await;

    let dead_letters = stack
        .database
        .rows("select tenant_id, queue, reason, rule, convert_from(body, 'UTF8') as body, replay_outcome from dead_letter")
        .await;
    assert_eq!(dead_letters, ["- | events | malformed_json | json json# | Hello World | -"]);
    assert!(!daemon.log().contains("Hello World"), "a payload was logged");
    assert_eq!(daemon.stop().await, 0);
}
