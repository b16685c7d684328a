//! Stages 2 to 4, decode, admit, validate: from a received message to its verdict, or back to the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc};

use super::breaker::CircuitBreaker;
use super::hand_back::{HandBack, by_queue};
use super::rates::Rates;
use super::shares::{Occupied, Shares};
use super::traced;
use crate::admit::tenant_of_queue;
use crate::candidate::Candidate;
use crate::event::Rejection;
use crate::health::Readiness;
use crate::metrics::Metrics;
use crate::output::problem_and_advice;
use crate::snapshot::{Catalog, Snapshot, Tenant};
use crate::spans::Spans;
use crate::store::{Decided, Entry, SessionError, TIMES_BEGUN_MAX};
use crate::validate::{Declared, SchemaUnusable, Verdict, prepare, reject_for_time, reject_unread};
use crate::validation::{LARGE_BYTES, PoisonAttempts, Pool, Unvalidated};
use crate::window::InFlight;

/// Before events are tried again whose schema is slow.
const SLOW_PAUSE: Duration = Duration::from_millis(100);

/// Before an event comes again that had to leave its room to others.
const SHARE_DELAY: Duration = Duration::from_secs(5);

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
    pub shares: Arc<Shares>,
    /// Large bodies are read one at a time: whoever reads a small one waits for one of them at most.
    pub large_turn: Mutex<()>,
    pub readiness: Arc<Readiness>,
    pub metrics: Arc<Metrics>,
    pub spans: Spans,
    pub body_bytes_max: usize,
}

/// A message whose payload is left to be checked.
struct Waiting {
    message: InFlight,
    event: Declared,
    /// Where that takes long.
    occupied: Option<Occupied>,
}

/// What becomes of a message before its payload is checked.
enum Prepared {
    Waiting(Waiting),
    Rejected(InFlight, Rejection),
    /// Over the rate of its tenant, or of what has none.
    OverRate(InFlight, Option<Arc<Tenant>>, Duration),
    /// Over its tenant's share of the room.
    OverShare(InFlight),
    Panicked(InFlight),
}

impl Validator {
    /// Finds the verdicts on messages by a snapshot and passes them on: those before validation at once, each other when its thread is done
    /// with all that it was given, or at the next tick. What gets none is handed back, and so is, for a while, what is over its tenant's rate
    /// or share. Gives for how long the last of these waits.
    pub async fn validate(&self, messages: Vec<InFlight>, snapshot: &Arc<Snapshot>, next: &Next) -> Option<Duration> {
        let (mut rejected, mut waiting, mut over_rate, mut over_share) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for message in messages {
            match self.prepare_in_turn(message, snapshot).await {
                Prepared::Waiting(one) => waiting.push(one),
                Prepared::Rejected(message, rejection) => rejected.push(entry(message, Err(rejection), snapshot)),
                Prepared::OverRate(message, tenant, delay) => over_rate.push((message, tenant, delay)),
                Prepared::OverShare(message) => over_share.push(message),
                Prepared::Panicked(message) => self.count_panic(message, snapshot, next).await,
            }
        }
        let put_off = over_rate.iter().map(|(_, _, delay)| *delay).chain(over_share.iter().map(|_| SHARE_DELAY)).max();
        self.hand_back.defer(over_rate);
        self.hand_back.after(over_share, SHARE_DELAY..SHARE_DELAY);
        pass_on(rejected, next).await;
        while !waiting.is_empty() {
            waiting = self.validate_once(waiting, snapshot, next).await;
            if !waiting.is_empty() {
                tokio::time::sleep(SLOW_PAUSE).await;
            }
        }
        put_off
    }

