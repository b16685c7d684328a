//! The daemon: polls, judges, stores and acknowledges until it is told to stop.
//!
//! Data flows one way, through channels that end when the stage before them has ended, so that stopping the pollers drains the rest.

mod acknowledger;
mod backoff;
mod context;
mod groups;
mod judges;
mod judging;
mod leases;
mod poller;
mod queue_check;
mod store_gate;
mod suspects;
mod thread;
mod watchdog;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::database;
use crate::health::{Shown, serve};
use crate::metrics::{Metrics, MetricsError};
use crate::queue::Clients;
use crate::settings::{Database, IngestSettings, QueueSetting};
use crate::snapshot::CatalogFollower;
use crate::store::{DatabaseState, Session, SessionError, look};
use context::Context;

/// Two keep Postgres busy while one waits for its commit; more add locks, not rows.
const WRITERS: usize = 2;

/// How often a fit database is looked at again: its silence is noticed also when no event comes.
const LOOK_INTERVAL: Duration = Duration::from_secs(15);

/// A database that takes longer to answer a look cannot be relied on.
const LOOK_TIMEOUT: Duration = Duration::from_secs(4);

/// Between looks at a database that is not fit, doubled each time.
const RETRY_INTERVAL_MIN: Duration = Duration::from_millis(200);
const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// Beyond the drain, for what it could not finish.
const HAND_BACK_TIMEOUT: Duration = Duration::from_secs(2);

/// What is said of a part before it was looked at.
const NOT_KNOWN: &str = "not known yet";

/// Everything that the daemon is told.
#[derive(Debug)]
pub struct Daemon {
    /// Where Postgres is.
    pub database: Database,
    /// Which queues are polled.
    pub queues: Vec<QueueSetting>,
    /// How to reach SQS.
    pub clients: Clients,
    /// Pace and bounds.
    pub settings: IngestSettings,
    /// Where `/metrics`, `/livez` and `/readyz` are served; already bound, so that its port is known.
    pub listener: TcpListener,
}

