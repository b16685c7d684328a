//! For how long a received message is ours.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The right to a received message, shared by all copies of it that this process holds: a copy that was received later renews it.
#[derive(Debug, Clone)]
pub struct Lease(Arc<State>);

#[derive(Debug)]
struct State {
    terms: Mutex<Terms>,
    changed: Notify,
}

#[derive(Debug)]
struct Terms {
    receipt_handle: String,
    /// By our clock; none: it does not end.
    ends_at: Option<Instant>,
    leased_at: Instant,
    is_extending: bool,
    is_finished: bool,
    is_settled: bool,
}

/// A lease that is being extended: until this is let go, nobody deletes or releases its message.
#[derive(Debug)]
pub struct Extending(Lease);

impl Lease {
    /// A lease of a message that has just been received.
    pub fn new(receipt_handle: String, ends_at: Option<Instant>) -> Self {
        let terms =
            Terms { receipt_handle, ends_at, leased_at: Instant::now(), is_extending: false, is_finished: false, is_settled: false };
        Self(Arc::new(State { terms: Mutex::new(terms), changed: Notify::new() }))
    }

    fn terms(&self) -> MutexGuard<'_, Terms> {
        // A panic elsewhere leaves the terms whole.
        self.0.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What SQS knows it by: the newest, where the message came more than once.
    pub(super) fn receipt_handle(&self) -> String {
        self.terms().receipt_handle.clone()
    }

    /// How long ago the message was received.
    pub fn age(&self) -> Duration {
        self.terms().leased_at.elapsed()
    }

    /// Whether the message is still ours. Where it is not, someone else may have it by now.
    pub fn is_valid(&self) -> bool {
        self.terms().ends_at.is_none_or(|ends_at| Instant::now() < ends_at)
    }

    /// Whether the work on the message has ended, by a commit or a release.
    pub fn is_finished(&self) -> bool {
        self.terms().is_finished
    }

    /// Whether nobody holds the message but who asks.
    pub fn is_forgotten(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Takes over the terms of a later receive of the same message.
    pub fn renew(&self, later: &Self) {
        let (receipt_handle, ends_at) = {
            let later = later.terms();
            (later.receipt_handle.clone(), later.ends_at)
        };
        let mut terms = self.terms();
        terms.receipt_handle = receipt_handle;
        terms.ends_at = ends_at;
    }

    /// From here on it is not extended any more.
    pub fn finish(&self) {
        self.terms().is_finished = true;
        self.0.changed.notify_waiters();
    }

    /// Finishes it: the message's verdict is committed.
    pub fn settle(&self) {
        self.terms().is_settled = true;
        self.finish();
    }

    /// Waits until it is finished; gives whether by a commit. Cancel-safe.
    pub async fn ended(&self) -> bool {
        loop {
            let changed = self.0.changed.notified();
            let (is_finished, is_settled) = {
                let terms = self.terms();
                (terms.is_finished, terms.is_settled)
            };
            if is_finished {
                return is_settled;
            }
            changed.await;
        }
    }

    /// Finishes it, and waits for an extension that is under way: it must not undo what follows. Cancel-safe.
    pub async fn finished(&self) {
        loop {
            let changed = self.0.changed.notified();
            self.terms().is_finished = true;
            if !self.terms().is_extending {
                self.0.changed.notify_waiters();
                return;
            }
            changed.await;
        }
    }

    /// Begins to extend it where less than `margin` is left, its work goes on, and it was not held for `hold_max` yet.
    pub fn extend_within(&self, now: Instant, margin: Duration, hold_max: Duration) -> Option<Extending> {
        let mut terms = self.terms();
        let is_due = terms.ends_at.is_some_and(|ends_at| (now..now + margin).contains(&ends_at));
        if !is_due || terms.is_finished || terms.is_extending || now > terms.leased_at + hold_max {
            return None;
        }
        terms.is_extending = true;
        drop(terms);
        Some(Extending(self.clone()))
    }
}

impl Extending {
    /// What is extended.
    pub fn lease(&self) -> &Lease {
        &self.0
    }

    /// SQS has extended it.
    pub fn succeed(&self, ends_at: Instant) {
        self.0.terms().ends_at = Some(ends_at);
    }

    /// SQS says that the message is not ours.
    pub fn lose(&self) {
        self.0.terms().ends_at = Some(Instant::now());
    }
}

impl Drop for Extending {
    fn drop(&mut self) {
        self.0.terms().is_extending = false;
        self.0.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    fn lease(left: Duration) -> Lease {
        Lease::new("first".to_owned(), Some(Instant::now() + left))
    }

    #[test]
    fn a_lease_is_extended_when_little_is_left_and_only_while_its_work_goes_on() {
        let now = Instant::now();
        assert!(lease(3 * SECOND).extend_within(now, 2 * SECOND, MINUTE).is_none(), "too early");
        assert!(lease(Duration::ZERO).extend_within(now + SECOND, 2 * SECOND, MINUTE).is_none(), "lost");
        let lease = lease(SECOND);
        let extending = lease.extend_within(now, 2 * SECOND, MINUTE).expect("due");
        assert!(lease.extend_within(now, 2 * SECOND, MINUTE).is_none(), "under way already");
        let later = now + MINUTE;
        extending.succeed(later + SECOND);
        drop(extending);
        assert!(lease.extend_within(later, 2 * SECOND, SECOND).is_none(), "held for too long");
        lease.finish();
        assert!(lease.extend_within(later, 2 * SECOND, 2 * MINUTE).is_none(), "its work has ended");
    }

    #[tokio::test]
    async fn who_ends_a_lease_waits_for_the_extension_that_is_under_way() {
        let lease = lease(SECOND);
        let extending = lease.extend_within(Instant::now(), 2 * SECOND, MINUTE).expect("due");
        let mut ending = std::pin::pin!(lease.finished());
        assert!(futures_util::poll!(&mut ending).is_pending());
        drop(extending);
        assert!(futures_util::poll!(&mut ending).is_ready());
    }

    #[test]
    fn a_later_receive_renews_the_lease_and_a_lost_one_has_ended() {
        let lease = lease(Duration::ZERO);
        assert!(!lease.is_valid());
        lease.renew(&Lease::new("second".to_owned(), Some(Instant::now() + MINUTE)));
        assert_eq!((lease.is_valid(), lease.receipt_handle().as_str()), (true, "second"));
        lease.extend_within(Instant::now(), 2 * MINUTE, MINUTE).expect("due").lose();
        assert!(!lease.is_valid());
    }
}
