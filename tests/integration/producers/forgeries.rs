//! `verify` finds what was deleted, altered, doubled or added behind its back, each by its word.

use super::Run;

/// Statements on one row or dead letter, and the word for what they did.
const FORGERIES: [(&str, &str); 19] = [
    ("delete from message where event_id = (select max(event_id) from message)", "missing"),
    ("delete from dead_letter where dead_letter_id = (select max(dead_letter_id) from dead_letter where reason = 'malformed_json')", "missing"),
    ("update dead_letter set replay_outcome = 'stored' where dead_letter_id in (select dead_letter_id from dead_letter where reason = 'unknown_client' limit 2)", "missing"),
    (
        "delete from message where (tenant_id, source, event_id) in (select tenant_id, source, event_id from dead_letter where reason = 'id_conflict')",
        "missing",
    ),
    ("delete from dead_letter where reason = 'id_conflict'", "missing"),
    ("update message set payload = '\"forged\"' where event_id = (select max(event_id) from message)", "altered"),
    (
        "update message set payload = '\"forged\"', payload_hash = sha256('\"forged\"') where event_id = (select max(event_id) from message)",
        "altered",
    ),
    ("update message set payload = (payload::text || ' ')::json where event_id = (select max(event_id) from message)", "altered"),
    ("update message set payload_hash = sha256('') where event_id = (select max(event_id) from message)", "altered"),
    ("update message set client_id = null where event_id = (select max(event_id) from message where client_id is not null)", "altered"),
    ("update message set queue = 'elsewhere' where event_id = (select max(event_id) from message)", "altered"),
    ("update message set sqs_message_id = 'another' where event_id = (select max(event_id) from message)", "altered"),
    ("update dead_letter set body = body || '\\x20' where dead_letter_id = (select max(dead_letter_id) from dead_letter)", "altered"),
    (
        "update dead_letter set reason = 'unknown_tenant' where dead_letter_id = (select max(dead_letter_id) from dead_letter where reason = 'too_deep')",
        "altered",
    ),
    (
        "update dead_letter set tenant_id = 'crm' where dead_letter_id = (select max(dead_letter_id) from dead_letter where tenant_id = 'shop')",
        "altered",
    ),
    (
        "with gone as (delete from message where event_id = (select max(event_id) from message) returning queue, sqs_message_id)
         insert into dead_letter (queue, sqs_message_id, reason, body, queue_format, catalog_generation, receive_count)
         select queue, sqs_message_id, 'unauthorized_sender', '', 'native', 1, 1 from gone",
        "altered",
    ),
    (
        "insert into message (tenant_id, source, event_id, event_type, schema_version, payload, payload_hash, queue, sqs_message_id, catalog_generation)
         select 'crm', source, event_id, event_type, 1, payload, payload_hash, queue, 'another', 1 from message
         where tenant_id = 'shop' and event_type = 'order.created' limit 1",
        "unexpected",
    ),
    (
        "insert into dead_letter (queue, sqs_message_id, reason, body, queue_format, catalog_generation, receive_count)
         select queue, 'another', reason, body, 'native', 1, 1 from dead_letter limit 1",
        "unexpected",
    ),
    (
        "insert into dead_letter (queue, sqs_message_id, reason, body, queue_format, catalog_generation, receive_count)
         select queue, sqs_message_id, 'schema_violation', '', 'native', 1, 1 from message where event_id = (select max(event_id) from message)",
        "unexpected",
    ),
];

/// Everything as it was.
const RESTORE: &str = "truncate message, delivery, dead_letter;
    insert into message select * from message_copy;
    insert into dead_letter overriding system value select * from dead_letter_copy";

async fn check(run: &Run, forgery: &str, word: &str) {
    run.stack.database.execute(forgery).await;
    let verified = run.ledger.verify().await;
    let report = verified.json();
    assert_eq!(verified.status, 65, "{forgery}: {report}");
    for name in ["missing", "altered", "unexpected"] {
        let found = report[name].as_u64().expect("a number") > 0;
        assert_eq!(found, name == word, "{name} after {forgery}: {report}");
    }
    assert!(report["findings"].as_array().expect("findings").iter().all(|finding| finding["kind"] == word), "{report}");
    run.stack.database.execute(RESTORE).await;
}

#[tokio::test]
async fn each_forgery_is_found_and_called_by_its_name() {
    let run = Run::send("events?trust=any", "--events 400 --rate 5000 --invalid 0.3 --duplicates 0.1 --seed 3").await;
    assert_eq!(run.ledger.verify().await.status, 0);
    let database = &run.stack.database;
    // Postgres computes whether a dead letter is open, and takes it from nobody; it is the last column.
    let copies = "create table message_copy as table message; create table dead_letter_copy as table dead_letter;
                  alter table dead_letter_copy drop column is_open";
    database.execute(copies).await;
    database.execute("truncate delivery").await;
    for (forgery, word) in FORGERIES {
        check(&run, forgery, word).await;
    }
    assert_eq!(run.ledger.verify().await.status, 0, "what was restored is not as it was");
    assert_eq!(run.daemon.stop().await, 0);
}

#[tokio::test]
async fn what_others_did_meanwhile_is_unexpected_only_where_it_is_the_runs_own() {
    let run = Run::send("events?trust=any", "--events 20 --rate 1000").await;
    let queue = run.stack.queue("events").await;
    let stored = r#"{"tenant_id":"platform","event_type":"monitor-app","payload":"of another source"}"#;
    queue.send(stored).await.expect("sent");
    assert_eq!(run.ledger.verify().await.status, 0);
    queue.send("Hello World").await.expect("sent");
    run.stack.at_rest(&queue).await;
    let verified = run.ledger.terminal.run(crate::stack::PRODUCERS, &["verify", "--ledger", "ledger"]).await;
    assert_eq!(verified.status, 65, "{verified:?}");
    assert!(verified.output.contains("\nunexpected: dead letter 1 (malformed_json) is of no event of the ledger\n"), "{verified:?}");
    assert_eq!(run.daemon.stop().await, 0);
}

#[tokio::test]
async fn a_queue_that_does_not_rest_is_no_proof() {
    let run = Run::send("events?trust=any", "--events 20 --rate 1000").await;
    let queue = run.stack.queue("events").await;
    run.stack.at_rest(&queue).await;
    assert_eq!(run.daemon.stop().await, 0);
    queue.send("Hello World").await.expect("sent");
    let verified = run.ledger.terminal.run(crate::stack::PRODUCERS, &["verify", "--ledger", "ledger", "--timeout", "1s"]).await;
    assert_eq!(verified.status, 65);
    assert!(verified.output.ends_with("the queue does not rest: 1 message(s) on it; is the processor running?\n"), "{verified:?}");
}
