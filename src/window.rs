//! A slot first, then a receive: nothing is received that there is no room to hold.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::{Metrics, Outcome};
use crate::queue::{ReceivedMessage, SQS_BATCH_MAX};
use crate::settings::SQS_MESSAGE_BYTES_MAX;

/// Bytes are counted in units of 1 KiB, rounded up: a semaphore's permits are 32 bits wide.
const BYTES_UNIT: usize = 1 << 10;

const MESSAGE_UNITS: usize = SQS_MESSAGE_BYTES_MAX / BYTES_UNIT;

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
    metrics: Arc<Metrics>,
}

/// A received message and the room that it takes.
#[derive(Debug)]
pub struct Held {
    /// The message.
    pub message: ReceivedMessage,
    /// Its room.
    pub slot: Slot,
}

/// One message's room. It is in flight until its outcome is recorded; dropped without one (by a panic), it was released.
#[derive(Debug)]
pub struct Slot {
    _event: Option<OwnedSemaphorePermit>,
    bytes: Option<OwnedSemaphorePermit>,
    bytes_held: i64,
    queue: String,
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
        // Neither semaphore is ever closed.
        let (Ok(mut events), Ok(mut bytes)) =
            (Arc::clone(&self.events).acquire_owned().await, Arc::clone(&self.bytes).acquire_many_owned(to_permits(MESSAGE_UNITS)).await)
        else {
            return std::future::pending().await;
        };
        for _ in 1..messages_max.min(SQS_BATCH_MAX) {
            let event = Arc::clone(&self.events).try_acquire_owned();
            let unit = Arc::clone(&self.bytes).try_acquire_many_owned(to_permits(MESSAGE_UNITS));
            let (Ok(event), Ok(unit)) = (event, unit) else { break };
            events.merge(event);
            bytes.merge(unit);
        }
        Reservation { events, bytes, metrics: Arc::clone(&self.metrics) }
    }
}

impl Reservation {
    /// How many messages there is room for.
    pub fn messages(&self) -> usize {
        self.events.num_permits()
    }

    /// Gives each message its slot and the rest of the room back.
    pub fn hold(mut self, messages: Vec<ReceivedMessage>) -> Vec<Held> {
        messages.into_iter().map(|message| self.hold_one(message)).collect()
    }

    fn hold_one(&mut self, message: ReceivedMessage) -> Held {
        let units = message.body.len().div_ceil(BYTES_UNIT).min(MESSAGE_UNITS);
        // A server that hands over more than was asked for gets none, and the window overshoots.
        let event = self.events.split(1);
        let bytes = self.bytes.split(units);
        let bytes_held = i64::try_from(message.body.len()).unwrap_or(i64::MAX);
        self.metrics.in_flight_events.inc();
        self.metrics.in_flight_bytes.add(bytes_held);
        self.metrics.messages_received.with_label_values(&[&message.queue.name]).inc();
        let slot = Slot {
            _event: event,
            bytes,
            bytes_held,
            queue: message.queue.name.clone(),
            has_outcome: false,
            metrics: Arc::clone(&self.metrics),
        };
        Held { message, slot }
    }
}

impl Slot {
    /// Records what became of the message: from here on it is no longer in flight.
    pub fn record(&mut self, tenant_label: &str, outcome: Outcome) {
        if !self.has_outcome {
            self.has_outcome = true;
            self.metrics.in_flight_events.dec();
            self.metrics.count_outcome(&self.queue, tenant_label, outcome);
        }
    }

    /// Frees the bytes: the body is no longer in memory.
    pub fn free_bytes(&mut self) {
        self.bytes = None;
        self.metrics.in_flight_bytes.sub(std::mem::take(&mut self.bytes_held));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.record("unknown", Outcome::Released);
        self.free_bytes();
    }
}

fn to_permits(units: usize) -> u32 {
    u32::try_from(units).unwrap_or(u32::MAX)
}
