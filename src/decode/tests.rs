use std::collections::BTreeMap;

use super::*;
use crate::candidate::{MessageAttribute, QueueBinding};
use crate::event::PayloadText;

/// A message of a queue in a format, with text attributes.
fn message(format: Format, body: &str, attributes: &[(&str, &str)]) -> Candidate {
    let queue = QueueBinding { name: "events".to_owned(), tenant: None, trusts_any_sender: true, format };
    let text = |value: &str| MessageAttribute { data_type: "String".to_owned(), value: value.to_owned() };
    let attributes: BTreeMap<_, _> = attributes.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect();
    Candidate { attributes, message_id: "sqs".to_owned(), ..Candidate::of_body(queue, body.into()) }
}

/// Decodes a body and compares: the payload's text, where it lies, and that its tree is the tree of the text.
fn check(format: Format, body: &str, attributes: &[(&str, &str)], expected: &str, is_in_body: bool) {
    let message = Arc::new(message(format, body, attributes));
    let decoded = decode(Arc::clone(&message), 1 << 20).unwrap_or_else(|rejection| panic!("{body}: {rejection:?}"));
    let text = decoded.envelope().payload.of(&message.body);
    assert_eq!(text, expected, "{body}");
    assert_eq!(matches!(decoded.envelope().payload, PayloadText::InBody(_)), is_in_body, "{body}");
    assert_eq!(json::canonical(&value(text.as_bytes()).expect("JSON")), json::canonical(decoded.payload()), "{body}");
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
    let base64 = event.replace(r#""data": [1 ] "#, r#""datacontenttype":"application/json","data_base64":"WyAxXQ==""#);
    check(Format::CloudEvents, &base64, &[], "[ 1]", false);
    let published = |message: &str| format!("{NOTIFICATION}{}}}", serde_json::json!(message));
    check(Format::Sns, &published(native), &[], r#"{ "é":1.0 }"#, false);
    check(Format::Sns, &published(event), &[], "[1 ]", false);
    check(Format::Sns, &published(&base64), &[], "[ 1]", false);
}

#[test]
fn what_is_wrong_within_a_string_is_told_with_its_place_in_the_body() {
    let inner = r#"{"specversion":"1.0","id":"1","source":"a","type":"a","datacontenttype":"text/json","data_base64":"eyJhIjp9"}"#;
    let message = message(Format::Sns, &format!("{NOTIFICATION}{}}}", serde_json::json!(inner)), &[]);
    let rejection = decode(Arc::new(message), 1 << 20).expect_err("no JSON");
    let violation = &rejection.violations[0];
    assert_eq!((rejection.reason, violation.instance_location.as_str()), (Reason::MalformedJson, "/Message/data_base64"));
    assert_eq!(violation.schema_location, "json#/Message/data_base64");
    assert_eq!(violation.expected, "JSON in UTF-8, yet: no JSON value begins with this character (met at byte 5, line 1)");
}

/// Reason and place of the first thing that is wrong, and what would have been right.
fn refused(message: &Candidate) -> (Reason, String, String) {
    let rejection = decode(Arc::new(message.clone()), 1 << 20).expect_err("a refusal");
    let violation = rejection.violations.into_iter().next().expect("a violation");
    (rejection.reason, violation.instance_location, violation.expected)
}

/// When a native event says that it occurred.
fn occurred_at(text: &str) -> Option<String> {
    let body = format!(r#"{{"event_type":"a","payload":1,"occurred_at":{}}}"#, serde_json::json!(text));
    let message = message(Format::Native, &body, &[]);
    let decoded = decode(Arc::new(message), 1 << 20).ok()?;
    decoded.envelope().occurred_at.and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok())
}

#[test]
fn date_and_time_are_separated_as_rfc_3339_has_it() {
    for separator in ["T", "t", " "] {
        let expected = Some("2026-11-30T11:00:00Z".to_owned());
        assert_eq!(occurred_at(&format!("2026-11-30{separator}12:00:00+01:00")), expected, "{separator:?}");
    }
    for separator in ["x", "_", "\n", "\t", "-", "", "  ", "TT", "\u{a0}"] {
        assert_eq!(occurred_at(&format!("2026-11-30{separator}12:00:00Z")), None, "{separator:?}");
    }
}

#[test]
fn a_time_is_cut_to_the_microsecond_that_it_is_in_before_2000_and_after() {
    for (text, expected) in [
        ("2026-11-30T12:00:00.1234569Z", "2026-11-30T12:00:00.123456Z"),
        ("1999-12-31T23:59:59.9999999Z", "1999-12-31T23:59:59.999999Z"),
        ("1970-01-01T00:00:00.000000999Z", "1970-01-01T00:00:00Z"),
        ("1969-12-31T23:59:59.9999995Z", "1969-12-31T23:59:59.999999Z"),
        ("0001-01-01T00:00:00.1234567890123Z", "0001-01-01T00:00:00.123456Z"),
    ] {
        assert_eq!(occurred_at(text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn a_body_that_is_json_but_for_its_encoding_is_told_so() {
    let native = r#"{"event_type":"a","payload":"s3cret"}"#;
    let utf_16 = native.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let latin_1 = native.replace("s3cret", "\u{e9}").chars().map(|character| u8::try_from(character).expect("Latin-1")).collect();
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, native).into_bytes();
    for (body, what) in [
        ([&[0xFF, 0xFE], utf_16.as_slice()].concat(), "this is UTF-16: encode it as UTF-8"),
        (utf_16, "this is UTF-16: encode it as UTF-8"),
        (format!("\u{feff}{native}").into_bytes(), "this begins with a byte-order mark: leave that out"),
        (latin_1, "this is Latin-1 or Windows-1252: encode it as UTF-8"),
        (base64.clone(), "this is base64 of JSON, as celery and kombu send it: send the JSON itself"),
    ] {
        let message = Candidate { body, ..message(Format::Native, "", &[]) };
        assert_eq!(refused(&message), (Reason::MalformedJson, String::new(), format!("JSON in UTF-8, yet {what}")));
    }
    let published = format!("{NOTIFICATION}{}}}", serde_json::json!(String::from_utf8_lossy(&base64)));
    let (reason, location, expected) = refused(&message(Format::Sns, &published, &[]));
    assert_eq!((reason, location.as_str()), (Reason::MalformedJson, "/Message"));
    assert!(expected.starts_with("JSON in UTF-8, yet this is base64 of JSON"), "{expected}");
}

#[test]
fn only_what_is_nothing_but_a_pointer_is_taken_for_one() {
    let pair = r#"{"s3BucketName":"b","s3Key":"k"}"#;
    let pascal = r#"{"S3BucketName":"b","S3Key":"k"}"#;
    let payload = r#"{"S3Payload":{"Id":"1","Bucket":"b","Key":"k","Location":"l"}}"#;
    for pointer in [pair, pascal, payload] {
        for (format, body) in [
            (Format::Native, pointer.to_owned()),
            (Format::CloudEvents, pointer.to_owned()),
            (Format::EventBridge, pointer.to_owned()),
            (Format::Sns, pointer.to_owned()),
            (Format::Sns, format!("{NOTIFICATION}{}}}", serde_json::json!(pointer))),
        ] {
            assert_eq!(refused(&message(format, &body, &[])).0, Reason::PayloadByReference, "{body}");
        }
        // A payload may be like one; only beside it is it said that it is.
        let binary = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "a"), ("ce-type", "a")];
        check(Format::CloudEvents, pointer, &binary, pointer, true);
        for name in ["ExtendedPayloadSize", "SQSLargePayloadSize"] {
            let message = message(Format::CloudEvents, pointer, &[&binary[..], &[(name, "300000")]].concat());
            assert_eq!(refused(&message).0, Reason::PayloadByReference, "{pointer}");
        }
        check(Format::Native, &format!(r#"{{"event_type":"a","payload":{pointer}}}"#), &[], pointer, true);
    }
    for body in [
        r#"{"s3BucketName":"b","s3Key":"k","event_type":"a"}"#,
        r#"{"s3BucketName":"b"}"#,
        r#"{"s3BucketName":"b","s3Key":7}"#,
        r#"{"S3Payload":"text"}"#,
        r#"{"S3Payload":{"Bucket":"b"}}"#,
        r#"{"S3Payload":{"Bucket":"b","Key":"k"},"more":1}"#,
    ] {
        assert_eq!(refused(&message(Format::Native, body, &[])).0, Reason::InvalidEnvelope, "{body}");
    }
    let event = format!(r#"{{"s3BucketName":"b","s3Key":"k","event_type":"a","payload":{pair}}}"#);
    check(Format::Native, &event, &[], pair, true);
}

#[test]
fn the_content_type_of_a_cloud_event_is_one_wherever_it_is_named() {
    let mode = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "a"), ("ce-type", "a")];
    let with = |more: &[(&'static str, &'static str)]| [&mode[..], more].concat();
    let structured = r#"{"specversion":"1.0","id":"1","source":"a","type":"a","datacontenttype":"application/json","data":1}"#;
    let untyped = structured.replace(r#""datacontenttype":"application/json","#, "");
    let base64 = untyped.replace(r#""data":1"#, r#""data_base64":"MQ==""#);
    for (body, attributes, is_in_body) in [
        ("1", with(&[("ce-datacontenttype", "application/json")]), true),
        ("1", with(&[("content-type", "Application/JSON"), ("ce-datacontenttype", "application/json; charset=utf-8")]), true),
        ("1", with(&[("content-type", "a/b+json"), ("Content-Type", "A/B+json"), ("ce-datacontenttype", "a/b+JSON;v=1")]), true),
        // Beside a whole event the content type is that of the event, and the data's is the other.
        (structured, with(&[("content-type", "application/cloudevents+json"), ("ce-datacontenttype", "application/JSON")]), true),
        (&untyped, with(&[("content-type", "application/cloudevents+json")]), true),
        (&base64, with(&[("ce-datacontenttype", "application/json")]), false),
    ] {
        check(Format::CloudEvents, body, &attributes, "1", is_in_body);
    }
    let (unsupported, mismatch) = (Reason::UnsupportedContentType, Reason::EnvelopeMismatch);
    for (body, attributes, reason, location) in [
        ("<a/>", with(&[("ce-datacontenttype", "application/xml")]), unsupported, "/ce-datacontenttype"),
        ("<a/>", with(&[("CONTENT-TYPE", "application/xml")]), unsupported, "/CONTENT-TYPE"),
        ("1", with(&[("content-type", "a/xml"), ("ce-datacontenttype", "a/xml")]), unsupported, "/ce-datacontenttype"),
        ("1", with(&[("content-type", "text/json"), ("ce-datacontenttype", "application/json")]), mismatch, "/content-type"),
        ("1", with(&[("content-type", "application/json"), ("ce-datacontenttype", "a/xml")]), mismatch, "/content-type"),
        ("1", with(&[("content-type", "application/json"), ("Content-Type", "text/plain")]), mismatch, "/content-type"),
        (structured, with(&[("ce-datacontenttype", "text/json")]), mismatch, "/datacontenttype"),
        (&untyped, with(&[("ce-datacontenttype", "text/plain")]), unsupported, "/ce-datacontenttype"),
        (&base64, with(&[]), unsupported, "/data_base64"),
        (&base64, Vec::new(), unsupported, "/data_base64"),
        (&base64.replace(r#""data_base64""#, r#""datacontenttype":null,"data_base64""#), Vec::new(), unsupported, "/data_base64"),
    ] {
        let (found, found_place, expected) = refused(&message(Format::CloudEvents, body, &attributes));
        assert_eq!((found, found_place.as_str()), (reason, location), "{body} {attributes:?}: {expected}");
    }
    let published = format!("{NOTIFICATION}{}}}", serde_json::json!(base64));
    assert_eq!(refused(&message(Format::Sns, &published, &[])).1, "/Message/data_base64");
}

#[test]
fn the_tenant_that_a_body_names_is_told_also_where_the_rest_is_no_event() {
    let claimed = |format, body: &str, attributes: &[(&str, &str)]| {
        let rejection = decode(Arc::new(message(format, body, attributes)), 1 << 20).expect_err(body);
        rejection.claimed_tenant.map(|tenant| tenant.to_string())
    };
    let acme = Some("acme".to_owned());
    assert_eq!(claimed(Format::Native, r#"{"event_id":7,"tenant_id":"acme"}"#, &[]), acme);
    assert_eq!(claimed(Format::Native, r#"{"tenant_id":7}"#, &[]), None);
    assert_eq!(claimed(Format::Native, r#"{"tenant_id":""}"#, &[]), None);
    assert_eq!(claimed(Format::Native, &format!(r#"{{"tenant_id":"{}"}}"#, "x".repeat(101)), &[]), None);
    assert_eq!(claimed(Format::Native, r#"{"tenant_id":"acme""#, &[]), None);
    assert_eq!(claimed(Format::CloudEvents, r#"{"tenantid":"acme"}"#, &[]), acme);
    assert_eq!(claimed(Format::CloudEvents, "<a/>", &[("ce-specversion", "1.0"), ("ce-tenantid", "acme")]), acme);
    for inner in [r#"{"tenant_id":"acme"}"#, r#"{"specversion":"1.0","tenantid":"acme"}"#] {
        assert_eq!(claimed(Format::Sns, &format!("{NOTIFICATION}{}}}", serde_json::json!(inner)), &[]), acme);
    }
    assert_eq!(claimed(Format::EventBridge, r#"{"tenant_id":"acme"}"#, &[]), None);
}

#[test]
fn what_sqs_was_told_counts_among_what_surrounds_a_payload() {
    let native = r#"{"event_type":"a","payload":1}"#;
    let with = |header: &str| {
        let system_attributes = BTreeMap::from([("AWSTraceHeader".to_owned(), header.to_owned())]);
        Candidate { system_attributes, ..message(Format::Native, native, &[]) }
    };
    let attributes =
        |message: &Candidate| decode(Arc::new(message.clone()), 1 << 20).map(|decoded| decoded.envelope().attributes.to_string());
    assert_eq!(attributes(&message(Format::Native, native, &[])).as_deref(), Ok("{}"));
    assert_eq!(attributes(&with("Root=1")).as_deref(), Ok(r#"{"system_attributes":{"AWSTraceHeader":"Root=1"}}"#));
    let reason = |header: &str| attributes(&with(header)).map_err(|rejection| rejection.reason);
    assert_eq!(reason(&"x".repeat(ATTRIBUTES_BYTES_MAX)), Err(Reason::TooLarge));
    assert_eq!(reason("\0"), Err(Reason::Unstorable));
}
