//! What the endpoint has seen.

use tokio::time::Instant;

use super::{Answer, Endpoint, State};

impl State {
    /// How many messages are not visible for being received.
    pub(super) fn in_flight(&self) -> usize {
        let now = Instant::now();
        self.in_flight.values().filter(|until| **until > now).count()
    }
}

impl Endpoint {
    /// The ids of the keys that requests were signed by, in the order in which they were seen first.
    pub fn keys(&self) -> Vec<String> {
        self.inner.state().keys.clone()
    }

    /// When requests met anything but the server's own answer.
    pub fn met_at(&self) -> Vec<Instant> {
        self.inner.state().met_at.clone()
    }

    /// The operations of which there were requests, in the order of their names.
    pub fn operations(&self) -> Vec<String> {
        self.inner.state().requests.keys().cloned().collect()
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        // Each is answered by a task that shares the state with the endpoint itself and with who accepts.
        std::sync::Arc::strong_count(&self.inner) - 2
    }

    /// How many requests of an operation there were.
    pub fn requests(&self, operation: &str) -> usize {
        self.inner.state().requests.get(operation).copied().unwrap_or_default()
    }

    /// How many entries were in the batches of an operation.
    pub fn entries(&self, operation: &str) -> usize {
        self.inner.state().entries.get(operation).copied().unwrap_or_default()
    }

    /// How many requests have met this answer.
    pub fn met(&self, answer: Answer) -> usize {
        self.inner.state().met.get(&answer).copied().unwrap_or_default()
    }

    /// How many copies of messages were handed out, and of how many messages.
    pub fn handed_out(&self) -> (usize, usize) {
        let state = self.inner.state();
        (state.handed_out.values().sum(), state.handed_out.len())
    }

    /// How often a message was handed out, at most.
    pub fn handed_out_max(&self) -> usize {
        self.inner.state().handed_out.values().copied().max().unwrap_or_default()
    }

    /// How many messages were not visible at once, at most.
    pub fn in_flight_peak(&self) -> usize {
        self.inner.state().in_flight_peak
    }

    /// How many receives waited for the server at once, at most, since this was asked the last time.
    pub fn take_receiving_peak(&self) -> usize {
        let mut state = self.inner.state();
        let receiving = state.receiving;
        std::mem::replace(&mut state.receiving_peak, receiving)
    }

    /// How often each message that was handed out was extended or handed back, at least.
    pub fn extensions_min(&self) -> usize {
        let state = self.inner.state();
        state.handed_out.keys().map(|id| state.extended.get(id).copied().unwrap_or_default()).min().unwrap_or_default()
    }

    /// How often a message was extended or handed back that had been deleted before.
    pub fn late_extensions(&self) -> usize {
        self.inner.state().extended_late
    }

    /// What was sent in batches, and in which group.
    pub fn groups(&self) -> Vec<(String, Option<String>)> {
        self.inner.state().groups.clone()
    }

    /// How many requests were not signed by SigV4.
    pub fn unsigned(&self) -> usize {
        self.inner.state().unsigned
    }
}
