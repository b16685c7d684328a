//! How a sender ends, and what it says of itself.

use serde_json::json;

use super::Deliveries;
use super::receiver::Receiver;
use crate::stack::{SENDER, command, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_sender_finishes_what_is_under_way_and_gives_back_the_rest() {
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start().await;
    deliveries.client("t", "slow", &json!({ "url": receiver.url("/wait") })).await;
    deliveries.events("t", "slow", &json!({}), 10).await;
    let mut sender = deliveries.sender(&[("SENDER_CLIENT_CONCURRENCY_MAX", "2")]).await;
    sender.ready().await;
    eventually("two are under way", async || (receiver.requests("/wait").len() == 2).then_some(())).await;
    sender.signal("TERM");
    sender.says("sender: stopping").await;
    receiver.let_go(2);
    assert_eq!(sender.ended().await, 0, "{}", sender.log());
    let left = "select count(*) as all_, count(*) filter (where attempts = 0 and lease_id is null) as idle from delivery";
    assert_eq!(deliveries.database.rows(left).await, ["8 | 8"]);
    assert_eq!(receiver.requests("/wait").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_runs_out_of_time_gives_back_what_hangs_and_says_so() {
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start().await;
    deliveries.client("t", "hangs", &json!({ "url": receiver.url("/hang") })).await;
    deliveries.events("t", "hangs", &json!({}), 1).await;
    let mut sender = deliveries.sender(&[("DRAIN_TIMEOUT", "1")]).await;
    eventually("it is under way", async || (!receiver.requests("/hang").is_empty()).then_some(())).await;
    sender.signal("TERM");
    assert_eq!(sender.ended().await, 75, "{}", sender.log());
    assert_eq!(deliveries.database.rows("select attempts, lease_id from delivery").await, ["0 | -"]);
}

#[tokio::test]
async fn a_sender_without_its_database_says_so_and_goes_on_when_it_is_there() {
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start().await;
    deliveries.client("t", "ok", &json!({ "url": receiver.url("/status/200") })).await;
    deliveries.events("t", "ok", &json!({}), 1).await;
    deliveries.database.turn_away().await;
    let sender = deliveries.sender(&[]).await;
    sender.says("database: ").await;
    assert_eq!((sender.get("/readyz").await.0, sender.get("/livez").await.0), (503, 200));
    deliveries.database.let_in().await;
    deliveries.at_rest().await;
    sender.ready().await;
    assert_eq!(sender.stop().await, 0);
}

#[tokio::test]
async fn wrong_settings_are_told_without_their_secrets() {
    for (name, value, told) in [
        ("SMTP_URL", "ftp://me:s3cret@mail", "the value of SMTP_URL (--smtp-url) is (not shown): write a URL as smtps://"),
        ("SENDER_SECRETS", "{\"t\": \"s3cret\"}", "the value of SENDER_SECRETS (--sender-secrets) is (not shown): write JSON as"),
        (
            "SENDER_ALLOWED_NETWORKS",
            "10.0.0.1/8",
            "the value of SENDER_ALLOWED_NETWORKS (--sender-allowed-networks) is \"10.0.0.1/8\": `10.0.0.1/8` is no network",
        ),
        (
            "SENDER_CONCURRENCY_MAX",
            "0",
            "the value of SENDER_CONCURRENCY_MAX (--sender-concurrency-max) is \"0\": write a whole number from 1 to 4096",
        ),
        ("DATABASE_URL", "", "DATABASE_URL is not set"),
    ] {
        let (status, output, errors) = command(SENDER, &[], &[(name, value.to_owned())]).await;
        assert!(status == 78 && output.is_empty() && errors.starts_with(told) && !errors.contains("s3cret"), "{name}: {status} {errors}");
    }
}

#[tokio::test]
async fn metrics_have_their_names_from_the_start() {
    let deliveries = Deliveries::create().await;
    let sender = deliveries.sender(&[]).await;
    sender.ready().await;
    let scraped = sender.get("/metrics").await.1;
    let types = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE event_processor_sender_")).map(|line| line.split(' ').next());
    let names: Vec<&str> = types.flatten().collect();
    assert_eq!(
        names,
        [
            "addresses_refused_total",
            "attempt_duration_seconds",
            "build_info",
            "claimed_total",
            "clients_disabled_total",
            "database_up",
            "deliveries_total",
            "delivery_delay_seconds",
            "in_flight_deliveries",
            "log_write_failures_total",
            "slowed_clients",
            "spans_dropped_total",
            "waiting_deliveries",
        ]
    );
    assert!(scraped.contains("event_processor_sender_deliveries_total{channel=\"email\",outcome=\"dead\"} 0"), "{scraped}");
    assert_eq!(sender.stop().await, 0);
}
