//! `processor dead-letter list` and `show`.

use super::terminal;
use crate::stack::{PROCESSOR, Stack};
use crate::terminal::Terminal;

/// The reasons of the dead letters that a list with these flags shows, the newest first.
async fn check(terminal: &Terminal, flags: &[&str], reasons: &[&str]) {
    let arguments = |more: &[&'static str]| [&["dead-letter", "list"], flags, more].concat();
    let listed = terminal.run(PROCESSOR, &arguments(&["--json"])).await;
    assert_eq!((listed.status, listed.errors.as_str()), (0, ""), "{flags:?}");
    let listed = listed.json();
    let told: Vec<_> = listed.as_array().expect("an array").iter().filter_map(|dead_letter| dead_letter["reason"].as_str()).collect();
    assert_eq!(told, reasons, "{flags:?}");
    let text = terminal.run(PROCESSOR, &arguments(&[])).await.output;
    let lines = if reasons.is_empty() { 1 } else { reasons.len() + 1 };
    assert_eq!(text.lines().count(), lines, "{text}");
    assert!(reasons.iter().all(|reason| text.contains(reason)), "{text}");
}

#[tokio::test]
async fn dead_letters_are_listed_by_tenant_reason_and_queue_and_shown_with_what_explains_them() {
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
    check(&terminal, &["--closed"], &["schema_violation", "schema_violation", "unknown_event_type", "malformed_json"]).await;
    check(&terminal, &["--tenant", "crm"], &["unknown_event_type"]).await;
    check(&terminal, &["--tenant", "nobody"], &[]).await;
    check(&terminal, &["--reason", "schema_violation", "--limit", "1"], &["schema_violation"]).await;
    check(&terminal, &["--queue", "events", "--closed"], &["unknown_event_type", "malformed_json"]).await;
    check(&terminal, &["--queue", "shop-events", "--tenant", "shop", "--reason", "unknown_event_type"], &[]).await;

    let found = terminal.run(PROCESSOR, &["dead-letter", "list", "--json", "--tenant", "shop"]).await.json();
    let number = found[1]["dead_letter_id"].to_string();
    let printed = terminal.run(PROCESSOR, &["dead-letter", "show", &number]).await;
    assert_eq!((printed.status, printed.errors.as_str()), (0, ""));
    for part in [
        &format!("dead letter {number}: schema_violation (open)\n  The payload breaks its schema."),
        "\n  at the top: expected property `order_id`, found object  (required of order.created/2.json#/required)\n",
        "\n  at /total: expected an object, found string  (type of common/money.json#/type)\n",
        "\ntenant      shop\nevent       type order.created, id o1, source web\nqueue       shop-events (native), SQS message ",
        "\nbody\n{\"event_type\":\"order.created\",\"source\":\"web\"",
    ] {
        assert!(printed.output.contains(part), "{part} is not in {}", printed.output);
    }
    let dead_letter = terminal.run(PROCESSOR, &["dead-letter", "show", &number, "--json"]).await.json();
    for (field, value) in
        [("reason", "schema_violation"), ("tenant_id", "shop"), ("queue_tenant", "shop"), ("event_id", "o1"), ("state", "open")]
    {
        assert_eq!(dead_letter[field], value, "{dead_letter}");
    }
    assert_eq!((&dead_letter["schema_version"], &dead_letter["receive_count"]), (&2.into(), &1.into()));
    assert!(
        dead_letter["errors"].as_array().is_some_and(|errors| errors.len() > 1 && !dead_letter["errors"].to_string().contains("s3cret"))
    );

    for arguments in [["dead-letter", "show", "999999"].as_slice(), &["dead-letter", "show", "999999", "--json"]] {
        let unknown = terminal.run(PROCESSOR, arguments).await;
        let sentence = "there is no dead letter 999999; `processor dead-letter list --closed` shows which there are\n";
        assert_eq!((unknown.status, unknown.output.as_str(), unknown.errors.as_str()), (65, "", sentence));
    }
}

/// Characters that colour, forge lines, and turn the order of reading; none of them may reach a terminal, also not from JSON.
#[tokio::test]
async fn what_strangers_have_sent_cannot_move_the_terminal_that_shows_it() {
    const NASTY: &str = "a\u{1b}[31mb\u{9b}32mc\u{202e}d\u{2066}e\u{200f}f\u{61c}g\u{2028}h\u{7f}i\u{feff}j";
    const SHOWN: &str = "a\\u{1b}[31mb\\u{9b}32mc\\u{202e}d\\u{2066}e\\u{200f}f\\u{61c}g\\u{2028}h\\u{7f}i\\u{feff}j";
    // What an event may be called has no control characters of ASCII.
    let (name, escaped) =
        (NASTY.replace(['\u{1b}', '\u{7f}', '\u{9b}'], ""), SHOWN.replace("\\u{1b}", "").replace("\\u{7f}", "").replace("\\u{9b}", ""));
    let stack = Stack::start(&["shop-events"]).await;
    let daemon = stack.daemon("shop-events=shop", &[]).await;
    let queue = stack.queue("shop-events").await;
    let body = serde_json::json!({"event_type": "order.created", "event_id": name, "source": name, "payload": 7, "other": NASTY});
    let bodies = [body.to_string(), format!("{{\"x{NASTY}\":\n\r\"y\"")];
    for body in &bodies {
        // The SDK, as SQS, takes no escape character as it is.
        let body = body.replace('\u{1b}', "");
        queue.send(&body).await.expect("sent");
        stack.at_rest(&queue).await;
    }
    assert_eq!(daemon.stop().await, 0);
    // What another program may have written.
    let nasty = NASTY.replace('\'', "''");
    let update = format!("update dead_letter set sender_id = '{nasty}', sqs_message_id = '{nasty}', rule = '{nasty}'");
    stack.database.execute(&format!("{update} where reason = 'schema_violation'")).await;
    let terminal = terminal(&stack);
    let moves =
        |text: &str| text.chars().any(|c| (c.is_control() && c != '\n') || "\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{feff}".contains(c));
    for arguments in [
        ["dead-letter", "list"].as_slice(),
        &["dead-letter", "list", "--json"],
        &["dead-letter", "show", "1"],
        &["dead-letter", "show", "1", "--json"],
        &["dead-letter", "show", "2"],
        &["dead-letter", "show", "2", "--json"],
    ] {
        let ended = terminal.run(PROCESSOR, arguments).await;
        assert!(ended.status == 0 && !moves(&ended.output), "{arguments:?}: {ended:?}");
        if arguments.contains(&"--json") {
            assert!(ended.json().to_string().contains('\u{202e}'), "{arguments:?} has lost it: {ended:?}");
        } else {
            assert!(ended.output.contains("c\\u{202e}d"), "{arguments:?}: {ended:?}");
        }
    }
    let dead_letter = terminal.run(PROCESSOR, &["dead-letter", "show", "1"]).await.output;
    for line in
        [format!(", id {escaped}, source {escaped}\n"), format!("SQS message {SHOWN}, received"), format!("\nsender      {SHOWN}\n")]
    {
        assert!(dead_letter.contains(&line), "{line} is not in {dead_letter}");
    }
}
