//! What waits to be stored, and which of it goes into the next transaction: where not all of it does, each tenant has its share.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use super::fair_batch::{ROW_BYTES, take_fairly, weight};
use crate::event::TenantId;
use crate::store::Entry;
use crate::validation::LARGE_BYTES;
use crate::window::InFlight;

/// Bodies in one transaction at most; a batch of few large events is as much work as one of many small ones.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// An event that is large, or has as many recipients, is written as long as hundreds of others. Of such at most so many bytes go into a transaction in which others wait for its commit; one always does.
const LARGE_BYTES_BESIDE_OTHERS_MAX: usize = 1 << 20;

/// After a batch of so many rows the next one is worth waiting for: more will come. Smaller ones keep pace by themselves.
const BUSY_ROWS: usize = 100;

/// For how long, then.
const LINGER: Duration = Duration::from_millis(10);

/// Where less than this waits or is being written, nobody waits for long.
const MUCH_BYTES: usize = 50 * ROW_BYTES;

/// Who has at most such a part of what parties have on average brings little.
const LITTLE_PART: usize = 4;

/// So few rows of those who bring little are one transaction at most: the next ones do not wait for it for long.
const LITTLE_ROWS_MAX: usize = 50;

/// What a writer takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// All that there is.
    All,
    /// What those bring who bring little while others bring much: it does not wait until the others' transactions have ended.
    Little,
}

/// Events with their verdicts, for whichever writer is free.
#[derive(Default)]
pub struct Ready {
    waiting: Mutex<Waiting>,
    /// Of the writers that take all: while one waits for more, the others would only take it away.
    turn: tokio::sync::Mutex<()>,
    more: Notify,
    more_of_little: Notify,
}

#[derive(Default)]
struct Waiting {
    little: VecDeque<Entry<InFlight>>,
    small: VecDeque<Entry<InFlight>>,
    large: VecDeque<Entry<InFlight>>,
    under_way: UnderWay,
    is_busy: bool,
    has_ended: bool,
}

/// What goes into a transaction.
pub struct Batch {
    pub entries: Vec<Entry<InFlight>>,
    /// Whose it is.
    pub parts: Parts,
}

/// By tenant, what has none by itself: how much work.
type Parts = HashMap<Option<TenantId>, usize>;

/// What waits or is being written.
#[derive(Default)]
struct UnderWay {
    parts: Parts,
    all: usize,
}

impl Ready {
    /// Sorts what comes, until those who find verdicts have ended.
    pub async fn fill(self: Arc<Self>, mut decided: mpsc::Receiver<Vec<Entry<InFlight>>>) {
        while let Some(entries) = decided.recv().await {
            let mut waiting = self.waiting();
            waiting.sort(entries);
            while let Ok(entries) = decided.try_recv() {
                waiting.sort(entries);
            }
            self.tell(&waiting);
        }
        let mut waiting = self.waiting();
        waiting.has_ended = true;
        self.tell(&waiting);
    }

    /// The next batch; none when those who find verdicts have ended and nothing waits.
    pub async fn take(&self, lane: Lane, batch_rows_max: usize) -> Option<Batch> {
        let (_turn, more) = match lane {
            Lane::All => (Some(self.turn.lock().await), &self.more),
            Lane::Little => (None, &self.more_of_little),
        };
        loop {
            if lane == Lane::All && self.waiting().is_worth_waiting_for(batch_rows_max) {
                tokio::time::sleep(LINGER).await;
            }
            {
                let mut waiting = self.waiting();
                let batch = waiting.take(lane, batch_rows_max);
                // Whoever else waits takes the rest.
                self.tell(&waiting);
                if batch.is_some() || waiting.has_ended {
                    return batch;
                }
            }
            more.notified().await;
        }
    }

    /// A batch has been dealt with.
    pub fn end(&self, parts: &Parts) {
        self.waiting().under_way.subtract(parts);
    }

