//! The order of a FIFO queue: within a group one event after the other, each committed before the next is begun; groups side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::context::Context;
use crate::store::{Judged, RECEIVES_TRUSTED_MAX};
use crate::window::Held;

impl Context {
    /// Judges what one receive from a FIFO queue has brought. Until it is deleted or handed back, SQS hands out nothing else of its groups.
    pub fn judge_groups(self: &Arc<Self>, messages: Vec<Held>, judged: &mpsc::Sender<Vec<Judged>>) {
        let mut groups: BTreeMap<Option<String>, Vec<Held>> = BTreeMap::new();
        for held in messages {
            groups.entry(held.message.message_group.clone()).or_default().push(held);
        }
        for group in groups.into_values() {
            self.tracker.spawn(Arc::clone(self).judge_group(group, judged.clone()));
        }
    }

    /// Where one is not settled, those behind it go back too, never begun.
    async fn judge_group(self: Arc<Self>, group: Vec<Held>, judged: mpsc::Sender<Vec<Judged>>) {
        let mut rest = group.into_iter();
        while let Some(held) = rest.next() {
            let lease = held.message.lease.clone();
            if held.message.receive_count > RECEIVES_TRUSTED_MAX {
                Arc::clone(&self).judge_suspect(held, judged.clone()).await;
            } else {
                Arc::clone(&self).judge(vec![held], self.catalog.snapshot(), judged.clone()).await;
            }
            // Not settled beyond its longest hold: its lease is lost.
            let hold_max = self.settings.hold_max + self.settings.visibility_timeout;
            if !tokio::time::timeout(hold_max, lease.ended()).await.unwrap_or(false) {
                return self.release_later(rest.collect());
            }
        }
    }
}
