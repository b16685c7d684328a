//! The threads that validate. A validation may need a deep stack, and one that is busy with a text or a number cannot be interrupted: so they
//! run on threads of their own. One that is held up by an event is replaced for the others, and an event that takes too long is given up,
//! its schema quarantined.

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::apart::Apart;
use super::job::{Job, Outcomes, Progress, SLOW_TICKS, Shared, Unvalidated};
use super::quarantine::Quarantine;
use super::thread::Thread;
use crate::fault;
use crate::metrics::Metrics;
use crate::schema::STACK_BYTES_MAX;
use crate::validate::Declared;

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

/// How long validating one event may take.
const VALIDATION_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a schema is quarantined under which an event took longer.
const QUARANTINE_TIME: Duration = Duration::from_mins(10);

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
            shared: Arc::new(Shared { metrics, quarantine: Quarantine::default(), apart: Apart::new(), steps: AtomicU64::new(0) }),
            given_up_ticks: u32::try_from(given_up_ticks).unwrap_or(u32::MAX),
            quarantine_time: fault::shortened("quarantine_time", QUARANTINE_TIME),
        };
        let processors = available_parallelism().map_or(1, NonZero::get);
        (0..processors.max(THREADS_MIN)).try_for_each(|_| pool.start_one(false))?;
        (0..processors).try_for_each(|_| pool.start_one(true))?;
        Ok(pool)
    }

    fn start_one(&self, is_apart: bool) -> io::Result<()> {
        let (jobs, shared) = (self.taken.clone(), Arc::clone(&self.shared));
        let work = move || if is_apart { work_apart(&shared) } else { work(&jobs) };
        std::thread::Builder::new().name("validate".to_owned()).stack_size(STACK_BYTES).spawn(work).map(|_| ())
    }

    /// Has events validated, each under the position that comes with it.
    pub fn begin(&self, events: Vec<(usize, Declared)>) -> Arc<Job> {
        let count = events.len();
        let job = Job::new(&self.shared, events);
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

    /// Whether an event would be validated apart from the others: it is large, or its schema has taken long lately.
    pub fn is_apart(&self, event: &Declared) -> bool {
        self.shared.is_apart(event)
    }

    /// How many steps the threads have taken, where events wait for them; nothing where none waits.
    pub fn steps_while_waited_for(&self) -> Option<u64> {
        (!self.jobs.is_empty() || !self.shared.apart.is_empty()).then(|| self.shared.steps.load(Ordering::Relaxed))
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
                event.replaced = self.replace(&event.thread, event.is_apart);
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

    fn replace(&self, thread: &Thread, is_apart: bool) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.replacements).try_acquire_owned().ok()?;
        if let Err(error) = self.start_one(is_apart) {
            tracing::error!(problem = %error, advice = "raise the limit of threads", "no thread to replace one that a slow schema holds up");
            return None;
        }
        thread.yield_to_others();
        Some(permit)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.apart.close();
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

/// What a thread for events does that are validated apart.
fn work_apart(shared: &Shared) {
    let thread = Thread::current();
    while let Some((job, position, event)) = shared.apart.next() {
        let is_replaced = job.validate_one(position, event, &thread, true);
        job.is_done.notify_one();
        if is_replaced {
            return;
        }
    }
}
