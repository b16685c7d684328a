//! The commands around the daemon, as a person uses them.

mod catalog;
mod dead_letter;
mod producers;
mod validate;

use crate::stack::{Database, PROCESSOR, Stack};
use crate::terminal::Terminal;

/// A terminal on a stack.
fn terminal(stack: &Stack) -> Terminal {
    Terminal::with(stack.environment())
}

#[tokio::test]
async fn migrate_makes_the_tables_and_says_when_there_is_nothing_to_do() {
    let database = Database::create_empty().await;
    let terminal = Terminal::with(vec![("DATABASE_URL", database.url.clone())]);
    let without_tables = terminal.run(PROCESSOR, &["dead-letter", "list"]).await;
    assert_eq!(without_tables.status, 78);
    assert!(without_tables.errors.contains("run `processor migrate`"), "{without_tables:?}");

    let migrations = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).expect("migrations").count();
    let first = terminal.run(PROCESSOR, &["migrate"]).await;
    assert_eq!((first.status, first.output, first.errors), (0, format!("applied {migrations} migration(s)\n"), String::new()));
    let second = terminal.run(PROCESSOR, &["migrate"]).await;
    assert_eq!((second.status, second.output.as_str()), (0, "the tables are up to date\n"));
    assert_eq!(terminal.run(PROCESSOR, &["dead-letter", "list"]).await.output, "no dead letters\n");
}

#[tokio::test]
async fn health_asks_the_daemon_whether_it_is_ready() {
    let stack = Stack::start(&["events"]).await;
    let daemon = stack.daemon("missing", &[]).await;
    daemon.says("queue missing: does not exist; create it or correct QUEUES").await;
    let mut terminal = terminal(&stack);
    terminal.environment.retain(|(name, _)| *name != "LISTEN_ADDRESS");
    terminal.environment.push(("LISTEN_ADDRESS", daemon.address.clone()));
    let not_ready = terminal.run(PROCESSOR, &["health"]).await;
    assert_eq!((not_ready.status, not_ready.output.as_str()), (69, ""));
    assert!(not_ready.errors.contains("queue missing: does not exist; create it or correct QUEUES"), "{not_ready:?}");
    assert_eq!(daemon.stop().await, 0);
    let stopped = terminal.run(PROCESSOR, &["health"]).await;
    assert!(stopped.status == 69 && stopped.errors.starts_with("not ready\nno answer from 127.0.0.1:"), "{stopped:?}");

    let daemon = stack.daemon("events?trust=any", &[]).await;
    daemon.ready().await;
    let address = daemon.address.clone();
    let ready = terminal.run(PROCESSOR, &["health", "--listen-address", &address]).await;
    assert_eq!((ready.status, ready.output.as_str(), ready.errors.as_str()), (0, "ready\n", ""));
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn the_environment_that_dev_has_left_is_used_and_said_so_unless_something_else_is_set() {
    let stack = Stack::start(&["events"]).await;
    let terminal = Terminal::with(Vec::new());
    let lines: Vec<_> = stack.environment().iter().map(|(name, value)| format!("{name}='{value}'")).collect();
    terminal.directory.write(".dev/env", &format!("# written by a test\n{}\n", lines.join("\n")));
    let said = "using .dev/env, written by `processor dev`; set DATABASE_URL, QUEUES or AWS_ENDPOINT_URL to use something else\n";
    let used = terminal.run(PROCESSOR, &["dead-letter", "list"]).await;
    assert_eq!((used.status, used.output.as_str(), used.errors.as_str()), (0, "no dead letters\n", said));
    let sent = terminal.run_on(crate::stack::PRODUCERS, &["send", "--queue", "events"], "{}").await;
    assert_eq!((sent.status, sent.errors.as_str()), (0, said));

    for name in ["DATABASE_URL", "QUEUES", "QUEUE_NAME", "AWS_ENDPOINT_URL"] {
        let value = if name == "DATABASE_URL" { "postgres://127.0.0.1:1/events" } else { "events" };
        let terminal = Terminal { environment: vec![(name, value.to_owned())], directory: crate::stack::Directory::create() };
        terminal.directory.write(".dev/env", &lines.join("\n"));
        let own = terminal.run(PROCESSOR, &["dead-letter", "list"]).await;
        assert!(own.status != 0 && !own.errors.contains(".dev/env"), "{name}: {own:?}");
    }
}
