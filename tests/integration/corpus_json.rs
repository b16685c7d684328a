//! Real input: the files with which JSON parsers are tested, as bodies and as payloads.

use std::sync::Arc;

use event_processor::decode::decode;
use event_processor::settings::SQS_MESSAGE_BYTES_MAX;

use crate::corpus::{Finding, Findings, as_sqs_text, names, received, send, spliced, start_for_any_payload};
use crate::stack::corpus;

/// The reasons for which JSON is refused that others accept.
const LIMITS: [&str; 4] = ["too_deep", "number_out_of_range", "duplicate_key", "unstorable"];

/// A text under its file's name.
type File = (String, Vec<u8>);

/// What became of a text.
struct Verdict {
    file: String,
    as_body: String,
    /// `spliced` where something was stored that is not the text: its end closed the payload and the rest became fields of the envelope.
    as_payload: String,
}

/// All files of the suite: those that SQS carries, and the others.
fn suite() -> Option<(Vec<File>, Vec<File>)> {
    let suite = corpus("json-test-suite")?;
    let mut files = Vec::new();
    for directory in ["test_parsing", "test_transform"].map(|name| suite.join(name)) {
        files.extend(names(&directory).into_iter().map(|name| (name.clone(), std::fs::read(directory.join(name)).expect("a file"))));
    }
    assert_eq!(files.len(), 340);
    Some(files.into_iter().partition(|(_, bytes)| as_sqs_text(bytes).is_some()))
}

/// Sends each text twice, on a queue as it is and on another as a payload, and waits until the daemon has done with both.
async fn validate_on_queues(files: &[File]) -> Vec<Verdict> {
    let stack = start_for_any_payload(&["bodies", "payloads"]).await;
    let (bodies, payloads) = (stack.queue("bodies").await, stack.queue("payloads").await);
    let mut sent = Vec::new();
    for (name, text) in files {
        sent.push((send(&bodies, text).await, send(&payloads, &spliced("any", name, text)).await));
    }
    let daemon = stack.daemon("bodies?trust=any,payloads?trust=any", &[]).await;
    stack.at_rest(&bodies).await;
    stack.at_rest(&payloads).await;

    assert_eq!(daemon.get("/livez").await.0, 200);
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
    let mut findings = Findings::of(&stack).await;
    let mut validated = Vec::new();
    for ((name, text), (body_id, payload_id)) in files.iter().zip(&sent) {
        let as_payload = match findings.take(payload_id) {
            Finding::Stored(payload) if payload.as_bytes() != text.trim_ascii() => "spliced".to_owned(),
            finding => finding.verdict().to_owned(),
        };
        validated.push(Verdict { file: name.clone(), as_body: findings.take(body_id).verdict().to_owned(), as_payload });
    }
    findings.finish();
    // The process that was started is the one that ends: it never died.
    assert_eq!(daemon.stop().await, 0);
    validated
}

/// Hands each text to the decoder, as it is and as a payload.
fn validate_by_decoder(files: Vec<File>) -> Vec<Verdict> {
    let verdict = |body| match decode(Arc::new(received(body)), SQS_MESSAGE_BYTES_MAX) {
        Ok(_) => "decoded".to_owned(),
        Err(rejection) => rejection.reason.to_string(),
    };
    let validated = files.into_iter().map(|(file, text)| {
        let as_payload = verdict(spliced("any", &file, &text));
        Verdict { file, as_body: verdict(text), as_payload }
    });
    validated.collect()
}

/// The suite's own rules, `n_` must be refused and `y_` accepted, and one line for each file.
fn check(verdicts: &[Verdict], accepted: &str) -> String {
    let mut lines = Vec::new();
    for Verdict { file, as_body, as_payload } in verdicts {
        assert!(as_body != "lost" && as_payload != "lost", "{file}: {as_body} / {as_payload}");
        // None of the files has an envelope's fields.
        assert_ne!(as_body, accepted, "{file} as body");
        assert_ne!(as_payload, "spliced", "{file}");
        assert!(!file.starts_with("n_") || as_payload != accepted, "{file}");
        assert!(!file.starts_with("y_") || as_payload == accepted || LIMITS.contains(&as_payload.as_str()), "{file}: {as_payload}");
        lines.push(format!("{file}: {as_body} / {as_payload}"));
    }
    lines.join("\n")
}

#[tokio::test]
async fn each_file_that_sqs_carries_ends_in_one_place_as_body_and_as_payload() {
    let Some((carried, _)) = suite() else { return };
    assert_eq!(carried.len(), 304);
    insta::assert_snapshot!("json_on_queues", check(&validate_on_queues(&carried).await, "stored"));
}

#[test]
fn each_file_that_sqs_does_not_carry_has_its_verdict_from_the_decoder() {
    let Some((_, others)) = suite() else { return };
    assert_eq!(others.len(), 36);
    insta::assert_snapshot!("json_by_decoder", check(&validate_by_decoder(others), "decoded"));
}

/// The suite has no such file. Whoever joins strings instead of writing JSON sends another event than was meant, and nobody can tell
/// that from the body; but it is that other event which is stored, and it shows.
#[tokio::test]
async fn a_text_that_closes_its_payload_early_is_stored_as_the_event_that_it_makes() {
    let texts = [
        ("more fields", r#"1,"x":2"#),
        ("another source", r#"1,"source":"a""#),
        ("closed too early", r#"1}{"x":2"#),
        ("a second payload", r#"1,"payload":2"#),
        ("a second payload by its old name", r#"1,"message":2"#),
        ("another tenant", r#"1,"tenant_id":"b""#),
    ];
    let files: Vec<_> = texts.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).into();
    let verdicts = validate_on_queues(&files).await;
    let lines: Vec<_> = verdicts.iter().map(|verdict| format!("{}: {} / {}", verdict.file, verdict.as_body, verdict.as_payload)).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    more fields: malformed_json / spliced
    another source: malformed_json / spliced
    closed too early: malformed_json / malformed_json
    a second payload: malformed_json / duplicate_key
    a second payload by its old name: malformed_json / envelope_mismatch
    another tenant: malformed_json / duplicate_key
    ");
}
