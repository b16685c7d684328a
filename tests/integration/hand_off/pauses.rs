//! Clients and tenants that are paused and resumed while others claim.

use std::sync::atomic::{AtomicBool, Ordering};

use rand::Rng as _;
use sqlx::PgConnection;

use super::{chance, claim, complete, number, store, with_tenants};
use crate::stack::{Database, eventually};

const CLIENTS: usize = 3;

/// Claims and completes; true when nothing is left.
async fn deliver(connection: &mut PgConnection) -> bool {
    let leases: Vec<i64> = claim(connection, "one", 7, "1 hour").await.into_iter().map(|(lease, _)| lease).collect();
    assert_eq!(complete(connection, &leases).await.len(), leases.len());
    let left: i64 = sqlx::query_scalar("select count(*) from delivery").fetch_one(connection).await.expect("counted");
    left == 0
}

async fn deliver_until(database: &Database, has_ended: &AtomicBool) {
    let mut connection = database.connect().await;
    while !has_ended.load(Ordering::Relaxed) {
        deliver(&mut connection).await;
    }
}

async fn pause_and_resume(database: &Database, times: usize) {
    let mut chance = chance();
    let mut connection = database.connect().await;
    for time in 0..times {
        let (tenant, client) = (chance.random_range(0..2), chance.random_range(0..CLIENTS));
        let state = if chance.random_bool(0.5) { "paused" } else { "active" };
        let statement = match chance.random_bool(0.7) {
            true => format!("update client set state = '{state}' where tenant_id = 't{tenant}' and client_id = 'c{client}'"),
            false => format!("update tenant set state = '{state}' where tenant_id = 't{tenant}'"),
        };
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.expect("changed");
        if time % 10 == 0 {
            store(database, &format!("t{tenant}"), 100_000 + time * 10..100_000 + time * 10 + 10, CLIENTS).await;
        }
    }
    sqlx::raw_sql("update client set state = 'active'; update tenant set state = 'active'")
        .execute(&mut connection)
        .await
        .expect("changed");
}

#[tokio::test]
async fn nothing_is_stranded_by_pauses_at_random_beside_claims() {
    let times = number("CLAIM_PAUSES", 60);
    let database = with_tenants(2, CLIENTS, 10).await;
    for tenant in ["t0", "t1"] {
        store(&database, tenant, 0..500, CLIENTS).await;
    }
    let has_ended = AtomicBool::new(false);
    let pausing = async {
        pause_and_resume(&database, times).await;
        has_ended.store(true, Ordering::Relaxed);
    };
    tokio::join!(pausing, deliver_until(&database, &has_ended), deliver_until(&database, &has_ended));
    let mut connection = database.connect().await;
    eventually("all is delivered", async || deliver(&mut connection).await.then_some(())).await;
    let delivered = database.count("select count(*) from delivery_log where outcome = 'delivered'").await;
    assert_eq!(delivered, database.count("select count(*) from message").await);
}

#[tokio::test]
async fn what_is_paused_is_not_in_the_way_of_others_and_comes_back_when_it_is_resumed() {
    let database = with_tenants(2, 1, 10).await;
    store(&database, "t0", 0..3_000, 1).await;
    database.execute("update tenant set state = 'paused' where tenant_id = 't0'").await;
    store(&database, "t1", 0..10, 1).await;
    let mut connection = database.connect().await;
    let claimed = claim(&mut connection, "one", 100, "1 hour").await;
    assert!(claimed.len() == 10 && claimed.iter().all(|(_, event)| event.starts_with("t1/")), "{claimed:?}");
    // Pruned is another thing: it waits as well, until it is declared again.
    database.execute("update tenant set state = 'active'; update client set active = false where tenant_id = 't0'").await;
    assert_eq!(claim(&mut connection, "one", 100, "1 hour").await, []);
    database.execute("update client set active = true").await;
    let mut back = 0;
    eventually("all are back", async || {
        back += claim(&mut connection, "one", 1_000, "1 hour").await.len();
        (back == 3_000).then_some(())
    })
    .await;
    assert_eq!(database.rows("select count(*) from client where has_parked").await, ["0"]);
}
