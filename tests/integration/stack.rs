//! What the tests run on: one Postgres for all with a database for each test, a queue server and a daemon for each.

mod database;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use event_processor::dev::cluster::Cluster;
use event_processor::dev::queue_server::QueueServer;
use event_processor::queue::{Clients, Queue};
use event_processor::settings::parse_queues;
use tokio::process::Command;
use tokio::time::Instant;

use crate::daemon::Daemon;
pub use database::{Database, SENDER_LOGIN, WRITER_LOGIN, log_in_as};

/// How long a condition may take to come true before the test fails, `TEST_PATIENCE` in seconds. Generous: the machine is shared.
pub fn patience() -> Duration {
    std::env::var("TEST_PATIENCE")
        .map_or(Duration::from_mins(1), |text| Duration::from_secs(text.parse().expect("TEST_PATIENCE in seconds")))
}

/// How often a condition is looked at.
const TICK: Duration = Duration::from_millis(25);

/// The server that all tests share: the one at `TEST_DATABASE_URL`, else one of their own, which ends with the test process.
pub fn server_url() -> &'static str {
    static CLUSTER: OnceLock<(Option<Cluster>, String)> = OnceLock::new();
    let (_, url) = CLUSTER.get_or_init(|| match std::env::var("TEST_DATABASE_URL") {
        Ok(url) => (None, url),
        Err(_) => {
            let cluster = Cluster::temporary(&["max_connections=300", "shared_buffers=64MB", "track_commit_timestamp=on"])
                .expect("a Postgres for the tests");
            let url = cluster.url("postgres");
            (Some(cluster), url)
        }
    });
    url
}

/// Waits until a condition holds.
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        if let Some(value) = condition().await {
            return value;
        }
        assert!(began.elapsed() < patience(), "not within {:?}: {what}", patience());
    }
}

/// The sample catalog of this repository.
pub fn sample_catalog() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

/// Where the corpus lies beside the repository, or nothing and a message.
pub fn corpus(part: &str) -> Option<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus").join(part);
    if directory.is_dir() {
        return Some(directory);
    }
    eprintln!("skipped: there is no corpus at {}", directory.display());
    None
}

/// A directory of the test's own, removed with it.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn create() -> Self {
        let path = std::env::temp_dir().join(format!("event-processor-test-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    /// Writes a file, with the directories above it.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, text).expect("a file");
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A database, a queue server and a daemon on them.
pub struct Stack {
    pub database: Database,
    pub server: QueueServer,
    pub clients: Clients,
}

impl Stack {
    /// With the sample catalog applied, and the queues there.
    pub async fn start(queues: &[&str]) -> Self {
        let stack = Self::start_without_catalog(queues).await;
        stack.database.apply(&sample_catalog()).await;
        stack
    }

    pub async fn start_without_catalog(queues: &[&str]) -> Self {
        Self::start_on(Database::create().await, queues).await
    }

    pub async fn start_on(database: Database, queues: &[&str]) -> Self {
        let server = QueueServer::start(([127, 0, 0, 1], 0).into()).await.expect("a queue server");
        let clients = Clients::local(&server.endpoint_url(), "us-east-1").await;
        for queue in queues {
            // As the daemon wants it, whatever its HOLD_MAX.
            let attributes = [("MessageRetentionPeriod", "1209600"), ("VisibilityTimeout", "43200")];
            clients.create_queue(queue, &attributes).await.expect("a queue");
        }
        Self { database, server, clients }
    }

    pub async fn queue(&self, name: &str) -> Queue {
        let setting = parse_queues(name).expect("a queue's name").remove(0);
        Queue::open(&self.clients, &setting).await.expect("the queue is there")
    }

    /// The environment in which commands find the stack.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DATABASE_URL", self.database.url.clone()),
            ("AWS_ENDPOINT_URL", self.server.endpoint_url()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("LISTEN_ADDRESS", "127.0.0.1:0".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
            ("DRAIN_TIMEOUT", "4".to_owned()),
        ]
    }

    /// Starts the real binary on these queues; `settings` are further variables.
    pub async fn daemon(&self, queues: &str, settings: &[(&'static str, &str)]) -> Daemon {
        let mut environment = self.environment();
        environment.push(("QUEUES", queues.to_owned()));
        environment.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Daemon::start(environment).await
    }

    /// Waits until SQS has no message of the queue, neither waiting nor held.
    pub async fn at_rest(&self, queue: &Queue) {
        eventually("the queue comes to rest", async || {
            let depth = queue.depth().await.expect("the queue answers");
            depth.iter().all(|(_, messages)| *messages == 0).then_some(())
        })
        .await;
    }
}

/// Runs a command to its end: status, standard output, standard error.
pub async fn command(program: &str, arguments: &[&str], environment: &[(&'static str, String)]) -> (i32, String, String) {
    let directory = Directory::create();
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        // Away from any `.dev/env` of the checkout.
        .current_dir(&directory.0)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

/// The path of the `processor` binary.
pub const PROCESSOR: &str = env!("CARGO_BIN_EXE_processor");

/// The path of the `sender` binary.
pub const SENDER: &str = env!("CARGO_BIN_EXE_sender");

/// The path of the `producers` binary.
pub const PRODUCERS: &str = env!("CARGO_BIN_EXE_producers");
