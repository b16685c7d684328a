//! Says in the log that events are refused, and why, without filling it: each problem once in ten minutes, with how many there were since.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Reason, TenantId};
use crate::fault;
use crate::snapshot::Snapshot;
use crate::store::{Settled, Settlement, rule};
use crate::window::InFlight;

/// Between two lines about a problem.
const INTERVAL: Duration = Duration::from_mins(10);

/// How often it is looked for problems whose next line is due.
const TICK: Duration = Duration::from_secs(10);

/// So many are told apart; of what comes beyond that, reasons are.
const PROBLEMS_MAX: usize = 1_000;

/// What refused events have in common. What stands here is the catalog's, never an event's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Problem {
    tenant: Option<TenantId>,
    event_type: Option<String>,
    reason: Reason,
    rule: Option<String>,
}

impl Problem {
    fn of(event: &Settled<InFlight>, snapshot: &Snapshot) -> Option<Self> {
        let Settlement::Rejected(rejection) = event.settlement() else { return None };
        let tenant = event.tenant_id().and_then(|tenant| snapshot.tenant(tenant.as_str()));
        let named = rejection.envelope.as_ref().map(|envelope| envelope.event_type.as_str());
        let event_type = named.filter(|name| tenant.is_some_and(|tenant| tenant.event_type(name).is_some()));
        let is_of_a_schema = rejection.reason == Reason::SchemaViolation && event_type.is_some();
        Some(Self {
            tenant: tenant.map(|tenant| tenant.tenant_id.clone()),
            event_type: event_type.map(str::to_owned),
            reason: rejection.reason,
            rule: is_of_a_schema.then(|| rule(rejection)).flatten(),
        })
    }
}

/// What is not told yet of a problem.
#[derive(Debug, Default)]
struct Untold {
    events: u64,
    /// Of the latest one.
    queue: String,
    sqs_message_id: String,
    /// When it was told of last.
    told_at: Option<Instant>,
}

impl Untold {
    fn is_due(&self, now: Instant) -> bool {
        self.told_at.is_none_or(|at| now - at >= INTERVAL)
    }

    fn tell(&mut self, Problem { tenant, event_type, reason, rule }: &Problem, now: Instant) {
        tracing::warn!(
            queue = self.queue,
            tenant = tenant.as_ref().map(TenantId::as_str),
            sqs_message_id = self.sqs_message_id,
            event_type,
            reason = reason.as_str(),
            rule,
            events = self.events,
            problem = "events were refused, and are kept as dead letters",
            advice = "see `processor dead-letter summary`",
            "rejected"
        );
        (self.events, self.told_at) = (0, Some(now));
    }
}

/// The problems of the last ten minutes.
#[derive(Debug, Default)]
pub struct Rejections {
    problems: Mutex<HashMap<Problem, Untold>>,
}

impl Rejections {
    fn problems(&self) -> MutexGuard<'_, HashMap<Problem, Untold>> {
        // A panic elsewhere leaves the map whole.
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the refused among these, and tells of the problems that are new.
    pub fn count(&self, settled: &[Settled<InFlight>], snapshot: &Snapshot) {
        let refused = settled.iter().filter_map(|event| Some((Problem::of(event, snapshot)?, event)));
        let mut refused = refused.peekable();
        if refused.peek().is_none() {
            return;
        }
        let mut problems = self.problems();
        for (problem, event) in refused {
            let is_told_apart = problems.len() < PROBLEMS_MAX || problems.contains_key(&problem);
            let apart_by_reason = |Problem { reason, .. }| Problem { tenant: None, event_type: None, reason, rule: None };
            let untold = problems.entry(if is_told_apart { problem } else { apart_by_reason(problem) }).or_default();
            untold.events += 1;
            let candidate = &event.origin.candidate;
            untold.queue.clone_from(&candidate.queue.name);
            untold.sqs_message_id.clone_from(&candidate.message_id);
        }
        tell(&mut problems, |untold| untold.told_at.is_none());
    }

    /// Tells of what is due, for as long as it is polled.
    pub async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(fault::shortened("rejections_tick", TICK)).await;
            let now = Instant::now();
            let mut problems = self.problems();
            problems.retain(|_, untold| untold.events > 0 || !untold.is_due(now));
            tell(&mut problems, |untold| untold.is_due(now));
        }
    }

    /// Tells of all that was counted and not told.
    pub fn tell_all(&self) {
        tell(&mut self.problems(), |_| true);
    }
}

fn tell(problems: &mut HashMap<Problem, Untold>, is_due: impl Fn(&Untold) -> bool) {
    let now = Instant::now();
    for (problem, untold) in problems.iter_mut().filter(|(_, untold)| untold.events > 0 && is_due(untold)) {
        untold.tell(problem, now);
    }
}
