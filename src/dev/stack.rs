//! `processor dev`: a Postgres, a queue and the daemon, with the sample catalog and sample events; then whatever the user tries.

use std::fs::{File, TryLockError};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use sqlx::PgConnection;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::account::home_for;
use super::activity::Activity;
use super::binaries::Binaries;
use super::catalog_files::CatalogFiles;
use super::cluster::Cluster;
use super::container::Container;
use super::delivering::{Delivering, RECEIVER_PORT};
use super::given_database::check_given;
use super::installation::install;
use super::queue_server::QueueServer;
use super::sample;
use crate::catalog::declaration::Declaration;
use crate::database;
use crate::health::listen;
use crate::ingest::Daemon;
use crate::output::announce;
use crate::queue::{Clients, Queue};
use crate::settings::{
    DEV_ENVIRONMENT_FILE, Database, DatabaseSettings, IngestSettings, ListenSettings, QueueSetting, Role, WrongSetting, parse_count,
    parse_queues, write_dev_environment,
};
use crate::spans::Exporter;
use crate::store;

/// The queue that the samples go to.
const SHARED_QUEUE: &str = "events?trust=any";

/// A queue of one tenant, for events that name none; there where the catalog has the tenant.
const BOUND_QUEUE: &str = "platform-events=platform";
const REGION: &str = "us-east-1";

/// Says who runs `dev` here.
const LOCK_FILE: &str = ".dev/lock";

/// How often the catalog's files are looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// What `dev` can be told.
#[derive(Debug, Clone, Args)]
pub struct DevSettings {
    /// End as soon as every sample event is accounted for: with 0 when all became what they should, else with 65.
    #[arg(long)]
    exit_after_sample: bool,
    /// Where no Postgres is found, run the platform's own package manager without asking.
    #[arg(long)]
    install: bool,
    /// The port of the queue server on 127.0.0.1; 0: any that is free.
    #[arg(long, value_name = "PORT", default_value_t = 4566, value_parser = |text: &str| parse_count(text, 0, u16::MAX))]
    queue_port: u16,
    /// The port of the receiver of deliveries on 127.0.0.1, to which the sample's clients point; 0: any that is free.
    #[arg(long, value_name = "PORT", default_value_t = RECEIVER_PORT, value_parser = |text: &str| parse_count(text, 0, u16::MAX))]
    receiver_port: u16,
    /// The catalog's directory.
    #[arg(long, value_name = "DIR", default_value = "schemas")]
    schemas: PathBuf,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    listen: ListenSettings,
    #[command(flatten)]
    ingest: IngestSettings,
}

/// Why `dev` ended.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// A setting is wrong.
    #[error("{0}")]
    Setting(String),
    /// The samples did not become what they should.
    #[error("not every sample event is accounted for")]
    Sample,
    /// Something that is needed could not be had.
    #[error("{0:#}")]
    Unavailable(#[from] anyhow::Error),
}

impl From<WrongSetting> for DevError {
    fn from(wrong: WrongSetting) -> Self {
        Self::Setting(wrong.0)
    }
}

impl DevError {
    /// The exit status of `sysexits.h`.
    pub fn status(&self) -> u8 {
        match self {
            Self::Setting(_) => 78,
            Self::Sample => 65,
            Self::Unavailable(_) => 69,
        }
    }
}

/// Postgres, wherever it was found.
enum Postgres {
    Given,
    Cluster(Box<Cluster>),
    Container(Box<Container>),
}

