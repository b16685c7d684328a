//! A delivery that kills whoever delivers it.

use super::{claim, complete, pass_time, store, with_tenants};

#[tokio::test]
async fn a_delivery_that_kills_its_sender_each_time_is_dead_in_the_end_and_its_neighbours_are_delivered() {
    // Fewer tries than it takes: in company an expiry never makes dead.
    let database = with_tenants(1, 1, 2).await;
    store(&database, "t0", 0..100, 1).await;
    let mut connection = database.connect().await;
    let mut rounds = 0;
    while database.count("select count(*) from delivery").await > 0 {
        let claimed = claim(&mut connection, "one", 100, "1 s").await;
        if !claimed.iter().any(|(_, event)| event == "t0/e42") {
            let leases: Vec<i64> = claimed.into_iter().map(|(lease, _)| lease).collect();
            complete(&mut connection, &leases).await;
        }
        pass_time(&database, "1 min").await;
        rounds += 1;
        assert!(rounds < 1_000, "it goes on for ever");
    }
    assert_eq!(database.rows("select event_id from delivery_state where state <> 'delivered'").await, ["e42"]);
    let story = "select string_agg(attempt || ' ' || outcome, ', ' order by id) from delivery_log where event_id = 'e42'";
    assert_eq!(database.rows(story).await, ["1 expired, 2 expired, 3 expired, 4 expired, 5 expired, 6 expired, 6 dead"]);
    assert_eq!(database.count("select count(*) from delivery_state where state = 'delivered'").await, 99);
}
