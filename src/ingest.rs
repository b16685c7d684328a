//! The daemon: polls, validates, stores and acknowledges until it is told to stop.
//!
//! Data flows one way, through channels that end when the stage before them has ended, so that stopping the pollers drains the rest.
//!
//! | stage | file | what it passes on |
//! | --- | --- | --- |
//! | 1. poll | `poll` | messages in flight, each with its permit |
//! | to those who validate, by queue and receives | `dispatch` (FIFO: `groups`, counted first: `often_received`) | |
//! | 2-4. decode, admit, validate | `validate` | entries, each with its verdict |
//! | 5. store | `store` | what is settled |
//! | 6. acknowledge | `acknowledge` | nothing; the permit is free |
//! | at any of them: back to the queue | `hand_back`, for a tenant's rate `rates` | |

mod error;
mod announcer;
mod backlog;
mod breaker;
mod leases;
mod hand_back;
mod drain;
pub mod queue_check;
mod activity;
mod rates;
mod shares;
mod traced;
mod watchdog;
mod pace;
mod polls;
mod poll;
mod queue_set;
mod validate;
mod often_received;
mod groups;
mod dispatch;
mod fair_batch;
mod ready;
mod rejections;
mod store;
mod acknowledge;
mod services;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::health::{Health, NOT_KNOWN, Readiness, serve, tell_service_manager};
use crate::metrics::Metrics;
use crate::queue::Clients;
use crate::settings::{Database, IngestSettings, QueueSetting, Role};
use crate::snapshot::{Catalog, CatalogFollower, CompiledSchemas};
use crate::spans::{Exporter, Spans};
use crate::store::{Session, Settled};
use crate::validation::{PoisonAttempts, Pool};
use crate::window::{InFlight, Window};
use acknowledge::Acknowledger;
use announcer::Announcer;
use backlog::BacklogGauges;
use breaker::CircuitBreaker;
use dispatch::Dispatcher;
use drain::drain;
pub use error::DaemonError;
use error::task_ended;
use hand_back::HandBack;
use leases::Queues;
use often_received::OftenReceived;
use polls::Polls;
use queue_set::QueueSet;
use rates::Rates;
use ready::{Lane, Ready};
use rejections::Rejections;
use shares::Shares;
use store::Writer;
use validate::Validator;

/// Two keep Postgres busy while one waits for its commit; more add locks, not rows. The third is free for those who bring little.
const WRITERS: [Lane; 3] = [Lane::All, Lane::All, Lane::Little];

/// Everything that the daemon is told.
#[derive(Debug)]
pub struct Daemon {
    /// Where Postgres is.
    pub database: Database,
    /// Which queues are polled beside those of the catalog.
    pub queues: Vec<QueueSetting>,
    /// How to reach SQS.
    pub clients: Clients,
    /// Pace and bounds.
    pub settings: IngestSettings,
    /// Where `/metrics`, `/livez` and `/readyz` are served; already bound, so that its port is known.
    pub listener: TcpListener,
    /// Where spans go; none: nowhere.
    pub exporter: Option<Exporter>,
}

