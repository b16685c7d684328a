//! `producers send`.

use super::terminal;
use crate::stack::{PRODUCERS, Stack};

#[tokio::test]
async fn a_body_is_sent_as_it_is_and_waited_for_where_that_is_asked() {
    let stack = Stack::start(&["events"]).await;
    let terminal = terminal(&stack);
    let queue = stack.queue("events").await;
    let body = r#"{"tenant_id":"platform","event_id":"m1","event_type":"monitor-app","payload":"hello 7"}"#;
    terminal.directory.write("body.json", &format!("{body}\n"));

    // Without the daemon: it is on the queue, and nothing becomes of it.
    let sent = terminal.run(PRODUCERS, &["send", "body.json", "--queue", "events"]).await;
    assert_eq!((sent.status, sent.errors.as_str()), (0, ""));
    assert!(sent.output.starts_with("sent to events as SQS message "), "{sent:?}");
    assert!(queue.depth().await.expect("a depth").contains(&("visible", 1)));
    let waited = terminal.run(PRODUCERS, &["send", "body.json", "--queue", "events", "--wait", "--timeout", "1s"]).await;
    assert_eq!((waited.status, waited.errors.lines().count()), (69, 1));
    assert!(waited.errors.contains("is the processor running and polling this queue?"), "{waited:?}");

    let daemon = stack.daemon("events?trust=any", &[]).await;
    stack.at_rest(&queue).await;
    let stored = r#"{"tenant_id":"platform","event_id":"m2","event_type":"monitor-app","payload":"hello 8"}"#;
    let url = queue.url().to_owned();
    for (queue, body, status, told) in [
        ("events", stored, 0, "stored for tenant platform as event m2\n"),
        (&url, body, 0, "a duplicate of event m1 of tenant platform, which was stored before\n"),
        (
            "events",
            r#"{"tenant_id":"platform","event_type":"monitor-app","payload":7}"#,
            65,
            ": schema_violation; `processor dead-letter show ",
        ),
        ("events", "Hello World", 65, ": malformed_json; `processor dead-letter show "),
    ] {
        let ended = terminal.run_on(PRODUCERS, &["send", "--queue", queue, "--wait"], body).await;
        assert_eq!(ended.status, status, "{body}: {ended:?}");
        assert!(ended.output.contains(told), "{told} is not in {ended:?}");
    }
    stack.at_rest(&queue).await;
    let bodies = stack.database.rows("select payload::text from message order by event_id").await;
    assert_eq!(bodies, ["\"hello 7\"", "\"hello 8\""]);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_queue_that_does_not_exist_is_said_to_be_missing() {
    let stack = Stack::start(&[]).await;
    let ended = terminal(&stack).run_on(PRODUCERS, &["send", "--queue", "evnts"], "{}").await;
    assert_eq!((ended.status, ended.errors.as_str()), (69, "the queue evnts does not exist; create it or correct --queue\n"));
}

#[tokio::test]
async fn nothing_is_sent_where_waiting_is_not_possible() {
    let stack = Stack::start(&["events"]).await;
    let mut terminal = terminal(&stack);
    terminal.environment.retain(|(name, _)| *name != "DATABASE_URL");
    let ended = terminal.run_on(PRODUCERS, &["send", "--queue", "events", "--wait"], "{}").await;
    assert_eq!((ended.status, ended.output.as_str()), (78, ""));
    assert!(stack.queue("events").await.depth().await.expect("a depth").contains(&("visible", 0)));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_told_so_and_credentials_are_not_blamed() {
    let stack = Stack::start(&["events"]).await;
    let terminal = terminal(&stack);
    terminal.directory.write("body", &"x".repeat((1 << 20) + 1));
    let ended = terminal.run(PRODUCERS, &["send", "body", "--queue", "events"]).await;
    let told = "the body in \"body\" has 1048577 bytes, and SQS takes at most 1048576\n";
    assert_eq!((ended.status, ended.errors.as_str()), (78, told));
    // The embedded server's own limit, which is that of SQS until 2025.
    let ended = terminal.run_on(PRODUCERS, &["send", "--queue", "events"], &"x".repeat(300_000)).await;
    let told = "the queue events refuses the body, 300000 bytes in \"-\" (InvalidParameterValue: ";
    assert!(ended.status == 78 && ended.errors.starts_with(told) && ended.errors.contains("shorter than 262144"), "{ended:?}");
}
