//! What goes on beside the path: the catalog, the state of the database, the progress of validation.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::CircuitBreaker;
use super::validate::Validator;
use crate::backoff::Backoff;
use crate::database;
use crate::fault;
use crate::health::Readiness;
use crate::metrics::Metrics;
use crate::settings::Database;
use crate::snapshot::{Catalog, CatalogFollower};
use crate::store::{DatabaseState, Session, SessionError, probe};

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

/// Keeps the catalog new and says how it is.
pub async fn follow_catalog(follower: CatalogFollower, catalog: Catalog, readiness: Arc<Readiness>, metrics: Arc<Metrics>) {
    let report = |outcome: Result<i64, String>| match outcome {
        Ok(generation) => {
            if metrics.catalog_generation.get() != generation {
                tracing::info!(generation, "catalog loaded");
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

/// Says whether the store takes events: probed when a write has failed, and now and then. As long as all is well, by one session that is
/// kept: when other programs have used up the server's connections, those that there are go on.
pub async fn watch_database(database: Database, breaker: Arc<CircuitBreaker>) {
    let mut session = Session::new(database.clone());
    let mut retry = Backoff::new(RETRY_INTERVALS.0, RETRY_INTERVALS.1);
    let mut told = Told::default();
    loop {
        let failures_before = breaker.failures();
        if failures_before > 0 {
            // Whoever stores next may have to connect anew.
            session.close();
        }
        // After a failed write what a batch does is tried as well: each event that is received to find out comes nearer to its limit.
        let probed = probe_again(&mut session, failures_before > 0).await;
        // A write that failed during the probe knows better.
        if breaker.failures() != failures_before {
            tokio::time::sleep(breaker.pause()).await;
            continue;
        }
        let state = state_of(probed, &database, breaker.is_closed(), &mut told);
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
fn state_of(probed: Result<DatabaseState, SessionError>, database: &Database, is_closed: bool, told: &mut Told) -> Result<(), String> {
    match probed {
        Ok(DatabaseState::Fit { caution, has_owner_rights }) => {
            if let Some(caution) = caution.filter(|_| caution != told.caution) {
                tracing::warn!("{caution}");
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
        Ok(DatabaseState::Unfit(sentence)) => Err(sentence),
        Err(error) if is_closed && error.is_for_want_of_connections() => {
            tracing::warn!(problem = %error, "not probed; the sessions that there are go on");
            Ok(())
        }
        Err(SessionError::Driver(error)) => Err(database::tell(database, &error)),
        Err(SessionError::Silent | SessionError::Deadline) => {
            Err("does not answer; check DATABASE_URL and the server, and who holds its tables".to_owned())
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

/// Says that the process is not alive while events wait for threads that have all been busy with the same ones for too long. Intervals are
/// counted, not time: a process that was frozen was not stuck.
pub async fn watch_validation(validator: Arc<Validator>, readiness: Arc<Readiness>) {
    let mut intervals = tokio::time::interval(fault::shortened("progress_interval", PROGRESS_INTERVAL));
    intervals.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut seen, mut stuck) = (None, 0);
    loop {
        intervals.tick().await;
        let steps = validator.pool.steps_while_waited_for();
        stuck = if steps.is_some() && steps == seen { stuck + 1 } else { 0 };
        seen = steps;
        let problem = "all validation threads have been busy with the same events for 30 s; restart the process, and look for \
                       validation_timeout among the dead letters for the schema that it comes from";
        readiness.set_alive(if stuck >= STUCK_INTERVALS_MAX { Err(problem) } else { Ok(()) });
    }
}
