//! The commands around deliveries, on what the daemon has stored.

use sqlx::postgres::PgListener;

use super::{claim, complete, fail, pass_time};
use crate::stack::{PROCESSOR, Stack, eventually};
use crate::terminal::{Ended, Terminal};

const PAID: &str = r#"{"tenant_id":"shop","source":"web","event_id":"paid-1","event_type":"order.paid","payload":{
    "order_id":"0b3c7a52-5e0d-4d0f-9f3e-2a1b7c6d8e90","payment_id":"1f0e9d8c-7b6a-4958-8776-655443322110","paid_at":"2026-03-14T09:30:00Z",
    "method":"bank_transfer","amount":{"amount":3470,"currency":"EUR"}}}"#;

async fn stack_with_one_event() -> (Stack, Terminal) {
    let stack = Stack::start(&["events"]).await;
    let mut listener = PgListener::connect(&stack.database.url).await.expect("a listener");
    listener.listen("delivery_ready").await.expect("it listens");
    let daemon = stack.daemon("events?trust=any", &[]).await;
    let queue = stack.queue("events").await;
    queue.send(PAID).await.expect("sent");
    listener.recv().await.expect("told of the deliveries");
    assert_eq!(stack.database.count("select count(*) from delivery").await, 2, "told after the commit");
    stack.at_rest(&queue).await;
    assert_eq!(daemon.stop().await, 0);
    let mut environment = stack.environment();
    environment.push(("OPERATOR", "mara".to_owned()));
    (stack, Terminal::with(environment))
}

async fn run(terminal: &Terminal, line: &str) -> Ended {
    let arguments: Vec<&str> = line.split(' ').collect();
    terminal.run(PROCESSOR, &arguments).await
}

async fn prints(terminal: &Terminal, line: &str, expected: &str) {
    let ended = run(terminal, line).await;
    assert!(ended.status == 0 && ended.output.contains(expected), "{line}: {expected:?} is not in {ended:?}");
}

#[tokio::test]
async fn a_delivery_waits_as_its_client_says_dies_and_is_requeued_and_cancelled_by_commands() {
    let (stack, terminal) = stack_with_one_event().await;
    let database = &stack.database;
    prints(&terminal, "client pause shop warehouse --because stocktaking", "client warehouse of tenant shop is paused now; it was active")
        .await;
    let mut connection = database.connect().await;
    for wait in [Some(1), Some(2), Some(4), Some(8), Some(16), None] {
        let claimed = claim(&mut connection, "sender-1", 10, "1 min").await;
        assert_eq!(claimed.len(), 1, "the warehouse's waits: {claimed:?}");
        assert_eq!(fail(&mut connection, &[claimed[0].0]).await, [claimed[0].0]);
        if let Some(wait) = wait {
            let due = format!(
                "select count(*) from delivery d join delivery_log l using (tenant_id, source, event_id, client_id)
                 where d.client_id = 'billing' and l.id = (select max(id) from delivery_log)
                 and d.due_at - l.at between interval '{wait} s' - interval '0.1 s' and interval '{wait} s' * 1.1"
            );
            assert_eq!(database.count(&due).await, 1, "after a wait of {wait} s");
            pass_time(database, "20 s").await;
        }
    }
    let dead = run(&terminal, "delivery list --json --tenant shop --client billing").await.json();
    assert_eq!((&dead[0]["state"], &dead[0]["attempts"], &dead[0]["error"]), (&"dead".into(), &6.into(), &"no".into()), "{dead}");
    prints(&terminal, "delivery list --state dead", "paid-1").await;
    prints(&terminal, "delivery list --state delivered", "no deliveries").await;

    prints(&terminal, "delivery requeue --client billing", "requeued 1 of 1 deliveries").await;
    let (lease, _) = claim(&mut connection, "sender-1", 10, "1 min").await.pop().expect("it waits again");
    prints(&terminal, "delivery show shop paid-1 --source web --client billing", "pending after 0 attempt(s), under way with sender-1")
        .await;
    assert_eq!(complete(&mut connection, &[lease]).await, [lease]);
    prints(&terminal, "delivery show shop paid-1 --source web", "waits for its client to be resumed, which is paused").await;
    prints(&terminal, "client list --tenant shop", "stocktaking").await;
    prints(&terminal, "delivery cancel --id paid-1 --tenant shop", "cancelled 1 of 1 deliveries").await;
    prints(&terminal, "delivery requeue --all", "requeued 1 of 1 deliveries").await;
    prints(&terminal, "client resume shop warehouse", "client warehouse of tenant shop is active now; it was paused").await;
    let (lease, _) = eventually("it waits again", async || claim(&mut connection, "sender-1", 10, "1 min").await.pop()).await;
    assert_eq!(complete(&mut connection, &[lease]).await, [lease]);

    let story = run(&terminal, "trace shop paid-1 --source web").await;
    for line in
        ["failed      to client billing, attempt 6, by sender-1: no", "dead ", "requeued ", "cancelled ", "delivered   to client warehouse"]
    {
        assert!(story.output.contains(line), "{line} is not in {}", story.output);
    }
    let audited = "select operator, command, counts::text from audit where command !~ '^catalog' order by at";
    let expected = [
        "mara | client pause | {\"clients\": 1}",
        "mara | delivery requeue | {\"requeued\": 1}",
        "mara | delivery cancel | {\"cancelled\": 1}",
        "mara | delivery requeue | {\"requeued\": 1}",
        "mara | client resume | {\"clients\": 1}",
    ];
    assert_eq!(database.rows(audited).await, expected);
    assert_eq!(database.count("select count(*) from audit where ended_at is null").await, 0);
}

