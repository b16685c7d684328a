//! What goes on beside the path: the catalog, the state of the database, the progress of the path.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::CircuitBreaker;
use super::validate::Validator;
use crate::backoff::Backoff;
use crate::database;
use crate::fault;
use crate::health::Readiness;
use crate::metrics::{Metrics, QueueLabels};
use crate::output::problem_and_advice;
use crate::settings::{Database, QueueSetting};
use crate::snapshot::{Catalog, CatalogFollower, Snapshot};
use crate::store::{DatabaseState, Session, SessionError, probe};
use crate::window::Window;

/// How often a fit database is probed again: its silence is noticed also when no event comes.
const PROBE_INTERVAL: Duration = Duration::from_secs(15);

/// A database that takes longer to answer a probe cannot be relied on.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);

/// Between probes of a database that is not fit, the first and the last.
const RETRY_INTERVALS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// Of a log line that `dev` has no use for: its database is nobody's production.
const OWNER_RIGHTS: &str = "event_processor::owner_rights";

/// How often it is asked whether validation goes on.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// When it has not for so many intervals although events wait for it, the process is no longer taken for alive.
const STUCK_INTERVALS_MAX: u32 = 30;

/// The same for the path as a whole, whose single steps may take longer: a write has 20 s, a catalog to read before a batch is tried again 40.
const IDLE_INTERVALS_MAX: u32 = 120;

/// Keeps the catalog new and says how it is.
pub async fn follow_catalog(
    follower: CatalogFollower,
    catalog: Catalog,
    queues: Vec<QueueSetting>,
    readiness: Arc<Readiness>,
    metrics: Arc<Metrics>,
) {
    start_at_zero(&metrics, &queues, &catalog.snapshot());
    let report = |outcome: Result<i64, String>| match outcome {
        Ok(generation) => {
            if metrics.catalog_generation.get() != generation {
                tracing::info!(generation, "catalog loaded");
                start_at_zero(&metrics, &queues, &catalog.snapshot());
                // Whatever could not be used may have been mended.
                readiness.set("schemas", Ok(()));
            }
            metrics.catalog_generation.set(generation);
            metrics.catalog_last_reload_successful.set(1);
            let applied = if generation > 0 { Ok(()) } else { Err("none was applied; run `processor catalog apply DIR`".to_owned()) };
            readiness.set("catalog", applied);
        }
        Err(problem) => {
            metrics.catalog_last_reload_successful.set(0);
            if catalog.snapshot().generation == 0 {
                readiness.set("catalog", Err(format!("cannot be read: the database {problem}")));
            }
        }
    };
    follower.run(report).await;
}

