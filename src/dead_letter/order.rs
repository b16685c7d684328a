//! In which order dead letters are replayed, and how many at once.

use std::collections::HashMap;

use sqlx::PgConnection;
use time::OffsetDateTime;

/// So many are asked for at once.
const ROWS_PER_STATEMENT_MAX: usize = 10_000;

/// So many are replayed in one batch, and so many bytes, but at least one.
const BATCH_ROWS_MAX: usize = 1_000;
const BATCH_BYTES_MAX: u64 = 8 << 20;

/// A dead letter to be replayed, and how large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub dead_letter_id: i64,
    pub bytes: u32,
}

/// One of a FIFO queue's group.
struct Member {
    position: usize,
    sequence_number: u128,
}

/// Sorts them by when they were sent, then by number; those of a FIFO queue's group have the places of their group in the order of the queue.
pub async fn sorted(connection: &mut PgConnection, ids: &[i64]) -> Result<Vec<Due>, sqlx::Error> {
    let mut rows: Vec<(OffsetDateTime, Due)> = Vec::with_capacity(ids.len());
    let mut groups: HashMap<(String, String), Vec<(i64, u128)>> = HashMap::new();
    for ids in ids.chunks(ROWS_PER_STATEMENT_MAX) {
        for row in sqlx::query_file!("src/dead_letter/order.sql", ids).fetch_all(&mut *connection).await? {
            let due = Due { dead_letter_id: row.dead_letter_id, bytes: u32::try_from(row.bytes).unwrap_or(u32::MAX) };
            rows.push((row.sent_at, due));
            if let (Some(group), Some(number)) = (row.message_group, row.sequence_number.and_then(|text| text.parse().ok())) {
                groups.entry((row.queue, group)).or_default().push((row.dead_letter_id, number));
            }
        }
    }
    rows.sort_unstable_by_key(|(sent_at, due)| (*sent_at, due.dead_letter_id));
    let mut sorted: Vec<Due> = rows.into_iter().map(|(_, due)| due).collect();
    if !groups.is_empty() {
        let numbers = groups.into_iter().enumerate();
        let numbers: HashMap<i64, (usize, u128)> =
            numbers.flat_map(|(group, (_, members))| members.into_iter().map(move |(id, number)| (id, (group, number)))).collect();
        sort_groups(&mut sorted, &numbers);
    }
    Ok(sorted)
}

/// Puts each group's members, by group and sequence number, into the order of the queue: on the places that they have together.
fn sort_groups(sorted: &mut [Due], numbers: &HashMap<i64, (usize, u128)>) {
    let mut places: HashMap<usize, Vec<Member>> = HashMap::new();
    for (position, due) in sorted.iter().enumerate() {
        if let Some(&(group, sequence_number)) = numbers.get(&due.dead_letter_id) {
            places.entry(group).or_default().push(Member { position, sequence_number });
        }
    }
    for members in places.into_values() {
        let mut by_number: Vec<(u128, Due)> = members.iter().map(|member| (member.sequence_number, sorted[member.position])).collect();
        by_number.sort_by_key(|(number, _)| *number);
        for (member, (_, due)) in members.iter().zip(by_number) {
            sorted[member.position] = due;
        }
    }
}

/// The first batch of what is left.
pub fn batch(due: &[Due]) -> &[Due] {
    let mut bytes = 0;
    let mut rows = 0;
    for one in due.iter().take(BATCH_ROWS_MAX) {
        bytes += u64::from(one.bytes);
        if rows > 0 && bytes > BATCH_BYTES_MAX {
            break;
        }
        rows += 1;
    }
    &due[..rows]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(dead_letter_id: i64, bytes: u32) -> Due {
        Due { dead_letter_id, bytes }
    }

    #[test]
    fn a_groups_members_take_its_places_in_the_order_of_the_queue() {
        let mut sorted = [1, 2, 3, 4, 5].map(|id| due(id, 1));
        sort_groups(&mut sorted, &HashMap::from([(1, (0, 30)), (3, (0, 9)), (5, (0, 10)), (2, (1, 2)), (4, (1, 1))]));
        assert_eq!(sorted.map(|due| due.dead_letter_id), [3, 4, 5, 2, 1]);
    }

    #[test]
    fn a_batch_has_so_many_rows_and_bytes_and_at_least_one() {
        assert_eq!(batch(&[]), []);
        assert_eq!(batch(&vec![due(1, 10); 2 * BATCH_ROWS_MAX]).len(), BATCH_ROWS_MAX);
        assert_eq!(batch(&[due(1, u32::MAX), due(2, 1)]).len(), 1);
        assert_eq!(batch(&[due(1, 1 << 22), due(2, 1 << 22), due(3, 1)]).len(), 2);
    }
}
