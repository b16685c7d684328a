//! The pause before something is tried again that did not do what it was asked: longer each time, and shortened at random, so that those who
//! fail together do not come back together.

use std::time::Duration;

use rand::Rng as _;

/// How long to pause, until it is made anew.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    next: Duration,
    max: Duration,
}

impl Backoff {
    /// Pauses from `min`, each twice as long as the one before, up to `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, next: min, max }
    }

    /// Whether there was a pause already.
    pub fn has_begun(&self) -> bool {
        self.next > self.min
    }

    /// The next pause, shortened by half at most.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.next = (self.next * 2).min(self.max);
        pause
    }

    /// Begins anew: it did what it was asked.
    pub fn reset(&mut self) {
        self.next = self.min;
    }
}

impl Default for Backoff {
    /// For a service that is away. Consumers of SQS commonly go up to 30 s. Here events flow again within 5 s after a fault ends, so that the
    /// last pause has to fit, with what it takes to receive and store behind it; a request in 2 s at most of each queue is no load for SQS.
    fn default() -> Self {
        Self::new(Duration::from_millis(200), Duration::from_millis(3_200))
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
            let last = Duration::from_millis(3_200);
            let bounds = [200, 400, 800, 1_600].map(Duration::from_millis).into_iter().chain(std::iter::repeat(last));
            for (pause, bound) in pauses.into_iter().zip(bounds) {
                assert!((bound / 2..=bound).contains(&pause), "{pause:?} for {bound:?}");
            }
        }
    }
}
