//! What waits in the database is told by one replica, up to a limit, and by nobody who does not know it.

use crate::daemon::{Daemon, sum};
use crate::load::{event, send};
use crate::stack::{Stack, eventually};

const SETTINGS: [(&str, &str); 1] = [("FAILPOINTS", "backlog_interval=return(200)")];

/// The series of a scrape that come from the database.
async fn told(daemon: &Daemon) -> Vec<String> {
    const NAMES: [&str; 4] =
        ["dead_letters_open", "deliveries_waiting", "oldest_open_dead_letter_timestamp_seconds", "oldest_due_delivery_timestamp_seconds"];
    let scrape = daemon.get("/metrics").await.1;
    let is_told = |line: &&str| NAMES.iter().any(|name| line.starts_with(&format!("event_processor_{name}")));
    scrape.lines().filter(is_told).map(str::to_owned).collect()
}

#[tokio::test]
async fn one_of_two_replicas_tells_and_the_other_takes_over() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let first = stack.daemon("events?trust=any", &SETTINGS).await;
    first.ready().await;
    let violation = r#"{"tenant_id":"platform","event_id":"2","event_type":"monitor-app","payload":7}"#;
    send(&queue, [event("1"), event("3"), violation.to_owned(), "Hello World".to_owned()]).await;
    stack.at_rest(&queue).await;
    let counts = [
        r#"event_processor_dead_letters_open{reason="malformed_json",tenant="unknown"} 1"#,
        r#"event_processor_dead_letters_open{reason="schema_violation",tenant="platform"} 1"#,
        r#"event_processor_deliveries_waiting{tenant="platform"} 2"#,
    ];
    let all = eventually("what waits is told", async || Some(told(&first).await).filter(|told| told.len() == 5)).await;
    assert_eq!(all[..3], counts);
    let scrape = first.get("/metrics").await.1;
    for (name, sql) in [
        ("oldest_open_dead_letter", "select extract(epoch from min(last_seen_at))::float8 from dead_letter"),
        ("oldest_due_delivery", "select extract(epoch from min(due_at))::float8 from delivery"),
    ] {
        let expected: f64 = stack.database.rows(sql).await[0].parse().expect("a number");
        let found = sum(&scrape, &format!("event_processor_{name}_timestamp_seconds"), "");
        assert!((found - expected).abs() < 0.001, "{name}: {found} and {expected}");
    }

    let second = stack.daemon("events?trust=any", &SETTINGS).await;
    second.ready().await;
    stack.database.execute("update metrics_turn set holder = 1, ends_at = 'infinity'").await;
    eventually("whoever has lost the turn tells nothing", async || told(&first).await.is_empty().then_some(())).await;
    assert_eq!(told(&second).await, Vec::<String>::new());
    assert_eq!(first.stop().await, 0);
    stack.database.execute("update metrics_turn set ends_at = now()").await;
    eventually("the other one has the turn", async || (told(&second).await[..] == all[..]).then_some(())).await;

    stack.database.execute("update dead_letter set discarded_at = now(); delete from delivery").await;
    eventually("nothing waits", async || told(&second).await.is_empty().then_some(())).await;
    stack.database.execute("alter table metrics_turn rename to turn_of_metrics").await;
    let line = "what waits in the database is not counted: its metrics are absent";
    eventually("it says that it cannot count", async || second.log().contains(line).then_some(())).await;
    second.ready().await;
    assert_eq!(second.stop().await, 0);
}

#[tokio::test]
async fn a_tenants_dead_letters_of_a_reason_are_counted_up_to_a_thousand() {
    let stack = Stack::start(&["events"]).await;
    let insert = "insert into dead_letter (tenant_id, queue, sqs_message_id, reason, body, queue_format, catalog_generation, receive_count)
        select tenant, 'events', tenant || number, 'too_deep', '', 'native', 1, 1
        from (values ('platform', 1500), ('shop', 2), ('gone', 3)) as of (tenant, count), generate_series(1, count) as number";
    stack.database.execute(insert).await;
    let daemon = stack.daemon("events?trust=any", &SETTINGS).await;
    let expected = [("other", 3), ("platform", 1000), ("shop", 2)]
        .map(|(tenant, count)| format!(r#"event_processor_dead_letters_open{{reason="too_deep",tenant="{tenant}"}} {count}"#));
    eventually("they are counted", async || (told(&daemon).await.get(..3) == Some(&expected[..])).then_some(())).await;
    assert_eq!(daemon.stop().await, 0);
}
