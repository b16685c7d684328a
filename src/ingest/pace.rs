//! How many polls of a queue pay, and how much room each should have: found from what replies bring.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use crate::window::InFlight;

/// Polls of one queue at most; the room in flight bounds them before.
const POLLS_MAX: usize = 128;

/// What a message is taken to weigh before the first has come.
const MESSAGE_BYTES_FIRST: usize = 16 << 10;

/// The pace of one queue.
#[derive(Debug)]
pub struct Pace {
    /// How many polls there should be: one when idle.
    polls: watch::Sender<usize>,
    /// What messages weighed lately.
    message_bytes: AtomicUsize,
}

impl Pace {
    pub fn new() -> Self {
        Self { polls: watch::Sender::new(1), message_bytes: AtomicUsize::new(MESSAGE_BYTES_FIRST) }
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
    /// come back full; unless they wait for room, for then more would wait as well. One that is not half full says that there are too many.
    pub fn learn(&self, messages: &[InFlight], asked: usize, has_waited: bool) {
        let received = messages.len();
        self.polls.send_if_modified(|polls| {
            let wanted = match received {
                _ if received == asked && !has_waited => (*polls + 1).min(POLLS_MAX),
                _ if received * 2 < asked => (*polls - 1).max(1),
                _ => *polls,
            };
            std::mem::replace(polls, wanted) != wanted
        });
        let bytes: usize = messages.iter().map(|message| message.candidate.body.len()).sum();
        if let Some(bytes) = bytes.checked_div(received) {
            let before = self.message_bytes();
            // Larger ones count at once, for they take the room; smaller ones as they go on coming.
            let bytes = if bytes > before { bytes } else { before - (before - bytes) / 8 };
            self.message_bytes.store(bytes, Ordering::Relaxed);
        }
    }

    /// Something is wrong: one poll finds out when it is not any more.
    pub fn fall(&self) {
        self.polls.send_replace(1);
    }
}
