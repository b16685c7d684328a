//! Stages 2 to 4, decode, admit, validate: from a received message to its verdict, or back to the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::breaker::CircuitBreaker;
use super::hand_back::HandBack;
use super::rates::Rates;
use crate::candidate::Candidate;
use crate::event::Rejection;
use crate::health::Readiness;
use crate::metrics::Metrics;
use crate::snapshot::{Catalog, Snapshot, Tenant};
use crate::store::{Decided, Entry, SessionError, TIMES_BEGUN_MAX};
use crate::validate::{Declared, SchemaUnusable, Verdict, prepare, reject_for_time, reject_unread};
use crate::validation::{PoisonAttempts, Pool, Unvalidated};
use crate::window::InFlight;

/// Before events are tried again whose schema is slow.
const SLOW_PAUSE: Duration = Duration::from_millis(100);

/// Where verdicts go.
pub type Next = mpsc::Sender<Vec<Entry<InFlight>>>;

/// What finds verdicts.
#[derive(Debug)]
pub struct Validator {
    pub catalog: Catalog,
    pub pool: Pool,
    pub attempts: PoisonAttempts,
    pub breaker: Arc<CircuitBreaker>,
    pub hand_back: Arc<HandBack>,
    pub rates: Arc<Rates>,
    pub readiness: Arc<Readiness>,
    pub metrics: Arc<Metrics>,
    pub body_bytes_max: usize,
}

/// A message whose payload is left to be checked.
struct Waiting {
    message: InFlight,
    event: Declared,
}

impl Validator {
    /// Finds the verdicts on messages by a snapshot and passes them on, but for those over their tenants' rates, which wait on their queues: those before validation at once, each other when its thread is done
    /// with all that it was given, or at the next tick. What gets none is handed back.
    pub async fn validate(&self, messages: Vec<InFlight>, snapshot: &Arc<Snapshot>, next: &Next) {
        let (mut rejected, mut waiting, mut deferred) = (Vec::new(), Vec::new(), Vec::new());
        for mut message in messages {
            let prepared = self.prepare(&message.candidate, snapshot);
            if let Some(delay) = self.delay(&mut message, prepared.as_ref(), snapshot) {
                deferred.push((message, delay));
                continue;
            }
            match prepared {
                Some(Ok(event)) => waiting.push(Waiting { message, event }),
                Some(Err(rejection)) => rejected.push(entry(message, Err(rejection), snapshot)),
                None => self.count_panic(message, snapshot, next).await,
            }
        }
        self.hand_back.defer(deferred);
        pass_on(rejected, next).await;
        while !waiting.is_empty() {
            waiting = self.validate_once(waiting, snapshot, next).await;
            if !waiting.is_empty() {
                tokio::time::sleep(SLOW_PAUSE).await;
            }
        }
    }

    /// For how long an event has to wait that is over its tenant's rate.
    fn delay(
        &self,
        message: &mut InFlight,
        prepared: Option<&Result<Declared, Rejection>>,
        snapshot: &Snapshot,
    ) -> Option<(Arc<Tenant>, Duration)> {
        if std::mem::replace(&mut message.was_rated, true) {
            return None;
        }
        let tenant = match prepared? {
            Ok(event) => Arc::clone(event.tenant()),
            Err(rejection) => Arc::clone(snapshot.tenant(rejection.admitted.as_ref()?.as_str())?),
        };
        tenant.rate?;
        let leases = self.hand_back.queues.get(&message.candidate.queue.name)?;
        let delay = self.rates.defer(&tenant, &message.candidate, &leases.queue.attributes)?;
        Some((tenant, delay))
    }

    /// Decodes and admits; nothing where that panicked.
    fn prepare(&self, candidate: &Arc<Candidate>, snapshot: &Snapshot) -> Option<Result<Declared, Rejection>> {
        let began = Instant::now();
        let preparing = std::panic::AssertUnwindSafe(|| prepare(Arc::clone(candidate), snapshot, self.body_bytes_max));
        let prepared = std::panic::catch_unwind(preparing).ok()?;
        if prepared.is_err() {
            self.metrics.validation_duration.observe(began.elapsed().as_secs_f64());
        }
        Some(prepared)
    }

