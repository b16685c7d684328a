use std::collections::BTreeMap;

use super::*;
use crate::event::PayloadText;
use crate::queue::{MessageAttribute, QueueBinding};

/// A message of a queue in a format, with text attributes.
fn message(format: Format, body: &str, attributes: &[(&str, &str)]) -> ReceivedMessage {
    let queue = QueueBinding { name: "events".to_owned(), tenant: None, trusts_any_sender: true, format };
    let text = |value: &str| MessageAttribute { data_type: "String".to_owned(), value: value.to_owned() };
    let attributes: BTreeMap<_, _> = attributes.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect();
    ReceivedMessage { attributes, sqs_message_id: "sqs".to_owned(), ..ReceivedMessage::of_body(queue, body.into()) }
}

/// Decodes a body and compares: the payload's text, where it lies, and that its tree is the tree of the text.
fn check(format: Format, body: &str, attributes: &[(&str, &str)], expected: &str, is_in_body: bool) {
    let message = message(format, body, attributes);
    let mut unwrapped = Unwrapped::default();
    let decoded = decode(&message, 1 << 20, &mut unwrapped).unwrap_or_else(|rejection| panic!("{body}: {rejection:?}"));
    let text = decoded.envelope.payload.of(&message.body);
    assert_eq!(text, expected, "{body}");
    assert_eq!(matches!(decoded.envelope.payload, PayloadText::InBody(_)), is_in_body, "{body}");
    assert_eq!(json::canonical(&value(text.as_bytes()).expect("JSON")), json::canonical(&decoded.payload), "{body}");
}

const NOTIFICATION: &str =
    r#"{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws-cn:sns:a","Timestamp":"2026-01-01T00:00:00Z","Message":"#;

#[test]
fn only_what_a_string_holds_is_copied_and_the_text_is_always_that_of_the_payload() {
    let native = r#"{"event_type":"a","payload":{ "é":1.0 }}"#;
    check(Format::Native, native, &[], r#"{ "é":1.0 }"#, true);
    let event = r#"{"specversion":"1.0","id":"1","source":"a","type":"a","data": [1 ] }"#;
    check(Format::CloudEvents, event, &[], "[1 ]", true);
    let binary = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "a"), ("ce-type", "a")];
    check(Format::CloudEvents, "[1 ] ", &binary, "[1 ] ", true);
    let bridged = r#"{"version":"0","id":"1","detail-type":"a b","source":"a","account":"1","time":"2026-01-01T00:00:00Z","region":"r",
        "resources":[],"detail":{"a": 1}}"#;
    check(Format::EventBridge, bridged, &[], r#"{"a": 1}"#, true);
    let base64 = event.replace(r#""data": [1 ] "#, r#""data_base64":"WyAxXQ==""#);
    check(Format::CloudEvents, &base64, &[], "[ 1]", false);
    let published = |message: &str| format!("{NOTIFICATION}{}}}", serde_json::json!(message));
    check(Format::Sns, &published(native), &[], r#"{ "é":1.0 }"#, false);
    check(Format::Sns, &published(event), &[], "[1 ]", false);
    check(Format::Sns, &published(&base64), &[], "[ 1]", false);
}

#[test]
fn room_that_was_used_before_holds_nothing_of_it() {
    let mut unwrapped = Unwrapped::default();
    for payload in ["[1,2,3]", "4"] {
        let inner = format!(r#"{{"event_type":"a","payload":{payload}}}"#);
        let message = message(Format::Sns, &format!("{NOTIFICATION}{}}}", serde_json::json!(inner)), &[]);
        let decoded = decode(&message, 1 << 20, &mut unwrapped).expect("a notification");
        assert_eq!((decoded.envelope.event_id.as_str(), decoded.envelope.payload.of(&message.body)), ("m", payload));
    }
}

#[test]
fn what_is_wrong_within_a_string_is_told_with_its_place_in_the_body() {
    let inner = r#"{"specversion":"1.0","id":"1","source":"a","type":"a","data_base64":"eyJhIjp9"}"#;
    let message = message(Format::Sns, &format!("{NOTIFICATION}{}}}", serde_json::json!(inner)), &[]);
    let rejection = decode(&message, 1 << 20, &mut Unwrapped::default()).expect_err("no JSON");
    let violation = &rejection.violations[0];
    assert_eq!((rejection.reason, violation.instance_location.as_str()), (Reason::MalformedJson, "/Message/data_base64"));
    assert_eq!(violation.schema_location, "json#/Message/data_base64");
    assert_eq!(violation.expected, "JSON in UTF-8, yet: no JSON value begins with this character (met at byte 5, line 1)");
}