/// What the stages of one daemon share.
struct Shared {
    database: Database,
    configured: Vec<QueueSetting>,
    settings: IngestSettings,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    catalog: Catalog,
    breaker: Arc<CircuitBreaker>,
    announcer: Arc<Announcer>,
    queues: Arc<Queues>,
    hand_back: Arc<HandBack>,
    rates: Arc<Rates>,
    rejections: Arc<Rejections>,
    window: Arc<Window>,
    /// Stops the pollers; the rest drains.
    stop: CancellationToken,
    /// Nothing is in flight any more.
    drained: CancellationToken,
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
        let Self { database, queues, clients, settings, listener, exporter } = self;
        let database = database.with_role(Role::Writer).to("daemon");
        let metrics = Arc::new(Metrics::new()?);
        let (spans, exporting) = Spans::new(exporter, &metrics.spans_dropped);
        let room = CompiledSchemas::new(settings.compiled_schemas_bytes_max, Arc::clone(&metrics));
        let (follower, catalog) = CatalogFollower::new(database.clone(), settings.tenant_labels_max, room);
        let shared = Shared::new(database, queues, settings, metrics, catalog, stop);
        for part in ["catalog", "database", "queues"] {
            shared.readiness.expect(part, NOT_KNOWN);
        }
        let validator = Arc::new(shared.validator(spans.clone()).map_err(DaemonError::Threads)?);
        shared.hand_back.tracker.spawn(tell_service_manager(Arc::clone(&shared.readiness), &["catalog", "database"], shared.stop.clone()));
        let mut services = shared.start_services(listener, follower, &validator);
        exporting.map(|exporting| services.spawn(exporting.run()));
        let mut path = shared.start_path(clients.measured(Arc::clone(&shared.metrics)), &validator);
        drop(validator);
        tokio::select! {
            // First: what ends because of the stop is no fault.
            biased;
            () = shared.stop.cancelled() => {}
            Some(ended) = path.join_next() => return Err(task_ended("of the path", ended)),
            Some(ended) = services.join_next() => return Err(task_ended("beside the path", ended)),
        }
        let drain_until = Instant::now() + shared.settings.drain_timeout;
        shared.readiness.expect("shutdown", "draining");
        let outcome = drain(path, &shared.hand_back.tracker, &shared.hand_back, shared.settings.drain_timeout).await;
        shared.rejections.tell_all();
        Box::pin(shared.rates.activities.add_last(&shared.database)).await;
        shared.drained.cancel();
        spans.end(drain_until.saturating_duration_since(Instant::now())).await;
        // Cut short where they wait: each connection belongs to the future that uses it.
        services.shutdown().await;
        outcome
    }
}

impl Shared {
    fn new(
        database: Database,
        configured: Vec<QueueSetting>,
        settings: IngestSettings,
        metrics: Arc<Metrics>,
        catalog: Catalog,
        stop: CancellationToken,
    ) -> Self {
        let readiness = Arc::<Readiness>::default();
        let rates = Arc::new(Rates::new(settings.deferred_events_max, Arc::clone(&metrics)));
        let window = Window::new(settings.in_flight_events_max, settings.in_flight_bytes_max, Arc::clone(&metrics));
        let drained = CancellationToken::new();
        let visibility_timeout = settings.visibility_timeout;
        let queues = Arc::new(Queues::new(visibility_timeout, settings.hold_max, Arc::clone(&metrics), drained.clone()));
        let hand_back = HandBack { queues: Arc::clone(&queues), catalog: catalog.clone(), tracker: TaskTracker::new(), visibility_timeout };
        let (breaker, hand_back) = (Arc::new(CircuitBreaker::new(Arc::clone(&metrics), Arc::clone(&readiness))), Arc::new(hand_back));
        let (announcer, rejections) = (Arc::<Announcer>::default(), Arc::<Rejections>::default());
        Self {
            database,
            configured,
            settings,
            metrics,
            readiness,
            catalog,
            breaker,
            announcer,
            queues,
            hand_back,
            rates,
            rejections,
            window,
            stop,
            drained,
        }
    }

    fn validator(&self, spans: Spans) -> std::io::Result<Validator> {
        Ok(Validator {
            catalog: self.catalog.clone(),
            pool: Pool::start(Arc::clone(&self.metrics))?,
            attempts: PoisonAttempts::new(Session::new(self.database.to("poison attempts"))),
            breaker: Arc::clone(&self.breaker),
            hand_back: Arc::clone(&self.hand_back),
            rates: Arc::clone(&self.rates),
            shares: Shares::new(Arc::clone(&self.window)),
            large_turn: Mutex::default(),
            readiness: Arc::clone(&self.readiness),
            metrics: Arc::clone(&self.metrics),
            spans,
            body_bytes_max: self.settings.body.body_bytes_max,
        })
    }

