//! What must never be logged, whatever `RUST_LOG` says.

use futures_util::StreamExt as _;

use crate::daemon::Daemon;
use crate::load::outcomes;
use crate::producer::{Producer, attribute};
use crate::sender::receiver::Receiver;
use crate::stack::{Directory, PROCESSOR, Stack, eventually};
use crate::terminal::Terminal;

const CANARY: &str = "canary-7f3a";

/// Each name of a library asks for more than the cap allows.
const FILTER: &str = "trace,sqlx=trace,hyper=trace,aws_smithy_runtime=trace,aws_sdk_sqs=trace,rustls=trace,jsonschema=trace,lettre=trace";

#[tokio::test]
async fn no_log_level_shows_what_events_hold() {
    let stack = Stack::start(&["events", "clouds"]).await;
    let settings = [("RUST_LOG", FILTER), ("AWS_SECRET_ACCESS_KEY", CANARY)];
    let daemon = stack.daemon("events?trust=any,clouds=platform?format=cloudevents", &settings).await;
    daemon.ready().await;
    let producer = Producer::of(&stack);
    let secret = [attribute("note", "String", CANARY)];
    let event = |event_id: &str, event_type: &str, payload: &str| {
        format!(
            r#"{{"tenant_id":"platform","source":"{CANARY}","event_id":"{event_id}","event_type":"{event_type}","subject":"{CANARY}",
                "{CANARY}":"{CANARY}","payload":{payload}}}"#
        )
    };
    let text = format!("\"{CANARY}\"");
    // First alone: of two events with one identity either may be the first.
    producer.send("events", &event("1", "monitor-app", &text), &secret).await;
    eventually("it is stored", async || (outcomes(&daemon, "stored").await == 1).then_some(())).await;
    for body in [
        event("1", "monitor-app", &text),
        event("1", "monitor-app", "\"another\""),
        event("2", "monitor-app", &format!("{{\"{CANARY}\":{text}}}")),
        event("3", CANARY, &text),
        event(CANARY, "monitor-app", &format!("\"{CANARY}\\u0000\"")),
        format!("{CANARY} Hello World"),
        format!("{{\"{CANARY}\":1,\"{CANARY}\":2}}"),
        format!(r#"{{"tenant_id":"{CANARY}","event_type":"{CANARY}","payload":1}}"#),
    ] {
        producer.send("events", &body, &secret).await;
    }
    let binary = ["ce-specversion=1.0", "ce-type=monitor-app", "ce-source=/canary-7f3a", "ce-id=canary-7f3a", "ce-secret=canary-7f3a"];
    let binary: Vec<_> =
        binary.iter().filter_map(|text| text.split_once('=')).map(|(name, value)| attribute(name, "String", value)).collect();
    producer.send("clouds", &text, &binary).await;
    for queue in ["events", "clouds"] {
        stack.at_rest(&stack.queue(queue).await).await;
    }
    assert_eq!((outcomes(&daemon, "stored").await, outcomes(&daemon, "duplicate").await, outcomes(&daemon, "rejected").await), (2, 1, 7));
    daemon.signal("TERM");
    eventually("the end is logged", async || daemon.log().contains("stopping").then_some(())).await;
    let log = daemon.log();
    assert!(!log.contains(CANARY), "{}", log.lines().find(|line| line.contains(CANARY)).unwrap_or_default());
}

/// How many events there are, good and bad, `CANARY_EVENTS`.
fn canary_events() -> usize {
    std::env::var("CANARY_EVENTS").map_or(60, |text| text.parse().expect("CANARY_EVENTS is a number"))
}

