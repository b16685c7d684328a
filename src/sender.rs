//! `sender`: claims deliveries by the functions of the hand-off, and sends them as webhooks, mails or requests to an HTTP API. It uses nothing
//! that a sender of anybody else's could not use, so it is the reference for those.
//!
//! A delivery's path: **claim** a batch, **plan** whose turn it is, make one **attempt**, **settle** what became of it. Leases are extended
//! meanwhile. What a receiver or the settings get wrong is an ending like any other, with a sentence; nothing of an event, no secret and
//! nothing that a receiver wrote is ever part of that.

mod address;
mod connector;
mod outcome;
mod requests;
mod claimed;
mod mail;
mod secrets;
mod signature;
mod traced;
mod attempts;
mod plan;
mod session;
mod settle;
mod claim_watchdog;
mod work;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::database;
use crate::fault;
use crate::health::{Health, Readiness, serve, tell_service_manager};
use crate::metrics::{MetricsError, SenderMetrics};
use crate::settings::{Database, Role, SenderSettings, WrongSetting};
use crate::spans::{Exporter, Spans};
use attempts::Attempts;
use claim_watchdog::ClaimWatchdog;
use connector::Guarded;
use mail::Mails;
use plan::Places;
use requests::Requests;
use secrets::Secrets;
use session::{Session, listen};
use settle::Settler;
use work::{CutOff, Desks, LEASE, News, Work};

pub use connector::{Resolve, SystemResolver, Waited};
#[cfg(feature = "dev")]
pub use signature::is_signed;

/// Between attempts to hear notifications.
const LISTEN_INTERVAL: Duration = Duration::from_secs(1);

/// Notifications are heeded no more often, which is as often as the daemon notifies; anybody may.
const HEED_INTERVAL: Duration = Duration::from_millis(100);

/// For how long the end waits until Postgres has been told.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(2);

/// Why a sender ended otherwise than well.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// A setting is of no use.
    #[error(transparent)]
    Setting(#[from] WrongSetting),
    /// What was under way did not end in time.
    #[error("the drain ran out of time (DRAIN_TIMEOUT): {0} deliveries were under way or not settled; they come again")]
    DrainTimeout(usize),
    /// The metrics cannot be registered.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// All that a sender works with.
pub struct Sender {
    /// Whose deliveries.
    pub database: Database,
    /// How it works.
    pub settings: SenderSettings,
    /// Where `/livez`, `/readyz` and `/metrics` are served; none: nowhere.
    pub listener: Option<TcpListener>,
    /// How names are resolved.
    pub resolver: Arc<dyn Resolve>,
    /// Where spans go; none: nowhere.
    pub exporter: Option<Exporter>,
}

impl Sender {
    /// Where it serves its health.
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }

    /// Works until `stop`, then finishes what is under way.
    ///
    /// # Errors
    /// A setting that is of no use, or a drain that ran out of time.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), SenderError> {
        self.database = self.database.with_role(Role::Sender);
        let metrics = Arc::new(SenderMetrics::new()?);
        let readiness = Arc::new(Readiness::default());
        readiness.expect("database", "not asked yet");
        let (spans, exporting) = Spans::new(self.exporter.take(), &metrics.spans_dropped);
        let attempts = Arc::new(self.attempts(&metrics, spans.clone())?);
        let stopping = (stop.clone(), Arc::clone(&readiness));
        let tasks = TaskTracker::new();
        let helpers = CancellationToken::new();
        if let Some(exporting) = exporting {
            let ending = helpers.clone();
            tasks.spawn(async move { ending.run_until_cancelled(exporting.run()).await });
        }
        tasks.spawn(async move {
            stopping.0.cancelled().await;
            stopping.1.expect("sender", "stopping");
        });
        tasks.spawn(tell_service_manager(Arc::clone(&readiness), &["database"], stop.clone()));
        if let Some(listener) = self.listener.take() {
            let serving = serve(listener, Health { readiness: Arc::clone(&readiness), metrics: Arc::clone(&metrics) as _ });
            let ending = helpers.clone();
            tasks.spawn(async move { ending.run_until_cancelled(serving).await });
        }
        let (desks, news, told) = self.helpers(&tasks, &helpers, &metrics, &readiness);
        let places = Places { all: self.settings.sender_concurrency_max, of_client: self.settings.sender_client_concurrency_max };
        let work = Work::new(places, attempts, desks, metrics, ClaimWatchdog::new(readiness));
        let outcome = work.run(news, told, stop, self.settings.drain_timeout).await;
        spans.end(CLOSE_TIME_MAX).await;
        helpers.cancel();
        tasks.close();
        // Sessions end as the protocol wants it, unless Postgres does not answer.
        let _ = tokio::time::timeout(CLOSE_TIME_MAX, tasks.wait()).await;
        outcome.map_err(|CutOff(count)| SenderError::DrainTimeout(count))
    }

    /// Starts what speaks with Postgres.
    fn helpers(
        &self,
        tasks: &TaskTracker,
        helpers: &CancellationToken,
        metrics: &Arc<SenderMetrics>,
        readiness: &Arc<Readiness>,
    ) -> (Desks, mpsc::UnboundedReceiver<News>, mpsc::UnboundedReceiver<usize>) {
        let (claims, claim_requests) = mpsc::unbounded_channel();
        let (extensions, extension_requests) = mpsc::unbounded_channel();
        let (settlements, to_settle) = mpsc::unbounded_channel();
        let (news_sender, news) = mpsc::unbounded_channel();
        let (told_sender, told) = mpsc::unbounded_channel();
        let session = |purpose| Session::new(self.database.to(purpose));
        let (name, metrics, readiness) = (self.settings.name(), Arc::clone(metrics), Arc::clone(readiness));
        let settler = Settler::new(session("sender settlements"), Arc::clone(&metrics), Arc::clone(&readiness));
        let claimer = Claimer { session: session("sender claims"), name, metrics, readiness };
        tasks.spawn(claimer.run(claim_requests, news_sender.clone()));
        tasks.spawn(extend(session("sender leases"), extension_requests, news_sender.clone()));
        tasks.spawn(settler.run(to_settle, told_sender));
        let (hearing, ending) = (hear(self.database.clone(), news_sender), helpers.clone());
        tasks.spawn(async move { ending.run_until_cancelled(hearing).await });
        (Desks { claims, extensions, settlements }, news, told)
    }

    fn attempts(&self, metrics: &Arc<SenderMetrics>, spans: Spans) -> Result<Attempts, WrongSetting> {
        let settings = &self.settings;
        let allowed = Arc::new(settings.sender_allowed_networks.clone());
        Ok(Attempts {
            requests: Requests::new(Guarded { resolver: Arc::clone(&self.resolver), allowed, metrics: Arc::clone(metrics) }),
            mails: Mails::new(settings.smtp_url.as_ref(), settings.sender_from_domains.clone())?,
            secrets: Secrets::new(settings.sender_secrets_dir.clone(), settings.sender_secrets.clone()),
            spans,
            channels: Mutex::new(HashMap::new()),
        })
    }
}

