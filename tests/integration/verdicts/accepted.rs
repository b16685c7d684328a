//! What is stored, and how.

use super::start;
use crate::producer::{Attribute, Producer, attribute, binary_attribute};

/// All that a producer can cause, in the order of the table; an event id that is SQS's own is told as such.
const COLUMNS: &str = "tenant_id, source, case event_id when sqs_message_id then 'the SQS message id' else event_id end as event_id, \
     event_type, schema_version, client_id, subject, \
     to_char(occurred_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') as occurred_at, traceparent, attributes::text as attributes, \
     payload::text as payload";

type Accepted = (&'static str, String, Vec<Attribute>, &'static str);

/// Sends each body through its queue; each must be stored as the row that is expected, its payload byte for byte.
async fn check(cases: Vec<Accepted>) {
    let stack = start().await;
    let daemon = stack.daemon("shared?trust=any,bound=acme", &[]).await;
    let producer = Producer::of(&stack);
    let mut sent = Vec::new();
    for (queue, body, attributes, expected) in cases {
        sent.push((producer.send(queue, &body, &attributes).await, body, expected));
    }
    for queue in ["shared", "bound"] {
        stack.at_rest(&stack.queue(queue).await).await;
    }
    let dead_letters = stack.database.rows("select reason, errors, convert_from(body, 'UTF8') from dead_letter").await;
    assert!(dead_letters.is_empty(), "{dead_letters:#?}");
    for (sqs_message_id, body, expected) in sent {
        let rows = stack.database.rows(&format!("select {COLUMNS} from message where sqs_message_id = '{sqs_message_id}'")).await;
        assert_eq!(rows, [expected], "{body}");
    }
    let altered = "select count(*) from message where payload_hash <> sha256(convert_to(payload::text, 'UTF8'))";
    assert_eq!(stack.database.count(altered).await, 0);
    assert_eq!(daemon.stop().await, 0);
}

fn shared(body: &str, expected: &'static str) -> Accepted {
    ("shared", body.to_owned(), Vec::new(), expected)
}

#[tokio::test]
async fn optional_fields_may_be_absent_or_null_and_are_stored_where_they_are_given() {
    let nulls = r#"{"tenant_id":null,"event_id":null,"source":null,"event_type":"note","schema_version":null,"client_id":null,
        "subject":null,"occurred_at":null,"payload":null}"#;
    let all = r#"{"tenant_id":"acme","event_id":"e1","source":"web","event_type":"note","schema_version":3,"client_id":"client-1",
        "subject":"order 7","occurred_at":"2026-11-30T12:00:00.25+02:00","payload":{"subtotal":1},
        "traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;
    check(vec![
        ("bound", nulls.to_owned(), vec![], "acme |  | the SQS message id | note | 1 | - | - | - | - | {} | null"),
        (
            "bound",
            r#"{"event_type":"note","message":"old name"}"#.to_owned(),
            vec![],
            "acme |  | the SQS message id | note | 1 | - | - | - | - | {} | \"old name\"",
        ),
        shared(
            all,
            "acme | web | e1 | note | 3 | client-1 | order 7 | 2026-11-30 10:00:00.250000 | \
             00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 | \
             {\"fields\":{\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"}} | {\"subtotal\":1}",
        ),
        shared(
            r#"{"payload":[],"event_id":"v","event_type":"note","schema_version":1.0,"tenant_id":"acme"}"#,
            "acme |  | v | note | 1 | - | - | - | - | {} | []",
        ),
        shared(
            r#"{"payload":0,"event_id":"empty","event_type":"note","source":"","subject":"","tenant_id":"acme"}"#,
            "acme |  | empty | note | 1 | - |  | - | - | {} | 0",
        ),
        shared(
            r#"{"payload":0,"event_id":"first","event_type":"note","occurred_at":"0001-01-01T00:00:00Z","tenant_id":"acme"}"#,
            "acme |  | first | note | 1 | - | - | 0001-01-01 00:00:00.000000 | - | {} | 0",
        ),
        shared(
            r#"{"payload":0,"event_id":"last","event_type":"note","occurred_at":"9999-12-31T23:59:59.999999Z","tenant_id":"acme"}"#,
            "acme |  | last | note | 1 | - | - | 9999-12-31 23:59:59.999999 | - | {} | 0",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_field_may_be_as_long_as_its_limit() {
    let longest: &'static str = "é".repeat(128).leak();
    let body = format!(
        r#"{{"tenant_id":"acme","event_id":"{longest}","source":"{longest}","subject":"{longest}","event_type":"note","payload":1}}"#
    );
    let row = format!("acme | {longest} | {longest} | note | 1 | - | {longest} | - | - | {{}} | 1").leak();
    // The body's own brace is the first of 64 levels.
    let deep = format!("{}{}", "[".repeat(63), "]".repeat(63));
    let deep_body = format!(r#"{{"tenant_id":"acme","event_id":"deep","event_type":"note","payload":{deep}}}"#);
    let deep_row = format!("acme |  | deep | note | 1 | - | - | - | - | {{}} | {deep}").leak();
    check(vec![shared(&body, row), shared(&deep_body, deep_row)]).await;
}

#[tokio::test]
async fn what_has_no_column_is_kept_in_attributes() {
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let attributes =
        vec![attribute("traceparent", "String", trace), attribute("count", "Number.int", "7"), binary_attribute("bytes", &[0, 255])];
    check(vec![
        shared(
            r#"{"tenant_id":"acme","event_id":"f","event_type":"note","payload":1,"z":{"b": 1.0, "a":[ ]},"priority":null}"#,
            r#"acme |  | f | note | 1 | - | - | - | - | {"fields":{"priority":null,"z":{"b": 1.0, "a":[ ]}}} | 1"#,
        ),
        (
            "bound",
            r#"{"event_id":"a","event_type":"note","payload":1}"#.to_owned(),
            attributes,
            "acme |  | a | note | 1 | - | - | - | 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 | \
             {\"message_attributes\":{\"bytes\":{\"type\":\"Binary\",\"value\":\"AP8=\"},\
             \"count\":{\"type\":\"Number.int\",\"value\":\"7\"},\
             \"traceparent\":{\"type\":\"String\",\"value\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"}}} | 1",
        ),
        shared(
            r#"{"tenant_id":"acme","event_id":"t","event_type":"note","payload":1,"traceparent":"nonsense"}"#,
            r#"acme |  | t | note | 1 | - | - | - | - | {"fields":{"traceparent":"nonsense"}} | 1"#,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_payload_is_stored_byte_for_byte() {
    let payloads = [
        "{ \"b\" : 1.0,\n\t\"a\" : [ 1e0 , -0, 1E+2, 0.10 ] }",
        r#""\u0041\/\n\ud83d\ude00😀é\u00e9""#,
        "123456789012345678901234567890.12345678901234567890",
        r#"{"z":1,"a":{"z":2,"a":3},"":null}"#,
        "\"e\u{301} and \u{e9}\"",
        "false",
    ];
    let case = |(index, payload): (usize, &str)| {
        let body = format!("\n{{\"tenant_id\":\"acme\",\"event_type\":\"note\",\"event_id\":\"{index}\",\"payload\" : {payload} \n}}\n");
        let row: &'static str = format!("acme |  | {index} | note | 1 | - | - | - | - | {{}} | {payload}").leak();
        shared(&body, row)
    };
    check(payloads.into_iter().enumerate().map(case).collect()).await;
}
