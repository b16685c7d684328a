//! A claim that is never answered, although it gives itself up: the process is no longer taken for alive.

use std::sync::Arc;

use crate::health::Readiness;

/// Each claim gives itself up after 30 s; here in the intervals of 250 ms in which the sender cares for its leases. Intervals are counted, not time: a process that was frozen
/// was not stuck.
const INTERVALS_MAX: u32 = 480;

/// Counts for how long a claim has not been answered.
pub(super) struct ClaimWatchdog {
    readiness: Arc<Readiness>,
    intervals: u32,
}

impl ClaimWatchdog {
    pub(super) fn new(readiness: Arc<Readiness>) -> Self {
        Self { readiness, intervals: 0 }
    }

    /// The claim was answered, if only by an error.
    pub(super) fn reset(&mut self) {
        self.intervals = 0;
    }

    /// An interval has passed.
    pub(super) fn tick(&mut self, is_claiming: bool) {
        self.intervals = if is_claiming { self.intervals.saturating_add(1) } else { 0 };
        let problem = "a claim of deliveries was not answered for two minutes, although it gives itself up after 30 s; restart the process, \
                       and report it with the last lines of its log";
        self.readiness.set_alive(if self.intervals > INTERVALS_MAX { Err(problem) } else { Ok(()) });
    }
}
