//! Of the room in flight no tenant has more than is left for the others: its events that take long to validate would fill all of it, and then
//! nothing is polled for anybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::TenantId;
use crate::window::Window;

/// Events that wait long may have so much of the room together, by number and by bytes.
const PART_OF_ROOM: usize = 2;

/// What the tenants have in flight that takes long.
#[derive(Debug)]
pub struct Shares {
    window: Arc<Window>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_tenant: HashMap<TenantId, Room>,
    all: Room,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Room {
    events: usize,
    bytes: usize,
}

/// One event's part of its tenant's share; free when it is dropped.
#[derive(Debug)]
pub struct Occupied {
    shares: Arc<Shares>,
    tenant_id: TenantId,
    bytes: usize,
}

impl Shares {
    /// Nothing is in flight yet.
    pub fn new(window: Arc<Window>) -> Arc<Self> {
        Arc::new(Self { window, state: Mutex::default() })
    }

    /// Whether a tenant's event should leave its room to others: there is little left, and the tenant has as much already as could be had by
    /// one more. So one tenant alone has half of what there is for such events, two have a third each, and something is always left.
    pub fn is_over(&self, tenant_id: &TenantId) -> bool {
        if !self.window.is_scarce() {
            return false;
        }
        let (events_max, bytes_max) = self.window.limits();
        let state = self.state();
        let Some(own) = state.by_tenant.get(tenant_id) else { return false };
        let left = |max: usize, all: usize| (max / PART_OF_ROOM).saturating_sub(all);
        own.events > left(events_max, state.all.events) || own.bytes > left(bytes_max, state.all.bytes)
    }

    /// A tenant's event takes long from here on.
    pub fn occupy(self: &Arc<Self>, tenant_id: &TenantId, bytes: usize) -> Occupied {
        let mut state = self.state();
        let State { by_tenant, all } = &mut *state;
        for room in [by_tenant.entry(tenant_id.clone()).or_default(), all] {
            *room = Room { events: room.events + 1, bytes: room.bytes + bytes };
        }
        Occupied { shares: Arc::clone(self), tenant_id: tenant_id.clone(), bytes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        let mut state = self.shares.state();
        let State { by_tenant, all } = &mut *state;
        for room in by_tenant.get_mut(&self.tenant_id).into_iter().chain([all]) {
            *room = Room { events: room.events - 1, bytes: room.bytes - self.bytes };
        }
        by_tenant.retain(|_, room| room.events > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn a_tenant_leaves_room_to_others_where_there_is_little() {
        let window = Window::new(120, 1 << 20, Arc::new(Metrics::new().expect("metrics")));
        let shares = Shares::new(Arc::clone(&window));
        let (flood, other) = (TenantId::new("flood"), TenantId::new("other"));
        let mut occupied: Vec<_> = (0..40).map(|_| shares.occupy(&flood, 100)).collect();
        assert!(!shares.is_over(&flood), "there is room for all");
        let share = window.share("events");
        let mut reservations = Vec::new();
        while !window.is_scarce() {
            reservations.push(share.reserve(10, 1).await);
        }
        assert!(shares.is_over(&flood) && !shares.is_over(&other));
        occupied.truncate(30);
        assert!(!shares.is_over(&flood), "half of the half");
        let _others: Vec<_> = (0..15).map(|_| shares.occupy(&other, 100)).collect();
        assert!(shares.is_over(&flood) && !shares.is_over(&other));
    }
}
