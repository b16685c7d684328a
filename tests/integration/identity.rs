//! When two events are one: pairs with the same id, sent in every way in which a second copy can arrive.

mod pairs;

use std::collections::BTreeMap;

use sqlx::Connection as _;

use crate::daemon::Daemon;
use crate::producer::Producer;
use crate::stack::{Directory, Stack, eventually};
use pairs::{Expect, Pair, pairs};

/// Two tenants; `acme` has two types that take any payload, the second version of one of them being stricter.
fn catalog() -> Directory {
    let catalog = Directory::create();
    catalog.write("acme/tenant.toml", "[event_types.note]\ndefault_version = 1\n[clients.client-1]\n[clients.client-2]\n");
    catalog.write("acme/note/1.json", "true");
    catalog.write("acme/note/2.json", r#"{"properties": {"old": false}}"#);
    catalog.write("acme/memo/1.json", "true");
    catalog.write("another/tenant.toml", "");
    catalog.write("another/note/1.json", "true");
    catalog
}

async fn start(queues: &[&str]) -> Stack {
    let stack = Stack::start_without_catalog(queues).await;
    stack.database.apply(&catalog().0).await;
    stack
}

/// How the second event of a pair arrives.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// After the first was stored, which therefore is the one that stays.
    After,
    /// In one transaction with the first.
    InOneBatch,
    /// At any time.
    Racing,
}

/// The SQS message ids of each pair's events.
type Sent = Vec<[String; 2]>;

async fn duplicates(daemons: &[&Daemon]) -> f64 {
    let mut sum = 0.0;
    for daemon in daemons {
        sum += daemon.metric("event_processor_events_total", "outcome=\"duplicate\"").await;
    }
    sum
}

/// What became of each pair: stored rows, dead letters by reason, and duplicates, which leave nothing but a count.
async fn check(stack: &Stack, daemons: &[&Daemon], pairs: &[Pair], sent: &Sent, way: Way) {
    let stored = stack.database.rows("select sqs_message_id, payload::text from message").await;
    let stored: BTreeMap<_, _> = stored.iter().filter_map(|row| row.split_once(" | ")).collect();
    let dead_letters = stack.database.rows("select sqs_message_id, reason from dead_letter").await;
    let dead_letters: BTreeMap<_, _> = dead_letters.iter().filter_map(|row| row.split_once(" | ")).collect();
    let mut counted = 0_u32;
    for (pair, ids) in pairs.iter().zip(sent) {
        let rows = ids.iter().filter(|id| stored.contains_key(id.as_str())).count();
        let reasons: Vec<_> = ids.iter().filter_map(|id| dead_letters.get(id.as_str()).copied()).collect();
        let name = pair.name;
        match pair.expect {
            Expect::Two => assert_eq!((rows, reasons.as_slice()), (2, [].as_slice()), "{name}"),
            Expect::Conflict => assert_eq!((rows, reasons.as_slice()), (1, ["id_conflict"].as_slice()), "{name}"),
            // Who comes before the first is stored is validated by the catalog alone.
            Expect::DuplicateOnceStored if way == Way::Racing && reasons == ["schema_violation"] => assert_eq!(rows, 1, "{name}"),
            Expect::Duplicate | Expect::DuplicateOnceStored => {
                assert_eq!((rows, reasons.as_slice()), (1, [].as_slice()), "{name}");
                counted += 1;
            }
        }
        // The dead letter is of the one that is not stored, and what is stored is what was sent.
        for (id, body) in ids.iter().zip([&pair.first, &pair.second]) {
            assert!(!(stored.contains_key(id.as_str()) && dead_letters.contains_key(id.as_str())), "{name}");
            assert!(stored.get(id.as_str()).is_none_or(|payload| body.contains(payload)), "{name}: {stored:?}");
        }
        assert!(way != Way::After || stored.contains_key(ids[0].as_str()), "{name}: the first did not stay");
    }
    let told = duplicates(daemons).await;
    assert!((told - f64::from(counted)).abs() < 0.5, "{told} duplicates are counted instead of {counted}");
}

#[tokio::test]
async fn a_second_event_after_the_first_was_stored() {
    let stack = start(&["events"]).await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    let (producer, queue, pairs) = (Producer::of(&stack), stack.queue("events").await, pairs());
    let mut firsts = Vec::new();
    for pair in &pairs {
        firsts.push(producer.send("events", &pair.first, &[]).await);
    }
    stack.at_rest(&queue).await;
    let mut sent = Sent::new();
    for (pair, first) in pairs.iter().zip(firsts) {
        sent.push([first, producer.send("events", &pair.second, &[]).await]);
    }
    stack.at_rest(&queue).await;
    check(&stack, &[&daemon], &pairs, &sent, Way::After).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn both_events_in_one_batch() {
    let stack = start(&["events"]).await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    // Its probe waits for locked tables as well.
    daemon.ready().await;
    let (producer, pairs) = (Producer::of(&stack), pairs());
    // Each writer waits with an event of its own for the table; meanwhile everything else becomes one batch.
    let mut connection = stack.database.connect().await;
    sqlx::raw_sql("begin; lock table message in share mode").execute(&mut connection).await.expect("a lock");
    for writer in 1..=2 {
        let body = format!(r#"{{"tenant_id":"another","event_type":"note","event_id":"waits {writer}","payload":null}}"#);
        producer.send("events", &body, &[]).await;
        let waiting = "select count(*) from pg_locks where not granted and relation = 'message'::regclass \
             and database = (select oid from pg_database where datname = current_database())";
        eventually("a writer waits", async || (stack.database.count(waiting).await == writer).then_some(())).await;
    }
    let mut sent = Sent::new();
    for pair in &pairs {
        sent.push([producer.send("events", &pair.first, &[]).await, producer.send("events", &pair.second, &[]).await]);
    }
    validated(&daemon, 2 + 2 * pairs.len()).await;
    // Validated after them, so that they are on their way to the writers.
    producer.send("events", "no event", &[]).await;
    validated(&daemon, 3 + 2 * pairs.len()).await;
    connection.close().await.expect("the lock is given up");
    stack.at_rest(&stack.queue("events").await).await;

    let transactions = "select count(distinct xid) from (select xmin::text as xid from message where event_id not like 'waits %' \
         union all select xmin::text from dead_letter where reason = 'id_conflict') as rows";
    assert_eq!(stack.database.count(transactions).await, 1, "not in one batch");
    check(&stack, &[&daemon], &pairs, &sent, Way::InOneBatch).await;
    assert_eq!(daemon.stop().await, 0);
}

/// Waits until so many events have a verdict.
async fn validated(daemon: &Daemon, events: usize) {
    let events = f64::from(u32::try_from(events).expect("few"));
    let count = async || daemon.metric("event_processor_validation_duration_seconds_count", "").await;
    eventually("the events are validated", async || (count().await > events - 0.5).then_some(())).await;
}

#[tokio::test]
async fn each_event_in_another_process() {
    let stack = start(&["left", "right"]).await;
    let (producer, pairs) = (Producer::of(&stack), pairs());
    let mut sent = Sent::new();
    for pair in &pairs {
        sent.push([producer.send("left", &pair.first, &[]).await, producer.send("right", &pair.second, &[]).await]);
    }
    let (left, right) = tokio::join!(stack.daemon("left?trust=any", &[]), stack.daemon("right?trust=any", &[]));
    for queue in ["left", "right"] {
        stack.at_rest(&stack.queue(queue).await).await;
    }
    check(&stack, &[&left, &right], &pairs, &sent, Way::Racing).await;
    assert_eq!(left.stop().await, 0);
    assert_eq!(right.stop().await, 0);
}
