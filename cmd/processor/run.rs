//! `processor run`, `dev`, `migrate` and `health`.

use crate::{Failure, stop_on_signal};
use std::time::Duration;

use clap::Args;
use event_processor::database::{self, tell};
use event_processor::health::{ask, listen};
use event_processor::ingest::{Daemon, DaemonError};
use event_processor::output::print;
use event_processor::queue::Clients;
use event_processor::settings::{Database, DatabaseSettings, IngestSettings, ListenSettings, QueueSettings, Role};
use event_processor::snapshot::Snapshot;
use event_processor::spans::Exporter;
use event_processor::store::{self, Migrated, MigrationError};

/// Longer than that the start does not wait for the catalog.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);

/// What the daemon is told.
#[derive(Args)]
pub struct RunSettings {
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    queues: QueueSettings,
    #[command(flatten)]
    ingest: IngestSettings,
    #[command(flatten)]
    listen: ListenSettings,
}

/// Runs the daemon until it is told to stop.
pub async fn run(settings: RunSettings) -> Result<(), Failure> {
    let database = settings.database.database().map_err(Failure::setting)?;
    let queues = settings.queues.given()?;
    if queues.is_empty() {
        check_queues(&database).await?;
    }
    let exporter = Exporter::from_environment("event-processor")?;
    let clients = Clients::load().await?;
    if !clients.has_region() && queues.iter().any(|queue| queue.url.is_none()) {
        return Err(Failure::setting("AWS_REGION is not set; set it to the queues' region, for example eu-central-1"));
    }
    let address = settings.listen.listen_address;
    let listener = listen(address).map_err(|error| {
        Failure::setting(format!(
            "the value of LISTEN_ADDRESS (--listen-address) is \"{address}\": cannot listen there ({error}); choose another port"
        ))
    })?;
    let daemon = Daemon { database, queues, clients, settings: settings.ingest, listener, exporter };
    if let Some(address) = daemon.health_address() {
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "started; /livez, /readyz and /metrics are served here");
    }
    let stop = stop_on_signal()?;
    let outcome = daemon.run(stop).await;
    match outcome {
        Ok(()) => {
            tracing::info!("stopped; all that was in flight is settled or handed back");
            Ok(())
        }
        Err(error @ DaemonError::DrainTimeout(_)) => Err(Failure { sentence: error.to_string(), status: 75 }),
        Err(error) => Err(Failure::internal(error)),
    }
}

/// Without a queue of its own, a daemon polls those of the catalog. Where that can be read at once and has none, something was forgotten.
async fn check_queues(database: &Database) -> Result<(), Failure> {
    let reading = async {
        let database = database.clone().with_role(Role::Writer).to("start");
        let mut connection = database::connect(&database, &[]).await?;
        Snapshot::load(&mut connection, None, 0).await
    };
    match tokio::time::timeout(LOOK_TIMEOUT, reading).await {
        Ok(Ok(snapshot)) if snapshot.generation > 0 && snapshot.queues.is_empty() => Err(Failure::setting(
            "neither QUEUES nor QUEUE_NAME is set, and the catalog names no queue; set QUEUES to the queues to poll, for example \
             events?trust=any, or apply a queues.toml",
        )),
        // What stands in the way now, readiness tells.
        _ => Ok(()),
    }
}

/// Runs the embedded stack.
#[cfg(feature = "dev")]
pub async fn dev(settings: event_processor::dev::DevSettings) -> Result<(), Failure> {
    let stop = stop_on_signal()?;
    let running = Box::pin(event_processor::dev::run(settings, stop));
    running.await.map_err(|error| Failure { sentence: error.to_string(), status: error.status() })
}

/// Applies the migrations.
pub async fn migrate(settings: &DatabaseSettings) -> Result<(), Failure> {
    let database = settings.database().map_err(Failure::setting)?;
    match store::migrate(&database).await {
        Ok(Migrated { applied, statements_left }) => {
            match applied {
                0 => print("the tables are up to date"),
                _ => print(format_args!("applied {applied} migration(s)")),
            }
            if let Some(statements) = statements_left {
                print(format_args!(
                    "this user may not make the roles that the programs use, or not grant them what they need; have somebody run who may:\n{statements}"
                ));
            }
        }
        Err(error) => {
            return Err(match &error {
                MigrationError::Database(cause) => Failure::database(cause, tell(&database, cause)),
                MigrationError::Refused { error: cause, .. } => Failure::database(cause, error.to_string()),
                MigrationError::Locked => Failure::unavailable(error),
                MigrationError::Unfit(_) | MigrationError::Foreign(_) => Failure::setting(error),
            });
        }
    }
    Ok(())
}

/// Asks the daemon whether it is ready.
pub async fn health(settings: &ListenSettings) -> Result<(), Failure> {
    let mut address = settings.listen_address;
    // A daemon that listens on all addresses is asked on loopback.
    if address.ip().is_unspecified() {
        let is_v4 = address.is_ipv4();
        address.set_ip(if is_v4 { std::net::Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    let answer = ask(address, "/readyz").await.map_err(|problem| Failure::unavailable(format!("not ready\n{}", problem.trim_end())))?;
    print(answer.trim_end());
    Ok(())
}
