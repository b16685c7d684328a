//! `processor dead-letter list` and `show`.

use super::terminal;
use crate::stack::{PROCESSOR, Stack};
use crate::terminal::Terminal;

/// The reasons of the letters that a list with these flags shows, the newest first.
async fn check(terminal: &Terminal, flags: &[&str], reasons: &[&str]) {
    let arguments = |more: &[&'static str]| [&["dead-letter", "list"], flags, more].concat();
    let listed = terminal.run(PROCESSOR, &arguments(&["--json"])).await;
    assert_eq!((listed.status, listed.errors.as_str()), (0, ""), "{flags:?}");
    let listed = listed.json();
    let told: Vec<_> = listed.as_array().expect("an array").iter().filter_map(|letter| letter["reason"].as_str()).collect();
    assert_eq!(told, reasons, "{flags:?}");
    let text = terminal.run(PROCESSOR, &arguments(&[])).await.output;
    let lines = if reasons.is_empty() { 1 } else { reasons.len() + 1 };
    assert_eq!(text.lines().count(), lines, "{text}");
    assert!(reasons.iter().all(|reason| text.contains(reason)), "{text}");
}

#[tokio::test]
async fn letters_are_listed_by_tenant_reason_and_queue_and_shown_with_what_explains_them() {
    let stack = Stack::start(&["events", "shop-events"]).await;
    let daemon = stack.daemon("events?trust=any,shop-events=shop", &[]).await;
    for (queue, body) in [
        ("events", "Hello World"),
        ("events", r#"{"tenant_id":"crm","event_id":"c1","event_type":"no.such","payload":1}"#),
        ("shop-events", r#"{"event_type":"order.created","source":"web","event_id":"o1","schema_version":2,"payload":{"total":"s3cret"}}"#),
        ("shop-events", r#"{"event_type":"order.created","payload":[]}"#),
    ] {
        let queue = stack.queue(queue).await;
        queue.send(body).await.expect("sent");
        stack.at_rest(&queue).await;
    }
    assert_eq!(daemon.stop().await, 0);
    stack.database.execute("update dead_letter set discarded_at = now() where body = convert_to('Hello World', 'UTF8')").await;
    let terminal = terminal(&stack);
    check(&terminal, &[], &["schema_violation", "schema_violation", "unknown_event_type"]).await;
    check(&terminal, &["--all"], &["schema_violation", "schema_violation", "unknown_event_type", "malformed_json"]).await;
    check(&terminal, &["--tenant", "crm"], &["unknown_event_type"]).await;
    check(&terminal, &["--tenant", "nobody"], &[]).await;
    check(&terminal, &["--reason", "schema_violation", "--limit", "1"], &["schema_violation"]).await;
    check(&terminal, &["--queue", "events", "--all"], &["unknown_event_type", "malformed_json"]).await;
    check(&terminal, &["--queue", "shop-events", "--tenant", "shop", "--reason", "unknown_event_type"], &[]).await;

    let found = terminal.run(PROCESSOR, &["dead-letter", "list", "--json", "--tenant", "shop"]).await.json();
    let number = found[1]["dead_letter_id"].to_string();
    let shown = terminal.run(PROCESSOR, &["dead-letter", "show", &number]).await;
    assert_eq!((shown.status, shown.errors.as_str()), (0, ""));
    for part in [
        &format!("dead letter {number}: schema_violation (open)\n  The payload breaks its schema."),
        "\n  at the top: expected property `order_id`, found object  (required of order.created/2.json#/required)\n",
        "\n  at /total: expected an object, found string  (type of common/money.json#/type)\n",
        "\ntenant      shop\nevent       type order.created, id o1, source web\nqueue       shop-events (native), SQS message ",
        "\nbody\n{\"event_type\":\"order.created\",\"source\":\"web\"",
    ] {
        assert!(shown.output.contains(part), "{part} is not in {}", shown.output);
    }
    let letter = terminal.run(PROCESSOR, &["dead-letter", "show", &number, "--json"]).await.json();
    for (field, value) in
        [("reason", "schema_violation"), ("tenant_id", "shop"), ("queue_tenant", "shop"), ("event_id", "o1"), ("state", "open")]
    {
        assert_eq!(letter[field], value, "{letter}");
    }
    assert_eq!((&letter["schema_version"], &letter["receive_count"]), (&2.into(), &1.into()));
    assert!(letter["errors"].as_array().is_some_and(|errors| errors.len() > 1 && !letter["errors"].to_string().contains("s3cret")));

    for arguments in [["dead-letter", "show", "999999"].as_slice(), &["dead-letter", "show", "999999", "--json"]] {
        let unknown = terminal.run(PROCESSOR, arguments).await;
        let sentence = "there is no dead letter 999999; `processor dead-letter list --all` shows which there are\n";
        assert_eq!((unknown.status, unknown.output.as_str(), unknown.errors.as_str()), (65, "", sentence));
    }
}