    async fn prepare_in_turn(&self, mut message: InFlight, snapshot: &Snapshot) -> Prepared {
        let is_large = message.candidate.body.len() > LARGE_BYTES;
        let _turn = if is_large { Some(self.large_turn.lock().await) } else { None };
        let prepared = self.prepare(&message.candidate, snapshot);
        traced::begin(&self.spans, &mut message, prepared.as_ref());
        let is_first = !std::mem::replace(&mut message.was_rated, true);
        let event = match prepared {
            None => return Prepared::Panicked(message),
            Some(prepared) if is_first => {
                if let Some((tenant, delay)) = self.delay(&message, prepared.as_ref(), snapshot) {
                    return Prepared::OverRate(message, tenant, delay);
                }
                prepared
            }
            Some(prepared) => prepared,
        };
        match event {
            Err(rejection) => Prepared::Rejected(message, rejection),
            Ok(event) if !is_first || !self.pool.is_apart(&event) => Prepared::Waiting(Waiting { message, event, occupied: None }),
            Ok(event) if self.is_over_share(event.tenant(), &message.candidate) => Prepared::OverShare(message),
            Ok(event) => {
                let occupied = Some(self.shares.occupy(&event.tenant().tenant_id, message.candidate.body.len()));
                Prepared::Waiting(Waiting { message, event, occupied })
            }
        }
    }

    /// For how long an event has to wait that is over its tenant's rate, or over that of what has no tenant.
    fn delay(
        &self,
        message: &InFlight,
        prepared: Result<&Declared, &Rejection>,
        snapshot: &Snapshot,
    ) -> Option<(Option<Arc<Tenant>>, Duration)> {
        let candidate = &message.candidate;
        let tenant = match prepared {
            Ok(event) => Some(event.tenant()),
            Err(rejection) => match rejection.admitted.as_ref().or_else(|| tenant_of_queue(candidate, rejection.reason)) {
                // Pruned meanwhile: whatever it is, it is no flood of theirs.
                Some(tenant_id) => Some(snapshot.tenant(tenant_id.as_str())?),
                None => None,
            },
        };
        let leases = self.hand_back.queues.get(&candidate.queue.name)?;
        let delay = self.rates.defer(tenant.map(Arc::as_ref), candidate, &leases.queue.attributes)?;
        Some((tenant.cloned(), delay))
    }

    /// Whether a tenant's event goes back so that there is room for others, without any danger that it is lost.
    fn is_over_share(&self, tenant: &Tenant, candidate: &Candidate) -> bool {
        self.shares.is_over(&tenant.tenant_id)
            && self
                .hand_back
                .queues
                .get(&candidate.queue.name)
                .is_some_and(|leases| self.rates.may_put_off(tenant, candidate, &leases.queue.attributes, SHARE_DELAY))
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
        for (position, Waiting { message, event, occupied }) in waiting.into_iter().enumerate() {
            messages.push(Some((message, occupied)));
            events.push((position, event));
        }
        let job = self.pool.begin(events);
        let mut slow = Vec::new();
        while left > 0 {
            let (mut verdicts, mut others) = (Vec::new(), Vec::new());
            for (position, outcome) in self.pool.outcomes(&job).await {
                left -= 1;
                // Each position comes once.
                let Some((message, occupied)) = messages.get_mut(position).and_then(Option::take) else { continue };
                match outcome {
                    Ok(verdict) => verdicts.push(entry(message, verdict, snapshot)),
                    Err(Unvalidated::SchemaSlow(event)) => slow.push(Waiting { message, event: *event, occupied }),
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
        let (problem, advice) = ("validating an event took too long: its schema is quarantined", "publish a simpler one");
        tracing::warn!(queue, sqs_message_id, problem, advice, "not validated");
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
        let (problem, advice) = ("validating an event panicked", "report it; at the third time it is a dead letter");
        tracing::error!(queue, sqs_message_id, problem, advice, "not validated");
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
            let problem = problem.to_string();
            let (problem, advice) = problem_and_advice(&problem);
            for (queue, events) in by_queue(messages.iter()) {
                tracing::warn!(queue, events, problem, advice, "handed back: what came often is counted before it is validated");
            }
        } else {
            self.metrics.count_error(problem.class());
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
