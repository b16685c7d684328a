//! How many polls of a queue pay, and how much room each should have: found from what replies bring.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::window::InFlight;

/// Polls of one queue at most; the room in flight bounds them before.
const POLLS_MAX: usize = 128;

/// Replies that take longer than the quickest one by this factor, and by this time, do so because there are so many polls: more would only
/// wait for each other.
const CROWDED: (u32, Duration) = (2, Duration::from_millis(5));

/// What a message is taken to weigh before the first has come.
const MESSAGE_BYTES_FIRST: usize = 16 << 10;

/// The pace of one queue.
#[derive(Debug)]
pub struct Pace {
    /// How many polls there should be: one when idle.
    polls: watch::Sender<usize>,
    /// The quickest full reply since it was idle.
    quickest_reply: Mutex<Duration>,
    /// What messages weighed lately.
    message_bytes: AtomicUsize,
}

impl Pace {
    pub fn new() -> Self {
        let quickest_reply = Mutex::new(Duration::MAX);
        Self { polls: watch::Sender::new(1), quickest_reply, message_bytes: AtomicUsize::new(MESSAGE_BYTES_FIRST) }
    }

    /// How many polls there should be.
    pub fn polls(&self) -> usize {
        *self.polls.borrow()
    }

    /// Tells when that changes.
    pub fn subscribe(&self) -> watch::Receiver<usize> {
        self.polls.subscribe()
    }

    /// What a message of the queue weighs, by those that came lately.
    pub fn message_bytes(&self) -> usize {
        self.message_bytes.load(Ordering::Relaxed)
    }

    /// Learns from a reply. A full one says that there is more than the polls bring, so that their number doubles each time that all of them
    /// come back full; unless they wait for room or for each other, for then more would wait as well. One that is not half full says that
    /// there are too many, and one that has waited for nothing that there are many too many.
    pub fn learn(&self, messages: &[InFlight], asked: usize, has_waited: bool, reply_time: Duration) {
        let received = messages.len();
        let pays = received == asked && !has_waited && !self.is_crowded(reply_time);
        self.polls.send_if_modified(|polls| {
            let wanted = match received {
                _ if pays => (*polls + 1).min(POLLS_MAX),
                0 => (*polls / 2).max(1),
                _ if received * 2 < asked => (*polls - 1).max(1),
                _ => *polls,
            };
            std::mem::replace(polls, wanted) != wanted
        });
        if received == 0 && self.polls() == 1 {
            *self.quickest_reply() = Duration::MAX;
        }
        let bytes: usize = messages.iter().map(|message| message.candidate.body.len()).sum();
        if let Some(bytes) = bytes.checked_div(received) {
            let before = self.message_bytes();
            // Larger ones count at once, for they take the room; smaller ones as they go on coming.
            let bytes = if bytes > before { bytes } else { before - (before - bytes) / 8 };
            self.message_bytes.store(bytes, Ordering::Relaxed);
        }
    }

    fn is_crowded(&self, reply_time: Duration) -> bool {
        let mut quickest = self.quickest_reply();
        *quickest = reply_time.min(*quickest);
        reply_time > quickest.saturating_mul(CROWDED.0).saturating_add(CROWDED.1)
    }

    fn quickest_reply(&self) -> MutexGuard<'_, Duration> {
        // A panic elsewhere leaves it whole.
        self.quickest_reply.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something is wrong: one poll finds out when it is not any more.
    pub fn fall(&self) {
        self.polls.send_replace(1);
    }
}