/// Runs the stack until `stop`, or until the samples are accounted for.
///
/// # Errors
/// What could not be had, and what to do about it.
pub async fn run(settings: DevSettings, stop: CancellationToken) -> Result<(), DevError> {
    // Held until the end: the file's lock is gone with the process, however it ends.
    let _only_one = lock()?;
    let listener = bind(settings.listen.listen_address)?;
    let queue_address = SocketAddr::from(([127, 0, 0, 1], settings.queue_port));
    let server = QueueServer::start(queue_address).await.map_err(anyhow::Error::from)?;
    let (postgres, database, url) = start_postgres(&settings).await?;
    let outcome = run_on(&settings, listener, &server, database, &url, stop).await;
    // Whatever happened, nothing that was started stays.
    let _ = std::fs::remove_file(DEV_ENVIRONMENT_FILE);
    server.stop().await;
    match postgres {
        Postgres::Given => {}
        Postgres::Cluster(cluster) => tokio::task::spawn_blocking(|| cluster.stop()).await.map_err(anyhow::Error::from)??,
        Postgres::Container(container) => container.stop().await?,
    }
    if !settings.exit_after_sample && outcome.is_ok() {
        // A terminal has written `^C` at the beginning of this line.
        let begin = if std::io::stdout().is_terminal() { "\n" } else { "" };
        announce(format_args!("{begin}stopped; what was still on the queues is gone"));
    }
    outcome
}

/// Makes sure that no other `dev` runs in this directory.
fn lock() -> Result<File, DevError> {
    let failed = |error: std::io::Error| {
        anyhow::anyhow!("failed to use {LOCK_FILE}: {error}; `dev` needs to write below the directory it is started in")
    };
    std::fs::create_dir_all(".dev").map_err(failed)?;
    let mut file = File::options().create(true).truncate(false).read(true).write(true).open(LOCK_FILE).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut id = String::new();
            file.read_to_string(&mut id).map_err(failed)?;
            let sentence =
                format!("another `processor dev` (process {}) runs in this directory; interrupt it, or use what it started", id.trim());
            return Err(anyhow::anyhow!(sentence).into());
        }
        Err(TryLockError::Error(error)) => return Err(failed(error).into()),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

fn bind(address: SocketAddr) -> Result<TcpListener, DevError> {
    listen(address).map_err(|error| {
        let port = address.port();
        DevError::Setting(format!(
            "the value of LISTEN_ADDRESS (--listen-address) is \"{address}\": cannot listen there ({error}); `ss -ltnp 'sport = :{port}'` shows \
             who does, --listen-address 127.0.0.1:0 takes a free port"
        ))
    })
}

async fn start_postgres(settings: &DevSettings) -> Result<(Postgres, Database, String), DevError> {
    if let Some(database) = settings.database.given().map_err(DevError::Setting)? {
        check_given(&database).await?;
        // What was checked, as it is, password and all.
        let url = database.url().map_err(anyhow::Error::from)?;
        return Ok((Postgres::Given, database, url));
    }
    let found = match Binaries::find() {
        Ok(binaries) => Ok(binaries),
        Err(missing) => {
            if let Some(container) = Container::start().await? {
                let url = container.url("postgres");
                return Ok((Postgres::Container(Box::new(container)), url.parse().map_err(anyhow::Error::msg)?, url));
            }
            install(&missing, settings.install)
        }
    };
    let binaries = found?;
    let home = home_for(Path::new(".dev"))?;
    let started = tokio::task::spawn_blocking(move || Cluster::start(&binaries, &home, &[])).await;
    let cluster = started.map_err(anyhow::Error::from)??;
    let url = cluster.url("postgres");
    Ok((Postgres::Cluster(Box::new(cluster)), url.parse().map_err(anyhow::Error::msg)?, url))
}

