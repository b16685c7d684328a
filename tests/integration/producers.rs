//! `producers` and `producers verify`: events by the thousand, and the proof that none was lost.

mod fair;
mod flags;
mod forgeries;
mod generation;
mod terminal;

use crate::daemon::Daemon;
use crate::ledger::Ledger;
use crate::proxy::{Fault, Proxy};
use crate::stack::{Stack, eventually};

/// A daemon, and a ledger of what was sent.
struct Run {
    stack: Stack,
    ledger: Ledger,
    daemon: Daemon,
}

impl Run {
    /// A stack on which nothing was sent yet.
    async fn start(queue: &str) -> Self {
        let name = queue.split(['=', '?']).next().expect("a name");
        let stack = Stack::start(&[name]).await;
        let ledger = Ledger::on(&stack);
        let daemon = stack.daemon(queue, &[]).await;
        Self { stack, ledger, daemon }
    }

    /// Sends with these arguments to a queue as `QUEUES` names it.
    async fn send(queue: &str, arguments: &str) -> Self {
        let run = Self::start(queue).await;
        run.ledger.send(queue, arguments).await;
        run
    }
}

#[tokio::test]
async fn two_thousand_events_of_every_sort_are_accounted_for() {
    let run = Run::send("events?trust=any", "--events 2000 --rate 5000 --invalid 0.11 --duplicates 0.05 --seed 7").await;
    let verified = run.ledger.verify().await;
    assert_eq!((verified.status, verified.errors.as_str()), (0, ""), "{verified:?}");
    let report = verified.json();
    for (name, count) in [("sent", 2000), ("missing", 0), ("altered", 0), ("unexpected", 0), ("unknown", 0), ("on_queue", 0)] {
        assert_eq!(report[name], count, "{name}: {report}");
    }
    let count = |name: &str| report[name].as_i64().expect("a number");
    assert_eq!(count("stored") + count("duplicates") + count("dead_lettered"), 2000, "{report}");
    assert!(count("stored") > 1500 && count("duplicates") > 50 && count("dead_lettered") > 150, "{report}");
    let database = &run.stack.database;
    assert_eq!(database.count("select count(*) from message").await, count("stored"));
    assert_eq!(database.count("select count(*) from dead_letter").await, count("dead_lettered"));
    assert_eq!(run.daemon.stop().await, 0);
}

#[tokio::test]
async fn on_a_bound_queue_the_tenants_own_events_are_sent_and_accounted_for() {
    let run = Run::send("shop-events=shop", "--events 300 --rate 5000 --invalid 0.2 --duplicates 0.1 --size 300").await;
    let verified = run.ledger.verify().await;
    assert_eq!(verified.status, 0, "{verified:?}");
    assert_eq!(run.stack.database.rows("select distinct tenant_id from message").await, ["shop"]);
    assert_eq!(run.stack.database.count("select count(distinct reason) from dead_letter").await, 15);
    assert!(run.stack.database.count("select count(*) from dead_letter where reason = 'tenant_mismatch'").await > 0);
    assert_eq!(run.daemon.stop().await, 0);
}

#[tokio::test]
async fn an_interrupt_ends_it_with_a_complete_ledger() {
    let run = Run::start("events?trust=any").await;
    let mut child = run.ledger.begin("events", "--rate 1000", 50).await;
    let id = child.id().expect("it runs").to_string();
    let killed = std::process::Command::new("/bin/sh").args(["-c", &format!("kill -INT {id}")]).status();
    assert!(killed.expect("sh").success());
    assert_eq!(child.wait().await.expect("a status").code(), Some(0));
    assert!(run.ledger.text().lines().all(|line| line.contains("\"sending\":\"accepted\"")), "{}", run.ledger.text());
    let verified = run.ledger.verify().await;
    assert_eq!(verified.status, 0, "{verified:?}");
    assert_eq!(verified.json()["sent"], run.ledger.text().lines().count());
    assert_eq!(run.daemon.stop().await, 0);
}

#[tokio::test]
async fn a_killed_producer_leaves_a_line_for_all_that_it_sent() {
    let run = Run::start("events?trust=any").await;
    for round in 0..3 {
        let mut child = run.ledger.begin("events", "--rate 3000 --invalid 0.1 --duplicates 0.1", 300).await;
        child.kill().await.expect("killed");
        let verified = run.ledger.verify().await;
        assert_eq!(verified.status, 0, "round {round}: {verified:?}");
        std::fs::remove_file(run.ledger.terminal.directory.0.join("ledger")).expect("removed");
    }
    assert_eq!(run.daemon.stop().await, 0);
}

#[tokio::test]
async fn payloads_of_ones_own_are_sent_once_to_each_type_and_their_verdict_is_foretold() {
    let run = Run::start("events?trust=any").await;
    let payloads = [("a.json", "\"hello\"\n"), ("b/c.json", " \"\\u00e9\" "), ("d.json", "7"), ("e.txt", "Hello World")];
    for (name, payload) in payloads {
        run.ledger.terminal.directory.write(&format!("payloads/{name}"), payload);
    }
    let arguments = "--payloads payloads --tenant platform --event-type monitor-app --event-type user-app";
    let sent = run.ledger.send("events", arguments).await;
    assert!(sent.status == 0 && sent.output.contains("\nsent 8 events to events\n"), "{sent:?}");
    let verified = run.ledger.verify().await;
    assert_eq!(verified.status, 0, "{verified:?}");
    let database = &run.stack.database;
    let stored = database.rows("select event_type, payload::text as payload from message order by 1, 2").await;
    assert_eq!(stored, ["monitor-app | \"\\u00e9\"", "monitor-app | \"hello\"", "user-app | \"\\u00e9\"", "user-app | \"hello\""]);
    let dead_letters = database.rows("select reason, count(*)::text as dead_letters from dead_letter group by 1 order by 1").await;
    assert_eq!(dead_letters, ["malformed_json | 2", "schema_violation | 2"]);
    assert_eq!(run.daemon.stop().await, 0);
}

#[tokio::test]
async fn copies_that_are_sent_because_replies_were_lost_are_accounted_for() {
    let mut run = Run::start("events?trust=any").await;
    let queue = run.stack.queue("events").await;
    let proxy = Proxy::before(&run.stack.server.endpoint_url()).await;
    run.ledger.terminal.environment.retain(|(name, _)| *name != "AWS_ENDPOINT_URL");
    run.ledger.terminal.environment.push(("AWS_ENDPOINT_URL", proxy.url.clone()));
    proxy.trap("SendMessageBatch", Fault::LoseReply);
    let child = run.ledger.begin("events", "--events 300 --rate 1000 --invalid 0.3 --duplicates 0.1", 50).await;
    eventually("what was lost arrives", async || {
        let arrived = run.stack.database.count("select (select count(*) from message) + (select count(*) from dead_letter)").await;
        (arrived >= 50).then_some(())
    })
    .await;
    proxy.mend();
    let output = child.wait_with_output().await.expect("a status");
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success() && told.contains("sent 300 events to events; ") && told.contains("replies were lost"), "{told}");
    let verified = run.ledger.verify().await;
    assert_eq!(verified.status, 0, "{verified:?}");
    let (sent, dead_letters) = (verified.json()["sent"].as_i64(), verified.json()["dead_lettered"].as_i64());
    assert_eq!(sent, Some(300));
    run.stack.at_rest(&queue).await;
    assert!(
        run.stack.database.count("select count(*) from dead_letter").await > dead_letters.expect("a number"),
        "no dead letter came twice"
    );
    assert_eq!(run.daemon.stop().await, 0);
}