/// Makes what will be counted under this catalog begin at 0.
fn start_at_zero(metrics: &Metrics, queues: &[QueueSetting], snapshot: &Snapshot) {
    let tenant = |setting: &QueueSetting| setting.tenant.as_ref().map(|tenant| snapshot.label(Some(tenant)));
    let queues = queues.iter().chain(&snapshot.queues);
    let queues: Vec<_> = queues.map(|setting| QueueLabels { queue: &setting.name, tenant: tenant(setting) }).collect();
    metrics.start_at_zero(&queues, &snapshot.tenant_labels());
    for (kind, count) in snapshot.orphans.by_kind() {
        metrics.catalog_orphans.with_label_values(&[kind]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// Says whether the store takes events: probed when a write has failed, and now and then. As long as all is well, by one session that is
/// kept: when other programs have used up the server's connections, those that there are go on.
pub async fn watch_database(database: Database, breaker: Arc<CircuitBreaker>, metrics: Arc<Metrics>) {
    let mut session = Session::new(database.to("probe"));
    let mut retry = Backoff::new(RETRY_INTERVALS.0, RETRY_INTERVALS.1);
    let mut told = Told::default();
    loop {
        let failures_before = breaker.failures();
        if failures_before > 0 {
            // Whoever stores next may have to connect anew.
            session.close();
        }
        // Until it is found fit, and after a failed write, what a batch does is tried as well: each event that is received to find out comes
        // nearer to its limit.
        let probed = match probe_again(&mut session, failures_before > 0 || !breaker.is_closed()).await {
            // A table that somebody has locked is waited for by whoever writes.
            Err(SessionError::Deadline) if failures_before == 0 => probe_again(&mut session, false).await,
            probed => probed,
        };
        // A write that failed during the probe knows better.
        if breaker.failures() != failures_before {
            tokio::time::sleep(breaker.pause()).await;
            continue;
        }
        let state = state_of(probed, &database, breaker.is_closed(), &mut told, &metrics);
        let is_fit = state.is_ok();
        breaker.set(state);
        if is_fit {
            retry.reset();
            if tokio::time::timeout(PROBE_INTERVAL, breaker.opened()).await.is_ok() {
                tokio::time::sleep(breaker.pause()).await;
            }
        } else {
            session.close();
            tokio::time::sleep(retry.pause()).await;
        }
    }
}

/// What was logged of a fit database, once.
#[derive(Default)]
struct Told {
    caution: Option<&'static str>,
    has_owner_rights: bool,
}

/// What a probe says of the store.
fn state_of(
    probed: Result<DatabaseState, SessionError>,
    database: &Database,
    is_closed: bool,
    told: &mut Told,
    metrics: &Metrics,
) -> Result<(), String> {
    match probed {
        Ok(DatabaseState::Fit { caution, has_owner_rights }) => {
            if let Some(caution) = caution.filter(|_| caution != told.caution) {
                let (problem, advice) = problem_and_advice(caution);
                tracing::warn!(problem, advice, "the database's set-up is risky");
            }
            if has_owner_rights && !told.has_owner_rights {
                tracing::warn!(
                    target: OWNER_RIGHTS,
                    "the daemon works with the rights of the tables' owner or of a superuser, and could change and delete what is stored; make \
                     the login in DATABASE_URL a member of event_processor_writer, or run `processor migrate` where there is no such role"
                );
            }
            *told = Told { caution, has_owner_rights };
            Ok(())
        }
        Ok(DatabaseState::Unfit(class, sentence)) => {
            metrics.count_error(class);
            Err(sentence)
        }
        Err(error) if is_closed && error.is_for_want_of_connections() => {
            let problem = error.to_string();
            let (problem, advice) = problem_and_advice(&problem);
            tracing::warn!(problem, advice, "not probed; the sessions that there are go on");
            Ok(())
        }
        Err(error) => {
            metrics.count_error(error.class());
            Err(match error {
                SessionError::Driver(error) => database::tell(database, &error),
                SessionError::Silent | SessionError::Deadline => {
                    "does not answer; check DATABASE_URL and the server, and who holds its tables".to_owned()
                }
            })
        }
    }
}

/// That a session has ended does not mean that another one cannot begin: only where that fails as well something is wrong.
async fn probe_again(session: &mut Session, is_thorough: bool) -> Result<DatabaseState, SessionError> {
    let was_connected = session.is_connected();
    match probe(session, PROBE_TIMEOUT, is_thorough).await {
        Err(SessionError::Driver(_) | SessionError::Silent) if was_connected => probe(session, PROBE_TIMEOUT, is_thorough).await,
        probed => probed,
    }
}

/// Counts how many intervals long something has not gone on although there was something to do.
#[derive(Default)]
struct Standstill {
    seen: Option<u64>,
    intervals: u32,
}

impl Standstill {
    /// With how far it is, where there is something to do.
    fn observe(&mut self, steps: Option<u64>) -> u32 {
        self.intervals = if steps.is_some() && steps == self.seen { self.intervals + 1 } else { 0 };
        self.seen = steps;
        self.intervals
    }
}

/// Says that the process is not alive while events wait for threads that have all been busy with the same ones for too long, or none of what
/// was received has come any further for much longer although the store takes events. Intervals are counted, not time: a process that was
/// frozen was not stuck.
pub async fn watch_progress(validator: Arc<Validator>, window: Arc<Window>, breaker: Arc<CircuitBreaker>, readiness: Arc<Readiness>) {
    let mut intervals = tokio::time::interval(fault::shortened("progress_interval", PROGRESS_INTERVAL));
    intervals.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut validation, mut path) = (Standstill::default(), Standstill::default());
    loop {
        intervals.tick().await;
        let is_stuck = validation.observe(validator.pool.steps_while_waited_for()) >= STUCK_INTERVALS_MAX;
        let is_idle = path.observe(window.steps_while_in_use().filter(|_| breaker.is_closed())) >= IDLE_INTERVALS_MAX;
        readiness.set_alive(if is_stuck {
            Err(
                "all validation threads have been busy with the same events for 30 s; restart the process, and look for validation_timeout \
                 among the dead letters for the schema that it comes from",
            )
        } else if is_idle {
            Err(
                "no event has come any further for two minutes although Postgres takes events; restart the process, and report it with its \
                 log",
            )
        } else {
            Ok(())
        });
    }
}
