//! Generated input: odd and broken bodies, judged in process against another JSON reader and by the daemon against the process.

use std::collections::HashSet;

use event_processor::event::Reason;
use event_processor::json::{Node, read};
use event_processor::settings::SQS_MESSAGE_BYTES_MAX;
use event_processor::snapshot::Snapshot;
use event_processor::validate::{ValidEvent, judge};
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use crate::corpus::{Fate, Fates, TENANT, as_sqs_text, received, send, start_for_any_payload};
use crate::stack::Stack;

/// Values that a reader may trip over, JSON within the limits.
const ODD: [&str; 28] = [
    "0",
    "-0",
    "-0.0e-0",
    "1E+2",
    "1.0",
    "0e999999999",
    "1.7976931348623157e308",
    "5e-324",
    "18446744073709551616",
    "9007199254740993",
    "0.10000000000000000000000000000000000000000000000000000000000001",
    "1234567890123456789012345678901234567890123456789012345678901234",
    "true",
    "false",
    "null",
    r#""""#,
    r#""\"\\\/\b\f\n\r\t""#,
    r#""\u0041\u00e9\uFFFF\u2028""#,
    r#""\ud83d\ude00 \uDBFF\uDFFF""#,
    r#""\\u0000 \\ud800""#,
    "\"\u{7f}\u{80}\u{feff}\u{2028}\u{fffd}\u{10ffff}\"",
    "\"e\u{301} \u{e9} \u{1f468}\u{200d}\u{1f469}\"",
    r#""{\"a\":1}""#,
    "[]",
    "{}",
    "[ \t\r\n]",
    r#"{"":{"":""}}"#,
    r#"{"__proto__":1,"$ref":"x","\u0061":2}"#,
];

/// Values that are no JSON, or beyond a limit.
const BAD: [&str; 24] = [
    "+1",
    "01",
    "1.",
    ".5",
    "-",
    "1e",
    "0x1",
    "NaN",
    "-Infinity",
    "1e309",
    "-1e999999999999999999999",
    "12345678901234567890123456789012345678901234567890123456789012345",
    "tru",
    "True",
    "undefined",
    "'a'",
    r#""\x""#,
    r#""\u00g0""#,
    r#""\u0000""#,
    r#""\ud800""#,
    r#""\udc00\ud800""#,
    "\"a\nb\"",
    r#"{"a":1,"\u0061":2}"#,
    "[1,]",
];

/// What mutations put in, all of it carried by SQS.
const CHARACTERS: &str = "{}[]\",:\\/ \t\n\r0019eE+-.tfnulasx\u{7f}\u{85}\u{a0}\u{e9}\u{2028}\u{feff}\u{fffd}\u{1f600}\u{10ffff}";

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}; give a number")))
}

