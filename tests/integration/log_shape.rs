//! What the log says has one shape: `queue`, `tenant`, `sqs_message_id`, `reason`, `problem`, `advice`.

use serde_json::Value;

use crate::daemon::Daemon;
use crate::load::{event, events, send};
use crate::stack::{PROCESSOR, SENDER, Stack, command, eventually};

/// The lines with this message.
fn lines(daemon: &Daemon, message: &str) -> Vec<Value> {
    let log = daemon.log();
    let entries = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line}: {error}")));
    entries.filter(|entry| entry["message"] == message).collect()
}

#[tokio::test]
async fn a_problem_is_told_at_once_and_then_with_its_count() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    daemon.ready().await;
    let refused = |id: usize, event_type: &str| {
        format!(r#"{{"tenant_id":"platform","event_id":"{id}","event_type":"{event_type}","payload":{{"secret":"canary"}}}}"#)
    };
    send(&queue, [refused(0, "monitor-app")]).await;
    let told = eventually("it is told", async || Some(lines(&daemon, "rejected")).filter(|lines| !lines.is_empty())).await;
    let id = stack.database.rows("select sqs_message_id from dead_letter").await.remove(0);
    let fields = ["level", "queue", "tenant", "sqs_message_id", "event_type", "reason", "rule", "advice"].map(|name| told[0][name].clone());
    let rule = "type monitor-app/1.json#/type";
    let advice = "see `processor dead-letter summary`";
    assert_eq!(fields, ["WARN", "events", "platform", id.as_str(), "monitor-app", "schema_violation", rule, advice]);
    assert_eq!((told.len(), &told[0]["events"]), (1, &Value::from(1)));

    send(&queue, (1..=40).map(|id| refused(id, "monitor-app"))).await;
    send(&queue, (41..=44).map(|id| refused(id, "canary"))).await;
    stack.at_rest(&queue).await;
    let told = lines(&daemon, "rejected");
    let unknown: Vec<_> = told.iter().filter(|line| line["reason"] == "unknown_event_type").collect();
    assert!(told.len() == 2 && unknown.len() == 1 && unknown[0]["event_type"].is_null(), "{told:#?}");
    // What was not told yet is, at the latest at the end.
    daemon.signal("TERM");
    let all = async || {
        let events = lines(&daemon, "rejected").iter().filter_map(|line| line["events"].as_u64()).sum::<u64>();
        (events == 45).then_some(())
    };
    eventually("all are told of", all).await;
    assert_eq!(lines(&daemon, "rejected").iter().filter(|line| line["reason"] == "schema_violation").count(), 2);
    assert!(!daemon.log().contains("canary"), "{}", daemon.log());
}

#[tokio::test]
async fn what_is_handed_back_is_told_for_each_queue_and_sessions_say_what_they_are_for() {
    let stack = Stack::start(&["events", "others"]).await;
    let (events_queue, others) = (stack.queue("events").await, stack.queue("others").await);
    let daemon = stack.daemon("events?trust=any,others?trust=any", &[("VISIBILITY_TIMEOUT", "5")]).await;
    daemon.ready().await;
    send(&events_queue, events(3)).await;
    stack.at_rest(&events_queue).await;
    let names =
        "select distinct application_name from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() order by 1";
    let expected =
        ["announcer", "backlog", "catalog", "catalog listener", "probe", "writer"].map(|purpose| format!("event-processor {purpose}"));
    eventually("each session has its name", async || (stack.database.rows(names).await == expected).then_some(())).await;

    stack.database.execute("alter table message rename to message_of_before").await;
    send(&events_queue, [event("a"), event("b")]).await;
    send(&others, [event("c")]).await;
    let handed_back = "not stored: handed back to the queue";
    let told = async || {
        let lines = lines(&daemon, handed_back);
        ["events", "others"].iter().all(|queue| lines.iter().any(|line| line["queue"] == *queue)).then_some(lines)
    };
    let told = eventually("it is told for both queues", told).await;
    assert!(told.iter().all(|line| line["advice"] == "run `processor migrate`" && line["events"].is_u64()), "{told:#?}");
    stack.database.execute("alter table message_of_before rename to message").await;
    for queue in [&events_queue, &others] {
        stack.at_rest(queue).await;
    }
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn an_error_at_the_start_is_a_line_of_a_json_log() {
    let nowhere = "postgres://127.0.0.1:1/events".to_owned();
    let environment = |more: &[(&'static str, &str)]| {
        let own = [("LOG_FORMAT", "json".to_owned()), ("DATABASE_URL", nowhere.clone()), ("RUST_LOG", "off".to_owned())];
        own.into_iter().chain(more.iter().map(|(name, value)| (*name, (*value).to_owned()))).collect::<Vec<_>>()
    };
    let region = "set it to the queues' region, for example eu-central-1";
    for (program, arguments, variables, problem, advice) in [
        (PROCESSOR, &["run"][..], &[("QUEUES", "events"), ("AWS_REGION", "")][..], "AWS_REGION is not set", region),
        (PROCESSOR, &[], &[("HOLD_MAX", "never")], "the value of HOLD_MAX (--hold-max) is \"never\": write whole seconds", ""),
        (
            PROCESSOR,
            &["run"],
            &[("DATABASE_URL", "mysql://a")],
            "the value of DATABASE_URL (--database-url) is (not shown)",
            "special characters",
        ),
        (PROCESSOR, &["run", "--frobnicate"], &[], "error: unexpected argument '--frobnicate' found", ""),
        (SENDER, &[], &[("SENDER_CONCURRENCY_MAX", "0")], "the value of SENDER_CONCURRENCY_MAX", ""),
    ] {
        let (status, output, errors) = command(program, arguments, &environment(variables)).await;
        let line: Value = serde_json::from_str(&errors).unwrap_or_else(|error| panic!("{errors}: {error}"));
        assert_eq!((output.as_str(), &line["level"], &line["message"]), ("", &Value::from("ERROR"), &Value::from("ended")));
        assert_eq!(line["exit_status"], status, "{line}");
        assert!(line["problem"].as_str().is_some_and(|text| text.starts_with(problem)), "{line}");
        assert!(line["advice"].as_str().unwrap_or_default().starts_with(advice), "{line}");
        assert!(line["timestamp"].as_str().is_some_and(|text| text.ends_with('Z')), "{line}");
    }
    let (status, _, errors) = command(PROCESSOR, &["validate", "nothing", "--queue", "events"], &environment(&[])).await;
    assert!(status == 78 && errors.starts_with("the body's file is"), "a command speaks to a person: {errors}");
}
