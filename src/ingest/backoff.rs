//! The pause before SQS is asked again after it did not do what it was asked.

use std::time::Duration;

use rand::Rng as _;

use crate::fault;

const PAUSE_MIN: Duration = Duration::from_millis(200);

/// Consumers of SQS commonly go up to 30 s. Here events flow again within 5 s after a fault ends, so that the last pause has to fit, with what
/// it takes to receive and store behind it; a request in 2 s at most of each queue is no load for SQS.
const PAUSE_MAX: Duration = Duration::from_millis(3_200);

/// How long to pause: longer each time, until it is made anew.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: PAUSE_MIN }
    }
}

impl Backoff {
    /// Whether there was a pause already.
    pub fn has_begun(&self) -> bool {
        self.next > PAUSE_MIN
    }

    /// The next pause, shortened at random by half at most: pollers that fail together do not come back together.
    pub fn pause(&mut self) -> Duration {
        if fault::has_bug("hot_polls") {
            return Duration::from_millis(20);
        }
        let pause = self.next.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.next = (self.next * 2).min(PAUSE_MAX);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_soon_and_are_never_longer_than_a_recovery_may_take() {
        for _ in 0..100 {
            let mut backoff = Backoff::default();
            let pauses: Vec<Duration> = (0..20).map(|_| backoff.pause()).collect();
            let bounds = [200, 400, 800, 1_600].map(Duration::from_millis).into_iter().chain(std::iter::repeat(PAUSE_MAX));
            for (pause, bound) in pauses.into_iter().zip(bounds) {
                assert!((bound / 2..=bound).contains(&pause), "{pause:?} for {bound:?}");
            }
        }
    }
}