/// As many bodies as `GENERATED_BODIES` says, the same ones for the same `GENERATED_SEED`.
fn bodies() -> Vec<String> {
    let (count, seed) = (number("GENERATED_BODIES", 5_000), number("GENERATED_SEED", 3));
    println!("GENERATED_BODIES={count} GENERATED_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    (0..count).map(|index| body(&mut random, index)).collect()
}

/// An event of the type that takes any payload; half of the events are then damaged.
fn body(random: &mut StdRng, index: u64) -> String {
    let mut fields = vec![
        format!(r#""tenant_id":"{TENANT}""#),
        r#""event_type":"any""#.to_owned(),
        format!(r#""event_id":"generated {index}""#),
        format!(r#""{}":{}"#, pick(random, &["payload", "message", r"pay\u006coad"]), value(random, 4)),
    ];
    let optional = match random.random_range(0..8) {
        0 => r#""schema_version":1.0e0"#.to_owned(),
        1 => r#""occurred_at":"2026-11-30T12:00:00.5+01:00""#.to_owned(),
        2 => r#""source":"\u00e9","subject":null"#.to_owned(),
        3 => format!(r#""{}":{}"#, pick(random, &["schema_version", "source", "subject", "occurred_at", "client_id"]), value(random, 0)),
        4 => format!(r#""{}":{}"#, pick(random, &["x", r"\u00e9", r"event_i\u0064", ""]), value(random, 2)),
        _ => r#""traceparent":null"#.to_owned(),
    };
    fields.push(optional);
    fields.shuffle(random);
    let mut text: Vec<char> = format!("{{{}}}", fields.join(", ")).chars().collect();
    if random.random() {
        for _ in 0..random.random_range(1..=3) {
            mutate(random, &mut text);
        }
    }
    text.into_iter().collect()
}

/// A value, nested at most so deep; now and then at the limit of nesting or just beyond.
fn value(random: &mut StdRng, depth: usize) -> String {
    match random.random_range(0..100) {
        0 => pick(random, &BAD).to_owned(),
        1 => {
            let levels = random.random_range(60..=66);
            format!("{}{}", "[".repeat(levels), "]".repeat(levels))
        }
        2..50 if depth > 0 => {
            let items: Vec<_> = (0..random.random_range(0..4)).map(|_| value(random, depth - 1)).collect();
            format!("[{}]", items.join(" ,"))
        }
        50..90 if depth > 0 => {
            let names = ["a", "b", "c", r"\n", "\u{1f600}", r"\ud83d\ude01"].choose_multiple(random, 3);
            let members: Vec<_> = names.map(|name| (name, random.random_range(0..depth))).collect();
            let members: Vec<_> = members.into_iter().map(|(name, depth)| format!("\"{name}\" :{}", value(random, depth))).collect();
            format!("{{{}}}", members.join(",\n"))
        }
        _ => pick(random, &ODD).to_owned(),
    }
}

fn pick<'a>(random: &mut StdRng, texts: &[&'a str]) -> &'a str {
    texts.choose(random).expect("one of several")
}

/// Damages a text: cut off, a character lost, added or replaced, a part repeated, another nesting put in.
fn mutate(random: &mut StdRng, text: &mut Vec<char>) {
    if text.is_empty() {
        return;
    }
    let position = random.random_range(0..text.len());
    let character = CHARACTERS.chars().collect::<Vec<_>>().choose(random).copied().expect("one of several");
    match random.random_range(0..12) {
        0 => text.truncate(position),
        1..4 => drop(text.remove(position)),
        4..7 => text.insert(position, character),
        7..10 => text[position] = character,
        10 => {
            let end = text.len().min(position + random.random_range(1..40));
            text.extend_from_within(position..end);
            text[position..].rotate_right(end - position);
        }
        _ => drop(text.splice(position..position, pick(random, &["[[[[[[[[", "{\"a\":{\"a\":", "]]", "}}"]).chars())),
    }
}

/// What the tests know of a body: the event that it is, or the reason why it is none.
type Judged = Result<ValidEvent, Reason>;

async fn judge_in_process(stack: &Stack, bodies: &[String]) -> Vec<Judged> {
    let snapshot = Snapshot::load(&mut stack.database.connect().await, None, 1).await.expect("the catalog");
    let judge_one = |body: &String| judge(&received(body.clone().into_bytes()), &snapshot, SQS_MESSAGE_BYTES_MAX).expect("a schema");
    bodies.iter().map(|body| judge_one(body).map_err(|rejection| rejection.reason)).collect()
}

/// Whether another reader's value is ours; numbers are left to ours, which keeps them as they are written.
fn is_same(ours: &Node<'_>, other: &Value) -> bool {
    match (ours, other) {
        (Node::Null, Value::Null) | (Node::Number(_), Value::Number(_)) => true,
        (Node::Boolean(ours), Value::Bool(other)) => ours == other,
        (Node::String(ours), Value::String(other)) => ours == other,
        (Node::Array(ours), Value::Array(other)) => {
            ours.len() == other.len() && ours.iter().zip(other).all(|(ours, other)| is_same(ours, other))
        }
        (Node::Object(ours), Value::Object(other)) => {
            let is_member = |name: &str, value| other.get(name).is_some_and(|other| is_same(value, other));
            ours.len() == other.len() && ours.iter().all(|member| is_member(&member.name, &member.value))
        }
        _ => false,
    }
}

/// What we take is JSON for others too, and the same value; what we call malformed is so for others. On our limits others have no say.
fn check_against_serde(body: &str, judged: &Judged) {
    let other = serde_json::from_str::<Value>(body);
    match judged {
        Err(Reason::MalformedJson) => assert!(other.is_err(), "called malformed: {body:?}"),
        Err(Reason::TooDeep | Reason::DuplicateKey | Reason::NumberOutOfRange | Reason::Unstorable) => {}
        _ => {
            let other = other.unwrap_or_else(|error| panic!("{error}: {body:?}"));
            let ours = read(body.as_bytes()).unwrap_or_else(|defect| panic!("judged {judged:?} although {defect}: {body:?}"));
            assert!(is_same(&ours, &other), "read as {ours:?}: {body:?}");
        }
    }
}

#[tokio::test]
async fn generated_bodies_are_json_exactly_where_another_reader_says_so() {
    let stack = start_for_any_payload(&[]).await;
    let bodies = bodies();
    let judged = judge_in_process(&stack, &bodies).await;
    for (body, judged) in bodies.iter().zip(&judged) {
        check_against_serde(body, judged);
    }
    // The generator is worth its name only while it makes some of each kind.
    for reason in [Reason::MalformedJson, Reason::TooDeep, Reason::DuplicateKey, Reason::NumberOutOfRange, Reason::Unstorable] {
        assert!(judged.iter().any(|judged| judged.as_ref().is_err_and(|other| *other == reason)), "no body is {reason}");
    }
}

/// The first bodies that were accepted and the first that were refused, in their order, no two with the same identity.
fn sample(bodies: Vec<String>, judged: Vec<Judged>, accepted: usize, refused: usize) -> Vec<(String, Judged)> {
    let mut identities = HashSet::new();
    let mut left = [accepted, refused];
    let mut is_wanted = |(body, judged): &(String, Judged)| {
        let is_new = judged.as_ref().map_or(true, |event| {
            let envelope = event.envelope();
            identities.insert((envelope.source.clone(), envelope.event_id.clone()))
        });
        let left = &mut left[usize::from(judged.is_err())];
        let is_wanted = is_new && *left > 0 && as_sqs_text(body.as_bytes()).is_some();
        *left -= usize::from(is_wanted);
        is_wanted
    };
    let sample: Vec<_> = bodies.into_iter().zip(judged).filter(|one| is_wanted(one)).collect();
    assert_eq!(left, [0, 0], "too few bodies were generated");
    sample
}

#[tokio::test]
async fn generated_bodies_have_from_the_daemon_the_verdict_that_they_have_in_process() {
    let stack = start_for_any_payload(&["events"]).await;
    let bodies = bodies();
    let judged = judge_in_process(&stack, &bodies).await;
    let sample = sample(bodies, judged, 300, 200);
    let queue = stack.queue("events").await;
    let mut sent = Vec::new();
    for (body, _) in &sample {
        sent.push(send(&queue, body.as_bytes()).await);
    }
    let daemon = stack.daemon("events?trust=any", &[]).await;
    stack.at_rest(&queue).await;
    let mut fates = Fates::of(&stack).await;
    for ((body, judged), sqs_message_id) in sample.iter().zip(&sent) {
        match (judged, fates.take(sqs_message_id)) {
            (Ok(event), Fate::Stored(payload)) => assert_eq!(payload, body[event.envelope().payload.clone()], "{body:?}"),
            (Err(reason), Fate::Letter(stored, _)) => assert_eq!(stored, reason.as_str(), "{body:?}"),
            (judged, fate) => panic!("{judged:?} in process, {fate:?} by the daemon: {body:?}"),
        }
    }
    fates.finish();
    assert_eq!(daemon.stop().await, 0);
}
