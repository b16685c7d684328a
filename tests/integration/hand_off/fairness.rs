//! Many tenants beside one with nearly all of the backlog.

use std::collections::{BTreeMap, HashSet};

use tokio::time::Instant;

use super::{claim, number, store, with_tenants};

/// `t0` is the one with the backlog.
async fn store_for_all(database: &crate::stack::Database, tenants: usize, each: usize, clients: usize) {
    let statements = format!(
        "insert into message (tenant_id, source, event_id, event_type, schema_version, payload, payload_hash, queue, sqs_message_id, catalog_generation)
         select tenant_id, '', 's' || n, 'e', 1, to_json(n), sha256(''), 'q', 'm', 1
         from tenant, generate_series(1, {each}) n where tenant_id <> 't0' or {tenants} = 1;
         insert into delivery (tenant_id, source, event_id, client_id)
         select tenant_id, '', event_id, 'c' || substr(event_id, 2)::int % {clients} from message where event_id ~ '^s'"
    );
    database.execute(&statements).await;
}

#[tokio::test]
async fn those_who_have_little_are_served_within_ten_claims_beside_one_with_a_backlog() {
    let database = with_tenants(51, 1, 10).await;
    store(&database, "t0", 0..number("CLAIM_BACKLOG", 2_000), 1).await;
    store_for_all(&database, 51, 5, 1).await;
    let mut connection = database.connect().await;
    let mut served = 0;
    for _ in 0..10 {
        let claimed = claim(&mut connection, "one", 100, "10 min").await;
        assert_eq!(claimed.len(), 100, "there is more than enough");
        served += claimed.iter().filter(|(_, event)| !event.starts_with("t0/")).count();
    }
    assert_eq!(served, 250);
}

/// `CLAIM_TENANTS=1000 CLAIM_BACKLOG=1000000` prints what a claim takes.
#[tokio::test]
async fn each_tenant_is_served_within_twenty_claims_also_right_after_a_bulk_load() {
    let (tenants, backlog) = (number("CLAIM_TENANTS", 300), number("CLAIM_BACKLOG", 20_000));
    let database = with_tenants(tenants, 3, 10).await;
    store(&database, "t0", 0..backlog * 9 / 10, 3).await;
    store_for_all(&database, tenants, (backlog / 10 / tenants).max(3), 3).await;
    let mut connection = database.connect().await;
    let (mut served, mut times) = (BTreeMap::<String, usize>::new(), Vec::new());
    for _ in 0..20 {
        let began = Instant::now();
        let claimed = claim(&mut connection, "one", 100, "10 min").await;
        times.push(began.elapsed());
        assert_eq!(claimed.len(), 100);
        assert_eq!(claimed.iter().map(|(lease, _)| lease).collect::<HashSet<_>>().len(), 100);
        for (_, event) in claimed {
            *served.entry(event.split('/').next().expect("a tenant").to_owned()).or_default() += 1;
        }
    }
    times.sort_unstable();
    println!("{backlog} waiting of {tenants} tenants: a claim takes {:?} (median), {:?} (longest)", times[10], times[19]);
    assert_eq!(served.len(), tenants);
}
