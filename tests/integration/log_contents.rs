//! What must never be logged, whatever `RUST_LOG` says.

use crate::load::outcomes;
use crate::producer::{Producer, attribute};
use crate::stack::{Stack, eventually};

const CANARY: &str = "canary-7f3a";

#[tokio::test]
async fn no_log_level_shows_what_events_hold() {
    let stack = Stack::start(&["events", "clouds"]).await;
    // Each name of a library asks for more than the cap allows.
    let filter = "trace,sqlx=trace,hyper=trace,aws_smithy_runtime=trace,aws_sdk_sqs=trace,rustls=trace,jsonschema=trace";
    let settings = [("RUST_LOG", filter), ("AWS_SECRET_ACCESS_KEY", CANARY)];
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
