//! What waits to be stored, and which of it goes into the next transaction: where not all of it does, each tenant has its share.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::event::TenantId;
use crate::store::Entry;
use crate::validation::LARGE_BYTES;
use crate::window::InFlight;

/// Bodies in one transaction at most; a batch of few large events is as much work as one of many small ones.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A delivery is as much work as so many bytes of bodies.
const DELIVERY_BYTES: usize = 1 << 10;

/// An event that is large, or has as many recipients, is written as long as hundreds of others. Of such at most so many bytes go into a transaction in which others wait for its commit; one always does.
const LARGE_BYTES_BESIDE_OTHERS_MAX: usize = 1 << 20;

/// After a batch of so many rows the next one is worth waiting for: more will come. Smaller ones keep pace by themselves.
const BUSY_ROWS: usize = 100;

/// For how long, then.
const LINGER: Duration = Duration::from_millis(10);

/// Events with their verdicts, for whichever writer is free.
pub struct Ready {
    decided: mpsc::Receiver<Vec<Entry<InFlight>>>,
    /// Taken already, beyond the last batch.
    small: VecDeque<Entry<InFlight>>,
    large: VecDeque<Entry<InFlight>>,
    is_busy: bool,
}

impl Ready {
    pub fn new(decided: mpsc::Receiver<Vec<Entry<InFlight>>>) -> Self {
        Self { decided, small: VecDeque::new(), large: VecDeque::new(), is_busy: false }
    }

    /// The next batch; empty when those who find verdicts have ended.
    pub async fn take(&mut self, batch_rows_max: usize) -> Vec<Entry<InFlight>> {
        if self.small.is_empty() && self.large.is_empty() {
            let decided = self.decided.recv().await.unwrap_or_default();
            self.sort(decided);
        }
        if self.is_busy && (1..batch_rows_max).contains(&(self.small.len() + self.large.len())) {
            tokio::time::sleep(LINGER).await;
        }
        // All of it, for the one that is next in a tenant's turn may have come last.
        while let Ok(decided) = self.decided.try_recv() {
            self.sort(decided);
        }
        let batch = self.batch(batch_rows_max);
        self.is_busy = batch.len() >= BUSY_ROWS;
        batch
    }

    fn sort(&mut self, decided: Vec<Entry<InFlight>>) {
        for entry in decided {
            if weight(&entry) > LARGE_BYTES { self.large.push_back(entry) } else { self.small.push_back(entry) }
        }
    }

    fn batch(&mut self, rows_max: usize) -> Vec<Entry<InFlight>> {
        let large_bytes_max = if self.small.is_empty() { BATCH_BYTES_MAX } else { LARGE_BYTES_BESIDE_OTHERS_MAX };
        let mut batch = take_fairly(&mut self.large, rows_max, large_bytes_max);
        let left = BATCH_BYTES_MAX.saturating_sub(batch.iter().map(weight).sum());
        let rows = rows_max - batch.len();
        if rows > 0 {
            batch.extend(take_fairly(&mut self.small, rows, left));
        }
        batch
    }
}

/// As many as keep within the limits, one at least; where that is not all, of each tenant as much as of any other, a tenant's first ones first.
fn take_fairly(waiting: &mut VecDeque<Entry<InFlight>>, rows_max: usize, bytes_max: usize) -> Vec<Entry<InFlight>> {
    if waiting.len() <= rows_max && waiting.iter().map(weight).sum::<usize>() <= bytes_max {
        return waiting.drain(..).collect();
    }
    let tenants = waiting.iter().map(|entry| entry.decided.tenant_id());
    let chosen = choose(tenants.zip(waiting.iter().map(weight)), rows_max, bytes_max);
    let mut taken = Vec::with_capacity(rows_max.min(waiting.len()));
    let mut left = VecDeque::with_capacity(waiting.len());
    for (entry, is_chosen) in waiting.drain(..).zip(chosen) {
        if is_chosen { taken.push(entry) } else { left.push_back(entry) }
    }
    *waiting = left;
    taken
}

/// Chooses among what waits: in turn from whoever has been given least. What has no tenant is one more party.
fn choose<'a>(waiting: impl Iterator<Item = (Option<&'a TenantId>, usize)>, rows_max: usize, bytes_max: usize) -> Vec<bool> {
    let mut positions: HashMap<Option<&TenantId>, usize> = HashMap::new();
    let mut parties: Vec<VecDeque<(usize, usize)>> = Vec::new();
    let mut count = 0;
    for (position, (tenant_id, weight)) in waiting.enumerate() {
        let party = *positions.entry(tenant_id).or_insert(parties.len());
        if party == parties.len() {
            parties.push(VecDeque::new());
        }
        parties[party].push_back((position, weight));
        count += 1;
    }
    let mut chosen = vec![false; count];
    let (mut rows, mut bytes) = (0, 0);
    // A row costs something however small it is.
    let row_bytes = bytes_max / rows_max.max(1);
    let mut turns: BinaryHeap<Reverse<(usize, usize)>> = (0..parties.len()).map(|party| Reverse((0, party))).collect();
    while let Some(Reverse((given, party))) = turns.pop() {
        let Some((position, weight)) = parties[party].pop_front() else { continue };
        if rows > 0 && bytes + weight > bytes_max {
            // What is larger than the rest of the room comes next time; others may still fit.
            continue;
        }
        chosen[position] = true;
        (rows, bytes) = (rows + 1, bytes + weight);
        if rows == rows_max {
            break;
        }
        turns.push(Reverse((given + weight + row_bytes, party)));
    }
    chosen
}

/// How much work it is to write an event, in bytes of bodies.
fn weight(entry: &Entry<InFlight>) -> usize {
    let recipients = entry.decided.verdict.as_ref().map_or(0, |event| event.recipients().len());
    entry.decided.candidate.body.len() + recipients * DELIVERY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of each party's are chosen where so many of such a weight wait, one party's behind the other's.
    fn chosen(waiting: &[(Option<&str>, usize, usize)], rows_max: usize, bytes_max: usize) -> Vec<usize> {
        let tenants: Vec<Option<TenantId>> = waiting.iter().map(|(tenant_id, ..)| tenant_id.map(TenantId::new)).collect();
        let each = waiting.iter().zip(&tenants).flat_map(|((_, count, weight), tenant)| vec![(tenant.as_ref(), *weight); *count]);
        let chosen = choose(each, rows_max, bytes_max);
        let mut rest = chosen.as_slice();
        let of_party = |(_, count, _): &(Option<&str>, usize, usize)| {
            let (of_party, others) = rest.split_at(*count);
            rest = others;
            assert!(of_party.is_sorted_by(|earlier, later| earlier >= later), "the first ones first");
            of_party.iter().filter(|is_chosen| **is_chosen).count()
        };
        waiting.iter().map(of_party).collect()
    }

    #[test]
    fn where_not_all_that_waits_goes_into_a_batch_each_tenant_has_its_share() {
        let (flood, other) = (Some("flood"), Some("other"));
        assert_eq!(chosen(&[(flood, 5_000, 100), (other, 3, 100)], 1_000, 1 << 20), [997, 3]);
        assert_eq!(chosen(&[(flood, 5_000, 100), (other, 5_000, 100), (None, 100, 100)], 1_000, 1 << 20), [450, 450, 100]);
        assert_eq!(chosen(&[(flood, 100, 60_000), (other, 50, 1_000)], 1_000, 1 << 20), [16, 50]);
        assert_eq!(chosen(&[(flood, 1, 5_000_000)], 1_000, 1 << 20), [1], "one always goes");
    }
}
