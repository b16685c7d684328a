//! Events that were handed in together, and how far each of them is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::apart::Apart;
use super::quarantine::{Entry, Quarantine};
use super::thread::Thread;
use crate::fault;
use crate::metrics::Metrics;
use crate::validate::{Declared, SchemaKey, SchemaUnusable, Verdict};

/// By ticks, not by a clock: a process that was stopped meanwhile has not validated for that long.
pub const SLOW_TICKS: u32 = 10;

/// A larger body takes milliseconds where others take microseconds.
pub const LARGE_BYTES: usize = 64 << 10;

/// Why an event has no verdict.
#[derive(Debug)]
pub enum Unvalidated {
    /// Another event takes long under its schema: to be tried again when that has ended.
    SchemaSlow(Box<Declared>),
    /// Its schema is quarantined until then; it was not begun.
    SchemaQuarantined(Instant),
    /// Its schema cannot be used.
    SchemaUnusable(SchemaUnusable),
    /// It took too long; its schema is quarantined until then.
    GivenUp(Instant),
    /// Our own fault.
    Panicked,
}

/// What came of events, each with its position in its job.
pub type Outcomes = Vec<(usize, Result<Verdict, Unvalidated>)>;

/// What all jobs share.
#[derive(Debug)]
pub struct Shared {
    pub metrics: Arc<Metrics>,
    pub quarantine: Quarantine,
    /// Events that are validated apart from the others.
    pub apart: Apart<(Arc<Job>, usize, Declared)>,
    /// How many events threads have begun or ended.
    pub steps: AtomicU64,
}

/// Events that threads validate one by one.
#[derive(Debug)]
pub struct Job {
    pub shared: Arc<Shared>,
    progress: Mutex<Progress>,
    /// A thread has done what it could.
    pub is_done: Notify,
}

#[derive(Debug, Default)]
pub struct Progress {
    /// Not begun, the last first, each with its position.
    waiting: Vec<(usize, Declared)>,
    pub under_way: Vec<UnderWay>,
    /// Not yet taken.
    pub outcomes: Outcomes,
}

/// An event that a thread validates.
#[derive(Debug)]
pub struct UnderWay {
    pub position: usize,
    pub thread: Thread,
    /// Whether the thread is one of those for events that are validated apart.
    pub is_apart: bool,
    /// Under which, as far as it was allowed to begin.
    pub schema: Option<SchemaKey>,
    /// Others of the schema wait for its end.
    pub is_awaited: bool,
    pub ticks: u32,
    /// Its thread's place is taken by another; it ends with this event.
    pub replaced: Option<OwnedSemaphorePermit>,
    pub is_given_up: bool,
}

impl Job {
    /// Events, each under its position.
    pub fn new(shared: &Arc<Shared>, events: Vec<(usize, Declared)>) -> Arc<Self> {
        let progress = Progress { waiting: events.into_iter().rev().collect(), ..Progress::default() };
        Arc::new(Self { shared: Arc::clone(shared), progress: Mutex::new(progress), is_done: Notify::new() })
    }

    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        // A panic elsewhere leaves the progress whole.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What no other thread has begun. True when this thread was replaced meanwhile.
    pub fn validate_all(self: &Arc<Self>, thread: &Thread) -> bool {
        while let Some((position, event)) = self.next_waiting() {
            if self.shared.is_apart(&event) {
                self.shared.apart.add(event.tenant().tenant_id.clone(), (Arc::clone(self), position, event));
            } else if self.validate_one(position, event, thread, false) {
                return true;
            }
        }
        false
    }

    /// Validates an event. True when this thread was replaced meanwhile.
    pub fn validate_one(&self, position: usize, event: Declared, thread: &Thread, is_apart: bool) -> bool {
        self.begin(UnderWay {
            position,
            thread: thread.clone(),
            is_apart,
            schema: None,
            is_awaited: false,
            ticks: 0,
            replaced: None,
            is_given_up: false,
        });
        let outcome = self.validate(position, event);
        self.end(position, outcome)
    }

    fn next_waiting(&self) -> Option<(usize, Declared)> {
        self.progress().waiting.pop()
    }

    fn begin(&self, event: UnderWay) {
        self.progress().under_way.push(event);
        self.shared.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn validate(&self, position: usize, event: Declared) -> Result<Verdict, Unvalidated> {
        let key = event.schema_key();
        let entry = self.shared.quarantine.enter(&key);
        match entry {
            Entry::Clear | Entry::Watched => self.enter(position, key.clone(), entry == Entry::Watched),
            Entry::Slow => return Err(Unvalidated::SchemaSlow(Box::new(event))),
            Entry::Quarantined(until) => return Err(Unvalidated::SchemaQuarantined(until)),
        }
        let began = Instant::now();
        let validating = std::panic::AssertUnwindSafe(|| {
            fault::fail_over(&event.candidate().body);
            event.validate()
        });
        let outcome = std::panic::catch_unwind(validating);
        let took = began.elapsed();
        self.shared.metrics.validation_duration.observe(took.as_secs_f64());
        self.shared.quarantine.learn(&key, took);
        outcome.map_or(Err(Unvalidated::Panicked), |validated| validated.map_err(Unvalidated::SchemaUnusable))
    }

    fn enter(&self, position: usize, key: SchemaKey, is_watched: bool) {
        if let Some(event) = self.progress().under_way.iter_mut().find(|event| event.position == position) {
            event.schema = Some(key);
            event.is_awaited = is_watched;
        }
    }

    /// True when the thread was replaced meanwhile.
    fn end(&self, position: usize, outcome: Result<Verdict, Unvalidated>) -> bool {
        let mut progress = self.progress();
        self.shared.steps.fetch_add(1, Ordering::Relaxed);
        let Some(index) = progress.under_way.iter().position(|event| event.position == position) else {
            return false;
        };
        let event = progress.under_way.swap_remove(index);
        event.thread.interrupt(false);
        if let Some(schema) = event.schema.filter(|_| event.is_awaited) {
            self.shared.quarantine.end(&schema, event.ticks >= SLOW_TICKS);
        }
        if !event.is_given_up {
            progress.outcomes.push((position, outcome));
        }
        event.replaced.is_some()
    }
}

impl Shared {
    /// Whether an event is validated apart: one that is large, or whose schema has taken long lately.
    pub fn is_apart(&self, event: &Declared) -> bool {
        event.candidate().body.len() > LARGE_BYTES || self.quarantine.is_costly(event)
    }
}
