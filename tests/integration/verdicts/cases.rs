//! Bodies that are rejected, by reason.

use event_processor::event::Reason;

use super::BODY_BYTES_MAX;
use crate::producer::{Attribute, attribute};

/// A message that must become a dead letter.
pub struct Case {
    pub reason: Reason,
    pub queue: &'static str,
    pub body: String,
    pub attributes: Vec<Attribute>,
    /// Whose dead letter it is.
    pub tenant_id: Option<&'static str>,
}

/// Where an event comes from and how far it gets: the queue, and the tenant that its dead letter belongs to.
type Origin = (&'static str, Option<&'static str>);

/// On a shared queue, rejected before it is known whose it is.
const SHARED: Origin = ("shared", None);
/// On a shared queue, admitted.
const ADMITTED: Origin = ("shared", Some("acme"));
/// On a queue of the tenant's own: whatever comes from it is the tenant's.
const BOUND: Origin = ("bound", Some("acme"));
/// On a queue of a tenant's own, under another tenant's name.
const MISMATCHED: Origin = ("bound", None);
/// On a queue of the tenant's own for CloudEvents.
const CLOUD: Origin = ("cloud", Some("acme"));
/// On a shared queue that trusts nobody.
const UNTRUSTED: Origin = ("untrusted", None);

fn each<B: Into<String>>(reason: Reason, (queue, tenant_id): Origin, bodies: impl IntoIterator<Item = B>) -> Vec<Case> {
    let case = |body: B| Case { reason, queue, body: body.into(), attributes: Vec::new(), tenant_id };
    bodies.into_iter().map(case).collect()
}

fn with_attributes(reason: Reason, (queue, tenant_id): Origin, body: String, attributes: Vec<Attribute>) -> Case {
    Case { reason, queue, body, attributes, tenant_id }
}

