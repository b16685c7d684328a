//! A Prometheus of the test's own, and what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use crate::stack::{Directory, eventually};

/// What a minute of the rules lasts in a test: time enough for two scrapes, so that a rate over a minute has a value.
const MINUTE: Duration = Duration::from_millis(300);

/// A sample: its labels and its value.
pub type Sample = (BTreeMap<String, String>, f64);

/// It ends with the test.
pub struct Prometheus {
    address: String,
    _child: Child,
    _directory: Directory,
}

/// The rules with each minute made shorter: in `for: 5m`, in windows as `[1h]`, and in thresholds, which are written `10 * 60`. All else stays.
pub fn scaled(rules: &str) -> String {
    let duration = |text: &str| {
        let (number, unit) = text.split_at(text.len() - 1);
        let minutes: u32 = number.parse().ok()?;
        let minutes = match unit {
            "m" => minutes,
            "h" => 60 * minutes,
            _ => return None,
        };
        Some(format!("{}ms", (MINUTE * minutes).as_millis()))
    };
    let mut lines = Vec::new();
    for line in rules.lines() {
        let mut line = match line.trim_start().strip_prefix("for: ").and_then(duration) {
            Some(shorter) => line.replace(line.trim_start(), &format!("for: {shorter}")),
            None => line.replace(" * 60", &format!(" * {}", MINUTE.as_secs_f64())),
        };
        for window in line.clone().split('[').skip(1).filter_map(|rest| rest.split(']').next()) {
            if let Some(shorter) = duration(window) {
                line = line.replace(&format!("[{window}]"), &format!("[{shorter}]"));
            }
        }
        lines.push(line);
    }
    lines.join("\n")
}

/// A port that nobody listens at.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

impl Prometheus {
    /// Scrapes these jobs at their addresses, by these rules, so often. None, and a message, where there is no Prometheus.
    pub async fn start(jobs: &[(&str, &[&str])], rules: &str, interval: Duration) -> Option<Self> {
        let directory = Directory::create();
        let job =
            |(job, addresses): &(&str, &[&str])| format!("  - job_name: {job}\n    static_configs:\n      - targets: {addresses:?}\n");
        let jobs: Vec<String> = jobs.iter().map(job).collect();
        let interval = format!("{}ms", interval.as_millis());
        let global = format!("global: {{scrape_interval: {interval}, scrape_timeout: {interval}, evaluation_interval: {interval}}}");
        directory.write("prometheus.yml", &format!("{global}\nrule_files: [rules.yaml]\nscrape_configs:\n{}", jobs.concat()));
        directory.write("rules.yaml", rules);
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", directory.0.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.0.join("data").display()))
            .args([&format!("--web.listen-address={address}"), "--log.level=error"]);
        let child = match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).spawn() {
            Ok(child) => child,
            Err(error) => {
                eprintln!("skipped: there is no prometheus ({error})");
                return None;
            }
        };
        let prometheus = Self { address, _child: child, _directory: directory };
        let is_ready = async || prometheus.get("/-/ready").await.filter(|(head, _)| head.contains(" 200 ")).map(drop);
        eventually("Prometheus is ready", is_ready).await;
        Some(prometheus)
    }

    /// Head and body of a reply; none where it does not listen yet.
    async fn get(&self, path: &str) -> Option<(String, String)> {
        let mut stream = tokio::net::TcpStream::connect(&self.address).await.ok()?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n").as_bytes()).await.expect("asked");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("a reply");
        reply.split_once("\r\n\r\n").map(|(head, body)| (head.to_owned(), body.to_owned()))
    }

    /// What an expression has come to by now.
    ///
    /// # Panics
    /// Where it is none.
    pub async fn query(&self, expression: &str) -> Vec<Sample> {
        let expression_ = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let (_, body) = self.get(&format!("/api/v1/query?query={expression_}")).await.expect("Prometheus listens");
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert_eq!(answer["status"], "success", "{expression}: {body}");
        let results = answer["data"]["result"].as_array().expect("results");
        let sample = |result: &serde_json::Value| {
            let labels = serde_json::from_value(result["metric"].clone()).expect("labels");
            (labels, result["value"][1].as_str().and_then(|value| value.parse().ok()).expect("a number"))
        };
        results.iter().map(sample).collect()
    }

    /// The alerts that fire.
    pub async fn firing(&self) -> BTreeSet<String> {
        let firing = self.query("ALERTS{alertstate=\"firing\"}").await;
        firing.into_iter().map(|(labels, _)| labels["alertname"].clone()).collect()
    }

    /// Those that have fired since it began.
    pub async fn fired(&self) -> BTreeSet<String> {
        let fired = self.query("max_over_time(ALERTS{alertstate=\"firing\"}[1h])").await;
        fired.into_iter().map(|(labels, _)| labels["alertname"].clone()).collect()
    }

    /// Waits until an alert fires whose labels are these, among others.
    pub async fn fires(&self, alert: &str, labels: &[(&str, &str)]) {
        let expression = format!("ALERTS{{alertstate=\"firing\", alertname=\"{alert}\"}}");
        eventually(&format!("{alert} fires for {labels:?}"), async || {
            let firing = self.query(&expression).await;
            let is_meant = |(found, _): &Sample| labels.iter().all(|(name, value)| found.get(*name).map(String::as_str) == Some(value));
            firing.iter().any(is_meant).then_some(())
        })
        .await;
    }

    /// Waits until an alert does not fire.
    pub async fn ends(&self, alert: &str) {
        eventually(&format!("{alert} ends"), async || (!self.firing().await.contains(alert)).then_some(())).await;
    }
}

#[test]
fn minutes_are_made_shorter_and_nothing_else() {
    let rules = "for: 5m\nexpr: rate(x[1h]) > 10 * 60 and y[15m] > 120 # 99 %, 30 s, 2m\n    for: 2m";
    let shorter = "for: 1500ms\nexpr: rate(x[18000ms]) > 10 * 0.3 and y[4500ms] > 120 # 99 %, 30 s, 2m\n    for: 600ms";
    assert_eq!(scaled(rules), shorter);
}
