//! `producers` and `producers verify`: events by the thousand, and the proof that none was lost.

use crate::stack::{Daemon, PRODUCERS, Stack, sample_catalog};
use crate::terminal::{Ended, Terminal};

/// The sample catalog's path as an argument.
fn schemas() -> String {
    sample_catalog().display().to_string()
}

/// A daemon, a terminal, and a ledger of what was sent.
struct Run {
    stack: Stack,
    terminal: Terminal,
    daemon: Daemon,
}

impl Run {
    /// Sends with these arguments to a queue as `QUEUES` names it.
    async fn send(queue: &str, arguments: &str) -> Self {
        let name = queue.split(['=', '?']).next().expect("a name");
        let stack = Stack::start(&[name]).await;
        let terminal = Terminal::with(stack.environment());
        let daemon = stack.daemon(queue, &[]).await;
        let schemas = schemas();
        let mut words = vec!["--queue", queue, "--schemas", &schemas, "--ledger", "ledger"];
        words.extend(arguments.split_whitespace());
        let ended = terminal.run(PRODUCERS, &words).await;
        assert_eq!(ended.status, 0, "{ended:?}");
        Self { stack, terminal, daemon }
    }

    async fn verify(&self) -> Ended {
        self.terminal.run(PRODUCERS, &["verify", "--ledger", "ledger", "--json"]).await
    }
}

#[tokio::test]
async fn two_thousand_events_of_every_sort_are_accounted_for() {
    let run = Run::send("events?trust=any", "--events 2000 --rate 5000 --invalid 0.11 --duplicates 0.05 --seed 7").await;
    let verified = run.verify().await;
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
