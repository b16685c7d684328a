//! What one tenant's events, or one bad event, cost the others: nothing but a little time.

use std::time::Duration;

use tokio::time::Instant;

use crate::daemon::Daemon;
use crate::load::{Lock, event, events, occupy_writers, outcomes, send, send_many};
use crate::stack::{Directory, Stack, eventually};

const QUEUES: &str = "events?trust=any";

/// How many messages are received again and again, `OFTEN_RECEIVED_EVENTS`.
fn often_received() -> usize {
    std::env::var("OFTEN_RECEIVED_EVENTS").map_or(60, |text| text.parse().expect("OFTEN_RECEIVED_EVENTS is a number"))
}

pub fn event_of(tenant: &str, event_type: &str, event_id: &str) -> String {
    format!(r#"{{"tenant_id":"{tenant}","event_id":"{event_id}","event_type":"{event_type}","payload":"hello"}}"#)
}

/// A catalog of tenants that have the same event types, each with the same schema, from one template.
pub async fn apply_template(stack: &Stack, tenants: &[&str], event_types: &[&str]) {
    let catalog = Directory::create();
    for tenant in tenants {
        catalog.write(&format!("{tenant}/tenant.toml"), "");
        for event_type in event_types {
            catalog.write(&format!("{tenant}/{event_type}/1.json"), r#"{"type": "string", "minLength": 1}"#);
        }
    }
    stack.database.apply(&catalog.0).await;
}

/// The 99th percentile of the milliseconds from the sending of a batch's events to their transaction.
async fn delay_p99(stack: &Stack, batch: &str) -> i64 {
    let delay = "percentile_cont(0.99) within group (order by extract(epoch from received_at - sent_at))";
    stack.database.count(&format!("select (1000 * {delay})::bigint from message where event_id like '{batch}-%'")).await
}

#[tokio::test]
async fn a_tenants_slow_events_set_back_no_other_tenants_of_the_same_template() {
    let stack = Stack::start_without_catalog(&["events"]).await;
    apply_template(&stack, &["slow", "quick"], &["note"]).await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon(QUEUES, &[("FAILPOINTS", "slow=return(3000 drag)")]).await;
    daemon.ready().await;
    let stored = async |tenant: &str| stack.database.count(&format!("select count(*) from message where tenant_id = '{tenant}'")).await;
    let quick = |batch: &'static str| (0..300).map(move |number| event_of("quick", "note", &format!("{batch}-{number}")));
    send(&queue, quick("alone")).await;
    eventually("they are stored", async || (stored("quick").await == 300).then_some(())).await;
    let dragging = (0..4).map(|number| event_of("slow", "note", &format!("drag-{number}")));
    send(&queue, dragging.chain(quick("beside"))).await;
    eventually("the other tenant's are stored", async || (stored("quick").await == 600).then_some(())).await;
    // The first four take a thread each before one of them is seen to be slow; at that time none has ended, or few.
    assert!(stored("slow").await < 4, "nothing was slow");
    stack.at_rest(&queue).await;
    assert_eq!(stored("slow").await, 4);
    let (alone, beside) = (delay_p99(&stack, "alone").await, delay_p99(&stack, "beside").await);
    println!("the 99th percentile of the delay until an event is stored: {alone} ms alone, {beside} ms beside the slow tenant's");
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_process_whose_threads_are_all_stuck_is_not_alive() {
    let stack = Stack::start_without_catalog(&["events"]).await;
    let event_types: Vec<String> = (0..12).map(|number| format!("type-{number}")).collect();
    apply_template(&stack, &["acme"], &event_types.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon(QUEUES, &[("FAILPOINTS", "slow=return(600000 stuck);progress_interval=return(50)")]).await;
    daemon.ready().await;
    assert_eq!(daemon.get("/livez").await.0, 200);
    // Each under a schema of its own: more than there are threads, those that replace others included.
    send(&queue, event_types.iter().map(|event_type| event_of("acme", event_type, &format!("stuck-{event_type}")))).await;
    eventually("it is not alive", async || (daemon.get("/livez").await.0 == 503).then_some(())).await;
    assert!(daemon.get("/livez").await.1.contains("restart the process"), "it does not say what to do");
    daemon.kill().await;
}

/// Receives everything and hands it back, as other consumers would, so often.
async fn receive_often(stack: &Stack, times: usize, messages: usize) {
    let queue = stack.queue("events").await;
    for _ in 0..times {
        let mut received = Vec::new();
        while received.len() < messages {
            received.extend(queue.receive(10, Duration::from_secs(1), Duration::from_mins(1)).await.expect("the queue answers"));
        }
        for chunk in received.chunks(10) {
            let back: Vec<_> = chunk.iter().map(|message| (&message.lease, Duration::ZERO)).collect();
            queue.set_visibility(&back).await.expect("handed back");
        }
    }
}

pub async fn drain(stack: &Stack, settings: &[(&'static str, &str)]) -> (Daemon, Duration) {
    let daemon = stack.daemon(QUEUES, settings).await;
    let began = Instant::now();
    stack.at_rest(&stack.queue("events").await).await;
    (daemon, began.elapsed())
}

#[tokio::test]
async fn what_was_received_often_by_no_fault_of_its_own_is_stored_together() {
    let count = often_received();
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    send_many(&queue, &events(count)).await;
    let (daemon, new) = drain(&stack, &[]).await;
    assert_eq!(daemon.stop().await, 0);
    stack.database.execute("truncate message cascade").await;
    send_many(&queue, &events(count)).await;
    receive_often(&stack, 5, count).await;
    let (daemon, again) = drain(&stack, &[]).await;
    println!("{count} new events took {new:.1?}, as many that were received six times {again:.1?}");
    assert_eq!(stack.database.count("select count(*) from message").await, i64::try_from(count).expect("a number"));
    assert_eq!(stack.database.count("select count(*) from dead_letter").await, 0);
    eventually("none is counted any more", async || (stack.database.count("select count(*) from poison_attempt").await == 0).then_some(()))
        .await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_killer_among_those_that_were_received_often_is_found_alone() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let neighbours = 30;
    send(&queue, events(neighbours).into_iter().chain([event("kill-me")])).await;
    receive_often(&stack, 4, neighbours + 1).await;
    let settings = [("VISIBILITY_TIMEOUT", "1"), ("FAILPOINTS", "poison=return(kill-me)")];
    let dead_letters = async || stack.database.count("select count(*) from dead_letter").await;
    let mut crashes = 0;
    let daemon = loop {
        let mut daemon = stack.daemon(QUEUES, &settings).await;
        eventually("it ends the process or is a dead letter", async || (daemon.has_ended() || dead_letters().await > 0).then_some(()))
            .await;
        if dead_letters().await > 0 {
            break daemon;
        }
        crashes += 1;
    };
    // Once with the others, twice alone.
    assert_eq!(crashes, 3);
    stack.at_rest(&queue).await;
    assert_eq!(
        stack.database.rows("select reason, convert_from(body, 'UTF8') from dead_letter").await,
        [format!("received_too_often | {}", event("kill-me"))]
    );
    assert_eq!(stack.database.count("select count(*) from message").await, 30);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_thousand_conflicts_with_a_large_event_keep_nobody_waiting() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let with = |text: &str| event("large").replace("hello", text);
    let daemon = stack.daemon(QUEUES, &[]).await;
    send(&queue, [with(&"x".repeat(250_000))]).await;
    stack.at_rest(&queue).await;
    let memory_before = daemon.metric("process_resident_memory_bytes", "").await;
    // Each writer waits with an event of its own; meanwhile everything else becomes one batch.
    let lock = occupy_writers(&stack.database, &queue, "waits").await;
    let conflicts: Vec<String> = (0..1_000).map(|number| with(&format!("other {number}"))).collect();
    send_many(&queue, &conflicts).await;
    send_many(&queue, &events(100)).await;
    eventually("all wait for the writers", async || (daemon.metric("event_processor_in_flight_events", "").await > 1_101.5).then_some(()))
        .await;
    lock.release().await;
    let began = Instant::now();
    let others = "select count(*) from message where event_id like 'event-%'";
    eventually("the others are stored", async || (stack.database.count(others).await == 100).then_some(())).await;
    let memory = (daemon.metric("process_resident_memory_bytes", "").await - memory_before) / f64::from(1 << 20);
    println!("the others were stored after {:.2?}, with {memory:.1} MiB more than before", began.elapsed());
    stack.at_rest(&queue).await;
    assert_eq!(stack.database.rows("select reason, count(*) from dead_letter group by 1").await, ["id_conflict | 1000"]);
    assert_eq!(outcomes(&daemon, "rejected").await, 1_000);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn large_events_are_few_in_a_transaction_in_which_others_wait() {
    let stack = Stack::start(&["large", "small"]).await;
    let (large, small) = (stack.queue("large").await, stack.queue("small").await);
    let daemon = stack.daemon("large?trust=any,small?trust=any", &[]).await;
    let lock = occupy_writers(&stack.database, &small, "waits").await;
    let text = "x".repeat(250_000);
    send_many(&large, &(0..30).map(|number| event(&format!("large-{number}")).replace("hello", &text)).collect::<Vec<_>>()).await;
    send_many(&small, &events(300)).await;
    eventually("all wait for the writers", async || (daemon.metric("event_processor_in_flight_events", "").await > 331.5).then_some(()))
        .await;
    lock.release().await;
    stack.at_rest(&large).await;
    stack.at_rest(&small).await;
    let transactions = "select count(*) filter (where queue = 'large') as large, count(*) filter (where queue = 'small') as small \
                        from message group by stored_xid";
    let counts = format!("select max(large) from ({transactions}) as transactions where small > 0");
    // Of 1 MiB at most; else as many as fit into 4 MiB would go first.
    assert_eq!(stack.database.count(&counts).await, 4);
    assert_eq!(stack.database.count("select count(*) from message").await, 332);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_tenants_few_events_are_stored_while_every_transaction_of_anothers_flood_stands_still() {
    let stack = Stack::start_without_catalog(&["events"]).await;
    apply_template(&stack, &["flood", "few"], &["note"]).await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon(QUEUES, &[]).await;
    // Each row of the flood's holds its schema's, and waits for it.
    let lock = Lock::by(&stack.database, "select from event_schema where tenant_id = 'flood' for update").await;
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    send_many(&queue, &(0..200).map(|number| event_of("flood", "note", &number.to_string())).collect::<Vec<_>>()).await;
    eventually("they stand still", async || (stack.database.count(waiting).await >= 2).then_some(())).await;
    eventually("the whole flood waits", async || (daemon.metric("event_processor_in_flight_events", "").await > 199.5).then_some(())).await;
    send(&queue, (0..10).map(|number| event_of("few", "note", &number.to_string()))).await;
    let stored = "select tenant_id, count(*) from message group by 1 order by 1";
    eventually("the other tenant's are stored", async || (stack.database.rows(stored).await == ["few | 10"]).then_some(())).await;
    lock.release().await;
    stack.at_rest(&queue).await;
    assert_eq!(stack.database.rows(stored).await, ["few | 10", "flood | 200"]);
    assert_eq!(daemon.stop().await, 0);
}
