//! What a queue's attributes make risky is said at the start; and credentials that change need no start.

use std::time::Duration;

use crate::daemon::Daemon;
use crate::endpoint::Endpoint;
use crate::load::{assert_each_stored_once, counted, event, events, send};
use crate::stack::{Directory, Stack, eventually};

const REDRIVE_AFTER_9: &str = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":9}"#;
const REDRIVE_AFTER_10: &str = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":10}"#;

#[tokio::test]
async fn each_risky_attribute_of_a_queue_is_warned_of_once_and_a_good_queue_of_none() {
    let stack = Stack::start(&["dead"]).await;
    let good = [("MessageRetentionPeriod", "345600"), ("RedrivePolicy", REDRIVE_AFTER_10), ("VisibilityTimeout", "300")];
    let queues = [
        ("good", good),
        ("brief", [("MessageRetentionPeriod", "345599"), good[1], good[2]]),
        ("redriven", [good[0], ("RedrivePolicy", REDRIVE_AFTER_9), good[2]]),
        ("hasty", [good[0], good[1], ("VisibilityTimeout", "299")]),
        ("careless", [("MessageRetentionPeriod", "60"), ("RedrivePolicy", REDRIVE_AFTER_9), ("VisibilityTimeout", "30")]),
    ];
    for (name, attributes) in &queues {
        stack.clients.create_queue(name, attributes).await.expect("a queue");
    }
    let list: Vec<String> = queues.iter().map(|(name, _)| format!("{name}?trust=any")).collect();
    let daemon = stack.daemon(&list.join(","), &[]).await;
    // It is ready by the first of them.
    for (name, _) in &queues {
        let is_ready = async || (daemon.metric("event_processor_queue_ready", &format!("queue=\"{name}\"")).await > 0.5).then_some(());
        eventually(&format!("{name} is ready"), is_ready).await;
    }
    assert_eq!(warned_of(&daemon, "good"), Vec::<&str>::new());
    assert_eq!(warned_of(&daemon, "brief"), ["MessageRetentionPeriod"]);
    assert_eq!(warned_of(&daemon, "redriven"), ["RedrivePolicy"]);
    assert_eq!(warned_of(&daemon, "hasty"), ["VisibilityTimeout"]);
    assert_eq!(warned_of(&daemon, "careless"), ["MessageRetentionPeriod", "RedrivePolicy", "VisibilityTimeout"]);
    assert_eq!(daemon.stop().await, 0);
}

/// The attributes that a queue's warnings begin with, in their order.
fn warned_of(daemon: &Daemon, queue: &str) -> Vec<&'static str> {
    let lines = daemon.log_of(queue);
    let risks = lines.iter().filter(|(_, line)| line.contains("the queue's set-up is risky") && line.contains("advice"));
    let attribute = |line: &str| {
        let attributes = ["MessageRetentionPeriod", "RedrivePolicy", "VisibilityTimeout"];
        attributes.into_iter().find(|name| line.contains(&format!(r#""problem":"{name} "#))).unwrap_or_else(|| panic!("{line}"))
    };
    risks.map(|(_, line)| attribute(line)).collect()
}

/// What a `credential_process` prints, and how long it is good.
fn credentials(key: &str, lifetime: Duration) -> String {
    let expiry = time::OffsetDateTime::now_utc() + lifetime;
    let expiry = expiry.format(&time::format_description::well_known::Rfc3339).expect("a time");
    format!(r#"{{"Version":1,"AccessKeyId":"{key}","SecretAccessKey":"secret","SessionToken":"token","Expiration":"{expiry}"}}"#)
}

#[tokio::test]
async fn credentials_that_expire_are_replaced_without_a_restart() {
    let stack = Stack::start(&["events"]).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    endpoint.refuse_old_keys();
    let directory = Directory::create();
    directory.write("credentials.json", &credentials("AKIAFIRST", Duration::from_secs(3)));
    directory.write("config", &format!("[profile rotating]\ncredential_process = cat {}/credentials.json\n", directory.0.display()));
    let (queue, config) = (stack.queue("events").await, directory.0.join("config"));
    let mut environment = without_keys(&stack);
    environment.extend([
        ("AWS_ENDPOINT_URL", endpoint.url.clone()),
        ("AWS_CONFIG_FILE", config.display().to_string()),
        ("AWS_PROFILE", "rotating".to_owned()),
    ]);
    let daemon = Daemon::start(environment).await;
    send(&queue, events(20)).await;
    stack.at_rest(&queue).await;
    assert_eq!(endpoint.keys(), ["AKIAFIRST"]);
    directory.write("credentials.json", &credentials("AKIASECOND", Duration::from_hours(1)));
    eventually("the second key is used", async || (endpoint.keys().len() == 2).then_some(())).await;
    send(&queue, (20..40).map(|number| event(&format!("event-{number}")))).await;
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, 40).await;
    assert_eq!(endpoint.keys(), ["AKIAFIRST", "AKIASECOND"]);
    assert_eq!((counted(&daemon, "sqs_requests_total", r#"result="denied""#).await, endpoint.unsigned()), (0, 0));
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn an_endpoint_for_sqs_alone_is_preferred() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    send(&queue, events(1)).await;
    let server = stack.server.endpoint_url();
    let settings = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_ENDPOINT_URL_SQS", server.as_str())];
    let daemon = stack.daemon("events?trust=any", &settings).await;
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, 1).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn credentials_that_cannot_be_had_are_said_to_be_missing_once_and_without_what_their_process_wrote() {
    let stack = Stack::start(&["events"]).await;
    let directory = Directory::create();
    directory.write("fail", "#!/bin/sh\necho secret-word >&2\nexit 3\n");
    directory.write("config", &format!("[default]\ncredential_process = sh {}/fail\n", directory.0.display()));
    let mut environment = without_keys(&stack);
    environment
        .extend([("AWS_CONFIG_FILE", directory.0.join("config").display().to_string()), ("AWS_EC2_METADATA_DISABLED", "true".to_owned())]);
    let daemon = Daemon::start(environment).await;
    daemon.says("queue events: no credentials can be had").await;
    let tries = async || counted(&daemon, "sqs_requests_total", r#"operation="open""#).await;
    eventually("it is tried again", async || (tries().await >= 4).then_some(())).await;
    let log = daemon.log();
    assert_eq!((log.matches("credentials").count(), log.matches("secret-word").count()), (1, 0), "{log}");
    assert_eq!(daemon.stop().await, 0);
}

/// The environment of a daemon whose credentials are to come from somewhere else.
fn without_keys(stack: &Stack) -> Vec<(&'static str, String)> {
    let mut environment = stack.environment();
    environment.retain(|(name, _)| !name.starts_with("AWS_ACCESS_KEY") && !name.starts_with("AWS_SECRET"));
    environment.extend([("QUEUES", "events?trust=any".to_owned()), ("PATH", "/bin:/usr/bin".to_owned())]);
    environment
}
