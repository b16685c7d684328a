//! The threads that judge. A validation may need a deep stack, and one that is busy with a text or a number cannot be interrupted: so they
//! run on threads of their own. One that is held up by an event is replaced for the others, and an event that takes too long is given up,
//! its schema set aside.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::thread::Thread;
use crate::fault;
use crate::metrics::Metrics;
use crate::queue::{ReceivedMessage, SQS_BATCH_MAX};
use crate::snapshot::{Schema, Snapshot, Standing};
use crate::validate::{Unjudged, Verdict, judge};

/// Address space, of which only what is used becomes memory. The deepest payload under the longest chain of references fits in.
const STACK_BYTES: usize = 256 << 20;

/// More than the processors: a few that are held up must not hold up the rest.
const JUDGES_MIN: usize = 4;

/// Threads that were replaced and have not ended.
const REPLACED_MAX: usize = 2;

/// How often events under way are looked at. Those beside a slow one wait for so long.
const TICK: Duration = Duration::from_millis(10);

/// By ticks, not by a clock: a process that was stopped meanwhile has not judged for that long.
const HELD_UP_TICKS: u32 = 10;

/// How long judging one event may take.
const JUDGING_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a schema is set aside under which an event took longer.
const SET_ASIDE: Duration = Duration::from_mins(10);

/// What came of one event's judging.
pub type Outcome = Result<Verdict, NoVerdict>;

/// Why there is no verdict.
#[derive(Debug)]
pub enum NoVerdict {
    /// Its schema cannot be used now.
    Schema(Unjudged),
    /// Our own fault.
    Panicked,
    /// It goes on for too long; its schema is set aside until then.
    GivenUp(Instant),
}

/// The threads.
#[derive(Debug)]
pub struct Judges {
    jobs: Sender<Arc<Job>>,
    /// For further threads.
    taken: Receiver<Arc<Job>>,
    replacements: Arc<Semaphore>,
    body_bytes_max: usize,
    metrics: Arc<Metrics>,
    given_up_ticks: u32,
    set_aside: Duration,
}

/// Messages that threads judge one by one.
#[derive(Debug)]
pub struct Job {
    messages: Vec<Arc<ReceivedMessage>>,
    snapshot: Arc<Snapshot>,
    body_bytes_max: usize,
    metrics: Arc<Metrics>,
    progress: Mutex<Progress>,
    /// A thread has done what it could.
    is_done: Notify,
}

#[derive(Debug, Default)]
struct Progress {
    next: usize,
    under_way: Vec<UnderWay>,
    /// Not yet taken.
    outcomes: Vec<(usize, Outcome)>,
}

/// An event that a thread judges.
#[derive(Debug)]
struct UnderWay {
    position: usize,
    thread: Thread,
    schema: Option<Arc<Schema>>,
    /// Others of the schema wait for its end.
    is_awaited: bool,
    ticks: u32,
    /// Its thread's place is taken by another; it ends with this event.
    replaced: Option<OwnedSemaphorePermit>,
    is_given_up: bool,
}

