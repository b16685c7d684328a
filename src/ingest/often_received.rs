//! Messages that were received more often than is everyday: each is counted before it is begun, so that one which ends the process is known.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::validate::{Next, Validator, entry, pass_on};
use crate::candidate::Candidate;
use crate::queue::Lease;
use crate::store::{RECEIVES_TRUSTED_MAX, TIMES_BEGUN_MAX};
use crate::validate::reject_unread;
use crate::window::InFlight;

/// Whether a message is to be counted before it is begun.
pub fn is_often_received(message: &InFlight) -> bool {
    message.candidate.receive_count > RECEIVES_TRUSTED_MAX
}

/// What validates messages that are counted first.
#[derive(Debug)]
pub struct OftenReceived {
    pub validator: Arc<Validator>,
    /// Beyond this a message's lease is lost and its end told to nobody.
    pub end_timeout: Duration,
    pub stop: CancellationToken,
}

impl OftenReceived {
    /// Those that were never begun without having ended go together. Any other goes alone until it has ended: should the process end with it,
    /// no other is counted in its place.
    /// Gives how long the last one has to wait that is put off.
    pub async fn validate(&self, messages: Vec<InFlight>, next: &Next) -> Option<Duration> {
        let candidates: Vec<Arc<Candidate>> = messages.iter().map(|message| Arc::clone(&message.candidate)).collect();
        let is_counted = match self.validator.attempts.begin_together(&candidates).await {
            Ok(is_counted) => is_counted,
            Err(problem) => {
                self.validator.hand_back_uncounted(messages, &problem);
                return None;
            }
        };
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for (message, is_counted) in messages.into_iter().zip(is_counted) {
            if is_counted { &mut together } else { &mut alone }.push(message);
        }
        let (together, alone) = tokio::join!(self.validate_together(together, next), self.validate_each_alone(alone, next));
        together.max(alone)
    }

    async fn validate_together(&self, messages: Vec<InFlight>, next: &Next) -> Option<Duration> {
        if messages.is_empty() {
            return None;
        }
        let begun = begun(&messages);
        let put_off = self.validator.validate(messages, &self.validator.catalog.snapshot(), next).await;
        self.end(begun).await;
        put_off
    }

    async fn validate_each_alone(&self, messages: Vec<InFlight>, next: &Next) -> Option<Duration> {
        let mut put_off = None;
        let mut rest = messages.into_iter();
        while let Some(message) = rest.next() {
            let permit = tokio::select! {
                () = self.stop.cancelled() => {
                    self.validator.hand_back.now(std::iter::once(message).chain(rest).collect());
                    return put_off;
                }
                permit = self.validator.attempts.alone() => permit,
            };
            let begun = begun(std::slice::from_ref(&message));
            let snapshot = self.validator.catalog.snapshot();
            match self.validator.attempts.begin(&message.candidate).await {
                Ok(times) if times > TIMES_BEGUN_MAX => pass_on(vec![entry(message, Err(reject_unread()), &snapshot)], next).await,
                Ok(_) => put_off = self.validator.validate(vec![message], &snapshot, next).await.max(put_off),
                Err(problem) => {
                    self.validator.hand_back_uncounted(vec![message], &problem);
                    continue;
                }
            }
            self.end(begun).await;
            drop(permit);
        }
        put_off
    }

    /// Waits until messages have ended, and takes the count of those back that have ended without a verdict.
    async fn end(&self, begun: Vec<(Arc<Candidate>, Lease)>) {
        let mut unsettled = Vec::new();
        for (candidate, lease) in begun {
            if !tokio::time::timeout(self.end_timeout, lease.ended()).await.unwrap_or(false) {
                unsettled.push(candidate);
            }
        }
        if !unsettled.is_empty() {
            self.validator.attempts.end(&unsettled, &self.stop).await;
        }
    }
}

fn begun(messages: &[InFlight]) -> Vec<(Arc<Candidate>, Lease)> {
    messages.iter().map(|message| (Arc::clone(&message.candidate), message.lease.clone())).collect()
}
