//! Replays that are killed, that run beside each other, and beside the queue.
//!
//! `KILLED_REPLAYS=10` kills as many.

use std::process::Stdio;

use rand::Rng as _;
use tokio::process::{Child, Command};

use super::{dead_letter, write_catalog};
use crate::ledger::Ledger;
use crate::load::send;
use crate::stack::{Directory, PROCESSOR, Stack, eventually};
use crate::terminal::Terminal;

fn replay(terminal: &Terminal) -> Child {
    let mut command = Command::new(PROCESSOR);
    command.args(["dead-letter", "replay", "--all"]).env_clear().envs(terminal.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(&terminal.directory.0).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("a replay starts")
}

async fn deadlocks(stack: &Stack) -> i64 {
    // What a session has counted is told when it ends, or once a second.
    stack.database.count("select deadlocks from pg_stat_database where datname = current_database()").await
}

#[tokio::test]
async fn replays_that_are_killed_and_run_beside_each_other_store_each_event_once() {
    let (stack, terminal, catalog) = super::start(&["events"]).await;
    let count = 3_000;
    super::refuse(&stack, &(0..count).map(|number| super::bill(number, 200)).collect::<Vec<_>>()).await;
    write_catalog(&catalog, 2, 1000);
    stack.database.apply(&catalog.0).await;
    let kills: usize = std::env::var("KILLED_REPLAYS").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let stored = async || usize::try_from(stack.database.count("select count(*) from message").await).expect("a count");
    for _ in 0..kills {
        let until = stored().await + rand::rng().random_range(0..count / kills);
        let mut killed = replay(&terminal);
        eventually("a part is stored", async || (stored().await > until.min(count - 1)).then_some(())).await;
        killed.kill().await.expect("killed");
        let interrupted = stack.database.count("select count(*) from audit where command like 'dead-letter%' and ended_at is null").await;
        assert!(interrupted > 0 || stored().await == count, "a killed one has ended");
    }
    let (mut one, mut other) = (replay(&terminal), replay(&terminal));
    for child in [&mut one, &mut other] {
        assert_eq!(child.wait().await.expect("a status").code(), Some(0));
    }
    let sql = "select (select count(*) from message) as a, (select count(distinct event_id) from message) as b, \
               (select count(*) from delivery) as c, (select count(*) from dead_letter where is_open) as d, \
               (select count(*) from poison_attempt) as e";
    assert_eq!(stack.database.rows(sql).await, [format!("{count} | {count} | {count} | 0 | 0")]);
    let counted = stack.database.count("select sum((counts->>'stored')::int)::int8 from audit where command like 'dead-letter%'").await;
    assert_eq!(usize::try_from(counted), Ok(count), "the audit counts what was committed");
    assert_eq!(deadlocks(&stack).await, 0);
}

/// Messages that are dead letters and on the queue as well come again while they are replayed.
#[tokio::test]
async fn a_replay_beside_the_same_messages_from_the_queue_stores_each_event_once() {
    let (stack, terminal, catalog) = super::start(&["events"]).await;
    let queue = stack.queue("events").await;
    send(&queue, (0..400).map(|number| super::bill(number, 200))).await;
    let crashing = [("VISIBILITY_TIMEOUT", "1"), ("FAILPOINTS", "commit_sent=3*off->return")];
    while stack.database.count("select count(*) from dead_letter").await < 200 {
        let mut daemon = stack.daemon("events?trust=any", &crashing).await;
        let is_done = async || {
            let is_refused = stack.database.count("select count(*) from dead_letter").await >= 200;
            (daemon.has_ended() || is_refused).then_some(())
        };
        eventually("it crashes before it deletes", is_done).await;
    }
    write_catalog(&catalog, 2, 1000);
    stack.database.apply(&catalog.0).await;
    let daemon = stack.daemon("events?trust=any", &crashing[..1]).await;
    while stack.database.count("select count(*) from message").await < 400
        || stack.database.count("select count(*) from dead_letter where is_open").await > 0
    {
        let replayed = dead_letter(&terminal, "replay --all").await;
        assert!([0, 65].contains(&replayed.status), "{replayed:?}");
    }
    stack.at_rest(&queue).await;
    assert_eq!(daemon.stop().await, 0);
    let sql = "select count(*) as a, count(distinct event_id) as b from message";
    assert_eq!(stack.database.rows(sql).await, ["400 | 400"]);
    assert_eq!(stack.database.count("select count(*) from dead_letter where is_open").await, 0);
    assert_eq!(deadlocks(&stack).await, 0);
}

/// What producers meant to be refused and what they did not, refused by a catalog that was too strict, or by one that was right.
#[tokio::test]
async fn the_proof_that_nothing_is_lost_knows_of_replays_and_discards() {
    let stack = Stack::start(&["events"]).await;
    let ledger = Ledger::on(&stack);
    let mut terminal = Terminal::with(stack.environment());
    terminal.environment.push(("QUEUES", "events?trust=any".to_owned()));
    ledger.send("events", "--events 300 --seed 7 --invalid 0.3 --duplicates 0.1").await;
    // Under a catalog without the tenants' schemas nothing is known.
    stack.database.execute("update event_schema set active = false where tenant_id in ('crm', 'customers')").await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    stack.at_rest(&stack.queue("events").await).await;
    stack.database.execute("update event_schema set active = true").await;
    let refused = ledger.verify().await;
    assert_eq!(refused.status, 65, "{refused:?}");
    assert_eq!(dead_letter(&terminal, "replay --reason unknown_schema_version").await.status, 65);
    // Those that conflict with one another are chosen: the earlier is stored, the later is the conflict that it was to be.
    let contested = "select dead_letter_id::text from dead_letter where reason = 'unknown_schema_version' and is_open and replays = 0";
    let chosen: Vec<String> = stack.database.rows(contested).await.iter().map(|id| format!(" --id {id}")).collect();
    assert!(!chosen.is_empty(), "no two events of this seed share an identity");
    assert_eq!(dead_letter(&terminal, &format!("replay{}", chosen.concat())).await.status, 65);
    assert_eq!(dead_letter(&terminal, "discard --reason malformed_json --because nonsense").await.status, 0);
    // What is refused for a reason of its own is refused for that one now, and that is foreseen.
    let verified = ledger.verify().await;
    assert_eq!(verified.status, 0, "{verified:?}");
    // And once more by a catalog that lets pass what was to be refused.
    let rules = "update event_schema set bundle = jsonb_set(bundle::jsonb, array['files', bundle->>'root'], '{}')::json, \
                 digest = sha256(digest)";
    stack.database.execute(rules).await;
    stack.database.execute("update catalog set generation = generation + 1").await;
    assert_eq!(dead_letter(&terminal, "replay --reason schema_violation").await.status, 0);
    assert!(stack.database.count("select count(*) from dead_letter where reason = 'schema_violation' and not is_open").await > 0);
    let verified = ledger.verify().await;
    assert_eq!(verified.status, 0, "{verified:?}");
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_fifo_queues_groups_are_replayed_in_their_order() {
    let catalog = Directory::create();
    catalog.write("acme/tenant.toml", "");
    catalog.write("acme/note/1.json", r#"{"maximum": -1}"#);
    let stack = Stack::start_without_catalog(&[]).await;
    stack.database.apply(&catalog.0).await;
    catalog.write("acme/note/2.json", "{}");
    stack.database.apply(&catalog.0).await;
    // Of one moment, written in disorder, the sequence numbers of different lengths.
    let insert = "insert into dead_letter (queue, sqs_message_id, reason, body, queue_format, catalog_generation, receive_count, sent_at, \
                  message_group, sequence_number, queue_trusts_any_sender, tenant_id, event_id, source) \
                  select 'events.fifo', 'm' || n, 'schema_violation', \
                  convert_to(format('{\"tenant_id\":\"acme\",\"event_id\":\"%s\",\"event_type\":\"note\",\"payload\":%s}', n, n), 'UTF8'), \
                  'native', 1, 1, '2026-01-01'::timestamptz - make_interval(secs => n % 7), 'g' || n % 5, n::text, true, 'acme', n::text, '' \
                  from generate_series(1, 2000) n order by md5(n::text)";
    stack.database.execute(insert).await;
    let terminal = Terminal::with(stack.environment());
    assert_eq!(dead_letter(&terminal, "replay --all").await.status, 0);
    let disorder = "select count(*) from message a join message b using (message_group) \
                    where a.sequence_number::int < b.sequence_number::int and a.stored_xid > b.stored_xid";
    assert_eq!(stack.database.count(disorder).await, 0);
    assert!(stack.database.count("select count(distinct stored_xid) from message").await > 1, "all in one transaction");
}