impl Judges {
    /// Starts the threads. They end with the last owner.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(body_bytes_max: usize, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (jobs, taken) = unbounded();
        let given_up_ticks = fault::shortened("judging_time_max", JUDGING_TIME_MAX).as_millis() / TICK.as_millis();
        let judges = Self {
            jobs,
            taken,
            replacements: Arc::new(Semaphore::new(REPLACED_MAX)),
            body_bytes_max,
            metrics,
            given_up_ticks: u32::try_from(given_up_ticks).unwrap_or(u32::MAX),
            set_aside: fault::shortened("set_aside", SET_ASIDE),
        };
        for _ in 0..thread::available_parallelism().map_or(JUDGES_MIN, |threads| threads.get().max(JUDGES_MIN)) {
            judges.start_one()?;
        }
        Ok(judges)
    }

    fn start_one(&self) -> io::Result<()> {
        let jobs = self.taken.clone();
        thread::Builder::new().name("judge".to_owned()).stack_size(STACK_BYTES).spawn(move || work(&jobs)).map(|_| ())
    }

    /// Has messages judged; each outcome comes with its message's position.
    pub fn begin(&self, messages: Vec<Arc<ReceivedMessage>>, snapshot: Arc<Snapshot>) -> Arc<Job> {
        let (body_bytes_max, metrics) = (self.body_bytes_max, Arc::clone(&self.metrics));
        let job = Arc::new(Job { messages, snapshot, body_bytes_max, metrics, progress: Mutex::default(), is_done: Notify::new() });
        self.submit(&job);
        // A second thread takes what a slow event would keep waiting behind it.
        if job.messages.len() > SQS_BATCH_MAX {
            self.submit(&job);
        }
        job
    }

    /// Waits for outcomes of a job; the last has come when there are as many as messages.
    pub async fn outcomes(&self, job: &Arc<Job>) -> Vec<(usize, Outcome)> {
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

    fn submit(&self, job: &Arc<Job>) {
        // The receiver lives as long as its sender: both are ours.
        let _ = self.jobs.send(Arc::clone(job));
    }

    /// A tick has passed without an end: replaces threads that are held up, gives up events that take too long.
    fn tick(&self, job: &Arc<Job>) {
        let Progress { under_way, outcomes, .. } = &mut *job.progress();
        for under_way in under_way.iter_mut().filter(|under_way| !under_way.is_given_up) {
            under_way.ticks += 1;
            if under_way.ticks == HELD_UP_TICKS {
                under_way.doubt();
                // The rest of its job is for other threads.
                self.submit(job);
            }
            if under_way.ticks >= HELD_UP_TICKS && under_way.replaced.is_none() {
                under_way.replaced = self.replace(&under_way.thread);
            }
            if under_way.ticks >= self.given_up_ticks {
                under_way.is_given_up = true;
                under_way.thread.interrupt(true);
                let until = Instant::now() + self.set_aside;
                under_way.schema.iter().for_each(|schema| schema.set_aside(until));
                outcomes.push((under_way.position, Err(NoVerdict::GivenUp(until))));
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
        let is_replaced = job.judge_all(&thread);
        // Once for all of its events: to wake up whoever waits costs more than to judge one.
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
    fn judge_all(&self, thread: &Thread) -> bool {
        while let Some(position) = self.begin_next(thread) {
            let outcome = self.judge(position);
            if self.end(position, outcome) {
                return true;
            }
        }
        false
    }

    fn begin_next(&self, thread: &Thread) -> Option<usize> {
        let mut progress = self.progress();
        let position = progress.next;
        if position == self.messages.len() {
            return None;
        }
        progress.next += 1;
        let thread = thread.clone();
        progress.under_way.push(UnderWay {
            position,
            thread,
            schema: None,
            is_awaited: false,
            ticks: 0,
            replaced: None,
            is_given_up: false,
        });
        Some(position)
    }

    fn judge(&self, position: usize) -> Outcome {
        let message = &self.messages[position];
        let timer = self.metrics.validation_duration.start_timer();
        let judging = std::panic::AssertUnwindSafe(|| {
            fault::fail_over(&message.body);
            judge(message, &self.snapshot, self.body_bytes_max, |schema, standing| self.begin_schema(position, schema, standing))
        });
        let outcome = std::panic::catch_unwind(judging);
        timer.observe_duration();
        outcome.map_or(Err(NoVerdict::Panicked), |judged| judged.map_err(NoVerdict::Schema))
    }

    fn begin_schema(&self, position: usize, schema: &Arc<Schema>, standing: Standing) {
        if let Some(under_way) = self.progress().under_way.iter_mut().find(|under_way| under_way.position == position) {
            under_way.schema = Some(Arc::clone(schema));
            under_way.is_awaited = standing == Standing::Watched;
        }
    }

    /// True when the thread was replaced meanwhile.
    fn end(&self, position: usize, outcome: Outcome) -> bool {
        let mut progress = self.progress();
        let Some(index) = progress.under_way.iter().position(|under_way| under_way.position == position) else {
            return false;
        };
        let under_way = progress.under_way.swap_remove(index);
        under_way.thread.interrupt(false);
        if let Some(schema) = under_way.schema.filter(|_| under_way.is_awaited) {
            schema.end(under_way.ticks >= HELD_UP_TICKS);
        }
        if !under_way.is_given_up {
            progress.outcomes.push((position, outcome));
        }
        under_way.replaced.is_some()
    }
}

impl UnderWay {
    fn doubt(&mut self) {
        if let Some(schema) = &self.schema {
            schema.doubt();
            self.is_awaited = true;
        }
    }
}
