//! Generated input: odd and broken bodies, validated in process against another JSON reader and by the daemon against the process.

mod bodies;

use std::sync::Arc;

use event_processor::candidate::Candidate;
use event_processor::event::{Envelope, Reason};
use event_processor::json::{Node, read};
use event_processor::queue::{MESSAGES_PER_REQUEST_MAX, Queue};
use event_processor::settings::SQS_MESSAGE_BYTES_MAX;
use event_processor::snapshot::Snapshot;
use event_processor::validate::{ValidEvent, Verdict, validate};
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::corpus::{as_sqs_text, received, start_for_any_payload};
use crate::load::{counted, depth, outcomes};
use crate::stack::{Database, eventually};
use bodies::{bodies, count};

/// What the tests know of a body: the event that it is, or the reason why it is none.
type Validated = Result<ValidEvent, Reason>;

fn verdict(candidate: Candidate, snapshot: &Snapshot) -> Verdict {
    validate(Arc::new(candidate), snapshot, SQS_MESSAGE_BYTES_MAX).expect("a schema")
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
fn check_against_serde(body: &str, validated: &Validated) {
    let other = serde_json::from_str::<Value>(body);
    match validated {
        Err(Reason::MalformedJson) => assert!(other.is_err(), "called malformed: {body:?}"),
        Err(Reason::TooDeep | Reason::DuplicateKey | Reason::NumberOutOfRange | Reason::Unstorable) => {}
        _ => {
            let other = other.unwrap_or_else(|error| panic!("{error}: {body:?}"));
            let ours = read(body.as_bytes()).unwrap_or_else(|defect| panic!("validated {validated:?} although {defect}: {body:?}"));
            assert!(is_same(&ours, &other), "read as {ours:?}: {body:?}");
        }
    }
}

#[tokio::test]
async fn generated_bodies_are_json_exactly_where_another_reader_says_so() {
    let stack = start_for_any_payload(&[]).await;
    let snapshot = Snapshot::load(&mut stack.database.connect().await, None, 1).await.expect("the catalog");
    let mut validated = Vec::new();
    for body in bodies().take(count()) {
        let of_body = verdict(received(body.clone().into_bytes()), &snapshot).map_err(|rejection| rejection.reason);
        check_against_serde(&body, &of_body);
        validated.push(of_body);
    }
    // The generator is worth its name only while it makes some of each kind.
    for reason in [Reason::MalformedJson, Reason::TooDeep, Reason::DuplicateKey, Reason::NumberOutOfRange, Reason::Unstorable] {
        assert!(validated.iter().any(|validated| validated.as_ref().is_err_and(|other| *other == reason)), "no body is {reason}");
    }
}

/// Bodies that are sent before the daemon has to be done with most of them.
const ROUND: usize = 2_500;

/// Sends bodies, ten at a time, several of those at once; gives each with SQS's id of its message.
async fn send(queue: &Queue, bodies: &[String]) -> Vec<(String, String)> {
    let mut batches: Vec<Vec<&str>> = Vec::new();
    for body in bodies {
        let has_room = |batch: &&mut Vec<&str>| {
            batch.len() < MESSAGES_PER_REQUEST_MAX
                && batch.iter().map(|body| body.len()).sum::<usize>() + body.len() <= SQS_MESSAGE_BYTES_MAX
        };
        match batches.last_mut().filter(has_room) {
            Some(batch) => batch.push(body),
            None => batches.push(vec![body]),
        }
    }
    let sending = futures_util::stream::iter(batches).map(async |batch| {
        let reply = queue.send_batch(&batch).await.expect("sent");
        assert_eq!(reply.accepted.len(), batch.len(), "{:?}", reply.refused);
        reply.accepted.into_iter().map(|(position, id)| (id, batch[position].to_owned())).collect::<Vec<_>>()
    });
    sending.buffer_unordered(8).concat().await
}

/// Puts down beside what the daemon stores what was sent and what the process says of it; gives how many bodies it refuses.
async fn note(database: &Database, snapshot: &Snapshot, sent: Vec<(String, String)>) -> usize {
    let (mut verdicts, mut sources, mut event_ids, mut payloads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (sqs_message_id, body) in &sent {
        let candidate = Candidate { message_id: sqs_message_id.clone(), ..received(body.clone().into_bytes()) };
        let verdict = verdict(candidate, snapshot);
        let envelope: Option<&Envelope> = match &verdict {
            Ok(event) => Some(event.envelope()),
            Err(rejection) => rejection.envelope.as_deref(),
        };
        verdicts.push(verdict.as_ref().map_or_else(|rejection| rejection.reason.as_str(), |_| "stored"));
        sources.push(envelope.map(|envelope| envelope.source.to_string()));
        event_ids.push(envelope.map(|envelope| envelope.event_id.to_string()));
        payloads.push(verdict.as_ref().ok().map(|event| event.envelope().payload.of(body.as_bytes()).to_owned()));
    }
    let (sqs_message_ids, bodies): (Vec<String>, Vec<String>) = sent.into_iter().unzip();
    let insert = "insert into sent select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])";
    let insert = sqlx::query(insert).bind(sqs_message_ids).bind(bodies).bind(&verdicts).bind(sources).bind(event_ids).bind(payloads);
    insert.execute(&mut database.connect().await).await.expect("an insert");
    verdicts.iter().filter(|verdict| **verdict != "stored").count()
}

/// What was sent, and what the process says of it.
const SENT: &str = r#"create table sent
(sqs_message_id text collate "C" primary key, body text, verdict text, source text collate "C", event_id text collate "C", payload text)"#;

/// Beside each message what became of it, worked out once. A body without an identity shares it with none: all of them in one partition
/// took minutes.
const FATES: &str = "
create table finding as
select s.sqs_message_id, s.verdict, d.reason, coalesce(m.copies, 0) as messages, coalesce(d.copies, 0) as dead_letters,
    m.payload is not distinct from s.payload as is_payload, d.body is not distinct from convert_to(s.body, 'UTF8') as is_body,
    count(*) over identity as sharing, coalesce(sum(m.copies) over identity, 0) as stored
from sent s
left join (select sqs_message_id, count(*) as copies, min(payload::text) as payload from message group by 1) m using (sqs_message_id)
left join (select sqs_message_id, count(*) as copies, min(reason) as reason, (array_agg(body))[1] as body from dead_letter group by 1) d
    using (sqs_message_id)
window identity as (partition by s.source, coalesce(s.event_id, s.sqs_message_id))";

/// Messages that ended where they should not. Where events share an identity, which of them is first is open: the others leave nothing, as
/// duplicates of the one that is stored, or are dead letters.
const ASTRAY: &str = "
select * from finding where not case
    when messages = 1 and dead_letters = 0 then verdict = 'stored' and is_payload and stored = 1
    when messages = 0 and dead_letters = 1 then is_body and (reason = verdict or (reason = 'id_conflict' and verdict = 'stored' and stored = 1))
    when messages = 0 and dead_letters = 0 then sharing > 1 and stored = 1
    else false
end";

#[tokio::test]
async fn each_malformed_body_ends_in_exactly_one_place_and_the_daemon_lives() {
    let stack = start_for_any_payload(&["events"]).await;
    stack.database.execute(SENT).await;
    let snapshot = Snapshot::load(&mut stack.database.connect().await, None, 1).await.expect("the catalog");
    let queue = stack.queue("events").await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    daemon.ready().await;
    let begun_at = daemon.metric("process_start_time_seconds", "").await;
    let mut bodies = bodies().filter(|body| as_sqs_text(body.as_bytes()).is_some());
    let (mut sent, mut refused) = (0, 0);
    while refused < count() {
        let round: Vec<String> = bodies.by_ref().take(ROUND).collect();
        let accepted = send(&queue, &round).await;
        sent += accepted.len();
        refused += note(&stack.database, &snapshot, accepted).await;
        eventually("most are dealt with", async || (depth(&queue).await < 1_000).then_some(())).await;
    }
    stack.at_rest(&queue).await;

    println!("{sent} bodies, {refused} of them malformed");
    // Of new tables the planner knows nothing, and would join them row by row.
    stack.database.execute("analyze sent, message, dead_letter").await;
    stack.database.execute(FATES).await;
    assert_eq!(stack.database.rows(&format!("{ASTRAY} limit 5")).await, Vec::<String>::new());
    let findings = "select sum(messages) as messages, sum(dead_letters) as dead_letters, count(*) filter (where messages + dead_letters = 0) as duplicates, \
         (select count(*) from message) as all_messages, (select count(*) from dead_letter) as all_dead_letters from finding";
    let [stored, rejected] = [outcomes(&daemon, "stored").await, outcomes(&daemon, "rejected").await];
    let counts = format!("{stored} | {rejected} | {} | {stored} | {rejected}", outcomes(&daemon, "duplicate").await);
    assert_eq!(stack.database.rows(findings).await, [counts], "found, and counted by the daemon");
    // So much that has no tenant, so fast: some of it has waited, and was received again.
    let copies = counted(&daemon, "events_total", "").await - outcomes(&daemon, "deferred").await;
    assert_eq!(copies, i64::try_from(sent).expect("a number"));
    let is_same_process = (daemon.metric("process_start_time_seconds", "").await - begun_at).abs() < 0.001;
    assert!(is_same_process && !daemon.log().contains("panicked"), "{}", daemon.log());
    assert_eq!(daemon.stop().await, 0);
}
