//! Every reason for which an event is a dead letter, and what is stored instead of one.

mod accepted;
mod cases;

use std::collections::{BTreeMap, BTreeSet};

use event_processor::event::Reason;
use serde_json::json;

use crate::producer::Producer;
use crate::stack::{Directory, Stack};
use cases::Case;

/// What the daemon takes as a body at most: the test's queue server takes little more.
const BODY_BYTES_MAX: usize = 220 << 10;

const QUEUES: [&str; 4] = ["shared", "bound", "untrusted", "cloud"];

/// What is stored before anything is rejected: ids are taken, and nothing else may be stored.
const STORED: &str = r#"{"tenant_id":"acme","event_id":"taken","event_type":"note","client_id":"client-1","payload":{"total":1}}"#;

/// `acme` with a type that takes nearly everything, one that is dear to validate, and a client; `another` has a type and a client of its own.
fn catalog() -> Directory {
    let catalog = Directory::create();
    catalog.write("acme/tenant.toml", "[event_types.note]\ndefault_version = 1\n[clients.client-1]\n");
    catalog.write("acme/note/1.json", r#"{"properties": {"total": {"type": "integer", "minimum": 0}}}"#);
    catalog.write("acme/note/3.json", r#"{"type": "object", "required": ["subtotal"]}"#);
    // A long name is not even begun: how long a text takes depends on the machine, and one that is given up keeps the others back.
    let heavy = json!({"patternProperties": {"[ab]*a[ab]{1900}c": true}, "items": {"$ref": "#"}, "additionalProperties": {"$ref": "#"}});
    catalog.write("acme/heavy/1.json", &heavy.to_string());
    catalog.write("another/tenant.toml", "[clients.client-2]\n");
    catalog.write("another/note/1.json", "true");
    catalog
}

/// A stack with the catalog, a queue that tenants share and trust, one that is bound to `acme`, one that is shared without trust, and
/// one for CloudEvents.
async fn start() -> Stack {
    let stack = Stack::start_without_catalog(&QUEUES).await;
    stack.database.apply(&catalog().0).await;
    stack
}

/// Sends each body through its queue to a daemon that polls all of them; each must be a dead letter for its reason and nothing else.
async fn check(cases: Vec<Case>) {
    let stack = start().await;
    let body_bytes_max = BODY_BYTES_MAX.to_string();
    let daemon =
        stack.daemon("shared?trust=any,bound=acme,untrusted,cloud=acme?format=cloudevents", &[("BODY_BYTES_MAX", &body_bytes_max)]).await;
    let producer = Producer::of(&stack);
    producer.send("shared", STORED, &[]).await;
    stack.at_rest(&stack.queue("shared").await).await;

    let mut expected = BTreeMap::new();
    for case in &cases {
        let sqs_message_id = producer.send(case.queue, &case.body, &case.attributes).await;
        let dead_letter = format!("{} | {} | {}", case.reason, case.tenant_id.unwrap_or("-"), case.queue);
        expected.insert(sqs_message_id, (dead_letter, case));
    }
    for queue in QUEUES {
        stack.at_rest(&stack.queue(queue).await).await;
    }

    let dead_letters = stack.database.rows("select sqs_message_id, reason, tenant_id, queue from dead_letter").await;
    let mut dead_letters: BTreeMap<_, _> = dead_letters.iter().filter_map(|row| row.split_once(" | ")).collect();
    let mut wrong = Vec::new();
    for (sqs_message_id, (expected, case)) in &expected {
        let found = dead_letters.remove(sqs_message_id.as_str()).unwrap_or("no dead letter");
        if found != expected {
            wrong.push(format!("{:.300}\n    expected {expected}\n    found    {found}", case.body));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(dead_letters.is_empty(), "dead letters of nothing that was sent: {dead_letters:?}");
    assert_eq!(stack.database.rows("select event_id from message").await, ["taken"]);
    let rejected = daemon.metric("event_processor_events_total", "outcome=\"rejected\"").await;
    assert!((rejected - f64::from(u32::try_from(cases.len()).expect("few"))).abs() < 0.5, "{rejected} counted as rejected");
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn every_reason_is_met_by_three_bodies_or_more() {
    let cases = cases::all();
    let reasons: BTreeSet<_> = cases.iter().map(|case| case.reason).collect();
    // No body is received too often by what it says: `poison` has its cases.
    let of_bodies = Reason::ALL.into_iter().filter(|reason| *reason != Reason::ReceivedTooOften).collect();
    assert_eq!(reasons, of_bodies, "a reason without a case");
    for reason in reasons {
        let bodies: BTreeSet<_> = cases.iter().filter(|case| case.reason == reason).map(|case| &case.body).collect();
        assert!(bodies.len() >= 3, "{reason} has {} bodies", bodies.len());
    }
    check(cases).await;
}

#[tokio::test]
async fn of_two_defects_the_first_on_the_path_and_from_left_to_right_is_told() {
    check(cases::of_two_defects()).await;
}