    fn start_services(&self, listener: TcpListener, follower: CatalogFollower, validator: &Arc<Validator>) -> JoinSet<()> {
        let mut services = JoinSet::new();
        let (readiness, metrics) = (Arc::clone(&self.readiness), Arc::clone(&self.metrics));
        services.spawn(serve(listener, Health { readiness, metrics }));
        let (readiness, metrics) = (Arc::clone(&self.readiness), Arc::clone(&self.metrics));
        services.spawn(services::follow_catalog(follower, self.catalog.clone(), self.configured.clone(), readiness, Arc::clone(&metrics)));
        services.spawn(services::watch_database(self.database.clone(), Arc::clone(&self.breaker), Arc::clone(&metrics)));
        services.spawn(Arc::clone(&self.announcer).run(self.database.clone()));
        services.spawn(Arc::clone(&self.rates.activities).run(self.database.clone()));
        services.spawn(BacklogGauges { database: self.database.clone(), catalog: self.catalog.clone(), metrics }.run());
        let (window, breaker, readiness) = (Arc::clone(&self.window), Arc::clone(&self.breaker), Arc::clone(&self.readiness));
        services.spawn(services::watch_progress(Arc::clone(validator), window, breaker, readiness));
        services.spawn(Arc::clone(&self.rejections).run());
        services
    }

    /// Starts the stages, each with the channel to the next. When the last poller ends, the dispatcher does; when what it has handed out is
    /// validated, the writers do; then the acknowledger.
    fn start_path(&self, clients: Clients, validator: &Arc<Validator>) -> JoinSet<()> {
        let in_flight_max = self.settings.in_flight_events_max;
        let (received_sender, received) = mpsc::channel(in_flight_max);
        let (decided_sender, decided) = mpsc::channel(in_flight_max);
        let (settled_sender, settled) = mpsc::channel(in_flight_max);
        let mut path = JoinSet::new();
        let polls = Arc::new(self.polls(clients));
        path.spawn(QueueSet { configured: self.configured.clone(), polls, received: received_sender }.run());
        path.spawn(self.dispatcher(validator).run(received, decided_sender));
        let ready = Arc::<Ready>::default();
        path.spawn(Arc::clone(&ready).fill(decided));
        for lane in WRITERS {
            path.spawn(self.writer(validator, settled_sender.clone()).run(Arc::clone(&ready), lane));
        }
        let (queues, tracker) = (Arc::clone(&self.queues), self.hand_back.tracker.clone());
        let (readiness, metrics) = (Arc::clone(&self.readiness), Arc::clone(&self.metrics));
        path.spawn(Acknowledger { queues, tracker, readiness, metrics }.run(settled));
        path
    }

    fn polls(&self, clients: Clients) -> Polls {
        let settings = &self.settings;
        Polls {
            clients,
            queues: Arc::clone(&self.queues),
            catalog: self.catalog.clone(),
            breaker: Arc::clone(&self.breaker),
            window: Arc::clone(&self.window),
            hand_back: Arc::clone(&self.hand_back),
            rates: Arc::clone(&self.rates),
            readiness: Arc::clone(&self.readiness),
            metrics: Arc::clone(&self.metrics),
            visibility_timeout: settings.visibility_timeout,
            hold_max: settings.hold_max,
            drain_timeout: settings.drain_timeout,
            stop: self.stop.clone(),
        }
    }

    fn dispatcher(&self, validator: &Arc<Validator>) -> Dispatcher {
        let end_timeout = self.settings.hold_max + self.settings.visibility_timeout;
        let often_received = OftenReceived { validator: Arc::clone(validator), end_timeout, stop: self.stop.clone() };
        Dispatcher { validator: Arc::clone(validator), often_received: Arc::new(often_received), tracker: self.hand_back.tracker.clone() }
    }

    fn writer(&self, validator: &Arc<Validator>, settled: mpsc::Sender<Vec<Settled<InFlight>>>) -> Writer {
        Writer {
            session: Session::new(self.database.to("writer")),
            batch_rows_max: self.settings.batch_rows_max,
            catalog: self.catalog.clone(),
            validator: Arc::clone(validator),
            breaker: Arc::clone(&self.breaker),
            announcer: Arc::clone(&self.announcer),
            hand_back: Arc::clone(&self.hand_back),
            rejections: Arc::clone(&self.rejections),
            activities: Arc::clone(&self.rates.activities),
            metrics: Arc::clone(&self.metrics),
            settled,
        }
    }
}
