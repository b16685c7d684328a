//! A permit first, then a receive: nothing is received that there is no room to hold.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::candidate::{Candidate, QueueBinding};
use crate::metrics::{Metrics, Outcome};
use crate::queue::{Lease, MESSAGES_PER_REQUEST_MAX, ReceivedMessage};
use crate::settings::SQS_MESSAGE_BYTES_MAX;

/// Bytes are counted in units of 1 KiB, rounded up: a semaphore's permits are 32 bits wide.
const BYTES_UNIT: usize = 1 << 10;

const MESSAGE_UNITS: usize = SQS_MESSAGE_BYTES_MAX / BYTES_UNIT;

/// What the poll of an idle queue reserves: many idle queues must not hold the room that a busy one needs.
const IDLE_UNITS: usize = 64;

/// The room for received messages, by number and by bytes.
#[derive(Debug, Clone)]
pub struct Window {
    events: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// Room for the messages of one receive, each taken to be as large as SQS allows until it is there.
#[derive(Debug)]
pub struct Reservation {
    events: OwnedSemaphorePermit,
    bytes: OwnedSemaphorePermit,
    messages_max: usize,
    window: Window,
}

/// A received message and the room that it takes.
#[derive(Debug)]
pub struct InFlight {
    /// What the verdict is asked on.
    pub candidate: Arc<Candidate>,
    /// By which the message is ours, for a time.
    pub lease: Lease,
    /// Its room.
    pub permit: Permit,
}

/// One message's room. It is in flight until its outcome is recorded; dropped without one (by a panic), it was released.
#[derive(Debug)]
pub struct Permit {
    _event: Option<OwnedSemaphorePermit>,
    bytes: Option<OwnedSemaphorePermit>,
    body_bytes: i64,
    queue: Arc<QueueBinding>,
    has_outcome: bool,
    metrics: Arc<Metrics>,
}

impl Window {
    /// A window of so many messages and bytes.
    pub fn new(events_max: usize, bytes_max: usize, metrics: Arc<Metrics>) -> Self {
        let bytes = Semaphore::new(bytes_max / BYTES_UNIT);
        Self { events: Arc::new(Semaphore::new(events_max)), bytes: Arc::new(bytes), metrics }
    }

    /// Waits for room for one message, then takes what is free at once, up to `messages_max`. Cancel-safe.
    pub async fn reserve(&self, messages_max: usize) -> Reservation {
        let mut reservation = self.acquire(MESSAGE_UNITS).await;
        while reservation.messages_max < messages_max.min(MESSAGES_PER_REQUEST_MAX) {
            let (Some(event), Some(units)) = (try_acquire(&self.events, 1), try_acquire(&self.bytes, MESSAGE_UNITS)) else { break };
            reservation.events.merge(event);
            reservation.bytes.merge(units);
            reservation.messages_max += 1;
        }
        reservation
    }

    /// Waits for room for one message, with the right to overshoot the window by those that come with it. Cancel-safe.
    pub async fn reserve_idle(&self, messages_max: usize) -> Reservation {
        let reservation = self.acquire(IDLE_UNITS).await;
        Reservation { messages_max: messages_max.min(MESSAGES_PER_REQUEST_MAX), ..reservation }
    }

    async fn acquire(&self, units: usize) -> Reservation {
        let events = Arc::clone(&self.events).acquire_owned().await;
        let bytes = Arc::clone(&self.bytes).acquire_many_owned(to_permits(units)).await;
        match (events, bytes) {
            (Ok(events), Ok(bytes)) => Reservation { events, bytes, messages_max: 1, window: self.clone() },
            // Neither semaphore is ever closed.
            _ => std::future::pending().await,
        }
    }
}

impl Reservation {
    /// How many messages there is room for.
    pub fn messages(&self) -> usize {
        self.messages_max
    }

    /// Gives each message of a receive its permit, and the rest of the room back.
    pub fn fill(mut self, messages: Vec<ReceivedMessage>) -> Vec<InFlight> {
        let count = u64::try_from(messages.len()).unwrap_or(u64::MAX);
        let bytes = messages.iter().map(|message| body_bytes(&message.candidate)).sum();
        let metrics = Arc::clone(&self.window.metrics);
        metrics.in_flight_events.add(i64::try_from(count).unwrap_or(i64::MAX));
        metrics.in_flight_bytes.add(bytes);
        if let Some(message) = messages.first() {
            metrics.messages_received.with_label_values(&[&message.candidate.queue.name]).inc_by(count);
        }
        messages.into_iter().map(|message| self.fill_one(message)).collect()
    }

    fn fill_one(&mut self, ReceivedMessage { candidate, lease }: ReceivedMessage) -> InFlight {
        let units = candidate.body.len().div_ceil(BYTES_UNIT).min(MESSAGE_UNITS);
        // What was not reserved is taken where it is free; where it is not, the window overshoots.
        let event = self.events.split(1).or_else(|| try_acquire(&self.window.events, 1));
        let bytes = self.bytes.split(units).or_else(|| try_acquire(&self.window.bytes, units));
        let (body_bytes, metrics) = (body_bytes(&candidate), Arc::clone(&self.window.metrics));
        let permit = Permit { _event: event, bytes, body_bytes, queue: Arc::clone(&candidate.queue), has_outcome: false, metrics };
        InFlight { candidate, lease, permit }
    }
}

impl Permit {
    /// Records what became of the message: from here on it is no longer in flight.
    pub fn record(&mut self, tenant_label: &str, outcome: Outcome) {
        if !self.has_outcome {
            self.has_outcome = true;
            self.metrics.in_flight_events.dec();
            self.metrics.count_outcome(&self.queue.name, tenant_label, outcome);
        }
    }

    /// Frees the bytes: the body is no longer in memory.
    pub fn free_bytes(&mut self) {
        self.bytes = None;
        self.metrics.in_flight_bytes.sub(std::mem::take(&mut self.body_bytes));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.record("unknown", Outcome::Released);
        self.free_bytes();
    }
}

fn body_bytes(candidate: &Candidate) -> i64 {
    i64::try_from(candidate.body.len()).unwrap_or(i64::MAX)
}

fn try_acquire(semaphore: &Arc<Semaphore>, permits: usize) -> Option<OwnedSemaphorePermit> {
    Arc::clone(semaphore).try_acquire_many_owned(to_permits(permits)).ok()
}

fn to_permits(units: usize) -> u32 {
    u32::try_from(units).unwrap_or(u32::MAX)
}