    /// Gives back those whose schema is slow.
    async fn validate_once(&self, waiting: Vec<Waiting>, snapshot: &Arc<Snapshot>, next: &Next) -> Vec<Waiting> {
        let mut left = waiting.len();
        let (mut messages, mut events) = (Vec::with_capacity(left), Vec::with_capacity(left));
        for (position, Waiting { message, event }) in waiting.into_iter().enumerate() {
            messages.push(Some(message));
            events.push((position, event));
        }
        let job = self.pool.begin(events);
        let mut slow = Vec::new();
        while left > 0 {
            let (mut verdicts, mut others) = (Vec::new(), Vec::new());
            for (position, outcome) in self.pool.outcomes(&job).await {
                left -= 1;
                // Each position comes once.
                let Some(message) = messages.get_mut(position).and_then(Option::take) else { continue };
                match outcome {
                    Ok(verdict) => verdicts.push(entry(message, verdict, snapshot)),
                    Err(Unvalidated::SchemaSlow(event)) => slow.push(Waiting { message, event: *event }),
                    Err(unvalidated) => others.push((message, unvalidated)),
                }
            }
            pass_on(verdicts, next).await;
            for (message, unvalidated) in others {
                self.go_without_verdict(message, unvalidated, snapshot, next).await;
            }
        }
        slow
    }

    async fn go_without_verdict(&self, message: InFlight, unvalidated: Unvalidated, snapshot: &Arc<Snapshot>, next: &Next) {
        match unvalidated {
            Unvalidated::SchemaQuarantined(until) => self.hand_back_until(message, until),
            // It is waited for where this is asked.
            Unvalidated::SchemaSlow(_) => self.hand_back.later(vec![message]),
            Unvalidated::SchemaUnusable(problem) => self.report_unusable(message, &problem),
            Unvalidated::GivenUp(until) => self.count_given_up(message, until, snapshot, next).await,
            Unvalidated::Panicked => self.count_panic(message, snapshot, next).await,
        }
    }

    /// It was not begun, and is not counted.
    fn hand_back_until(&self, message: InFlight, until: Instant) {
        let earliest = until.saturating_duration_since(Instant::now());
        self.hand_back.after(vec![message], earliest..earliest + self.hand_back.visibility_timeout);
    }

    fn report_unusable(&self, message: InFlight, problem: &SchemaUnusable) {
        self.readiness.set("schemas", Err(problem.to_string()));
        self.hand_back.later(vec![message]);
    }

    /// An event that took too long: back until its schema's quarantine ends, a dead letter after the third time.
    async fn count_given_up(&self, message: InFlight, until: Instant, snapshot: &Arc<Snapshot>, next: &Next) {
        let (queue, sqs_message_id) = (&message.candidate.queue.name, &message.candidate.message_id);
        tracing::warn!(queue, sqs_message_id, "validating an event took too long: its schema is quarantined; publish a simpler one");
        match self.attempts.begin(&message.candidate).await {
            Ok(times) if times >= TIMES_BEGUN_MAX => {
                let rejection = reject_for_time(Arc::clone(&message.candidate), snapshot, self.body_bytes_max);
                pass_on(vec![entry(message, Err(rejection), snapshot)], next).await;
            }
            Ok(_) => self.hand_back_until(message, until),
            Err(problem) => self.hand_back_uncounted(vec![message], &problem),
        }
    }

    /// A panic may come of the event or of chance: a dead letter after the third time.
    async fn count_panic(&self, message: InFlight, snapshot: &Snapshot, next: &Next) {
        let (queue, sqs_message_id) = (&message.candidate.queue.name, &message.candidate.message_id);
        tracing::error!(queue, sqs_message_id, "validating an event panicked; at the third time it is a dead letter");
        match self.attempts.begin(&message.candidate).await {
            Ok(times) if times >= TIMES_BEGUN_MAX => pass_on(vec![entry(message, Err(reject_unread()), snapshot)], next).await,
            Ok(_) => self.hand_back.later(vec![message]),
            Err(problem) => self.hand_back_uncounted(vec![message], &problem),
        }
    }

    /// The database did not count them: nothing more is polled until it does. That there is no room for the connection by which to count says
    /// nothing about those by which others are stored.
    pub fn hand_back_uncounted(&self, messages: Vec<InFlight>, problem: &SessionError) {
        if problem.is_for_want_of_connections() {
            tracing::warn!(events = messages.len(), %problem, "handed back: what came often is counted before it is validated");
        } else {
            self.breaker.fail(problem.to_string());
        }
        self.hand_back.later(messages);
    }
}

/// A message with its verdict.
pub fn entry(message: InFlight, verdict: Verdict, snapshot: &Snapshot) -> Entry<InFlight> {
    Entry { decided: Decided::new(Arc::clone(&message.candidate), verdict, snapshot.generation), origin: message }
}

/// Passes verdicts on to be stored.
pub async fn pass_on(verdicts: Vec<Entry<InFlight>>, next: &Next) {
    if !verdicts.is_empty() {
        // The writers end only after all who can send to them.
        let _ = next.send(verdicts).await;
    }
}
