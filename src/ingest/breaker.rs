//! The circuit breaker: whether events can be stored, which is what the pollers wait for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::health::Readiness;
use crate::metrics::Metrics;

/// Open, so that nothing is polled, when a write has failed by no event's fault; closed when the database was found fit.
#[derive(Debug)]
pub struct CircuitBreaker {
    is_closed: watch::Sender<bool>,
    failures: watch::Sender<u32>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

impl CircuitBreaker {
    pub fn new(metrics: Arc<Metrics>, readiness: Arc<Readiness>) -> Self {
        Self { is_closed: watch::Sender::new(false), failures: watch::Sender::new(0), metrics, readiness }
    }

    /// What a probe of the database has found.
    pub fn set(&self, state: Result<(), String>) {
        let is_closed = state.is_ok();
        self.readiness.set("database", state);
        self.metrics.store_up.set(i64::from(is_closed));
        self.is_closed.send_replace(is_closed);
    }

    /// A write has failed. Where others have failed before it since the database was last found fit, it says nothing new.
    pub fn fail(&self, trouble: String) {
        if self.is_closed() {
            self.failures.send_modify(|failures| *failures += 1);
        }
        self.set(Err(trouble));
    }

    /// A write has succeeded.
    pub fn succeed(&self) {
        self.failures.send_if_modified(|failures| std::mem::take(failures) != 0);
    }

    /// How often it was opened by a write since the last one that succeeded.
    pub fn failures(&self) -> u32 {
        *self.failures.borrow()
    }

    /// Waits until it is open.
    pub async fn opened(&self) {
        // The sender lives as long as this future does.
        let _ = self.is_closed.subscribe().wait_for(|is_closed| !is_closed).await;
    }

    /// How long polling pauses at least after a failed write: longer the more trials have failed, for a database may look fit and still
    /// refuse.
    pub fn pause(&self) -> Duration {
        Duration::from_millis(100 << self.failures().min(8))
    }

    /// Waits until events can be stored. As long as the last write has failed only one poller of a queue may pass, to try with one event:
    /// each event that is received in vain comes nearer to its queue's limit of receives.
    ///
    /// Gives how many events may be asked for at most.
    pub async fn pass(&self, is_first_poller: bool, messages_max: usize) -> usize {
        let mut is_closed = self.is_closed.subscribe();
        let mut failures = self.failures.subscribe();
        // The senders live as long as this future does.
        let _ = is_closed.wait_for(|is_closed| *is_closed).await;
        if is_first_poller && *failures.borrow() > 0 {
            return 1;
        }
        let _ = failures.wait_for(|failures| *failures == 0).await;
        messages_max
    }

    /// Whether events can be stored now.
    pub fn is_closed(&self) -> bool {
        *self.is_closed.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many events a poller may ask for now; none where it has to wait.
    async fn pass(breaker: &CircuitBreaker, is_first_poller: bool) -> Option<usize> {
        tokio::time::timeout(Duration::ZERO, breaker.pass(is_first_poller, 10)).await.ok()
    }

    #[tokio::test]
    async fn after_a_failed_write_one_poller_tries_with_one_event_until_a_write_succeeds() {
        let breaker = CircuitBreaker::new(Arc::new(Metrics::new().expect("metrics")), Arc::default());
        assert_eq!((pass(&breaker, true).await, pass(&breaker, false).await), (None, None), "nothing is known yet");
        breaker.set(Ok(()));
        assert_eq!((pass(&breaker, true).await, pass(&breaker, false).await), (Some(10), Some(10)));
        breaker.fail("it does not store".to_owned());
        assert_eq!((pass(&breaker, true).await, pass(&breaker, false).await), (None, None));
        breaker.set(Ok(()));
        assert_eq!((pass(&breaker, true).await, pass(&breaker, false).await), (Some(1), None), "it looks fit, and may refuse again");
        breaker.succeed();
        assert_eq!((pass(&breaker, true).await, pass(&breaker, false).await), (Some(10), Some(10)));
    }

    #[tokio::test]
    async fn writes_that_fail_together_make_one_failure() {
        let breaker = CircuitBreaker::new(Arc::new(Metrics::new().expect("metrics")), Arc::default());
        breaker.set(Ok(()));
        for _ in 0..5 {
            breaker.fail("it is away".to_owned());
        }
        assert_eq!((breaker.failures(), breaker.pause()), (1, Duration::from_millis(200)));
        breaker.set(Ok(()));
        breaker.fail("it looked fit".to_owned());
        assert_eq!((breaker.failures(), breaker.pause()), (2, Duration::from_millis(400)));
    }
}
