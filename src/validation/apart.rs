//! Events that take milliseconds to validate, apart from those that take microseconds, and each tenant in its turn: so nobody waits behind
//! another's large payloads or costly schema.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::event::TenantId;

/// What waits for the threads that are there for it.
#[derive(Debug)]
pub struct Apart<Event> {
    waiting: Mutex<Waiting<Event>>,
    added: Condvar,
}

#[derive(Debug)]
struct Waiting<Event> {
    /// The tenant whose turn is next comes first; each has something waiting.
    by_tenant: VecDeque<(TenantId, VecDeque<Event>)>,
    is_closed: bool,
}

impl<Event> Apart<Event> {
    /// Nothing waits yet.
    pub fn new() -> Self {
        Self { waiting: Mutex::new(Waiting { by_tenant: VecDeque::new(), is_closed: false }), added: Condvar::new() }
    }

    /// One more event of a tenant's.
    pub fn add(&self, tenant_id: TenantId, event: Event) {
        let mut waiting = self.waiting();
        match waiting.by_tenant.iter_mut().find(|(other, _)| *other == tenant_id) {
            Some((_, events)) => events.push_back(event),
            None => waiting.by_tenant.push_back((tenant_id, VecDeque::from([event]))),
        }
        drop(waiting);
        self.added.notify_one();
    }

    /// Waits for the next event: one of the tenant whose turn it is. None when there will be no more.
    pub fn next(&self) -> Option<Event> {
        let mut waiting = self.waiting();
        loop {
            if waiting.is_closed {
                return None;
            }
            if let Some((tenant_id, mut events)) = waiting.by_tenant.pop_front() {
                let event = events.pop_front();
                if !events.is_empty() {
                    waiting.by_tenant.push_back((tenant_id, events));
                }
                return event;
            }
            waiting = self.added.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting().by_tenant.is_empty()
    }

    /// The threads end.
    pub fn close(&self) {
        let mut waiting = self.waiting();
        waiting.is_closed = true;
        // An event may know who owns these.
        waiting.by_tenant.clear();
        drop(waiting);
        self.added.notify_all();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<Event>> {
        // A panic elsewhere leaves it whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenant_has_its_turn_however_much_of_anothers_waits() {
        let apart = Apart::new();
        for (tenant_id, event) in [("flood", 1), ("flood", 2), ("flood", 3), ("other", 4)] {
            apart.add(TenantId::new(tenant_id), event);
        }
        assert_eq!([(); 4].map(|()| apart.next()), [1, 4, 2, 3].map(Some));
        apart.close();
        assert_eq!(apart.next(), None);
    }
}