/// How a daemon ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// What was in flight could not be stored and acknowledged in time; it was handed back.
    #[error(
        "the drain ran out of time ({0:?}): what was in flight is handed back and received by another process; raise DRAIN_TIMEOUT where this recurs"
    )]
    DrainTimeout(Duration),
    /// A task ended that runs as long as the process does.
    #[error("a task ended by itself: {0}; the process ends so that its supervisor starts it anew")]
    Fault(String),
    /// The system gives no threads to judge by.
    #[error("no threads to judge events by ({0}); raise the limits of threads and address space")]
    Threads(#[source] std::io::Error),
    /// The metrics could not be registered.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

impl Daemon {
    /// The address under which the daemon is asked for its health.
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Runs until `stop`, then drains.
    ///
    /// # Errors
    /// When the drain runs out of time, or a task ends that should not.
    pub async fn run(self, stop: CancellationToken) -> Result<(), DaemonError> {
        let metrics = Arc::new(Metrics::new()?);
        let (follower, catalog) = CatalogFollower::new(self.database.clone(), self.settings.tenant_labels_max);
        let drain_timeout = self.settings.drain_timeout;
        let context = Context::new(self.settings, self.database.clone(), metrics, catalog, stop.clone());
        let context = Arc::new(context.map_err(DaemonError::Threads)?);
        for queue in &self.queues {
            context.readiness.expect(&part_of(&queue.name), NOT_KNOWN);
        }
        context.readiness.expect("catalog", NOT_KNOWN);
        context.readiness.expect("database", NOT_KNOWN);

        let mut services = JoinSet::new();
        let shown = Shown { readiness: Arc::clone(&context.readiness), metrics: Arc::clone(&context.metrics) };
        services.spawn(serve(self.listener, shown));
        services.spawn(follow_catalog(follower, Arc::clone(&context)));
        services.spawn(watch_database(self.database.clone(), Arc::clone(&context)));

        let mut path = JoinSet::new();
        let (received_sender, received_receiver) = mpsc::channel(context.settings.in_flight_events_max);
        let (judged_sender, judged_receiver) = mpsc::channel(context.settings.in_flight_events_max);
        let (settled_sender, settled_receiver) = mpsc::channel(context.settings.in_flight_events_max);
        let next = poller::Next { received: received_sender, judged: judged_sender.clone() };
        for setting in self.queues {
            path.spawn(poller::poll_queue(setting, self.clients.clone(), Arc::clone(&context), next.clone()));
        }
        // From here on only pollers hold one: when the last of them ends, and what it had received is judged, the writers do.
        drop(next);
        path.spawn(Arc::clone(&context).judge_received(received_receiver, judged_sender));
        let ready = Arc::new(Mutex::new(writer::Ready::new(judged_receiver)));
        for _ in 0..WRITERS {
            let writer = writer::Writer::new(self.database.clone(), Arc::clone(&context), settled_sender.clone());
            path.spawn(writer.run(Arc::clone(&ready)));
        }
        drop(settled_sender);
        path.spawn(acknowledger::acknowledge(Arc::clone(&context), settled_receiver));

        tokio::select! {
            // First: what ends because of the stop is no fault.
            biased;
            () = stop.cancelled() => {}
            Some(ended) = path.join_next() => return Err(fault("of the path", ended)),
            Some(ended) = services.join_next() => return Err(fault("beside the path", ended)),
        }
        let outcome = drain(&context, path, drain_timeout).await;
        context.drained.cancel();
        // Cut short where they wait: each connection belongs to the future that uses it.
        services.shutdown().await;
        outcome
    }
}

/// What readiness calls a queue.
fn part_of(queue: &str) -> String {
    format!("queue {queue}")
}

fn fault(which: &str, ended: Result<(), JoinError>) -> DaemonError {
    DaemonError::Fault(ended.map_or_else(|error| error.to_string(), |()| format!("one {which}")))
}

async fn drain(context: &Context, mut path: JoinSet<()>, drain_timeout: Duration) -> Result<(), DaemonError> {
    context.readiness.expect("shutdown", "draining");
    let ended = async {
        while let Some(ended) = path.join_next().await {
            ended.map_err(|error| fault("of the path", Err(error)))?;
        }
        context.tracker.close();
        context.tracker.wait().await;
        Ok(())
    };
    // What is cut here is waiting, not a transaction: the process ends next, and the connections with it.
    if let Ok(outcome) = tokio::time::timeout(drain_timeout, ended).await {
        return outcome;
    }
    // What is not handed back in time comes again when its lease ends.
    let _ = tokio::time::timeout(HAND_BACK_TIMEOUT, context.hand_back_all()).await;
    Err(DaemonError::DrainTimeout(drain_timeout))
}

async fn follow_catalog(follower: CatalogFollower, context: Arc<Context>) {
    let report = |outcome: Result<i64, &sqlx::Error>| match outcome {
        Ok(generation) => {
            if context.metrics.catalog_generation.get() != generation {
                tracing::info!(generation, "catalog loaded");
                // Whatever could not be used may have been mended.
                context.readiness.set("schemas", Ok(()));
            }
            context.metrics.catalog_generation.set(generation);
            context.metrics.catalog_last_reload_successful.set(1);
            let applied = if generation > 0 { Ok(()) } else { Err("none was applied; run `processor catalog apply DIR`".to_owned()) };
            context.readiness.set("catalog", applied);
        }
        Err(error) => {
            context.metrics.catalog_last_reload_successful.set(0);
            if context.catalog.snapshot().generation == 0 {
                context.readiness.set("catalog", Err(format!("cannot be read: the database {}", database::describe(error))));
            }
        }
    };
    follower.run(report).await;
}

/// Says whether the store takes events: probed when a write has failed, and now and then. As long as all is well, by one session that is
/// kept: when other programs have used up the server's connections, those that there are go on.
async fn watch_database(database: Database, context: Arc<Context>) {
    let gate = &context.store_gate;
    let mut session = Session::new(database.clone());
    let mut retry_interval = RETRY_INTERVAL_MIN;
    let mut last_caution = None;
    loop {
        let failures_before = gate.failures();
        if failures_before > 0 {
            // Whoever stores next may have to connect anew.
            session.close();
        }
        // After a failed write what a batch does is tried as well: each event that is received to find out comes nearer to its limit.
        let state = match probe(&mut session, failures_before > 0).await {
            Ok(DatabaseState::Fit(caution)) => {
                if let Some(caution) = caution.filter(|_| caution != last_caution) {
                    tracing::warn!("{caution}");
                }
                last_caution = caution;
                Ok(())
            }
            Ok(DatabaseState::Unfit(sentence)) => Err(sentence),
            Err(error) if gate.is_open() && error.is_for_want_of_connections() => {
                tracing::warn!(problem = %error, "not probed; the sessions that there are go on");
                Ok(())
            }
            Err(SessionError::Driver(error)) => Err(database::tell(&database, &error)),
            Err(SessionError::Silent | SessionError::Deadline) => {
                Err("does not answer; check DATABASE_URL and the server, and who holds its tables".to_owned())
            }
        };
        // A write that failed during the probe knows better.
        if gate.failures() != failures_before {
            tokio::time::sleep(gate.pause()).await;
            continue;
        }
        let is_fit = state.is_ok();
        gate.set(state);
        if is_fit {
            retry_interval = RETRY_INTERVAL_MIN;
            if tokio::time::timeout(LOOK_INTERVAL, gate.shut()).await.is_ok() {
                tokio::time::sleep(gate.pause()).await;
            }
        } else {
            session.close();
            tokio::time::sleep(retry_interval).await;
            retry_interval = (retry_interval * 2).min(RETRY_INTERVAL_MAX);
        }
    }
}

/// That a session has ended does not mean that another one cannot begin: only where that fails as well something is wrong.
async fn probe(session: &mut Session, is_thorough: bool) -> Result<DatabaseState, SessionError> {
    let was_connected = session.is_connected();
    match look(session, LOOK_TIMEOUT, is_thorough).await {
        Err(SessionError::Driver(_) | SessionError::Silent) if was_connected => look(session, LOOK_TIMEOUT, is_thorough).await,
        looked => looked,
    }
}
