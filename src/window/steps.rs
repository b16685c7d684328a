//! How far work on what was received has come.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many messages have come, how many outcomes there are, how many messages have gone.
#[derive(Debug, Default)]
pub(super) struct Steps {
    pub received: AtomicU64,
    pub recorded: AtomicU64,
    pub gone: AtomicU64,
}

impl Steps {
    /// Steps of any kind; nothing while there is nothing to do.
    pub fn while_in_use(&self) -> Option<u64> {
        // In this order: what comes in between makes the window look used.
        let (gone, recorded) = (self.gone.load(Ordering::Acquire), self.recorded.load(Ordering::Acquire));
        (self.received.load(Ordering::Acquire) > gone).then_some(gone + recorded)
    }
}
