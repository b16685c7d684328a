//! What a measurement runs on: a Postgres, a queue in a process of its own, and the release binary.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use event_processor::candidate::QueueBinding;
use event_processor::catalog::directory;
use event_processor::dev::cluster::Cluster;
use event_processor::event::Reason;
use event_processor::producers::generation::{Expected, Generator, Mix};
use event_processor::producers::material::{self, EventKind};
use event_processor::queue::{Clients, MESSAGES_PER_REQUEST_MAX, Queue};
use event_processor::settings::parse_queues;
use futures_util::StreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::ceilings::Ceiling;
use crate::usage;

pub const QUEUES: &str = "events?trust=any";

/// A process that ends with its owner.
pub struct Process(Child);

impl Process {
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Tells it to end, and waits for that.
    pub fn stop(mut self) -> Result<()> {
        let told = Command::new("kill").args(["-TERM", &self.id().to_string()]).status()?;
        ensure!(told.success() && self.0.wait()?.success(), "a process did not end well");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bodies of the sample catalog's valid events, payloads filled up to so many bytes.
pub fn bodies(events: usize, size: usize) -> Result<Vec<String>> {
    Ok(generator(size)?.take(events).map(|draft| draft.body).collect())
}

/// The same, but one in twenty breaks its schema.
pub fn with_violations(events: usize) -> Result<Vec<String>> {
    let mut valid = generator(0)?;
    let broken = Generator::new(kinds(0)?, binding()?, Mix { invalid: 1.0, ..Mix::default() }, 1, &run()).map_err(anyhow::Error::msg)?;
    let mut broken = broken.filter(|draft| draft.expected == Expected::Rejected(Reason::SchemaViolation));
    let drafts = (0..events).map_while(|number| if number % 20 == 0 { broken.next() } else { valid.next() });
    Ok(drafts.map(|draft| draft.body).collect())
}

fn kinds(size: usize) -> Result<Vec<EventKind>> {
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let declaration = directory::read(&catalog).map_err(|problems| anyhow::anyhow!("the sample catalog: {problems:?}"))?;
    material::of_catalog(&catalog, &declaration, &[], &[], size).map_err(anyhow::Error::msg)
}

fn binding() -> Result<QueueBinding> {
    Ok(QueueBinding::from(&parse_queues(QUEUES).map_err(anyhow::Error::msg)?[0]))
}

fn run() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

fn generator(size: usize) -> Result<Generator> {
    Generator::new(kinds(size)?, binding()?, Mix { size, ..Mix::default() }, 1, &run()).map_err(anyhow::Error::msg)
}

/// A Postgres with the sample catalog, and the binary.
pub struct Stand {
    cluster: Cluster,
    processor: PathBuf,
    settings: Vec<(String, String)>,
    postmaster: u32,
}

/// A queue with messages on it.
pub struct Filled {
    pub queue: Queue,
    pub server: Process,
    endpoint: String,
}

impl Stand {
    pub async fn start(processor: PathBuf, settings: Vec<(String, String)>) -> Result<Self> {
        let of_postgres =
            ["track_commit_timestamp=on", "max_wal_size=8GB", "checkpoint_timeout=30min", "shared_buffers=512MB", "autovacuum=off"];
        let cluster = Cluster::temporary(&of_postgres)?;
        let mut connection = PgConnection::connect(&cluster.url("postgres")).await?;
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await?;
        let stand = Self { cluster, processor, settings, postmaster: usage::parent(u32::try_from(backend)?)? };
        stand.command(&["migrate"])?;
        stand.command(&["catalog", "apply", concat!(env!("CARGO_MANIFEST_DIR"), "/schemas")])?;
        Ok(stand)
    }

    fn command(&self, arguments: &[&str]) -> Result<()> {
        let status = Command::new(&self.processor).args(arguments).env("DATABASE_URL", self.url()).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "`processor {}` failed", arguments.join(" "));
        Ok(())
    }

    pub fn url(&self) -> String {
        self.cluster.url("postgres")
    }

    pub async fn execute(&self, sql: &str) -> Result<()> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await?;
        Ok(())
    }

