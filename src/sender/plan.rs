//! What is begun next of the deliveries in hand, so that no client and no tenant takes the places of the others: a pure calculation.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::claimed::{ClientKey, Delivery};

/// A lease that is nearer to its end than this is not begun on: it is extended first.
pub(super) const LEASE_LEFT_MIN: Duration = Duration::from_secs(5);

/// A client that has kept all its places for so long without taking anything is stuck: what waits behind them goes back.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// For how long what goes back is not claimed again; twice as long each time, up to the second.
const SNOOZE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// For how long a client that has too much to do is left alone, where it does not say; twice as long each time.
const COOLING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// How many there may be at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) all: usize,
    pub(super) of_client: usize,
}

impl Places {
    /// A tenant's share while others wait.
    fn quarter(self) -> usize {
        (self.all / 4).max(1)
    }

    /// What a tenant has at most, so that whoever comes finds a place.
    fn most(self) -> usize {
        (self.all - self.all / 4).max(1)
    }

    /// How many deliveries may be in hand: those that wait for their place are there when one is free.
    pub(super) fn in_hand(self) -> usize {
        (4 * self.all).clamp(16, 1_000.max(self.all))
    }
}

/// How a client has taken a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Well,
    Badly,
    /// It has too much to do, and wants to be left alone for so long.
    TooMuch(Duration),
}

/// How a client does.
struct Client {
    waiting: VecDeque<Delivery>,
    running: usize,
    /// Of the places for a client, while it has too much to do.
    places: usize,
    cooling: Duration,
    cooling_until: Option<Instant>,
    snooze: Duration,
    /// When something was begun on an idle client, or ended.
    progress_at: Instant,
}

/// The deliveries in hand.
pub(super) struct Plan {
    places: Places,
    clients: HashMap<ClientKey, Client>,
    /// Who is asked next.
    turns: VecDeque<ClientKey>,
    running_of_tenant: HashMap<Arc<str>, usize>,
    running: usize,
    waiting: usize,
    bytes: usize,
}

