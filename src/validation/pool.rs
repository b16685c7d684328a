//! The threads that validate. A validation may need a deep stack, and one that is busy with a text or a number cannot be interrupted: so they
//! run on threads of their own. One that is held up by an event is replaced for the others, and an event that takes too long is given up,
//! its schema quarantined.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::quarantine::{Entry, Quarantine};
use super::thread::Thread;
use crate::fault;
use crate::metrics::Metrics;
use crate::schema::STACK_BYTES_MAX;
use crate::validate::{Declared, SchemaKey, SchemaUnusable, Verdict};

/// Address space, of which only what is used becomes memory.
const STACK_BYTES: usize = 2 * STACK_BYTES_MAX;

/// More than the processors: a few that are held up must not hold up the rest.
const THREADS_MIN: usize = 4;

/// Threads that were replaced and have not ended.
const REPLACED_MAX: usize = 2;

/// A job of more events has a second thread: it takes what a slow event would keep waiting behind it.
const EVENTS_PER_THREAD_MAX: usize = 10;

/// How often events under way are looked at. Those beside a slow one wait for so long.
const TICK: Duration = Duration::from_millis(10);

/// By ticks, not by a clock: a process that was stopped meanwhile has not validated for that long.
const SLOW_TICKS: u32 = 10;

/// How long validating one event may take.
const VALIDATION_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a schema is quarantined under which an event took longer.
const QUARANTINE_TIME: Duration = Duration::from_mins(10);

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

/// The threads.
#[derive(Debug)]
pub struct Pool {
    jobs: Sender<Arc<Job>>,
    /// For further threads.
    taken: Receiver<Arc<Job>>,
    replacements: Arc<Semaphore>,
    shared: Arc<Shared>,
    given_up_ticks: u32,
    quarantine_time: Duration,
}

/// What all jobs share.
#[derive(Debug)]
struct Shared {
    metrics: Arc<Metrics>,
    quarantine: Quarantine,
    /// How many events threads have begun or ended.
    steps: AtomicU64,
}

/// Events that threads validate one by one.
#[derive(Debug)]
pub struct Job {
    shared: Arc<Shared>,
    progress: Mutex<Progress>,
    /// A thread has done what it could.
    is_done: Notify,
}

#[derive(Debug, Default)]
struct Progress {
    /// Not begun, the last first, each with its position.
    waiting: Vec<(usize, Declared)>,
    under_way: Vec<UnderWay>,
    /// Not yet taken.
    outcomes: Outcomes,
}

/// An event that a thread validates.
#[derive(Debug)]
struct UnderWay {
    position: usize,
    thread: Thread,
    /// Under which, as far as it was allowed to begin.
    schema: Option<SchemaKey>,
    /// Others of the schema wait for its end.
    is_awaited: bool,
    ticks: u32,
    /// Its thread's place is taken by another; it ends with this event.
    replaced: Option<OwnedSemaphorePermit>,
    is_given_up: bool,
}

