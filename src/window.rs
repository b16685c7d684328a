//! Room first, then a receive: nothing is received that there is no room to hold.

mod permit;
mod steps;
mod unsettled;

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::candidate::Candidate;
use crate::metrics::Metrics;
use crate::queue::{Lease, MESSAGES_PER_REQUEST_MAX, ReceivedMessage};
pub use permit::Permit;
use steps::Steps;
use unsettled::Unsettled;

/// How long a poll waits for the room of a whole request before it takes what there is: room comes free by the message, and polls that took
/// each as it came would ask for one at a time.
const PATIENCE: Duration = Duration::from_millis(20);

/// How many times what is free may be one queue's: three fourths of the room where it is alone, less where others have some, and something is
/// always left for who comes next.
const IN_FLIGHT_TIMES_FREE_MAX: i64 = 3;

/// The room for received messages, by number and by bytes.
#[derive(Debug)]
pub struct Window {
    free: Mutex<Room>,
    freed: Notify,
    events_max: usize,
    bytes_max: usize,
    steps: Steps,
    metrics: Arc<Metrics>,
}

/// Room; less than nothing is free where more came than was reserved for, and then the next polls wait until it is worked off.
#[derive(Debug, Clone, Copy, Default)]
struct Room {
    events: i64,
    bytes: i64,
}

/// One queue's part of the window.
#[derive(Debug)]
pub struct Share {
    window: Arc<Window>,
    queue: String,
    in_flight: Mutex<Room>,
    unsettled: Mutex<Unsettled>,
    /// First come, first served.
    turn: tokio::sync::Mutex<()>,
}

/// Room for the messages of one receive, each taken to be as large as the queue's were lately until it is there.
#[derive(Debug)]
pub struct Reservation {
    events: usize,
    message_bytes: usize,
    messages_max: usize,
    /// Whether there was less room at first than was asked for: more polls would only wait.
    pub has_waited: bool,
    share: Arc<Share>,
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
    /// Whether its tenant's rate was asked for it: it counts once, however often it is validated.
    pub was_rated: bool,
}

impl Window {
    /// A window of so many messages and bytes.
    pub fn new(events_max: usize, bytes_max: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        let free = Mutex::new(Room { events: to_i64(events_max), bytes: to_i64(bytes_max) });
        metrics.in_flight_events_max.set(to_i64(events_max));
        metrics.in_flight_bytes_max.set(to_i64(bytes_max));
        Arc::new(Self { free, freed: Notify::new(), events_max, bytes_max, steps: Steps::default(), metrics })
    }

    /// How many events and bytes there is room for in all.
    pub fn limits(&self) -> (usize, usize) {
        (self.events_max, self.bytes_max)
    }

    /// Whether less than a third is free: as one queue alone leaves it when there is more than is worked off.
    pub fn is_scarce(&self) -> bool {
        let free = *lock(&self.free);
        free.events < to_i64(self.events_max / 3) || free.bytes < to_i64(self.bytes_max / 3)
    }

    /// A part for one more queue.
    pub fn share(self: &Arc<Self>, queue: &str) -> Arc<Share> {
        let (in_flight, unsettled, turn) = (Mutex::default(), Mutex::default(), tokio::sync::Mutex::new(()));
        Arc::new(Share { window: Arc::clone(self), queue: queue.to_owned(), in_flight, unsettled, turn })
    }

    /// How far work on what was received has come, in steps of any kind; nothing while there is none to do.
    pub fn steps_while_in_use(&self) -> Option<u64> {
        self.steps.while_in_use()
    }
}

impl Share {
    /// Waits for room for up to `messages_max` messages of `message_bytes` each: a while for all of them, then for one at least. Cancel-safe.
    pub async fn reserve(self: &Arc<Self>, messages_max: usize, message_bytes: usize) -> Reservation {
        let message_bytes = message_bytes.clamp(1, self.window.bytes_max.max(1));
        let fitting = self.window.bytes_max / message_bytes;
        let wanted = messages_max.min(MESSAGES_PER_REQUEST_MAX).min(self.window.events_max).min(fitting).max(1);
        let (events, has_waited) = self.acquire(wanted, message_bytes).await;
        Reservation { events, message_bytes, messages_max: events, has_waited, share: Arc::clone(self) }
    }

    /// Waits for room for one message, with the right to overshoot the window by those that come with it: many idle queues must not hold the
    /// room that a busy one needs. Cancel-safe.
    pub async fn reserve_idle(self: &Arc<Self>, messages_max: usize, message_bytes: usize) -> Reservation {
        let mut reservation = self.reserve(1, message_bytes).await;
        reservation.messages_max = messages_max.min(MESSAGES_PER_REQUEST_MAX);
        reservation
    }