/// A note of `acme` with these further members.
fn note(members: &str) -> String {
    format!(r#"{{"tenant_id":"acme","event_type":"note",{members}}}"#)
}

/// A note whose payload has this as a member.
fn holding(value: &str) -> String {
    note(&format!(r#""payload":{{"value":{value}}}"#))
}

/// An event of the type that is dear to validate.
fn heavy(payload: &str) -> String {
    format!(r#"{{"tenant_id":"acme","event_type":"heavy","payload":{payload}}}"#)
}

/// A payload that takes too many steps, by what it costs to match its name.
fn of_long_name(bytes: usize) -> String {
    format!(r#"{{"{}":1}}"#, "a".repeat(bytes))
}

/// Every reason, with at least three bodies.
pub fn all() -> Vec<Case> {
    [of_size(), of_text(), of_envelope(), of_tenant(), of_catalog(), of_payload()].into_iter().flatten().collect()
}

fn of_size() -> Vec<Case> {
    let filled = |bytes: usize| "x".repeat(bytes);
    let above = BODY_BYTES_MAX + 1;
    let mut cases = each(Reason::TooLarge, SHARED, [filled(above), holding(&format!("\"{}\"", filled(above)))]);
    cases.extend(each(Reason::TooLarge, BOUND, [format!("{}{}", note(r#""payload":{}"#), " ".repeat(above))]));
    // What surrounds the payload may have 16 KiB: a field, an attribute, or the two together.
    let beside = |bytes: usize| note(&format!(r#""payload":{{}},"remark":"{}""#, filled(bytes)));
    let text = |bytes: usize| vec![attribute("remark", "String", &filled(bytes))];
    cases.extend(each(Reason::TooLarge, SHARED, [beside(16 << 10)]));
    cases.push(with_attributes(Reason::TooLarge, SHARED, beside(0), text(16 << 10)));
    cases.push(with_attributes(Reason::TooLarge, BOUND, beside(8 << 10), text(8 << 10)));

    let arrays = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    // The body's own brace is the first level.
    cases.extend(each(Reason::TooDeep, SHARED, [arrays(65), objects(65), note(&format!(r#""payload":{}"#, arrays(64)))]));
    cases.extend(each(Reason::TooDeep, BOUND, [note(&format!(r#""payload":null,"more":{}"#, objects(64)))]));
    cases
}

fn of_text() -> Vec<Case> {
    let mut cases = each(
        Reason::MalformedJson,
        SHARED,
        [
            "Hello World",
            r#"{"tenant_id":"acme","event_type":"note","payload":{},}"#,
            "{'tenant_id':'acme'}",
            r#"{"payload":01}"#,
            r#"{"payload":NaN}"#,
            r#"{"payload":{}"#,
            "{} {}",
            "{\"payload\":\"a\ttab\"}",
            r#"{"payload":"\x41"}"#,
            "\u{feff}{}",
            "eyJldmVudF90eXBlIjoibm90ZSJ9",
        ],
    );
    cases.extend(each(Reason::MalformedJson, BOUND, ["tenant_id=acme"]));
    cases.extend(each(
        Reason::DuplicateKey,
        SHARED,
        [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"[{"":1,"":2}]"#, &note(r#""payload":1,"tenant_id":"acme""#)],
    ));
    cases.extend(each(Reason::DuplicateKey, BOUND, [holding(r#"[{"b":{},"c":0,"b":{}}]"#)]));
    let digits = "9".repeat(65);
    let numbers = ["1e309", "-1e999", "1e-16384", &digits, &format!("0.{digits}"), &format!("1e{digits}")];
    cases.extend(each(Reason::NumberOutOfRange, SHARED, numbers.map(holding)));
    cases.extend(each(Reason::NumberOutOfRange, BOUND, [note(r#""payload":{},"schema_version":1e400"#)]));
    let texts = [r#""\u0000""#, r#"{"\u0000":1}"#, r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\udc00\ud800""#];
    cases.extend(each(Reason::Unstorable, SHARED, texts.map(holding)));
    cases.extend(each(Reason::Unstorable, BOUND, [note(r#""payload":{},"event_id":"a\u0000""#)]));
    let attributes = vec![attribute("remark", "String", "a\0b")];
    cases.push(with_attributes(Reason::Unstorable, SHARED, note(r#""payload":{}"#), attributes));
    cases
}

fn of_envelope() -> Vec<Case> {
    let pointer = r#"{"s3BucketName":"bucket","s3Key":"key"}"#;
    let by_reference = [
        format!(r#"["software.amazon.payloadoffloading.PayloadS3Pointer",{pointer}]"#),
        format!(r#" [ "com.amazon.sqs.javamessaging.MessageS3Pointer" , {pointer} ] "#),
        r#"["software.amazon.payloadoffloading.Payload\u0053\u0033Pointer",null]"#.to_owned(),
        pointer.to_owned(),
        r#"{"S3Payload":{"Id":"1","Bucket":"bucket","Key":"key","Location":"https://example.com"}}"#.to_owned(),
    ];
    let mut cases = each(Reason::PayloadByReference, SHARED, by_reference.clone());
    cases.extend(each(Reason::PayloadByReference, BOUND, by_reference));
    let of_content_type = |content_type: &str| {
        format!(r#"{{"specversion":"1.0","id":"1","source":"/a","type":"note","datacontenttype":"{content_type}","data":"a"}}"#)
    };
    let not_json = ["text/plain", "application/xml; charset=utf-8", "application/json-seq"];
    cases.extend(each(Reason::UnsupportedContentType, CLOUD, not_json.map(of_content_type)));
    cases.extend(each(
        Reason::InvalidEnvelope,
        SHARED,
        [r#""Hello World""#, "7", "null", "[]", "{}", r#"[{"tenant_id":"acme"}]"#, r#"{"tenant_id":"acme","payload":{}}"#],
    ));
    let long = "é".repeat(128) + "x";
    let wrong_members = [
        r#""more":1"#,
        r#""payload":1,"event_id":"""#,
        r#""payload":1,"event_id":7"#,
        r#""payload":1,"event_id":"a\nb""#,
        r#""payload":1,"event_id":"\u0085""#,
        &format!(r#""payload":1,"event_id":"{long}""#),
        &format!(r#""payload":1,"source":"{long}""#),
        &format!(r#""payload":1,"subject":"{long}""#),
        r#""payload":1,"source":["a"]"#,
        r#""payload":1,"client_id":"""#,
        r#""payload":1,"client_id":1"#,
        r#""payload":1,"schema_version":"1""#,
        r#""payload":1,"schema_version":1.5"#,
        r#""payload":1,"schema_version":true"#,
        r#""payload":1,"occurred_at":1775151909"#,
        r#""payload":1,"occurred_at":"yesterday""#,
        r#""payload":1,"occurred_at":"2026-02-30T12:00:00Z""#,
        r#""payload":1,"occurred_at":"2026-11-30T12:00:00""#,
        r#""payload":1,"occurred_at":"2026-11-30x12:00:00Z""#,
        r#""payload":1,"occurred_at":"2026-11-30\n12:00:00Z""#,
        r#""payload":1,"occurred_at":"0000-12-31T23:59:59Z""#,
        r#""payload":1,"occurred_at":"9999-12-31T23:59:59-01:00""#,
    ];
    cases.extend(each(Reason::InvalidEnvelope, SHARED, wrong_members.map(note)));
    let wrong_names = [r#"{"tenant_id":"","event_type":"note","payload":1}"#, r#"{"tenant_id":1,"event_type":"note","payload":1}"#];
    cases.extend(each(Reason::InvalidEnvelope, SHARED, wrong_names));
    let wrong_types = ["\"\"", "null", "1", &format!("\"{}\"", "x".repeat(129))];
    cases.extend(each(Reason::InvalidEnvelope, BOUND, wrong_types.map(|name| format!(r#"{{"event_type":{name},"payload":1}}"#))));
    let both = [r#""payload":{},"message":{}"#, r#""message":"a","payload":"b""#, r#""payload":null,"message":null"#];
    cases.extend(each(Reason::EnvelopeMismatch, SHARED, both.map(note)));
    cases.extend(each(Reason::EnvelopeMismatch, BOUND, both.map(note)));
    cases
}

fn of_tenant() -> Vec<Case> {
    let from = |tenant_id: &str| format!(r#"{{"tenant_id":{tenant_id},"event_type":"note","payload":{{}}}}"#);
    let nobody =
        [from("null"), from("\"nobody\""), from("\"Acme\""), from("\"acme \""), r#"{"event_type":"note","payload":{}}"#.to_owned()];
    let mut cases = each(Reason::UnknownTenant, SHARED, nobody.clone());
    cases.extend(each(Reason::UnknownTenant, UNTRUSTED, nobody));
    cases.extend(each(Reason::TenantMismatch, MISMATCHED, [from("\"another\""), from("\"nobody\""), from("\"ACME\"")]));
    let of_no_type = r#"{"tenant_id":"acme","event_type":"nothing","payload":{}}"#.to_owned();
    cases.extend(each(Reason::UnauthorizedSender, UNTRUSTED, [from("\"acme\""), from("\"another\""), of_no_type]));
    cases
}

fn of_catalog() -> Vec<Case> {
    let of_type = |name: &str| format!(r#"{{"tenant_id":"acme","event_type":"{name}","payload":{{}}}}"#);
    let mut cases = each(Reason::UnknownEventType, ADMITTED, ["nothing", "Note", "note ", "note.", "common"].map(of_type));
    cases.extend(each(Reason::UnknownEventType, BOUND, [of_type("nothing"), r#"{"event_type":"heavy.er","payload":{}}"#.to_owned()]));
    let of_others = r#"{"tenant_id":"another","event_type":"heavy","payload":"a"}"#;
    cases.extend(each(Reason::UnknownEventType, ("shared", Some("another")), [of_others]));
    let of_version = |version: &str| note(&format!(r#""payload":{{}},"schema_version":{version}"#));
    let versions = ["0", "-1", "2", "4", "99", "2147483649", "9223372036854775807"];
    cases.extend(each(Reason::UnknownSchemaVersion, ADMITTED, versions.map(of_version)));
    cases.extend(each(Reason::UnknownSchemaVersion, BOUND, [of_version("2e0")]));
    let of_client = |client_id: &str| note(&format!(r#""payload":{{}},"client_id":"{client_id}""#));
    cases.extend(each(Reason::UnknownClient, ADMITTED, ["nobody", "Client-1", "client-2"].map(of_client)));
    cases.extend(each(Reason::UnknownClient, BOUND, ["nobody"].map(of_client)));
    cases
}

fn of_payload() -> Vec<Case> {
    let of_total = |total: &str| note(&format!(r#""payload":{{"total":{total}}}"#));
    let mut cases = each(Reason::SchemaViolation, ADMITTED, ["-1", "\"1\"", "1.5", "null", "[]"].map(of_total));
    cases.extend(each(Reason::SchemaViolation, ADMITTED, [note(r#""payload":{"total":1},"schema_version":3"#)]));
    cases.extend(each(Reason::SchemaViolation, BOUND, ["-1"].map(of_total)));
    let long = of_long_name(3_000);
    cases.extend(each(Reason::ValidationTimeout, ADMITTED, [heavy(&long), heavy(&format!("[{long},{long}]"))]));
    cases.extend(each(Reason::ValidationTimeout, BOUND, [heavy(&format!(r#"{{"a":{{"b":{long}}}}}"#))]));
    // Of these the first differs in the payload, the second in the client, the third in the type.
    let taken = |rest: &str| format!(r#"{{"tenant_id":"acme","event_id":"taken",{rest}}}"#);
    let of_client = r#""event_type":"note","client_id":"client-1","payload":{"total":2}"#;
    let of_none = r#""event_type":"note","payload":{"total":1}"#;
    let of_type = r#""event_type":"heavy","client_id":"client-1","payload":{"total":1}"#;
    cases.extend(each(Reason::IdConflict, ADMITTED, [of_client, of_none, of_type].map(taken)));
    cases.extend(each(Reason::IdConflict, BOUND, [taken(of_none)]));
    cases
}

/// Bodies with two defects, under the reason of the one that comes first.
pub fn of_two_defects() -> Vec<Case> {
    let above = "x".repeat(BODY_BYTES_MAX + 1);
    let deep = "[".repeat(70);
    let text: [(Reason, String); 12] = [
        (Reason::TooLarge, above),
        (Reason::DuplicateKey, r#"{"a":1,"a":2,"#.to_owned()),
        (Reason::MalformedJson, r#"{"a":,"b":1,"b":2}"#.to_owned()),
        (Reason::TooDeep, format!("{{\"a\":{deep}x, \"a\":1")),
        (Reason::MalformedJson, format!("{{\"a\" {deep}")),
        (Reason::NumberOutOfRange, r#"{"n":1e999,"t":"\u0000"}"#.to_owned()),
        (Reason::Unstorable, r#"{"t":"\u0000","n":1e999}"#.to_owned()),
        (Reason::DuplicateKey, r#"["software.amazon.payloadoffloading.PayloadS3Pointer",{"a":1,"a":1}]"#.to_owned()),
        (Reason::Unstorable, r#"{"tenant_id":7,"payload":"\ud800"}"#.to_owned()),
        (Reason::EnvelopeMismatch, r#"{"payload":1,"message":2,"event_type":7}"#.to_owned()),
        (Reason::InvalidEnvelope, r#"{"event_type":7,"payload":1,"message":2}"#.to_owned()),
        (Reason::TooLarge, format!(r#"{{"event_type":"note","payload":1,"tenant_id":"nobody","more":"{}"}}"#, "x".repeat(16 << 10))),
    ];
    let of_text = text.into_iter().flat_map(|(reason, body)| each(reason, SHARED, [body]));
    let event = |tenant_id: &str, event_type: &str, rest: &str| {
        format!(r#"{{"payload":{{"total":-1}},"tenant_id":"{tenant_id}","event_type":"{event_type}"{rest}}}"#)
    };
    let taken = event("acme", "note", r#","event_id":"taken""#);
    let path = [
        (Reason::InvalidEnvelope, SHARED, event("nobody", "nothing", r#","event_id":"""#)),
        (Reason::UnknownTenant, UNTRUSTED, event("nobody", "nothing", "")),
        (Reason::TenantMismatch, MISMATCHED, event("another", "nothing", "")),
        (Reason::UnauthorizedSender, UNTRUSTED, event("acme", "nothing", "")),
        (Reason::UnknownEventType, ADMITTED, event("acme", "nothing", r#","schema_version":9,"client_id":"nobody""#)),
        (Reason::UnknownSchemaVersion, ADMITTED, event("acme", "note", r#","client_id":"nobody","schema_version":9"#)),
        (Reason::UnknownClient, ADMITTED, event("acme", "note", r#","client_id":"nobody""#)),
        (Reason::SchemaViolation, ADMITTED, taken.clone()),
        (Reason::SchemaViolation, BOUND, taken),
    ];
    of_text.chain(path.into_iter().flat_map(|(reason, origin, body)| each(reason, origin, [body]))).collect()
}
