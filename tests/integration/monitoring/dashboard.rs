//! The dashboard's queries: each names what the programs have, and returns data from a Prometheus over a loaded daemon. Grafana is in none of
//! the registries: `.ci/check-dashboard` holds the file against its types, and nothing here renders it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::alerts::start_sender;
use super::prometheus::{Prometheus, scaled};
use super::{file, metrics_of};
use crate::ledger::Ledger;
use crate::sender::receiver::Receiver;
use crate::stack::{Stack, eventually};

const QUEUES: &str = "events?trust=any";

/// Panels with their titles and queries.
fn queries(dashboard: &Value, field: &str) -> Vec<(String, String)> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let queries = panels.flat_map(|panel| {
        let title = panel["title"].as_str().expect("a title").to_owned();
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.filter_map(move |target| Some((title.clone(), target[field].as_str()?.to_owned())))
    });
    queries.collect()
}

/// As Grafana sends it with all of each variable chosen.
fn filled_in(expression: &str) -> String {
    let chosen =
        ["queue", "tenant", "instance"].iter().fold(expression.to_owned(), |text, name| text.replace(&format!("\"${name}\""), "\".*\""));
    chosen.replace("$__rate_interval", "10s")
}

/// The labels that it groups by.
fn grouped_by(expression: &str) -> BTreeSet<String> {
    let lists = expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    lists.flat_map(|list| list.split(", ")).filter(|label| *label != "le").map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_query_of_the_dashboard_and_of_the_rules_returns_what_a_loaded_daemon_tells() {
    let dashboard: Value = serde_json::from_str(&file("grafana/event-processor.json")).expect("JSON");
    let variables: Vec<&str> =
        dashboard["templating"]["list"].as_array().expect("variables").iter().filter_map(|variable| variable["name"].as_str()).collect();
    assert_eq!(variables, ["prometheus", "postgres", "queue", "tenant", "instance"]);

    let stack = Stack::start(&["events"]).await;
    let receiver = Receiver::start().await;
    let often = ("FAILPOINTS", "depth_interval=return(200);backlog_interval=return(200)");
    let daemon = stack.daemon(QUEUES, &[often]).await;
    let sender = start_sender(&stack, &receiver).await;
    let jobs = [("event-processor", [daemon.address.as_str()]), ("event-processor-sender", [sender.address.as_str()])];
    let jobs = jobs.each_ref().map(|(job, addresses)| (*job, addresses.as_slice()));
    let rules = file("prometheus/rules.yaml");
    let Some(prometheus) = Prometheus::start(&jobs, &scaled(&rules), Duration::from_millis(500)).await else { return };
    let ledger = Ledger::on(&stack);
    let producers = ledger.begin(QUEUES, "--rate 200 --invalid 0.1 --duplicates 0.05", 200).await;

    let of_dashboard = queries(&dashboard, "expr");
    let of_rules = rules.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| ("rules.yaml".to_owned(), line.to_owned()));
    for (title, expression) in of_dashboard.iter().cloned().chain(of_rules) {
        for name in metrics_of(&expression) {
            eventually(&format!("there is {name}, of {title}"), async || (!prometheus.query(&name).await.is_empty()).then_some(())).await;
        }
    }
    assert!(of_dashboard.len() > 40);
    for (title, expression) in &of_dashboard {
        let asked = filled_in(expression);
        let results = eventually(&format!("data for {title}: {asked}"), async || {
            let results = prometheus.query(&asked).await;
            results.iter().any(|(_, value)| value.is_finite()).then_some(results)
        })
        .await;
        for label in grouped_by(expression) {
            assert!(results.iter().any(|(labels, _)| labels.contains_key(&label)), "{title}: {expression} has no label {label}");
        }
    }
    for (title, sql) in queries(&dashboard, "rawSql") {
        assert!(!stack.database.rows(&sql).await.is_empty(), "{title}: {sql}");
    }
    ledger.interrupt(producers).await;
    assert_eq!(sender.stop().await, 0);
    assert_eq!(daemon.stop().await, 0);
}
