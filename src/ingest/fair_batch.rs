//! Where not all that waits goes into the next transaction, each tenant has its share.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use crate::event::TenantId;
use crate::store::Entry;
use crate::window::InFlight;

/// A delivery is as much work as so many bytes of bodies.
const DELIVERY_BYTES: usize = 1 << 10;

/// A row costs something however small it is.
pub const ROW_BYTES: usize = 4 << 10;

/// As many as keep within the limits, one at least; where that is not all, of each tenant as much as of any other, a tenant's first ones first.
pub fn take_fairly(waiting: &mut VecDeque<Entry<InFlight>>, rows_max: usize, bytes_max: usize) -> Vec<Entry<InFlight>> {
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
        turns.push(Reverse((given + weight + ROW_BYTES, party)));
    }
    chosen
}

/// How much work it is to write an event, in bytes of bodies.
pub fn weight(entry: &Entry<InFlight>) -> usize {
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