    /// How many events there was room for, and whether for fewer at first.
    async fn acquire(&self, wanted: usize, message_bytes: usize) -> (usize, bool) {
        let mut has_waited = self.turn.try_lock().is_err();
        let _turn = self.turn.lock().await;
        let patient_until = Instant::now() + PATIENCE;
        let mut least = wanted;
        loop {
            let mut freed = pin!(self.window.freed.notified());
            freed.as_mut().enable();
            if let Some(events) = self.try_acquire(least, wanted, message_bytes) {
                return (events, has_waited);
            }
            has_waited = true;
            if least > 1 {
                let _ = tokio::time::timeout_at(patient_until, freed).await;
                least = if Instant::now() < patient_until { wanted } else { 1 };
            } else {
                freed.await;
            }
        }
    }

    fn try_acquire(&self, least: usize, wanted: usize, message_bytes: usize) -> Option<usize> {
        let mut free = lock(&self.window.free);
        let mut in_flight = lock(&self.in_flight);
        let fits = |events: &usize| {
            let taken = Room { events: to_i64(*events), bytes: to_i64(events * message_bytes) };
            let has_room = |free: i64, in_flight: i64, taken: i64| {
                taken <= free && (in_flight <= 0 || in_flight + taken <= IN_FLIGHT_TIMES_FREE_MAX * free)
            };
            has_room(free.events, in_flight.events, taken.events) && has_room(free.bytes, in_flight.bytes, taken.bytes)
        };
        let events = (least..=wanted).rev().find(fits)?;
        free.move_to(&mut in_flight, to_i64(events), to_i64(events * message_bytes));
        Some(events)
    }

    /// The queue has answered a poll.
    pub fn poll(&self) {
        self.change_unsettled(|unsettled| unsettled.poll(Instant::now()));
    }

    fn change_unsettled(&self, change: impl FnOnce(&mut Unsettled)) {
        let mut unsettled = lock(&self.unsettled);
        let before = unsettled.oldest();
        change(&mut unsettled);
        let oldest = unsettled.oldest();
        let gauge = &self.window.metrics.oldest_unsettled_event;
        match oldest {
            _ if oldest == before => {}
            Some(sent_at) => gauge.with_label_values(&[&self.queue]).set((sent_at - OffsetDateTime::UNIX_EPOCH).as_seconds_f64()),
            None => _ = gauge.remove_label_values(&[&self.queue]),
        }
    }

    fn release(&self, events: i64, bytes: i64) {
        {
            let mut free = lock(&self.window.free);
            lock(&self.in_flight).move_to(&mut free, events, bytes);
        }
        self.window.freed.notify_waiters();
    }
}

impl Room {
    fn move_to(&mut self, other: &mut Self, events: i64, bytes: i64) {
        self.events -= events;
        self.bytes -= bytes;
        other.events += events;
        other.bytes += bytes;
    }
}

impl Reservation {
    /// How many messages may be asked for.
    pub fn messages(&self) -> usize {
        self.messages_max
    }

    /// Gives the room back but for one message: a receive that waits has found the queue empty, and others need the room meanwhile.
    pub fn shrink(&mut self) {
        let surplus = self.events.saturating_sub(1);
        self.events -= surplus;
        self.share.release(to_i64(surplus), to_i64(surplus * self.message_bytes));
    }

    /// Gives each message of a receive its permit, and the rest of the room back.
    pub fn fill(self, messages: Vec<ReceivedMessage>) -> Vec<InFlight> {
        let count = to_i64(messages.len());
        let bytes: i64 = messages.iter().map(|message| body_bytes(&message.candidate)).sum();
        let metrics = &self.share.window.metrics;
        metrics.in_flight_events.add(count);
        metrics.in_flight_bytes.add(bytes);
        metrics.messages_received.with_label_values(&[&self.share.queue]).inc_by(count.unsigned_abs());
        let redelivered = messages.iter().filter(|message| message.candidate.receive_count > 1).count();
        metrics.messages_redelivered.with_label_values(&[&self.share.queue]).inc_by(to_i64(redelivered).unsigned_abs());
        self.share.window.steps.received.fetch_add(count.unsigned_abs(), Ordering::Release);
        self.share.change_unsettled(|unsettled| messages.iter().for_each(|message| unsettled.begin(message.candidate.sent_at)));
        // What was reserved comes back with `self`.
        self.share.release(-count, -bytes);
        messages.into_iter().map(|message| self.fill_one(message)).collect()
    }

    fn fill_one(&self, ReceivedMessage { candidate, lease }: ReceivedMessage) -> InFlight {
        let permit = Permit::new(&candidate, Arc::clone(&self.share));
        InFlight { candidate, lease, permit, was_rated: false }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.share.release(to_i64(self.events), to_i64(self.events * self.message_bytes));
    }
}

fn lock<T>(room: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves the room whole.
    room.lock().unwrap_or_else(PoisonError::into_inner)
}

fn body_bytes(candidate: &Candidate) -> i64 {
    to_i64(candidate.body.len())
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
