//! What SQS itself has given up on is taken in. `DRAINED_TIMES=7` makes it more than a thousand messages.

use std::process::Stdio;
use std::time::Duration;

use event_processor::queue::Queue;
use tokio::process::Command;

use super::{bill, dead_letter};
use crate::load::send_many;
use crate::stack::{Directory, PROCESSOR, Stack, eventually};
use crate::terminal::Terminal;

const SOURCES: &str = "events?trust=any,acme-events=acme,events.fifo?trust=any";

async fn create(stack: &Stack, name: &str, target: &str) {
    let policy = format!(r#"{{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:{target}","maxReceiveCount":1}}"#);
    stack.clients.create_queue(target, &[("VisibilityTimeout", "1")]).await.expect("a queue");
    stack.clients.create_queue(name, &[("RedrivePolicy", &policy), ("VisibilityTimeout", "1")]).await.expect("a queue");
}

/// Has SQS give up on all messages of a queue.
async fn give_up(source: &Queue, target: &Queue, messages: usize) {
    let moved = async || {
        for message in source.receive(10, Duration::ZERO, Duration::from_mins(1)).await.expect("the queue answers") {
            source.set_visibility(&[(&message.lease, Duration::ZERO)]).await.expect("handed back");
        }
        let depth = target.depth().await.expect("the queue answers").iter().map(|(_, messages)| messages).sum::<i64>();
        (usize::try_from(depth) == Ok(messages)).then_some(())
    };
    eventually("SQS has given up on all", moved).await;
}

#[tokio::test]
async fn what_sqs_has_moved_away_ends_in_one_place_also_when_the_drain_is_killed() {
    let (stack, mut terminal, _catalog) = super::start(&[]).await;
    terminal.environment.push(("QUEUES", SOURCES.to_owned()));
    create(&stack, "events", "gone").await;
    create(&stack, "acme-events", "gone").await;
    let (events, bound, gone) = (stack.queue("events").await, stack.queue("acme-events").await, stack.queue("gone").await);
    let times: usize = std::env::var("DRAINED_TIMES").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let total = |number: usize| if number % 10 == 9 { 200 } else { 50 };
    let bodies: Vec<String> = (0..100 * times).map(|number| bill(number % (90 * times), total(number))).collect();
    send_many(&events, &bodies).await;
    let of_acme: Vec<String> = (0..50 * times).map(|number| bill(100_000 + number, 50).replace(r#""tenant_id":"acme","#, "")).collect();
    send_many(&bound, &of_acme).await;
    give_up(&events, &gone, 100 * times).await;
    give_up(&bound, &gone, 150 * times).await;

    let tried = dead_letter(&terminal, "drain gone --dry-run --json").await;
    let report = tried.json();
    let (stored, duplicate, rejected) = (131 * times, 9 * times, 10 * times);
    let counts = ["stored", "duplicate", "rejected"].map(|name| report[name].as_u64().and_then(|count| usize::try_from(count).ok()));
    assert_eq!((tried.status, counts), (65, [Some(stored), Some(duplicate), Some(rejected)]));
    assert_eq!(stack.database.count("select (select count(*) from message) + (select count(*) from dead_letter)").await, 0);

    let mut command = Command::new(PROCESSOR);
    command.args(["dead-letter", "drain", "gone"]).env_clear().envs(terminal.environment.iter().map(|(name, value)| (name, value)));
    command
        .env("FAILPOINTS", "commit_sent=4*off->return;drain_visibility_timeout=return(2000)")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("it starts").wait().await.expect("it crashes amid");
    assert!(stack.database.count("select count(*) from message").await > 0);
    let drained = dead_letter(&terminal, "drain gone").await;
    assert_eq!(drained.status, 65, "{drained:?}");
    let messages = stack.database.count("select count(*) from message").await;
    assert_eq!(usize::try_from(messages), Ok(stored));
    let dead_letters = "select queue, tenant_id, reason, count(*), min(attributes->'system_attributes'->>'DeadLetterQueueSourceArn') \
                   from dead_letter group by 1, 2, 3";
    assert_eq!(
        stack.database.rows(dead_letters).await,
        [format!("events | acme | schema_violation | {rejected} | arn:aws:sqs:us-east-1:000000000000:events")]
    );
    assert_eq!(
        stack.database.rows("select queue, count(*) from message group by 1 order by 1").await,
        [format!("acme-events | {}", 50 * times), format!("events | {}", 81 * times)]
    );
    stack.at_rest(&gone).await;
    let audited = stack.database.rows("select ended_at is not null from audit where command = 'dead-letter drain' order by at").await;
    assert_eq!(audited, ["false", "true"]);
    let again = dead_letter(&terminal, "drain gone").await;
    assert_eq!(again.status, 0, "{again:?}");
}

#[tokio::test]
async fn a_fifo_queues_dead_letters_are_taken_in_with_their_groups() {
    let (stack, mut terminal, _catalog) = super::start(&[]).await;
    terminal.environment.push(("QUEUES", SOURCES.to_owned()));
    stack.clients.create_queue("events", &[]).await.expect("a queue");
    stack.clients.create_queue("acme-events", &[]).await.expect("a queue");
    create(&stack, "events.fifo", "gone.fifo").await;
    let (source, gone) = (stack.queue("events.fifo").await, stack.queue("gone.fifo").await);
    send_many(&source, &(0..30).map(|number| bill(number, 50)).collect::<Vec<_>>()).await;
    give_up(&source, &gone, 30).await;
    let drained = dead_letter(&terminal, "drain gone.fifo").await;
    assert_eq!(drained.status, 0, "{drained:?}");
    assert_eq!(
        stack.database.rows("select queue, message_group, count(*) from message group by 1, 2").await,
        ["events.fifo | producers | 30"]
    );
}

#[tokio::test]
async fn a_queue_that_is_none_to_drain_is_refused_with_what_to_do() {
    let stack = Stack::start_without_catalog(&["events", "other"]).await;
    let catalog = Directory::create();
    super::write_catalog(&catalog, 1, 100);
    stack.database.apply(&catalog.0).await;
    let mut terminal = Terminal::with(stack.environment());
    terminal.environment.push(("QUEUES", "events?trust=any".to_owned()));
    for (queue, status, sentence) in [
        ("other", 78, "is the dead-letter queue of none of the queues in QUEUES and in the catalog"),
        ("absent", 69, "the queue absent does not exist"),
        ("other=acme", 64, "write a queue's name or URL alone"),
    ] {
        let refused = dead_letter(&terminal, &format!("drain {queue}")).await;
        assert!((status == 64 || refused.status == status) && refused.errors.contains(sentence), "{queue}: {refused:?}");
    }
}
