//! The real binary, started, asked and ended.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::stack::{PROCESSOR, SENDER, SENDER_LOGIN, WRITER_LOGIN, eventually, log_in_as, patience};

/// The sum of a metric's series whose labels contain this text, among all that was scraped at once.
pub fn sum(scraped: &str, name: &str, labels: &str) -> f64 {
    let series = scraped.lines().filter(|line| line.split(['{', ' ']).next() == Some(name) && line.contains(labels));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Of `2026-01-31T23:59:59.999999Z`.
fn seconds_of_day(timestamp: &str) -> f64 {
    let time = timestamp.split(['T', 'Z']).nth(1).expect("a time");
    time.split(':').fold(0.0, |seconds, part| seconds * 60.0 + part.parse::<f64>().expect("a number"))
}

/// An environment whose database is for this login, unless it is for another one than the superuser.
pub fn logging_in_as(login: &str, mut environment: Vec<(&'static str, String)>) -> Vec<(&'static str, String)> {
    for (_, url) in environment.iter_mut().filter(|(name, _)| *name == "DATABASE_URL") {
        *url = log_in_as(login, url);
    }
    environment
}

/// A running daemon; killed with the test.
pub struct Daemon {
    child: Child,
    pub address: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    /// Starts it in this environment, and waits until it says where it listens. Where that names the superuser it logs in as the writer.
    pub async fn start(environment: Vec<(&'static str, String)>) -> Self {
        Self::start_program(PROCESSOR, &["run"], logging_in_as(WRITER_LOGIN, environment)).await
    }

    /// Starts the sender in this environment.
    pub async fn start_sender(environment: Vec<(&'static str, String)>) -> Self {
        Self::start_program(SENDER, &[], logging_in_as(SENDER_LOGIN, environment)).await
    }

    async fn start_program(program: &str, arguments: &[&str], environment: Vec<(&'static str, String)>) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the daemon starts");
        let mut lines = BufReader::new(child.stderr.take().expect("standard error")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let address = loop {
            let line = lines.next_line().await.expect("UTF-8").expect("the daemon says where it listens");
            let entry: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            log.lock().expect("the log").push(line);
            if let Some(address) = entry["address"].as_str() {
                break address.to_owned();
            }
        };
        let writing = Arc::clone(&log);
        let reading = async move {
            while let Ok(Some(line)) = lines.next_line().await {
                writing.lock().expect("the log").push(line);
            }
        };
        #[expect(clippy::disallowed_methods, reason = "it ends with the daemon's standard error")]
        tokio::spawn(reading);
        Self { child, address, log }
    }

    /// Starts it by a command whose standard error nobody reads here, and waits until it listens where it was told to.
    pub async fn start_unheard(command: &mut Command, address: String) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn().expect("the daemon starts");
        let connect = async || tokio::net::TcpStream::connect(&address).await.ok();
        eventually("the daemon listens", connect).await;
        Self { child, address, log: Arc::default() }
    }

    pub fn id(&self) -> u32 {
        self.child.id().expect("the daemon runs")
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log").join("\n")
    }

    /// What was logged of a queue so far, with the seconds of the day at which it was.
    pub fn log_of(&self, queue: &str) -> Vec<(f64, String)> {
        let log = self.log.lock().expect("the log");
        let entries = log.iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok().map(|entry| (entry, line)));
        let about = entries.filter(|(entry, _)| {
            let fields = if entry["fields"].is_object() { &entry["fields"] } else { entry };
            fields["queue"] == queue || fields["part"] == format!("queue {queue}")
        });
        about.map(|(entry, line)| (seconds_of_day(entry["timestamp"].as_str().expect("a timestamp")), line.clone())).collect()
    }

    /// Status and body of a path on the health endpoint.
    pub async fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).await.expect("a reply")
    }

    /// The same; nothing where the connection was closed in favour of newer ones.
    pub async fn try_get(&self, path: &str) -> Option<(u16, String)> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(&self.address).await.expect("the daemon listens");
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.ok()?;
        let (head, body) = reply.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned()))
    }

    pub async fn ready(&self) {
        eventually("the daemon is ready", async || (self.get("/readyz").await.0 == 200).then_some(())).await;
    }

    /// Waits until `/readyz` says this, among what stands in the way.
    pub async fn says(&self, problem: &str) {
        eventually(&format!("/readyz says {problem}"), async || self.get("/readyz").await.1.contains(problem).then_some(())).await;
    }

    /// The sum of a metric's series whose labels contain this text.
    pub async fn metric(&self, name: &str, labels: &str) -> f64 {
        sum(&self.get("/metrics").await.1, name, labels)
    }

    /// Sends a signal by its number.
    pub fn signal(&self, name: &str) {
        let status = std::process::Command::new("/bin/sh").args(["-c", &format!("kill -{name} {}", self.id())]).status();
        assert!(status.expect("sh").success(), "kill -{name}");
    }

    /// How many of its threads have this name.
    pub fn threads(&self, name: &str) -> usize {
        let comm = |thread: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(thread.expect("an entry").path().join("comm"));
        let names = std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("its threads").map(comm);
        // One may have ended since it was listed.
        names.filter(|found| found.as_ref().is_ok_and(|found| found.trim_end() == name)).count()
    }

    /// Whether all of its threads have stopped.
    pub fn stands_still(&self) -> bool {
        let is_stopped = |thread: std::io::Result<std::fs::DirEntry>| {
            let status = std::fs::read_to_string(thread.expect("an entry").path().join("status")).unwrap_or_default();
            status.contains("\nState:\tT")
        };
        std::fs::read_dir(format!("/proc/{}/task", self.id())).expect("its threads").all(is_stopped)
    }

    /// Ends it as the system does that is out of memory: at once, and without asking.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("the daemon ends");
    }

    /// Waits for the daemon's end: its exit status, -1 where a signal ended it.
    pub async fn ended(&mut self) -> i32 {
        let waited = tokio::time::timeout(patience(), self.child.wait()).await;
        waited.expect("the daemon ends").expect("a status").code().unwrap_or(-1)
    }

    /// Whether it has ended by now.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a status").is_some()
    }

    /// The signal that ended it, where one did.
    pub async fn ended_by(mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt as _;
        self.child.wait().await.expect("a status").signal()
    }

    /// SIGTERM, and the exit status.
    pub async fn stop(mut self) -> i32 {
        self.signal("TERM");
        self.ended().await
    }
}