#[tokio::test]
async fn a_tenant_is_paused_and_resumed_and_what_is_not_there_is_said_so() {
    let (stack, terminal) = stack_with_one_event().await;
    prints(&terminal, "tenant pause shop --because migration", "tenant shop is paused now; it was active").await;
    prints(&terminal, "tenant pause shop", "tenant shop is paused, as it was").await;
    let mut connection = stack.database.connect().await;
    assert_eq!(claim(&mut connection, "one", 10, "1 min").await, []);
    prints(&terminal, "delivery show shop paid-1 --source web", "waits for its tenant to be resumed").await;
    prints(&terminal, "tenant show shop", "active, tenant paused").await;
    prints(&terminal, "tenant list --json", "\"state\": \"paused\"").await;
    prints(&terminal, "tenant resume shop", "tenant shop is active now; it was paused").await;
    assert_eq!(claim(&mut connection, "one", 10, "1 min").await.len(), 2);
    prints(&terminal, "client disable shop billing", "client billing of tenant shop is disabled now; it was active").await;

    for (line, status, sentence) in [
        (
            "client pause shop nobody",
            65,
            "tenant \"shop\" has no client \"nobody\"; `processor client list --tenant shop` shows which there are",
        ),
        ("tenant resume nobody", 65, "there is no tenant \"nobody\"; `processor tenant list` shows which there are"),
        ("tenant show nobody", 65, "there is no tenant \"nobody\""),
        ("delivery show shop nothing", 65, "there is no such delivery of an event \"nothing\""),
        ("delivery requeue", 64, "say which deliveries by a filter, such as --tenant or --id, or --all for every one"),
        ("delivery cancel --all --tenant shop", 64, "--all means every one, and a filter some of them"),
    ] {
        let ended = run(&terminal, line).await;
        assert!(ended.status == status && ended.errors.contains(sentence), "{line}: {ended:?}");
    }
    // What was paused is no business of the files.
    run(&terminal, "client pause shop warehouse").await;
    stack.database.apply(&crate::stack::sample_catalog()).await;
    let states = "select client_id, state from client where tenant_id = 'shop' order by 1";
    assert_eq!(stack.database.rows(states).await, ["billing | disabled", "warehouse | paused"]);
}
