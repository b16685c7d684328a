//! Senders that die and freeze at any point.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use rand::Rng as _;
use rustix::process::Signal;

use super::claimers::Claimer;
use super::{chance, number, store, with_tenants};
use crate::stack::eventually;

/// Two under one name: it is a label, and fences nothing.
const SENDERS: [&str; 8] = ["s1", "s2", "s3", "s4", "s5", "s6", "shared", "shared"];

const EXPIRED: &str = "select count(*) from delivery_log where outcome = 'expired'";

/// The ids of the lines that begin so.
fn ids(said: &[String], begin: &str) -> Vec<i64> {
    let lists = said.iter().filter_map(|line| line.strip_prefix(begin));
    let ids = lists.flat_map(|list| list.trim_matches(['{', '}', ' ']).split(',')).filter(|id| !id.is_empty());
    ids.map(|id| id.parse().expect("an id")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_delivery_is_completed_once_and_no_lease_twice_though_claimers_are_killed_and_frozen() {
    let mut deliveries = number("CLAIM_DELIVERIES", 1_500);
    let mut chance = chance();
    let database = with_tenants(4, 2, 50).await;
    for tenant in 0..4 {
        store(&database, &format!("t{tenant}"), 0..deliveries / 4, 2).await;
    }
    let said = Arc::new(Mutex::new(Vec::new()));
    let mut claimers: Vec<Claimer> = SENDERS.iter().map(|sender| Claimer::start(&database, sender, &said)).collect();
    let (mut kills, mut freezes) = (0, 0);
    loop {
        let is_enough = kills >= 5 && freezes >= 1 && database.count(EXPIRED).await > 0;
        if is_enough && database.count("select count(*) from delivery").await == 0 {
            break;
        }
        if !is_enough {
            // They are not to run out of work before something has happened to them.
            store(&database, "t0", deliveries..deliveries + 400, 2).await;
            deliveries += 400;
        }
        let which = chance.random_range(0..SENDERS.len());
        assert!(!claimers[which].has_ended(), "{} has ended by itself", SENDERS[which]);
        if chance.random_bool(0.8) {
            claimers[which].kill(&database, SENDERS[which]).await;
            kills += 1;
        } else {
            claimers[which].signal(Signal::STOP);
            // Past the end of every lease that it may have.
            let began = database.rows("select clock_timestamp()").await.remove(0);
            let passed = format!("select clock_timestamp() > timestamptz '{began}' + interval '2.5 s'");
            eventually("its leases end", async || (database.rows(&passed).await == ["true"]).then_some(())).await;
            claimers[which].signal(Signal::CONT);
            freezes += 1;
        }
    }
    drop(claimers);
    let log = "select count(*) || ' ' || count(distinct (tenant_id, event_id)) from delivery_log where outcome = 'delivered'";
    assert_eq!(database.rows(log).await, [format!("{deliveries} {deliveries}")]);
    let said = said.lock().expect("what was said").clone();
    let completed = ids(&said, "completed ");
    assert_eq!(completed.len(), completed.iter().collect::<HashSet<_>>().len(), "a lease was completed twice");
    let claimed = ids(&said, "claimed ");
    assert_eq!(claimed.len(), claimed.iter().collect::<HashSet<_>>().len(), "a lease was given out twice");
    println!("{kills} kills, {freezes} freezes, {} leases expired", database.count(EXPIRED).await);
}
