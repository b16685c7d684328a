//! Senders that are killed and stopped at any point. `SENDER_DELIVERIES=10000` makes it long.

use std::collections::HashMap;

use rand::seq::IndexedRandom as _;
use serde_json::json;

use super::Deliveries;
use super::receiver::Receiver;
use crate::stack::eventually;

/// As if the leases of a sender had ended.
const END_LEASES: &str = "update delivery set due_at = due_at - interval '2 minutes' where lease_id is not null and sender = $name;
                          update delivery_mark set due_from = '-infinity', next_from = '-infinity'";

/// As if the waits of those whose leases have ended had passed.
const END_WAITS: &str = "update delivery set due_at = clock_timestamp() where lease_id is null and due_at > clock_timestamp()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_delivery_arrives_though_senders_are_killed_and_stopped_past_their_leases() {
    let mut count: usize = std::env::var("SENDER_DELIVERIES").map_or(400, |text| text.parse().expect("SENDER_DELIVERIES is a number"));
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start().await;
    let add = async |number: usize, count: usize| {
        let client = format!("c{number}");
        deliveries.client("t", &client, &json!({ "url": receiver.url(&format!("/status/200/{client}")) })).await;
        deliveries.events("t", &client, &json!({}), count).await;
    };
    for client in 0..4 {
        add(client, count / 4).await;
    }
    let mut clients = 4;
    let database = &deliveries.database;
    let names = ["one", "two"];
    let start = async |name: &str| deliveries.sender(&[("SENDER_NAME", name), ("SENDER_CONCURRENCY_MAX", "8")]).await;
    let mut senders = [start(names[0]).await, start(names[1]).await];
    let waiting = async || database.count("select count(*) from delivery").await;
    let expired = async || database.count("select count(*) from delivery_log where outcome = 'expired'").await;
    let leased = async || database.count("select count(*) from delivery where lease_id is not null").await;
    let (mut kills, mut stops) = (0, 0);
    while waiting().await > 0 || kills < 3 || stops < 3 || expired().await == 0 {
        // Senders that have nothing in hand lose nothing.
        if waiting().await == 0 {
            add(clients, 300).await;
            (clients, count) = (clients + 1, count + 300);
        }
        eventually("something is under way", async || (leased().await > 0 || waiting().await == 0).then_some(())).await;
        let which = *[0, 1].choose(&mut rand::rng()).expect("one of two");
        let end_leases = END_LEASES.replace("$name", &format!("'{}'", names[which]));
        if kills <= stops {
            senders[which].signal("KILL");
            let killed = std::mem::replace(&mut senders[which], start(names[which]).await);
            killed.kill().await;
            database.execute(&end_leases).await;
            kills += 1;
        } else {
            senders[which].signal("STOP");
            eventually("it stands still", async || senders[which].stands_still().then_some(())).await;
            database.execute(&end_leases).await;
            // What was its own is another's, or waits.
            let own =
                format!("select count(*) from delivery where lease_id is not null and due_at > now() and sender = '{}'", names[which]);
            eventually("its leases end", async || (database.count(&own).await == 0).then_some(())).await;
            senders[which].signal("CONT");
            stops += 1;
        }
        let before = waiting().await;
        eventually("it goes on", async || {
            database.execute(END_WAITS).await;
            (waiting().await < before || before == 0).then_some(())
        })
        .await;
        assert!(kills < 200, "it never ends");
    }
    let delivered = "select count(*) || ' ' || count(distinct event_id) from delivery_log where outcome = 'delivered'";
    assert_eq!(database.rows(delivered).await, [format!("{count} {count}")]);
    assert_eq!(database.count("select count(*) from delivery_log where outcome = 'dead'").await, 0);
    let mut arrived: HashMap<String, usize> = HashMap::new();
    for request in receiver.requests("/") {
        *arrived.entry(request.headers["webhook-id"].clone()).or_default() += 1;
    }
    assert_eq!(arrived.len(), count, "some never arrived");
    let twice: usize = arrived.values().map(|times| times - 1).sum();
    let expired = usize::try_from(expired().await).expect("a number");
    println!("{kills} kills, {stops} stops, {expired} leases ended, {twice} arrived again");
    assert!(twice <= expired, "{twice} arrived again, and {expired} leases ended");
}