    pub async fn number(&self, sql: &str) -> Result<f64> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        Ok(sqlx::query_scalar(AssertSqlSafe(format!("select ({sql})::float8"))).fetch_one(&mut connection).await?)
    }

    /// Waits until so many events are stored.
    pub async fn stored(&self, events: usize) -> Result<()> {
        let events = f64::from(u32::try_from(events)?);
        let deadline = Instant::now() + Duration::from_mins(2);
        while Instant::now() < deadline {
            if self.number("select count(*) from message").await? >= events {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        bail!("not all events were stored within two minutes")
    }

    /// The processor time that all of Postgres has used, in seconds.
    pub fn postgres_cpu(&self) -> Result<f64> {
        usage::cpu_of_family(self.postmaster)
    }

    /// A queue of a server's own, with these messages on it.
    pub async fn fill(&self, bodies: &[String]) -> Result<Filled> {
        let mut child = Command::new(std::env::current_exe()?).arg("queue").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut endpoint = String::new();
        BufReader::new(child.stdout.take().context("standard output")?).read_line(&mut endpoint)?;
        let (server, endpoint) = (Process(child), endpoint.trim().to_owned());
        let clients = Clients::local(&endpoint, "us-east-1").await;
        clients.create_queue("events", &[]).await?;
        let queue = Queue::open(&clients, &parse_queues(QUEUES).map_err(anyhow::Error::msg)?[0]).await?;
        let filled = Filled { queue, server, endpoint };
        filled.send(bodies).await?;
        Ok(filled)
    }

    /// Starts the daemon with default settings, but for what was chosen; waits until it says that it has.
    pub fn daemon(&self, filled: &Filled) -> Result<Process> {
        let mut command = Command::new(&self.processor);
        command.arg("run").env_clear().stdin(Stdio::null()).stderr(Stdio::piped()).envs([
            ("DATABASE_URL", self.url().as_str()),
            ("AWS_ENDPOINT_URL", &filled.endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("LISTEN_ADDRESS", "127.0.0.1:0"),
            ("QUEUES", QUEUES),
        ]);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn()?;
        let mut log = BufReader::new(child.stderr.take().context("standard error")?);
        let mut line = String::new();
        while !line.contains("started;") {
            line.clear();
            ensure!(log.read_line(&mut line)? > 0, "the daemon ended");
        }
        // Its log is read on, so that it never waits for us.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok).filter(|line| line.contains("ERROR")) {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        });
        Ok(Process(child))
    }
}

/// Runs a part alone, in a process of its own; `measure` is called just before its work begins, and when it is over.
pub fn ceiling(arguments: &[&str], mut measure: impl FnMut(bool) -> Result<()>) -> Result<Ceiling> {
    let mut child = Command::new(std::env::current_exe()?).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("standard input")?;
    let mut output = BufReader::new(child.stdout.take().context("standard output")?);
    let mut line = String::new();
    output.read_line(&mut line)?;
    ensure!(line == "ready\n", "`{}` failed", arguments.join(" "));
    measure(false)?;
    writeln!(input, "go")?;
    line.clear();
    output.read_line(&mut line)?;
    measure(true)?;
    drop(input);
    ensure!(child.wait()?.success(), "`{}` failed", arguments.join(" "));
    Ok(serde_json::from_str(&line)?)
}

impl Filled {
    /// Sends messages, ten at a time.
    pub async fn send(&self, bodies: &[String]) -> Result<()> {
        let batches = bodies.chunks(MESSAGES_PER_REQUEST_MAX).map(|batch| batch.iter().map(String::as_str).collect::<Vec<_>>());
        let sending = futures_util::stream::iter(batches).map(async |batch| self.queue.send_batch(&batch).await);
        let mut replies = sending.buffer_unordered(8);
        while let Some(reply) = replies.next().await {
            ensure!(reply?.refused.is_empty(), "the queue refused a message");
        }
        Ok(())
    }

    /// Sends messages at a rate, each ten when their time has come, whatever became of those before.
    pub async fn send_at(&self, bodies: &[String], events_per_second: f64, batch: usize) -> Result<()> {
        let began = tokio::time::Instant::now();
        let mut sending = futures_util::stream::FuturesUnordered::new();
        for (number, batch_bodies) in bodies.chunks(batch).enumerate() {
            let due = began + Duration::from_secs_f64(f64::from(u32::try_from(number * batch)?) / events_per_second);
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => break,
                    Some(sent) = sending.next(), if !sending.is_empty() => sent?,
                }
            }
            let batch_bodies: Vec<&str> = batch_bodies.iter().map(String::as_str).collect();
            sending.push(async move { self.queue.send_batch(&batch_bodies).await.map(|_| ()) });
        }
        while let Some(sent) = sending.next().await {
            sent?;
        }
        Ok(())
    }

    /// Waits until nothing is on the queue any more.
    pub async fn at_rest(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_mins(15);
        while Instant::now() < deadline {
            if self.queue.depth().await?.iter().all(|(_, messages)| *messages == 0) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bail!("the queue did not come to rest")
    }
}
