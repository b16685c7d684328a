//! What SQS knows of a message beside its body: kept with the event, and with the dead letter, for a replay needs it again.

use serde_json::{Value, json};

use crate::endpoint::Endpoint;
use crate::producer::{Group, Producer, attribute};
use crate::stack::{PROCESSOR, Stack};
use crate::terminal::Terminal;

const TRACE_HEADER: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
const TRACEPARENT_OF_XRAY: &str = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The rows of a query of one column as JSON.
async fn json_of(stack: &Stack, sql: &str) -> Value {
    let rows = stack.database.rows(sql).await;
    let [row] = rows.as_slice() else { panic!("{sql}: {rows:?}") };
    serde_json::from_str(row).expect("JSON")
}

#[tokio::test]
async fn what_sqs_was_told_beside_the_body_is_kept_with_the_event_and_with_the_dead_letter() {
    let stack = Stack::start(&["events.fifo", "events"]).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    endpoint.set_trace_header(TRACE_HEADER);
    let producer = Producer::of(&stack);
    let group = |deduplication_id| Some(Group { group: "group-1", deduplication_id });
    let trace = [attribute("traceparent", "String", TRACEPARENT)];
    let valid =
        r#"{"tenant_id":"platform","event_id":"e","event_type":"monitor-app","payload":"a","occurred_at":"1999-12-31T23:59:59.9999999Z"}"#;
    producer.send_in(group("first"), "events.fifo", valid, &[]).await;
    producer.send_in(group("second"), "events.fifo", r#"{"tenant_id":"platform","event_type":7}"#, &trace).await;
    producer.send("events", r#"{"tenant_id":"nobody","event_type":"a","payload":1}"#, &[]).await;
    let daemon = stack.daemon("events.fifo?trust=any,events", &[("AWS_ENDPOINT_URL", &endpoint.url)]).await;
    for queue in ["events.fifo", "events"] {
        stack.at_rest(&stack.queue(queue).await).await;
    }

    let system = |deduplication_id| json!({"AWSTraceHeader": TRACE_HEADER, "MessageDeduplicationId": deduplication_id});
    assert_eq!(stack.database.rows("select traceparent from message").await, [TRACEPARENT_OF_XRAY]);
    assert_eq!(json_of(&stack, "select attributes::text from message").await, json!({"system_attributes": system("first")}));
    let occurred_at = "select to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') from message";
    assert_eq!(stack.database.rows(occurred_at).await, ["1999-12-31 23:59:59.999999"]);
    assert_eq!(
        json_of(&stack, "select attributes::text from dead_letter where queue = 'events.fifo'").await,
        json!({"message_attributes": {"traceparent": {"type": "String", "value": TRACEPARENT}}, "system_attributes": system("second")})
    );
    let columns = "reason, tenant_id, claimed_tenant, message_group, sequence_number ~ '^[0-9]+$', traceparent, queue_trusts_any_sender, \
                   replays, is_open";
    assert_eq!(
        stack.database.rows(&format!("select {columns} from dead_letter order by queue")).await,
        [
            format!("unknown_tenant | - | nobody | - | - | {TRACEPARENT_OF_XRAY} | false | 0 | true"),
            format!("invalid_envelope | - | platform | group-1 | true | {TRACEPARENT} | true | 0 | true"),
        ]
    );
    assert_eq!(
        json_of(&stack, "select attributes::text from dead_letter where queue = 'events'").await,
        json!({"system_attributes": {"AWSTraceHeader": TRACE_HEADER}})
    );

    let terminal = Terminal::with(stack.environment());
    let number = stack.database.count("select dead_letter_id from dead_letter where queue = 'events.fifo'").await.to_string();
    let printed = terminal.run(PROCESSOR, &["dead-letter", "show", &number]).await;
    for part in [
        "\ntenant      not admitted, platform by its body\n",
        "\ngroup       group-1, sequence number ",
        ", on a queue that trusts any\n",
        &format!("\ntrace       {TRACEPARENT}\n"),
        "AWSTraceHeader",
    ] {
        assert!(printed.output.contains(part), "{part} is not in {}", printed.output);
    }
    let dead_letter = terminal.run(PROCESSOR, &["dead-letter", "show", &number, "--json"]).await.json();
    for (field, value) in [
        ("claimed_tenant", json!("platform")),
        ("message_group", json!("group-1")),
        ("traceparent", json!(TRACEPARENT)),
        ("queue_trusts_any_sender", json!(true)),
    ] {
        assert_eq!(dead_letter[field], value, "{field}");
    }
    assert!(dead_letter["sequence_number"].is_string(), "{dead_letter}");
    // Whoever looks for a tenant's dead letters finds also those of which nobody knows that they are its.
    let listed = terminal.run(PROCESSOR, &["dead-letter", "list", "--tenant", "platform", "--json"]).await.json();
    assert_eq!(listed[0]["reason"], "invalid_envelope", "{listed}");
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_dead_letters_attributes_are_those_of_its_message_also_where_postgres_has_no_text_for_them() {
    let stack = Stack::start(&["events"]).await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    let remarks = ["a\0b", r"written as \u0000 by its sender"];
    for remark in remarks {
        Producer::of(&stack).send("events", r#"{"event_type":7}"#, &[attribute("remark", "String", remark)]).await;
    }
    stack.at_rest(&stack.queue("events").await).await;
    let kept = stack.database.rows("select attributes::text from dead_letter order by reason desc").await;
    let expected = remarks.map(|remark| json!({"message_attributes": {"remark": {"type": "String", "value": remark}}}).to_string());
    assert_eq!(kept, expected);
    assert_eq!(daemon.stop().await, 0);
}