/// A tenant whose clients fail in several ways.
fn catalog(receiver: &Receiver) -> Directory {
    let (failing, path) = (receiver.url("/status/500/x"), receiver.url("/status/200/"));
    let catalog = Directory::create();
    catalog.write("acme/note/1.json", r#"{"type": "string", "maxLength": 40}"#);
    catalog.write("acme/number/1.json", r#"{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 0}}}"#);
    catalog.write(
        "acme/tenant.toml",
        &format!(
            r#"
            [clients.failing]
            settings = {{ url = "{failing}" }}
            [clients.template]
            settings = {{ channel = "http", url = "{failing}", body = "{{{{ payload }}}} is no JSON" }}
            [clients.path]
            settings = {{ channel = "http", url = "{path}{{{{ event_id }}}}" }}
            [[subscriptions]]
            client = "failing"
            events = ["note"]
            [[subscriptions]]
            client = "template"
            events = ["note"]
            [[subscriptions]]
            client = "path"
            events = ["note"]
            "#
        ),
    );
    catalog
}

/// The bodies of one kind after the other, good ones and those that are bad in every way that a body can be.
fn body(number: usize) -> String {
    let event = |event_type: &str, payload: &str| {
        format!(
            r#"{{"tenant_id":"acme","source":"{CANARY}","event_id":"{CANARY}-{number}","event_type":"{event_type}","subject":"{CANARY}",
                "{CANARY}":"{CANARY}","payload":{payload}}}"#
        )
    };
    match number % 12 {
        0..4 => event("note", &format!("\"{CANARY}\"")),
        4 => event("note", &format!("\"{CANARY} which is longer than the schema allows for\"")),
        5 => event("number", &format!(r#"{{"n":"{CANARY}","{CANARY}":1}}"#)),
        6 => event(CANARY, "1"),
        7 => event("note", &format!("\"{CANARY}\\u0000\"")),
        8 => format!("{CANARY} Hello World"),
        9 => format!("{{\"{CANARY}\":1,\"{CANARY}\":2}}"),
        10 => format!(r#"{{"tenant_id":"{CANARY}","event_type":"{CANARY}","client_id":"{CANARY}","payload":1}}"#),
        // What event 0 was, with another payload.
        _ => event("note", "\"another\"").replace(&format!("{CANARY}-{number}"), &format!("{CANARY}-0")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_program_tells_what_events_hold_at_any_level() {
    let (stack, receiver) = (Stack::start_without_catalog(&["events"]).await, Receiver::start().await);
    stack.database.apply(&catalog(&receiver).0).await;
    let daemon = stack.daemon("events?trust=any", &[("RUST_LOG", FILTER), ("FAILPOINTS", "activity_interval=return(100)")]).await;
    let mut environment = stack.environment();
    environment.extend([("RUST_LOG", FILTER.to_owned()), ("SENDER_ALLOWED_NETWORKS", "127.0.0.0/8".to_owned())]);
    let sender = Daemon::start_sender(environment.clone()).await;
    let (producer, secret) = (Producer::of(&stack), [attribute("note", "String", CANARY), attribute(CANARY, "String", "1")]);
    let count = canary_events();
    // The first alone: of two events with one identity either may be the first.
    producer.send("events", &body(0), &secret).await;
    stack.at_rest(&stack.queue("events").await).await;
    let sending = futures_util::stream::iter(1..count).map(async |number| _ = producer.send("events", &body(number), &secret).await);
    sending.buffer_unordered(16).for_each(async |()| {}).await;
    stack.at_rest(&stack.queue("events").await).await;
    let untried = "select count(*) from delivery where attempts = 0";
    eventually("each delivery was tried", async || (stack.database.count(untried).await == 0).then_some(())).await;
    let counted = [outcomes(&daemon, "stored").await, outcomes(&daemon, "rejected").await];
    assert_eq!(counted.iter().sum::<i64>(), i64::try_from(count).expect("a number"), "{counted:?} were stored and rejected");
    let reasons = stack.database.count("select count(distinct reason) from dead_letter").await;
    assert!(counted[0] > 0 && reasons >= 7, "{reasons} reasons");
    println!("{count} events: {} stored, {} rejected for {reasons} reasons", counted[0], counted[1]);

    let mut told = vec![("the daemon's metrics", daemon.get("/metrics").await.1), ("the sender's metrics", sender.get("/metrics").await.1)];
    let terminal = Terminal::with(environment);
    for number in 0..12 {
        let validated = terminal.run_on(PROCESSOR, &["validate", "-", "--queue", "events?trust=any"], &body(number)).await;
        told.push(("validate", validated.errors));
    }
    for line in [
        "dead-letter list --limit 100000",
        "dead-letter summary",
        "dead-letter replay --all",
        "tenant show acme",
        "delivery list",
        "doctor",
    ] {
        told.push((line, terminal.run(PROCESSOR, &line.split(' ').collect::<Vec<_>>()).await.errors));
    }
    for (program, name) in [(&daemon, "the daemon's log"), (&sender, "the sender's log")] {
        program.signal("TERM");
        eventually("the end is logged", async || program.log().contains("stopp").then_some(())).await;
        told.push((name, program.log()));
    }
    for (name, text) in told {
        assert!(!text.contains(CANARY), "{name}: {}", text.lines().find(|line| line.contains(CANARY)).unwrap_or_default());
    }
}
