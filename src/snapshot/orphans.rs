//! What the catalog declares and nothing can use: most often what a change of the files has left behind.

use std::collections::HashMap;

use super::Tenant;
use crate::event::TenantId;
use crate::settings::QueueSetting;

/// How many of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Orphans {
    queues: usize,
    event_types: usize,
    subscriptions: usize,
}

impl Orphans {
    /// Among these, where so many subscriptions match no event type.
    pub(super) fn among(queues: &[QueueSetting], tenants: &HashMap<TenantId, Tenant>, subscriptions: usize) -> Self {
        let is_unowned = |queue: &&QueueSetting| queue.tenant.as_ref().is_some_and(|tenant| !tenants.contains_key(tenant));
        let event_types = tenants.values().flat_map(|tenant| tenant.event_types.values());
        Self {
            queues: queues.iter().filter(is_unowned).count(),
            event_types: event_types.filter(|event_type| event_type.versions.is_empty()).count(),
            subscriptions,
        }
    }

    /// By kind, as a metric's label has it.
    pub fn by_kind(self) -> [(&'static str, usize); 3] {
        [("queue", self.queues), ("event_type", self.event_types), ("subscription", self.subscriptions)]
    }
}
