//! What the tests run on: one Postgres for all with a database for each test, a queue server and a daemon for each.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use event_processor::catalog::{directory, publication};
use event_processor::dev::cluster::Cluster;
use event_processor::dev::queue_server::QueueServer;
use event_processor::queue::{Clients, Queue};
use event_processor::settings::{self, parse_queues};
use event_processor::store;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};
use tokio::process::Command;
use tokio::time::Instant;

use crate::daemon::Daemon;

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

/// A database of the test's own, with the tables; dropped with it.
pub struct Database {
    pub url: String,
    /// None: it goes with a server of the test's own.
    name: Option<String>,
}

impl Database {
    /// With the tables.
    pub async fn create() -> Self {
        let database = Self::create_empty().await;
        store::migrate(&database.settings()).await.expect("migrations");
        database
    }

    /// On a server of the test's own, with the tables.
    pub async fn on(cluster: &Cluster) -> Self {
        Self::at(&cluster.url("postgres")).await
    }

    /// At this address of a server of the test's own, with the tables.
    pub async fn at(url: &str) -> Self {
        let database = Self { url: url.to_owned(), name: None };
        store::migrate(&database.settings()).await.expect("migrations");
        database
    }

    /// Without any table.
    pub async fn create_empty() -> Self {
        Self::create_with("").await
    }

    /// Without any table, made with these options.
    pub async fn create_with(options: &str) -> Self {
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        let server: PgConnectOptions = server_url().parse().expect("TEST_DATABASE_URL is a URL");
        let mut connection = server.connect().await.expect("the test server answers");
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name} {options}"))).execute(&mut connection).await.expect("create database");
        let mut url = url::Url::parse(server_url()).expect("a URL");
        url.set_path(&name);
        Self { url: url.to_string(), name: Some(name) }
    }

    pub fn options(&self) -> PgConnectOptions {
        self.url.parse().expect("a URL")
    }

    /// As the daemon is told of it.
    pub fn settings(&self) -> settings::Database {
        self.url.parse().expect("a URL")
    }

    pub async fn connect(&self) -> PgConnection {
        self.options().connect().await.expect("the test database answers")
    }

    /// Runs statements.
    pub async fn execute(&self, sql: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.expect("close");
    }

    /// The rows of a query whose columns are cast to text here, joined by ` | `; null is `-`.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        let wrapped = format!("select to_jsonb(q) as row from ({sql}) q");
        // json keeps the order of the columns, jsonb would not.
        let wrapped = wrapped.replace("to_jsonb(q)", "row_to_json(q)::text");
        let rows = sqlx::query(AssertSqlSafe(wrapped)).fetch_all(&mut connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.expect("close");
        let text = |row: &sqlx::postgres::PgRow| {
            let columns: Vec<(String, serde_json::Value)> = ordered(row.get::<&str, _>("row"));
            let cells = columns.into_iter().map(|(_, value)| match value {
                serde_json::Value::Null => "-".to_owned(),
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            });
            cells.collect::<Vec<_>>().join(" | ")
        };
        rows.iter().map(text).collect()
    }

    /// A single number.
    pub async fn count(&self, sql: &str) -> i64 {
        self.rows(sql).await.first().and_then(|row| row.parse().ok()).unwrap_or_else(|| panic!("{sql}: no number"))
    }

    /// Makes a catalog directory what runs.
    pub async fn apply(&self, catalog: &Path) {
        let declaration = directory::read(catalog).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let mut connection = self.connect().await;
        publication::apply(&mut connection, &declaration, publication::Undeclared::Stays).await.expect("apply");
        connection.close().await.expect("close");
    }
}

/// The members of a JSON object in the order of its text.
fn ordered(json: &str) -> Vec<(String, serde_json::Value)> {
    let Ok(event_processor::json::Node::Object(members)) = event_processor::json::read(json.as_bytes()) else { panic!("{json}") };
    let value = |span: std::ops::Range<usize>| serde_json::from_str(&json[span]).expect("JSON");
    members.into_iter().map(|member| (member.name.into_owned(), value(member.span))).collect()
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(name) = &self.name else { return };
        let statement = format!("drop database if exists {name} with (force)");
        let dropping = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let server: PgConnectOptions = server_url().parse().expect("a URL");
                if let Ok(mut connection) = server.connect().await {
                    let _ = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await;
                }
            });
        };
        // A runtime cannot be entered from within another one's thread.
        let _ = std::thread::spawn(dropping).join();
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
        let mut environment = vec![
            ("DATABASE_URL", self.database.url.clone()),
            ("AWS_ENDPOINT_URL", self.server.endpoint_url()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            ("LISTEN_ADDRESS", "127.0.0.1:0".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
            ("DRAIN_TIMEOUT", "4".to_owned()),
        ];
        // A bug that is planted here is planted in the daemon too.
        environment.extend(std::env::var("FAILPOINTS").ok().map(|planted| ("FAILPOINTS", planted)));
        environment
    }

    /// Starts the real binary on these queues; `settings` are further variables.
    pub async fn daemon(&self, queues: &str, settings: &[(&'static str, &str)]) -> Daemon {
        let mut environment = self.environment();
        environment.push(("QUEUES", queues.to_owned()));
        for (name, value) in settings {
            // Beside the bug that is planted in the test.
            let planted = environment.iter().find(|(given, _)| *name == "FAILPOINTS" && given == name);
            let value = planted.map_or_else(|| (*value).to_owned(), |(_, planted)| format!("{planted};{value}"));
            environment.push((name, value));
        }
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

/// The path of the `producers` binary.
pub const PRODUCERS: &str = env!("CARGO_BIN_EXE_producers");
