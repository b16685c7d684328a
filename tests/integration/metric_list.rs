//! The README lists every metric as the registries have them, and what a scrape says is what Prometheus wants to read.

use std::process::Stdio;
use std::time::Instant;

use event_processor::event::Reason;
use event_processor::metrics::{Description, Metrics, OldestBacklog, Outcome, QueueLabels, Scrape as _, SenderMetrics};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::load::{event, send};
use crate::stack::Stack;

fn row(Description { name, kind, labels, help }: &Description) -> String {
    let name = name.strip_prefix("event_processor_").expect("the prefix");
    let labels = if labels.is_empty() { String::new() } else { format!("`{}`", labels.join("`, `")) };
    format!("| `{name}` | {kind} | {labels} | {help} |").replace("|  |", "| |")
}

#[test]
fn the_readme_lists_every_metric_with_type_labels_and_help() {
    let (daemon, sender) = (Metrics::new().expect("metrics"), SenderMetrics::new().expect("metrics"));
    let registered: Vec<String> = daemon.descriptions().iter().chain(sender.descriptions()).map(row).collect();
    let readme = include_str!("../../README.md");
    let listed = readme.split("| metric | type | labels | |\n| --- | --- | --- | --- |\n").nth(1).expect("the table of metrics");
    let listed: Vec<&str> = listed.lines().take_while(|line| line.starts_with('|')).collect();
    assert_eq!(listed, registered, "\n{}", registered.join("\n"));
}

/// What a daemon of 300 queues in a catalog of 10,000 tenants says that has seen events of all kinds from each queue.
fn large() -> Metrics {
    let metrics = Metrics::new().expect("metrics");
    // The first hundred have labels of their own.
    let tenants: Vec<String> = (0..100).map(|number| format!("tenant-{number:05}")).collect();
    let tenants: Vec<&str> = tenants.iter().map(String::as_str).collect();
    let queues: Vec<String> = (0..300).map(|number| format!("orders-events-{number:03}")).collect();
    let tenant_of = |number: usize| tenants.get(number % 150).copied();
    let labels = |(number, queue)| QueueLabels { queue, tenant: tenant_of(number) };
    metrics.start_at_zero(&queues.iter().map(String::as_str).enumerate().map(labels).collect::<Vec<_>>(), &tenants);
    for (number, queue) in queues.iter().enumerate() {
        for outcome in [Outcome::Stored, Outcome::Duplicate, Outcome::Rejected, Outcome::Released] {
            metrics.count_outcome(queue, tenant_of(number).unwrap_or("other"), outcome);
        }
        for operation in ["open", "receive", "delete", "depth"] {
            metrics.sqs_requests.with_label_values(&[queue, operation, "ok"]).inc_by(1_000_000);
        }
        for state in ["visible", "in_flight", "delayed"] {
            metrics.queue_messages.with_label_values(&[queue, state]).set(100_000);
        }
        metrics.queue_ready.with_label_values(&[queue]).set(1);
        metrics.queue_retention.with_label_values(&[queue]).set(1_209_600);
        metrics.polls.with_label_values(&[queue]).set(10);
        metrics.last_poll_timestamp.with_label_values(&[queue]).set(1_796_000_000.123_456);
        metrics.oldest_unsettled_event.with_label_values(&[queue]).set(1_796_000_000.123);
        for delay in 0..1_000 {
            metrics.event_commit_delay.with_label_values(&[queue]).observe(f64::from(delay));
        }
    }
    let labels = || tenants.iter().copied().chain(["other", "unknown"]);
    let open = labels().flat_map(|tenant| Reason::ALL[..5].iter().map(move |reason| (tenant, reason.as_str(), 1_000)));
    metrics.backlog.set(open, labels().map(|tenant| (tenant, 10_000)), OldestBacklog::default());
    metrics
}

#[test]
fn a_scrape_of_300_queues_and_10000_tenants_stays_below_1_mib() {
    let metrics = large();
    let began = Instant::now();
    let scrape = metrics.render().expect("a scrape");
    println!("{} bytes, {} series, in {:?}", scrape.len(), scrape.lines().count(), began.elapsed());
    assert!(scrape.len() < 1 << 20, "{} bytes", scrape.len());
}

/// What promtool says of a scrape; none, and a message, where there is no promtool.
async fn lint(scrape: &str) -> Option<String> {
    let promtool =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("skipped: there is no promtool; it is in Debian's package prometheus");
        return None;
    };
    let mut input = promtool.stdin.take().expect("standard input");
    input.write_all(scrape.as_bytes()).await.expect("written");
    drop(input);
    let output = promtool.wait_with_output().await.expect("promtool ends");
    Some(format!("{}{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test]
async fn promtool_finds_nothing_to_say_of_a_live_scrape_nor_of_a_large_one() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    send(&queue, [event("1"), "Hello World".to_owned()]).await;
    stack.at_rest(&queue).await;
    let sender = SenderMetrics::new().expect("metrics");
    for scrape in [daemon.get("/metrics").await.1, large().render().expect("a scrape"), sender.render().expect("a scrape")] {
        if let Some(said) = lint(&scrape).await {
            assert_eq!(said, "exit status: 0");
        }
    }
    assert_eq!(daemon.stop().await, 0);
}
