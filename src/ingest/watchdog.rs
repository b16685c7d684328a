//! A poller whose receive never returns, or that panics, is started anew: polling must not stop silently.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::fault;
use crate::health::{Readiness, queue_part};
use crate::metrics::Metrics;
use crate::queue::poll_time_max;

/// Beyond the time at which a poll gives itself up: by then something is broken that a request's own limit does not see.
const SLACK: Duration = Duration::from_secs(10);

/// Before a poller is started anew: one that panics at every message must not go hot.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

/// In how many ticks a silence becomes too long. Ticks are counted, not time: a process that was frozen does not take its pollers for silent.
const TICKS: u32 = 4;

/// How often a poller was seen to wait for the same reply of SQS. What else it waits for (room, the store, the catalog, the writers) may take
/// as long as it takes.
#[derive(Debug, Clone, Default)]
pub struct Silence(Arc<Mutex<Option<u32>>>);

impl Silence {
    /// Waits for SQS.
    pub async fn during<T>(&self, receive: impl Future<Output = T>) -> T {
        *self.seen() = Some(0);
        let received = receive.await;
        *self.seen() = None;
        received
    }

    fn seen(&self) -> MutexGuard<'_, Option<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A tick has passed: whether the silence is too long.
    fn tick(&self) -> bool {
        let mut seen = self.seen();
        *seen = seen.map(|ticks| ticks + 1);
        // The first tick may come just after the silence has begun.
        seen.is_some_and(|ticks| ticks > TICKS)
    }
}

/// One poller under watch.
struct Watched {
    number: usize,
    silence: Silence,
    task: AbortHandle,
}

/// Watches the pollers of one queue.
#[derive(Clone, Copy)]
pub struct Watchdog<'a> {
    pub queue: &'a str,
    pub readiness: &'a Readiness,
    pub metrics: &'a Metrics,
    pub stop: &'a CancellationToken,
}

/// The pollers, and how to start each.
struct Pollers<'a, F> {
    watchdog: Watchdog<'a>,
    start: F,
    tasks: JoinSet<()>,
    watched: HashMap<Id, Watched>,
}

impl Watchdog<'_> {
    /// Runs as many pollers as are wanted, by their numbers, until all have ended by themselves: each does when it is told to stop, and all
    /// but the first when they are not wanted any more.
    pub async fn run<P>(self, wait: Duration, mut wanted: watch::Receiver<usize>, start: impl Fn(usize, Silence) -> P)
    where
        P: Future<Output = ()> + Send + 'static,
    {
        let silence_max = poll_time_max(wait) + fault::shortened("watchdog_slack", SLACK);
        let mut pollers = Pollers { watchdog: self, start, tasks: JoinSet::new(), watched: HashMap::new() };
        pollers.spawn(0, Duration::ZERO);
        let mut ticks = tokio::time::interval(silence_max / TICKS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !pollers.tasks.is_empty() {
            tokio::select! {
                Some(ended) = pollers.tasks.join_next_with_id() => {
                    pollers.replace(ended);
                    pollers.spawn_missing(*wanted.borrow());
                }
                Ok(()) = wanted.changed() => pollers.spawn_missing(*wanted.borrow_and_update()),
                _ = ticks.tick() => {
                    for poller in pollers.watched.values().filter(|poller| poller.silence.tick()) {
                        // The connection of a receive that never returns goes with it; what it may have leased comes again.
                        poller.task.abort();
                    }
                }
            }
        }
    }
}

impl<P, F> Pollers<'_, F>
where
    P: Future<Output = ()> + Send + 'static,
    F: Fn(usize, Silence) -> P,
{
    fn spawn(&mut self, number: usize, pause: Duration) {
        let silence = Silence::default();
        let poller = (self.start)(number, silence.clone());
        let task = self.tasks.spawn(async move {
            tokio::time::sleep(pause).await;
            poller.await;
        });
        self.watched.insert(task.id(), Watched { number, silence, task });
    }

    fn spawn_missing(&mut self, wanted: usize) {
        if self.watchdog.stop.is_cancelled() || self.watched.len() >= wanted {
            return;
        }
        let running: HashSet<usize> = self.watched.values().map(|poller| poller.number).collect();
        for number in (0..wanted).filter(|number| !running.contains(number)) {
            self.spawn(number, Duration::ZERO);
        }
    }

    /// Starts the poller anew that did not end by itself.
    fn replace(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let (Some(poller), Err(error)) = (self.watched.remove(&id), ended) else { return };
        let Watchdog { queue, readiness, metrics, stop } = self.watchdog;
        if stop.is_cancelled() {
            return;
        }
        metrics.poller_restarts.with_label_values(&[queue]).inc();
        if readiness.may_log(&queue_part(queue)) {
            let problem = if error.is_cancelled() { "SQS was silent for longer than any request may take" } else { "it panicked" };
            let advice = "where this recurs, report it with the lines before this one";
            tracing::error!(queue, problem, advice, "a poller is started anew");
        }
        self.spawn(poller.number, RESTART_PAUSE);
    }
}
