//! Whether events can be stored: what the pollers wait for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::health::Readiness;
use crate::metrics::Metrics;

/// Shut when a write has failed by no event's fault, open when the database was found fit.
#[derive(Debug)]
pub struct StoreGate {
    is_open: watch::Sender<bool>,
    failures: watch::Sender<u32>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

impl StoreGate {
    pub fn new(metrics: Arc<Metrics>, readiness: Arc<Readiness>) -> Self {
        Self { is_open: watch::Sender::new(false), failures: watch::Sender::new(0), metrics, readiness }
    }

    /// What a look at the database has found.
    pub fn set(&self, state: Result<(), String>) {
        let is_open = state.is_ok();
        self.readiness.set("database", state);
        self.metrics.store_up.set(i64::from(is_open));
        self.is_open.send_replace(is_open);
    }

    /// A write has failed. Where others have failed before it since the database was last found fit, it says nothing new.
    pub fn fail(&self, trouble: String) {
        if self.is_open() {
            self.failures.send_modify(|failures| *failures += 1);
        }
        self.set(Err(trouble));
    }

    /// A write has succeeded.
    pub fn succeed(&self) {
        self.failures.send_if_modified(|failures| std::mem::take(failures) != 0);
    }

    /// How often the gate was shut by a write since the last one that succeeded.
    pub fn failures(&self) -> u32 {
        *self.failures.borrow()
    }

    /// Waits until it is shut.
    pub async fn shut(&self) {
        // The sender lives as long as this future does.
        let _ = self.is_open.subscribe().wait_for(|is_open| !is_open).await;
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
        let mut is_open = self.is_open.subscribe();
        let mut failures = self.failures.subscribe();
        // The senders live as long as this future does.
        let _ = is_open.wait_for(|is_open| *is_open).await;
        if is_first_poller && *failures.borrow() > 0 {
            return 1;
        }
        let _ = failures.wait_for(|failures| *failures == 0).await;
        messages_max
    }

    /// Whether events can be stored now.
    pub fn is_open(&self) -> bool {
        *self.is_open.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many events a poller may ask for now; none where it has to wait.
    async fn pass(gate: &StoreGate, is_first_poller: bool) -> Option<usize> {
        tokio::time::timeout(Duration::ZERO, gate.pass(is_first_poller, 10)).await.ok()
    }

    #[tokio::test]
    async fn after_a_failed_write_one_poller_tries_with_one_event_until_a_write_succeeds() {
        let gate = StoreGate::new(Arc::new(Metrics::new().expect("metrics")), Arc::default());
        assert_eq!((pass(&gate, true).await, pass(&gate, false).await), (None, None), "nothing is known yet");
        gate.set(Ok(()));
        assert_eq!((pass(&gate, true).await, pass(&gate, false).await), (Some(10), Some(10)));
        gate.fail("it does not store".to_owned());
        assert_eq!((pass(&gate, true).await, pass(&gate, false).await), (None, None));
        gate.set(Ok(()));
        assert_eq!((pass(&gate, true).await, pass(&gate, false).await), (Some(1), None), "it looks fit, and may refuse again");
        gate.succeed();
        assert_eq!((pass(&gate, true).await, pass(&gate, false).await), (Some(10), Some(10)));
    }

    #[tokio::test]
    async fn writes_that_fail_together_make_one_failure() {
        let gate = StoreGate::new(Arc::new(Metrics::new().expect("metrics")), Arc::default());
        gate.set(Ok(()));
        for _ in 0..5 {
            gate.fail("it is away".to_owned());
        }
        assert_eq!((gate.failures(), gate.pause()), (1, Duration::from_millis(200)));
        gate.set(Ok(()));
        gate.fail("it looked fit".to_owned());
        assert_eq!((gate.failures(), gate.pause()), (2, Duration::from_millis(400)));
    }
}