    fn tell(&self, waiting: &Waiting) {
        for (lane, more) in [(Lane::All, &self.more), (Lane::Little, &self.more_of_little)] {
            if waiting.has_ended || !waiting.is_empty(lane) {
                more.notify_one();
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A panic elsewhere leaves what waits whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn sort(&mut self, decided: Vec<Entry<InFlight>>) {
        for entry in decided {
            let weight = weight(&entry);
            let brings_little = self.under_way.add(entry.decided.tenant_id(), weight + ROW_BYTES);
            let waiting = match (weight > LARGE_BYTES, brings_little) {
                (true, _) => &mut self.large,
                (false, true) => &mut self.little,
                (false, false) => &mut self.small,
            };
            waiting.push_back(entry);
        }
    }

    fn is_empty(&self, lane: Lane) -> bool {
        self.little.is_empty() && (lane == Lane::Little || self.small.is_empty() && self.large.is_empty())
    }

    fn is_worth_waiting_for(&self, batch_rows_max: usize) -> bool {
        self.is_busy && (1..batch_rows_max).contains(&(self.small.len() + self.large.len()))
    }

    fn take(&mut self, lane: Lane, rows_max: usize) -> Option<Batch> {
        if self.is_empty(lane) {
            return None;
        }
        let mut entries: Vec<_> = self.little.drain(..self.little.len().min(rows_max).min(LITTLE_ROWS_MAX)).collect();
        if lane == Lane::All {
            self.add_others(&mut entries, rows_max);
            self.is_busy = entries.len() >= BUSY_ROWS;
        }
        let mut parts = Parts::new();
        for entry in &entries {
            add(&mut parts, entry.decided.tenant_id(), weight(entry) + ROW_BYTES);
        }
        Some(Batch { entries, parts })
    }

    fn add_others(&mut self, batch: &mut Vec<Entry<InFlight>>, rows_max: usize) {
        let is_alone = batch.is_empty() && self.small.is_empty();
        let large_bytes_max = if is_alone { BATCH_BYTES_MAX } else { LARGE_BYTES_BESIDE_OTHERS_MAX };
        for (waiting, bytes_max) in [(&mut self.large, large_bytes_max), (&mut self.small, BATCH_BYTES_MAX)] {
            let (rows_left, bytes) = (rows_max - batch.len(), batch.iter().map(weight).sum());
            if rows_left > 0 {
                batch.extend(take_fairly(waiting, rows_left, bytes_max.saturating_sub(bytes)));
            }
        }
    }
}

impl UnderWay {
    /// Adds what has come; whether whose it is brings little while others bring much.
    fn add(&mut self, tenant_id: Option<&TenantId>, weight: usize) -> bool {
        let own = add(&mut self.parts, tenant_id, weight);
        self.all += weight;
        self.all >= MUCH_BYTES && own <= self.all / self.parts.len() / LITTLE_PART
    }

    fn subtract(&mut self, ended: &Parts) {
        for (tenant_id, weight) in ended {
            self.all -= weight;
            if let Some(own) = self.parts.get_mut(tenant_id) {
                *own -= weight;
                if *own == 0 {
                    self.parts.remove(tenant_id);
                }
            }
        }
    }
}

/// Adds to what is whose; gives all of it.
fn add(parts: &mut Parts, tenant_id: Option<&TenantId>, weight: usize) -> usize {
    let part = parts.entry(tenant_id.cloned()).or_default();
    *part += weight;
    *part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_brings_little_while_others_bring_much_is_told_apart() {
        let [flood, other] = ["flood", "other"].map(TenantId::new);
        let mut under_way = UnderWay::default();
        assert!(!under_way.add(Some(&other), ROW_BYTES), "nobody brings much yet");
        for _ in 0..400 {
            assert!(!under_way.add(Some(&flood), ROW_BYTES));
        }
        assert!(under_way.add(Some(&other), ROW_BYTES));
        assert!(under_way.add(None, ROW_BYTES), "what has no tenant is one more party");
        assert!(!under_way.add(None, 100 * ROW_BYTES));
        under_way.subtract(&Parts::from([(Some(flood), 400 * ROW_BYTES), (None, 101 * ROW_BYTES)]));
        assert_eq!((under_way.all, under_way.parts), (2 * ROW_BYTES, Parts::from([(Some(other), 2 * ROW_BYTES)])));
    }

    #[test]
    fn of_many_who_bring_the_same_none_brings_little() {
        let tenants: Vec<_> = (0..1_000).map(|number| TenantId::new(&number.to_string())).collect();
        let mut under_way = UnderWay::default();
        let little = (0..10).flat_map(|_| &tenants).filter(|tenant| under_way.add(Some(tenant), ROW_BYTES)).count();
        assert_eq!(little, 0);
    }
}
