//! What a measurement runs on: a Postgres, a queue in a process of its own, and the release binary.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use event_processor::candidate::QueueBinding;
use event_processor::catalog::directory;
use event_processor::dev::cluster::Cluster;
use event_processor::event::Reason;
use event_processor::producers::generation::{Expected, Generator, Mix};
use event_processor::producers::material::{self, EventKind};
use event_processor::settings::parse_queues;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::filled::{Filled, QUEUES};
use crate::process::Daemon;
use crate::relay::Relay;
use crate::usage;

/// Bodies of the sample catalog's valid events, payloads filled up to so many bytes, made as they are taken.
pub fn endless(size: usize) -> Result<impl Iterator<Item = String>> {
    Ok(generator(size)?.map(|draft| draft.body))
}

/// So many of them.
pub fn bodies(events: usize, size: usize) -> Result<Vec<String>> {
    Ok(endless(size)?.take(events).collect())
}

/// As endless, but one in twenty breaks its schema.
pub fn with_violations(size: usize) -> Result<impl Iterator<Item = String>> {
    let mut valid = generator(size)?;
    let mix = Mix { invalid: 1.0, size, ..Mix::default() };
    let broken = Generator::new(kinds(size)?, binding()?, mix, 1, &run()).map_err(anyhow::Error::msg)?;
    let mut broken = broken.filter(|draft| draft.expected == Expected::Rejected(Reason::SchemaViolation));
    let drafts = (0_usize..).map_while(move |number| if number % 20 == 0 { broken.next() } else { valid.next() });
    Ok(drafts.map(|draft| draft.body))
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
    /// The build that is measured.
    pub processor: PathBuf,
    /// Those of the daemon's that differ from their defaults.
    pub settings: Vec<(String, String)>,
    postmaster: u32,
    queue_latency_ms: Option<u64>,
    postgres_relay: Option<Relay>,
}

impl Stand {
    pub async fn start(processor: PathBuf, settings: Vec<(String, String)>) -> Result<Self> {
        let of_postgres =
            ["track_commit_timestamp=on", "max_wal_size=8GB", "checkpoint_timeout=30min", "shared_buffers=512MB", "autovacuum=off"];
        let cluster = Cluster::temporary(&of_postgres)?;
        let mut connection = PgConnection::connect(&cluster.url("postgres")).await?;
        let backend: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await?;
        let postmaster = usage::parent(u32::try_from(backend)?)?;
        let stand = Self { cluster, processor, settings, postmaster, queue_latency_ms: None, postgres_relay: None };
        stand.command(&["migrate"])?;
        stand.command(&["catalog", "apply", concat!(env!("CARGO_MANIFEST_DIR"), "/schemas")])?;
        Ok(stand)
    }

    /// Runs a command of the binary's.
    pub fn command(&self, arguments: &[&str]) -> Result<()> {
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

    /// The first column, which is a `float8`.
    pub async fn numbers(&self, sql: String) -> Result<Vec<f64>> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await?)
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

    /// Puts queues that are filled from now on, and Postgres, so far away from the daemon. A queue is reached by a relay whatever its latency,
    /// so that two latencies differ by nothing else; Postgres without a latency is reached as it is.
    pub fn set_latencies(&mut self, queue_ms: u64, postgres_ms: u64) -> Result<()> {
        self.queue_latency_ms = Some(queue_ms);
        let address = (Ipv4Addr::LOCALHOST, self.cluster.port()).into();
        self.postgres_relay = (postgres_ms > 0).then(|| Relay::start(address, postgres_ms)).transpose()?;
        Ok(())
    }

    /// The processor time that the relay before Postgres has used, in seconds.
    pub fn relay_cpu(&self) -> Result<f64> {
        self.postgres_relay.as_ref().map_or(Ok(0.0), |relay| usage::cpu(relay.process.id()))
    }

    /// A queue of a server's own, with these messages on it.
    pub async fn fill(&self, bodies: &[String]) -> Result<Filled> {
        let filled = Filled::start(self.queue_latency_ms).await?;
        filled.send(bodies).await?;
        Ok(filled)
    }

    /// Starts the daemon with default settings, but for what was chosen; waits until it says that it has.
    pub fn daemon(&self, filled: &Filled) -> Result<Daemon> {
        let port = |port: u16| format!(":{port}/");
        let mut database = self.url();
        if let Some(relay) = &self.postgres_relay {
            database = database.replace(&port(self.cluster.port()), &port(relay.address.port()));
        }
        let mut command = Command::new(&self.processor);
        command.arg("run").env_clear().envs([
            ("DATABASE_URL", database.as_str()),
            ("AWS_ENDPOINT_URL", &filled.endpoint()),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("LISTEN_ADDRESS", "127.0.0.1:0"),
            ("QUEUES", &filled.setting()),
        ]);
        Daemon::start(command.envs(self.settings.iter().map(|(name, value)| (name, value))))
    }
}