impl Plan {
    pub(super) fn new(places: Places) -> Self {
        let (clients, turns, running_of_tenant) = Default::default();
        Self { places, clients, turns, running_of_tenant, running: 0, waiting: 0, bytes: 0 }
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// What those that wait take in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many clients get less than others.
    pub(super) fn slowed(&self) -> usize {
        self.clients.values().filter(|client| client.places < self.places.of_client).count()
    }

    /// Takes what was claimed.
    pub(super) fn add(&mut self, delivery: Delivery, now: Instant) {
        self.waiting += 1;
        self.bytes += delivery.bytes();
        if let Some(client) = self.clients.get_mut(&delivery.client) {
            client.waiting.push_back(delivery);
            return;
        }
        let key = delivery.client.clone();
        let client = Client {
            waiting: VecDeque::from([delivery]),
            running: 0,
            places: self.places.of_client,
            cooling: COOLING.0,
            cooling_until: None,
            snooze: SNOOZE.0,
            progress_at: now,
        };
        self.clients.insert(key.clone(), client);
        self.turns.push_back(key);
    }

    /// What is to be begun now, if anything: of whose turn it is and who has a place, first of tenants with less than their share.
    pub(super) fn next(&mut self, now: Instant) -> Option<Delivery> {
        if self.running >= self.places.all || self.waiting == 0 {
            return None;
        }
        let of_tenant = |key: &ClientKey| self.running_of_tenant.get(&key.tenant_id).copied().unwrap_or_default();
        let may_begin = |key: &&ClientKey, tenant_max: usize| {
            self.clients.get(*key).is_some_and(|client| client.may_begin(now)) && of_tenant(key) < tenant_max
        };
        let find = |tenant_max| self.turns.iter().position(|key| may_begin(&key, tenant_max));
        let position = find(self.places.quarter()).or_else(|| find(self.places.most()))?;
        let key = self.turns.remove(position)?;
        let client = self.clients.get_mut(&key)?;
        let delivery = client.waiting.pop_front()?;
        if client.running == 0 {
            client.progress_at = now;
        }
        client.running += 1;
        *self.running_of_tenant.entry(Arc::clone(&key.tenant_id)).or_default() += 1;
        self.turns.push_back(key);
        self.running += 1;
        self.waiting -= 1;
        self.bytes -= delivery.bytes();
        Some(delivery)
    }

    /// One that was begun has ended.
    pub(super) fn end(&mut self, key: &ClientKey, how: Taken, now: Instant) {
        self.running -= 1;
        if let Some(running) = self.running_of_tenant.get_mut(&key.tenant_id) {
            *running -= 1;
            if *running == 0 {
                self.running_of_tenant.remove(&key.tenant_id);
            }
        }
        let Some(client) = self.clients.get_mut(key) else { return };
        client.running -= 1;
        client.progress_at = now;
        match how {
            Taken::Well => {
                client.places = (client.places + 1).min(self.places.of_client);
                client.snooze = SNOOZE.0;
                client.cooling = COOLING.0;
            }
            Taken::Badly => {}
            Taken::TooMuch(wait) => {
                client.places = 1;
                // Those that were under way together say it together: it counts once.
                if client.cooling_until.is_none_or(|until| until <= now) {
                    client.cooling_until = Some(now + wait.max(client.cooling));
                    client.cooling = (client.cooling * 2).min(COOLING.1);
                }
            }
        }
        self.forget(key, now);
    }

    /// A client of which nothing is in hand, and nothing to be remembered.
    fn forget(&mut self, key: &ClientKey, now: Instant) {
        let is_idle = |client: &Client| {
            let is_cooling = client.cooling_until.is_some_and(|until| until > now);
            client.running == 0 && client.waiting.is_empty() && !is_cooling
        };
        if self.clients.get(key).is_some_and(is_idle) {
            self.clients.remove(key);
            self.turns.retain(|other| other != key);
        }
    }

    /// What waits in vain, each with when it is to be claimed again: of clients that are stuck, or want to be left alone. A few stay, to go on with.
    pub(super) fn give_back(&mut self, now: Instant) -> Vec<(Delivery, Duration)> {
        let mut given = Vec::new();
        let places = self.places.of_client;
        for client in self.clients.values_mut() {
            let cooling = client.cooling_until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero());
            let is_stuck = client.running >= client.places && now.saturating_duration_since(client.progress_at) > STUCK_AFTER;
            let (stays, due_in) = match cooling {
                Some(left) => (0, left),
                None if is_stuck => (places, client.snooze),
                None => continue,
            };
            if client.waiting.len() > stays {
                given.extend(client.waiting.drain(stays..).map(|delivery| (delivery, due_in)));
                client.snooze = (client.snooze * 2).min(SNOOZE.1);
            }
        }
        self.without(given.iter().map(|(delivery, _)| delivery));
        let keys: Vec<ClientKey> = self.clients.keys().cloned().collect();
        for key in &keys {
            self.forget(key, now);
        }
        given
    }

    /// All that waits, for whoever stops.
    pub(super) fn give_up(&mut self) -> Vec<Delivery> {
        let given: Vec<Delivery> = self.clients.values_mut().flat_map(|client| client.waiting.drain(..)).collect();
        self.without(given.iter());
        given
    }

    /// Takes out what is not ours any more.
    pub(super) fn drop_lost(&mut self, is_lost: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let mut lost = Vec::new();
        for client in self.clients.values_mut() {
            let (gone, kept): (Vec<_>, Vec<_>) = client.waiting.drain(..).partition(|delivery| is_lost(delivery));
            client.waiting = kept.into();
            lost.extend(gone);
        }
        self.without(lost.iter());
        lost
    }

    /// Those that wait.
    pub(super) fn waiting_mut(&mut self) -> impl Iterator<Item = &mut Delivery> {
        self.clients.values_mut().flat_map(|client| client.waiting.iter_mut())
    }

    fn without<'a>(&mut self, gone: impl Iterator<Item = &'a Delivery>) {
        for delivery in gone {
            self.waiting -= 1;
            self.bytes -= delivery.bytes();
        }
    }
}

impl Client {
    fn may_begin(&self, now: Instant) -> bool {
        let is_leased = |delivery: &Delivery| delivery.leased_until.saturating_duration_since(now) >= LEASE_LEFT_MIN;
        self.waiting.front().is_some_and(is_leased) && self.running < self.places && self.cooling_until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests;
