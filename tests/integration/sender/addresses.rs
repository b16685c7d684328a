//! Whom the sender may reach, by whatever name.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use event_processor::sender::{Resolve, Sender, Waited};
use event_processor::settings::{SecretTable, SenderSettings};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Deliveries;
use super::receiver::Receiver;

/// Knows a few names; each time another address of the list, the last one for ever. Numbers are what they are.
struct Names(Mutex<HashMap<&'static str, Vec<SocketAddr>>>);

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Waited<'a, io::Result<Vec<SocketAddr>>> {
        let mut names = self.0.lock().expect("the names");
        let found = match (host.parse(), names.get_mut(host)) {
            (Ok(address), _) => Ok(vec![SocketAddr::new(address, port)]),
            (_, Some(addresses)) if addresses.len() > 1 => Ok(vec![addresses.remove(0)]),
            (_, Some(addresses)) => Ok(addresses.clone()),
            (_, None) => Err(io::ErrorKind::NotFound.into()),
        };
        Box::pin(async { found })
    }
}

fn settings(allowed: &str) -> SenderSettings {
    SenderSettings {
        sender_name: Some("test".to_owned()),
        sender_concurrency_max: 8,
        sender_client_concurrency_max: 4,
        smtp_url: None,
        sender_from_domains: "".parse().expect("domains"),
        sender_secrets_dir: None,
        sender_secrets: SecretTable::default(),
        sender_allowed_networks: allowed.parse().expect("networks"),
        drain_timeout: Duration::from_secs(5),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_addresses_are_refused_by_number_and_by_name_and_when_a_name_changes_its_mind() {
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    let other: SocketAddr = ([127, 0, 0, 2], port).into();
    let names = HashMap::from([
        ("inside.example", vec![other]),
        ("metadata.example", vec!["169.254.169.254:80".parse().expect("an address")]),
        ("anew.example", vec![receiver.address, other]),
    ]);
    let private =
        |address: &str| format!("1 | failed | not sent: the address {address} is private, and SENDER_ALLOWED_NETWORKS does not name it");
    let cases = [
        ("number", format!("http://127.0.0.2:{port}/status/200"), private("127.0.0.2")),
        ("integer", format!("http://2130706434:{port}/status/200"), private("127.0.0.2")),
        ("network", "https://10.0.0.1/".to_owned(), private("10.0.0.1")),
        ("v6", format!("http://[::1]:{port}/status/200"), private("::1")),
        ("mapped", format!("http://[::ffff:127.0.0.2]:{port}/status/200"), private("::ffff:127.0.0.2")),
        ("link", "http://169.254.169.254/latest/meta-data/".to_owned(), private("169.254.169.254")),
        ("link6", "https://[fe80::1]/".to_owned(), private("fe80::1")),
        ("name", format!("http://inside.example:{port}/status/200"), private("127.0.0.2")),
        ("metadata", "http://metadata.example/".to_owned(), private("169.254.169.254")),
        (
            "plain",
            "http://8.8.8.8/".to_owned(),
            "1 | failed | not sent: http: is not encrypted; write https:, for only what SENDER_ALLOWED_NETWORKS names is reached without"
                .to_owned(),
        ),
    ];
    for (client, url, _) in &cases {
        deliveries.client("t", client, &json!({ "url": url })).await;
        deliveries.events("t", client, &json!({}), 1).await;
    }
    // Closed by the receiver, so that the next request connects anew, where the name is another address.
    deliveries.client("t", "anew", &json!({ "url": format!("http://anew.example:{port}/close") })).await;
    deliveries.events("t", "anew", &json!({}), 1).await;
    // No such name for now: it is tried again.
    deliveries.client("t", "unknown", &json!({ "url": "https://unknown.example/" })).await;
    deliveries.events("t", "unknown", &json!({}), 1).await;
    deliveries.client("t", "allowed", &json!({ "url": receiver.url("/status/200") })).await;
    deliveries.events("t", "allowed", &json!({}), 1).await;

    let sender = Sender {
        database: deliveries.database.settings(),
        settings: settings("127.0.0.1"),
        listener: None,
        resolver: Arc::new(Names(Mutex::new(names))),
        exporter: None,
    };
    let stop = CancellationToken::new();
    let running = TaskTracker::new().spawn(sender.run(stop.clone()));
    for (client, _, expected) in &cases {
        deliveries.first(client).await;
        assert_eq!(deliveries.story(client).await, [expected.clone(), expected.replace("failed", "dead")], "{client}");
    }
    assert_eq!(deliveries.first("allowed").await, "1 | delivered | -");
    let anew = crate::stack::eventually("the second attempt", async || deliveries.story("anew").await.into_iter().nth(1)).await;
    assert_eq!(anew, private("127.0.0.2").replace("1 | failed", "2 | failed"));
    let unknown = deliveries.first("unknown").await;
    assert!(unknown.starts_with("1 | failed | not sent: the name of the host cannot be resolved"), "{unknown}");
    assert!(!deliveries.story("unknown").await.iter().any(|line| line.contains("dead")));
    assert_eq!(receiver.requests("/").len(), 2, "{:?}", receiver.requests("/"));
    stop.cancel();
    running.await.expect("it ends").expect("well");
}
