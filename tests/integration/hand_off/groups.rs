//! FIFO: in the order of the sequence numbers, one at a time within a group.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{chance, claim, complete, fail, number, with_tenants};
use crate::stack::{Database, eventually};

/// Stores events of a group, each named by its place there. `names_group` is how the daemon does it; otherwise only the key is named.
async fn store_group(database: &Database, group: usize, sequences: std::ops::Range<usize>, names_group: bool) {
    let (from, last) = (sequences.start, sequences.end - 1);
    let columns = if names_group { "'q', m.message_group, m.sequence_number::numeric" } else { "null, null, null" };
    let statements = format!(
        "insert into message (tenant_id, source, event_id, event_type, schema_version, payload, payload_hash, queue, sqs_message_id, catalog_generation,
            message_group, sequence_number)
         select 't0', '', 'g{group}-' || n, 'e', 1, to_json(n), sha256(''), 'q', 'm', 1, 'g{group}', n::text from generate_series({from}, {last}) n
         order by random();
         insert into delivery (tenant_id, source, event_id, client_id, queue, message_group, sequence)
         select 't0', '', m.event_id, 'c0', {columns} from message m
         where m.message_group = 'g{group}' and m.sequence_number::int between {from} and {last} order by random()"
    );
    database.execute(&statements).await;
}

/// Claims and then delivers, or fails one out of ten; checks that no two of a group are under way at once.
async fn deliver_all(database: &Database, sender: String, mut chance: StdRng, under_way: &Mutex<HashMap<String, String>>) {
    let mut connection = database.connect().await;
    loop {
        let claimed = claim(&mut connection, &sender, 20, "1 hour").await;
        if claimed.is_empty() && database.count("select count(*) from delivery").await == 0 {
            return;
        }
        let group = |event: &str| event.split('-').next().expect("a group").to_owned();
        for (_, event) in &claimed {
            let other = under_way.lock().expect("the map").insert(group(event), event.clone());
            assert_eq!(other, None, "{event} is under way at the same time");
        }
        for (lease, event) in claimed {
            under_way.lock().expect("the map").remove(&group(&event));
            let settled = match chance.random_bool(0.1) {
                true => fail(&mut connection, &[lease]).await,
                false => complete(&mut connection, &[lease]).await,
            };
            assert_eq!(settled, [lease], "{event}");
        }
        tokio::task::yield_now().await;
    }
}

async fn check_order(database: &Database, groups: usize, events: usize) {
    let delivered = "select count(*) from delivery_log where outcome = 'delivered'";
    assert_eq!(database.count(delivered).await, i64::try_from(groups * events).expect("a count"));
    let out_of_order = "select event_id from (
            select event_id, split_part(event_id, '-', 2)::int as n,
                lag(split_part(event_id, '-', 2)::int) over (partition by split_part(event_id, '-', 1) order by id) as before
            from delivery_log where outcome = 'delivered'
        ) as l where before > n";
    assert_eq!(database.rows(out_of_order).await, Vec::<String>::new());
}

async fn check(groups: usize, events: usize, names_group: bool) {
    let mut chance = chance();
    let database = with_tenants(1, 1, 50).await;
    for group in 0..groups {
        store_group(&database, group, 1..events + 1, names_group).await;
    }
    let under_way = Arc::new(Mutex::new(HashMap::new()));
    let mut four = Vec::new();
    for sender in 0..4 {
        let chance = StdRng::seed_from_u64(chance.random());
        four.push(deliver_all(&database, format!("s{sender}"), chance, &under_way));
    }
    futures_util::future::join_all(four).await;
    check_order(&database, groups, events).await;
}

#[tokio::test]
async fn groups_go_out_in_order_and_one_at_a_time_by_four_claimers_though_deliveries_fail() {
    check(number("CLAIM_GROUPS", 8), number("CLAIM_GROUP_EVENTS", 12), true).await;
}

/// As an earlier build inserts them, and as they were before there were groups.
#[tokio::test]
async fn groups_go_out_in_order_though_whoever_inserted_the_deliveries_named_only_their_keys() {
    check(4, 12, false).await;
}

#[tokio::test]
async fn an_earlier_one_that_comes_late_is_the_next_once_the_lease_under_way_ends() {
    let database = with_tenants(1, 1, 50).await;
    store_group(&database, 1, 5..8, true).await;
    let mut connection = database.connect().await;
    let first = claim(&mut connection, "one", 10, "1 hour").await;
    assert_eq!(first.iter().map(|(_, event)| event.as_str()).collect::<Vec<_>>(), ["t0/g1-5"]);
    store_group(&database, 1, 1..2, true).await;
    assert_eq!(claim(&mut connection, "two", 10, "1 hour").await, []);
    // It fails, and waits; what came late does not wait for it.
    assert_eq!(fail(&mut connection, &[first[0].0]).await, [first[0].0]);
    for expected in ["t0/g1-1", "t0/g1-5", "t0/g1-6", "t0/g1-7"] {
        let (lease, event) = eventually("the next one is due", async || claim(&mut connection, "one", 10, "1 hour").await.pop()).await;
        assert_eq!(event, expected);
        assert_eq!(complete(&mut connection, &[lease]).await, [lease]);
    }
}