async fn run_on(
    settings: &DevSettings,
    listener: TcpListener,
    server: &QueueServer,
    database: Database,
    url: &str,
    stop: CancellationToken,
) -> Result<(), DevError> {
    store::migrate(&database).await.map_err(anyhow::Error::from)?;
    announce(format_args!("Postgres is up, {url}"));
    let mut catalog = CatalogFiles::new(settings.schemas.clone());
    let operator = database.clone().with_role(Role::Operator).to("dev");
    let mut connection = database::connect(&operator, &[]).await.map_err(anyhow::Error::from)?;
    let declaration = catalog.apply(&mut connection).await;

    let clients = Clients::local(&server.endpoint_url(), REGION).await;
    let list = match catalog.has_tenant("platform") {
        true => format!("{SHARED_QUEUE},{BOUND_QUEUE}"),
        false => SHARED_QUEUE.to_owned(),
    };
    let queues: Vec<QueueSetting> = parse_queues(&list).map_err(anyhow::Error::msg)?;
    let hold_max = settings.ingest.hold_max.as_secs().to_string();
    for queue in &queues {
        // As the daemon wants a queue to be set up.
        let attributes = [("MessageRetentionPeriod", "1209600"), ("VisibilityTimeout", hold_max.as_str())];
        clients.create_queue(&queue.name, &attributes).await.map_err(anyhow::Error::from)?;
    }
    let queue = Queue::open(&clients, &queues[0]).await.map_err(anyhow::Error::from)?;
    let address = listener.local_addr().map_err(anyhow::Error::from)?;
    write_dev_environment([url, &list, &server.endpoint_url(), REGION, REGION, "test", "test", &address.to_string()])
        .map_err(|error| anyhow::anyhow!("failed to write {DEV_ENVIRONMENT_FILE}: {error}"))?;

    // Its own stop: the daemon drains only when the stack is done with it.
    let daemon_stop = CancellationToken::new();
    // Whoever interrupts `dev` waits for it.
    let drain_timeout = settings.ingest.drain_timeout.min(Duration::from_secs(2));
    let ingest = IngestSettings { drain_timeout, ..settings.ingest.clone() };
    let mut delivering = Delivering::start(settings.receiver_port, database.clone(), declaration.as_ref()).await?;
    let exporter = Exporter::from_environment("event-processor")?;
    let running = Daemon { database, queues, clients, settings: ingest, listener, exporter }.run(daemon_stop.clone());
    tokio::pin!(running);
    let parts = (&queue, &mut delivering, declaration.as_ref());
    let accompany = accompany(settings, &mut catalog, &mut connection, parts, (url, server, address), &stop);
    let outcome = tokio::select! {
        outcome = accompany => outcome,
        ended = &mut running => return ended.map_err(|error| DevError::Unavailable(error.into())),
    };
    delivering.stop().await;
    daemon_stop.cancel();
    running.await.map_err(|error| DevError::Unavailable(error.into()))?;
    outcome
}

/// Sends the samples and shows what became of them, then follows the catalog's files.
async fn accompany(
    settings: &DevSettings,
    catalog: &mut CatalogFiles,
    connection: &mut PgConnection,
    (queue, delivering, declaration): (&Queue, &mut Delivering, Option<&Declaration>),
    (url, server, address): (&str, &QueueServer, SocketAddr),
    stop: &CancellationToken,
) -> Result<(), DevError> {
    let is_accounted = match declaration {
        Some(declaration) => sample::show(queue, connection, (&settings.schemas, declaration), stop).await?,
        None => false,
    };
    delivering.show(connection, stop).await?;
    if settings.exit_after_sample {
        return if is_accounted { Ok(()) } else { Err(DevError::Sample) };
    }
    announce(invitation(url, &server.endpoint_url(), address, delivering.address()));
    let mut activity = Activity::since_now(address).await;
    while !stop.is_cancelled() {
        catalog.apply_if_saved(connection).await;
        for line in [activity.line().await, delivering.line()].into_iter().flatten() {
            announce(line);
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
        }
    }
    Ok(())
}

/// What to paste into another terminal.
fn invitation(url: &str, endpoint_url: &str, address: SocketAddr, receiver: SocketAddr) -> String {
    let body = r#"{"event_type":"monitor-app","client_id":"client-1","message":"hello 7"}"#;
    format!(
        "\nIt goes on until you interrupt it, and applies what you save under the catalog's directory. In another terminal:\n\n  \
         psql '{url}' -c 'select count(*) from message'\n  \
         awslocal --endpoint-url {endpoint_url} sqs send-message --queue-url {endpoint_url}/000000000000/platform-events \\\n    --message-body '{body}'\n  \
         cargo run -q -- dead-letter list\n  \
         curl http://{address}/metrics\n\n\
         Clients get their events at http://{receiver}, which says here what has arrived."
    )
}