/// Claims when it is asked to.
struct Claimer {
    session: Session,
    name: String,
    metrics: Arc<SenderMetrics>,
    readiness: Arc<Readiness>,
}

impl Claimer {
    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<usize>, news: mpsc::UnboundedSender<News>) {
        let mut backoff = Backoff::default();
        while let Some(room) = requests.recv().await {
            fault::hang("hung_claim").await;
            let claimed = self.session.claim(&self.name, i32::try_from(room).unwrap_or(i32::MAX), LEASE).await;
            let (state, is_up) = match &claimed {
                Ok(_) => (Ok(()), 1),
                Err(error) => (Err(database::describe(error)), 0),
            };
            self.readiness.set("database", state);
            self.metrics.database_up.set(is_up);
            match &claimed {
                Ok(_) => backoff.reset(),
                Err(_) => tokio::time::sleep(backoff.pause()).await,
            }
            if news.send(News::Claimed(claimed.ok())).is_err() {
                break;
            }
        }
        self.session.close().await;
    }
}

/// Extends leases when it is asked to.
async fn extend(mut session: Session, mut requests: mpsc::UnboundedReceiver<Vec<i64>>, news: mpsc::UnboundedSender<News>) {
    while let Some(asked) = requests.recv().await {
        let from = Instant::now();
        let kept = session.extend(&asked, LEASE).await.ok();
        if news.send(News::Extended { asked, kept, from }).is_err() {
            break;
        }
    }
    session.close().await;
}

/// Passes on what the daemon notifies.
async fn hear(database: Database, news: mpsc::UnboundedSender<News>) {
    let mut pace = database::pace(HEED_INTERVAL);
    loop {
        if let Ok(mut listener) = listen(&database).await {
            // What came before the listener was there is found by polling.
            while database::notified(&mut listener, &mut pace).await {
                if news.send(News::Notified).is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(LISTEN_INTERVAL).await;
    }
}
