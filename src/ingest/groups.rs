//! The order of a FIFO queue: within a group one event after the other, each committed before the next is begun; groups side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::often_received::{OftenReceived, is_often_received};
use super::validate::{Next, Validator};
use crate::window::InFlight;

/// The messages of what FIFO queues have brought, by queue and group. Until one is deleted or handed back, SQS hands out nothing else of its
/// group.
pub fn by_group(messages: Vec<InFlight>) -> Vec<Vec<InFlight>> {
    let mut groups: BTreeMap<(String, Option<String>), Vec<InFlight>> = BTreeMap::new();
    for message in messages {
        let (queue, group) = (message.candidate.queue.name.clone(), message.candidate.message_group.clone());
        groups.entry((queue, group)).or_default().push(message);
    }
    groups.into_values().collect()
}

/// Validates the messages of one group in order. Where one is not settled, those behind it go back too, never begun; where it waits for its
/// tenant's rate, for as long as it does.
pub async fn validate_group(validator: Arc<Validator>, often_received: Arc<OftenReceived>, group: Vec<InFlight>, next: Next) {
    let mut rest = group.into_iter();
    while let Some(message) = rest.next() {
        let (lease, queue) = (message.lease.clone(), message.candidate.queue.name.clone());
        let put_off = if is_often_received(&message) {
            often_received.validate(vec![message], &next).await
        } else {
            validator.validate(vec![message], &validator.catalog.snapshot(), &next).await
        };
        if let Some(delay) = put_off {
            validator.rates.put_off_with(&queue, rest.len());
            return validator.hand_back.after(rest.collect(), delay..delay);
        }
        // Not settled within its longest hold: its lease is lost.
        if !tokio::time::timeout(often_received.end_timeout, lease.ended()).await.unwrap_or(false) {
            return validator.hand_back.later(rest.collect());
        }
    }
}
