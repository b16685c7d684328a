//! What Postgres refuses costs nobody but the event that is at fault.

use crate::daemon::Daemon;
use crate::load::{Lock, catalog_of_acme, counted, depth, outcomes, requests, send, waiting_for};
use crate::stack::{Directory, Stack, eventually};

/// The tenant `acme` with two versions of `note`, and a subscriber.
async fn stack_of_acme() -> (Stack, Directory) {
    let catalog = catalog_of_acme();
    let subscription = "[clients.reader]\n[[subscriptions]]\nclient = \"reader\"\nevents = [\"*\"]\n";
    catalog.write("acme/tenant.toml", subscription);
    catalog.write("acme/note/2.json", r#"{"type": "string", "minLength": 1}"#);
    let stack = Stack::start_without_catalog(&["notes"]).await;
    stack.database.apply(&catalog.0).await;
    (stack, catalog)
}

fn note(event_id: &str, version: i32) -> String {
    format!(r#"{{"event_id":"{event_id}","event_type":"note","schema_version":{version},"payload":"a"}}"#)
}

/// How many events the daemon has validated, each of them about to be given to a writer.
async fn validated(daemon: &Daemon, count: i64) {
    let validated = async || counted(daemon, "validation_duration_seconds_count", "").await;
    eventually(&format!("{count} events are validated"), async || (validated().await >= count).then_some(())).await;
}

/// Counts statements that insert into `message`, also those that fail: a sequence takes no part in a rollback.
const COUNT_INSERTS: &str = "
    create sequence inserts;
    create function count_insert() returns trigger language plpgsql security definer as $$ begin perform nextval('inserts'); return null; end $$;
    create trigger count_insert before insert on message for each statement execute function count_insert();";

/// Sends a thousand events, the offenders first, in the middle and last, which the writers see together.
async fn send_as_one_batch(stack: &Stack, daemon: &Daemon) {
    let queue = stack.queue("notes").await;
    // An event for each writer, which then waits for the table while the batch gathers behind it.
    let lock = Lock::table(&stack.database, "message").await;
    for writer in 1..=2 {
        send(&queue, [note(&format!("first-of-writer-{writer}"), 1)]).await;
        waiting_for(&stack.database, "message", writer).await;
    }
    let good = |range: std::ops::Range<usize>| range.map(|number| note(&format!("good-{number}"), 1));
    send(&queue, [note("first", 2)]).await;
    validated(daemon, 3).await;
    send(&queue, good(0..498)).await;
    validated(daemon, 501).await;
    send(&queue, [note("poison", 1)]).await;
    validated(daemon, 502).await;
    send(&queue, good(498..997)).await;
    validated(daemon, 1001).await;
    send(&queue, [note("last", 2)]).await;
    validated(daemon, 1002).await;
    lock.release().await;
}

#[tokio::test]
async fn three_offenders_in_a_batch_of_a_thousand_cost_the_others_nothing() {
    let (stack, _catalog) = stack_of_acme().await;
    let queue = stack.queue("notes").await;
    let daemon = stack.daemon("notes=acme", &[("BATCH_ROWS_MAX", "1000")]).await;
    daemon.ready().await;
    // Behind the snapshot's back: the generation stays, and nobody is notified.
    stack.database.execute("delete from event_schema where schema_version = 2").await;
    stack.database.execute("alter table message add constraint no_poison check (event_id <> 'poison')").await;
    stack.database.execute(COUNT_INSERTS).await;

    send_as_one_batch(&stack, &daemon).await;
    stack.at_rest(&queue).await;

    let batches = async |bucket: &str| counted(&daemon, "batch_rows_bucket", bucket).await;
    assert_eq!(batches(r#"le="+Inf""#).await - batches(r#"le="512""#).await, 1, "the thousand were not one batch");
    assert_eq!(stack.database.count("select count(*) from message where event_id like 'good-%'").await, 997);
    assert_eq!(stack.database.count("select count(*) from message").await, 999);
    assert_eq!(stack.database.count("select count(*) from delivery").await, 999);
    let dead_letters = stack.database.rows("select event_id, schema_version, reason, rule from dead_letter order by event_id").await;
    let missing = "unknown_schema_version | catalog note/";
    assert_eq!(
        dead_letters,
        [format!("first | 2 | {missing}"), format!("last | 2 | {missing}"), "poison | 1 | unstorable | postgres message".into()]
    );
    let inserts = stack.database.count("select last_value from inserts").await;
    assert!(inserts - 2 <= 60, "{inserts} inserts, 2 of them for the writers' first events");
    assert_eq!(daemon.stop().await, 0);
}

/// A body on the queue of `acme` under a constraint, and the dead letter that it becomes.
async fn check_dead_letter(constraint: &str, body: &str, expect: &str) {
    let (stack, _catalog) = stack_of_acme().await;
    let queue = stack.queue("notes").await;
    stack.database.execute(constraint).await;
    // A neighbour in the queue, which is none the worse for it.
    send(&queue, [body.to_owned(), note("neighbour", 1)]).await;
    let daemon = stack.daemon("notes=acme", &[]).await;
    stack.at_rest(&queue).await;
    let columns = "tenant_id, source, event_id, event_type, reason, rule, attributes, convert_from(body, 'UTF8') = '";
    let dead_letters = stack.database.rows(&format!("select {columns}{body}' as is_whole from dead_letter")).await;
    assert_eq!(dead_letters, [expect], "{constraint}");
    assert_eq!(stack.database.rows("select event_id from message").await, ["neighbour"], "{constraint}");
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_dead_letter_that_postgres_refuses_quotes_less_until_it_is_bare() {
    let no_dead_letter = "alter table dead_letter add constraint no_poison check (event_id <> 'poison');";
    let no_message = "alter table message add constraint no_poison check (event_id <> 'poison');";
    let no_attribute = "alter table dead_letter add constraint no_attribute check (attributes::text = '{}');";
    let violation = r#"{"event_id":"poison","event_type":"note","payload":1}"#;
    let bare = "acme | - | - | - |";
    check_dead_letter(no_dead_letter, violation, &format!("{bare} schema_violation | postgres message | {{}} | true")).await;
    let with_field = r#"{"event_id":"poison","event_type":"note","payload":1,"more":2}"#;
    let without_attributes = "acme |  | poison | note | schema_violation | type note/2.json#/type | {} | true";
    check_dead_letter(no_attribute, with_field, without_attributes).await;
    check_dead_letter(
        &format!("{no_message}{no_dead_letter}"),
        &note("poison", 1),
        &format!("{bare} unstorable | postgres message | {{}} | true"),
    )
    .await;
}

#[tokio::test]
async fn where_even_a_bare_dead_letter_is_refused_the_event_stays_in_the_queue() {
    let (stack, _catalog) = stack_of_acme().await;
    let queue = stack.queue("notes").await;
    stack.database.execute("alter table dead_letter add constraint none check (queue <> 'notes')").await;
    send(&queue, ["Hello World".to_owned()]).await;
    let daemon = stack.daemon("notes=acme", &[]).await;
    eventually("the event is handed back", async || (requests(&daemon, "release").await == 1).then_some(())).await;
    assert_eq!((outcomes(&daemon, "released").await, outcomes(&daemon, "rejected").await), (1, 0));
    assert_eq!((requests(&daemon, "delete").await, depth(&queue).await), (0, 1));
    assert_eq!(daemon.stop().await, 0);
}