impl Pool {
    /// Starts the threads. They end with the last owner.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(metrics: Arc<Metrics>) -> io::Result<Self> {
        let (jobs, taken) = unbounded();
        let given_up_ticks = fault::shortened("validation_time_max", VALIDATION_TIME_MAX).as_millis() / TICK.as_millis();
        let pool = Self {
            jobs,
            taken,
            replacements: Arc::new(Semaphore::new(REPLACED_MAX)),
            shared: Arc::new(Shared { metrics, quarantine: Quarantine::default(), steps: AtomicU64::new(0) }),
            given_up_ticks: u32::try_from(given_up_ticks).unwrap_or(u32::MAX),
            quarantine_time: fault::shortened("quarantine_time", QUARANTINE_TIME),
        };
        for _ in 0..std::thread::available_parallelism().map_or(THREADS_MIN, |threads| threads.get().max(THREADS_MIN)) {
            pool.start_one()?;
        }
        Ok(pool)
    }

    fn start_one(&self) -> io::Result<()> {
        let jobs = self.taken.clone();
        std::thread::Builder::new().name("validate".to_owned()).stack_size(STACK_BYTES).spawn(move || work(&jobs)).map(|_| ())
    }

    /// Has events validated, each under the position that comes with it.
    pub fn begin(&self, events: Vec<(usize, Declared)>) -> Arc<Job> {
        let count = events.len();
        let progress = Progress { waiting: events.into_iter().rev().collect(), ..Progress::default() };
        let job = Arc::new(Job { shared: Arc::clone(&self.shared), progress: Mutex::new(progress), is_done: Notify::new() });
        self.submit(&job);
        if count > EVENTS_PER_THREAD_MAX {
            self.submit(&job);
        }
        job
    }

    /// Waits for outcomes of a job; the last has come when there are as many as events.
    pub async fn outcomes(&self, job: &Arc<Job>) -> Outcomes {
        loop {
            let outcomes = std::mem::take(&mut job.progress().outcomes);
            if !outcomes.is_empty() {
                return outcomes;
            }
            if tokio::time::timeout(TICK, job.is_done.notified()).await.is_err() {
                self.tick(job);
            }
        }
    }

    /// How many steps the threads have taken, where events wait for them; nothing where none waits.
    pub fn steps_while_waited_for(&self) -> Option<u64> {
        (!self.jobs.is_empty()).then(|| self.shared.steps.load(Ordering::Relaxed))
    }

    fn submit(&self, job: &Arc<Job>) {
        // The receiver lives as long as its sender: both are ours.
        let _ = self.jobs.send(Arc::clone(job));
    }

    /// A tick has passed without an end: replaces threads that are held up, gives up events that take too long.
    fn tick(&self, job: &Arc<Job>) {
        let Progress { under_way, outcomes, .. } = &mut *job.progress();
        for event in under_way.iter_mut().filter(|event| !event.is_given_up) {
            event.ticks += 1;
            if event.ticks == SLOW_TICKS {
                event.is_awaited = event.schema.is_some();
                event.schema.iter().for_each(|schema| self.shared.quarantine.slow(schema));
                // The rest of its job is for other threads.
                self.submit(job);
            }
            if event.ticks >= SLOW_TICKS && event.replaced.is_none() {
                event.replaced = self.replace(&event.thread);
            }
            if event.ticks >= self.given_up_ticks {
                event.is_given_up = true;
                event.thread.interrupt(true);
                let until = Instant::now() + self.quarantine_time;
                event.schema.iter().for_each(|schema| self.shared.quarantine.quarantine(schema, until));
                outcomes.push((event.position, Err(Unvalidated::GivenUp(until))));
            }
        }
    }

    fn replace(&self, thread: &Thread) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.replacements).try_acquire_owned().ok()?;
        if let Err(error) = self.start_one() {
            tracing::error!(%error, "no thread to replace one that a slow schema holds up; raise the limit of threads");
            return None;
        }
        thread.yield_to_others();
        Some(permit)
    }
}

/// What a thread does.
fn work(jobs: &Receiver<Arc<Job>>) {
    let thread = Thread::current();
    while let Ok(job) = jobs.recv() {
        let is_replaced = job.validate_all(&thread);
        // Once for all of its events: to wake up whoever waits costs more than to validate one.
        job.is_done.notify_one();
        if is_replaced {
            return;
        }
    }
}

impl Job {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // A panic elsewhere leaves the progress whole.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What no other thread has begun. True when this thread was replaced meanwhile.
    fn validate_all(&self, thread: &Thread) -> bool {
        while let Some((position, event)) = self.begin_next(thread) {
            let outcome = self.validate(position, event);
            if self.end(position, outcome) {
                return true;
            }
        }
        false
    }

    fn begin_next(&self, thread: &Thread) -> Option<(usize, Declared)> {
        let mut progress = self.progress();
        let (position, event) = progress.waiting.pop()?;
        let thread = thread.clone();
        let under_way = UnderWay { position, thread, schema: None, is_awaited: false, ticks: 0, replaced: None, is_given_up: false };
        progress.under_way.push(under_way);
        self.shared.steps.fetch_add(1, Ordering::Relaxed);
        Some((position, event))
    }

    fn validate(&self, position: usize, event: Declared) -> Result<Verdict, Unvalidated> {
        let key = event.schema_key();
        let entry = self.shared.quarantine.enter(&key);
        match entry {
            Entry::Clear | Entry::Watched => self.enter(position, key, entry == Entry::Watched),
            Entry::Slow => return Err(Unvalidated::SchemaSlow(Box::new(event))),
            Entry::Quarantined(until) => return Err(Unvalidated::SchemaQuarantined(until)),
        }
        let timer = self.shared.metrics.validation_duration.start_timer();
        let validating = std::panic::AssertUnwindSafe(|| {
            fault::fail_over(&event.candidate().body);
            event.validate()
        });
        let outcome = std::panic::catch_unwind(validating);
        timer.observe_duration();
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
