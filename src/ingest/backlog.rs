//! Tells what waits in the database, where it is this replica's turn to.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::event::Reason;
use crate::fault;
use crate::metrics::Metrics;
use crate::output::problem_and_advice;
use crate::settings::Database;
use crate::snapshot::Catalog;
use crate::store::{Session, SessionError, count_backlog, take_backlog_turn};

/// Between two counts at least, and between two attempts to get the turn.
const INTERVAL: Duration = Duration::from_secs(30);

/// After a count there is no other one for so many times its own time: together they take half a percent of one processor at most, however
/// much there is to count.
const REST_TIMES: u32 = 200;

/// For how much longer than until the next count the turn is kept.
const TURN_SLACK: Duration = Duration::from_secs(15);

/// The gauges from the database.
pub struct BacklogGauges {
    pub database: Database,
    pub catalog: Catalog,
    pub metrics: Arc<Metrics>,
}

impl BacklogGauges {
    /// Counts now and then, for as long as it is polled. Without the turn, or an answer, nothing is told: what another replica tells, or what
    /// was true before, would be told twice or too long.
    pub async fn run(self) {
        let interval = fault::shortened("backlog_interval", INTERVAL);
        let mut session = Session::new(self.database.to("backlog"));
        // Known to nobody else; a replica that is started anew waits for its own turn to end.
        let holder = rand::random();
        let mut was_told = false;
        loop {
            let pause = match self.count(&mut session, holder, interval).await {
                Ok(pause) => {
                    was_told = false;
                    pause
                }
                Err(error) => {
                    self.metrics.backlog.clear();
                    if !std::mem::replace(&mut was_told, true) {
                        let problem = error.to_string();
                        let (problem, advice) = problem_and_advice(&problem);
                        tracing::warn!(problem, advice, "what waits in the database is not counted: its metrics are absent");
                    }
                    interval
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Counts where it has the turn; gives how long it rests then.
    async fn count(&self, session: &mut Session, holder: i64, interval: Duration) -> Result<Duration, SessionError> {
        if !take_backlog_turn(session, holder, interval + TURN_SLACK).await? {
            self.metrics.backlog.clear();
            return Ok(interval);
        }
        let began = Instant::now();
        let found = count_backlog(session).await?;
        let snapshot = self.catalog.snapshot();
        let dead_letters = found.dead_letters.iter().filter_map(|(tenant, reason, count)| {
            let reason = Reason::ALL.into_iter().find(|known| known.as_str() == reason)?;
            Some((snapshot.label(tenant.as_ref()), reason.as_str(), *count))
        });
        let deliveries = found.deliveries.iter().map(|(tenant, count)| (snapshot.label(Some(tenant)), *count));
        self.metrics.backlog.set(dead_letters, deliveries, found.oldest);
        let pause = interval.max(began.elapsed() * REST_TIMES);
        if pause > interval {
            take_backlog_turn(session, holder, pause + TURN_SLACK).await?;
        }
        Ok(pause)
    }
}
