//! What each kind of answer comes to.

use event_processor::sender::is_signed;
use serde_json::{Value, json};

use super::receiver::{Receiver, certificate};
use super::{Deliveries, SECRETS};
use crate::stack::{Directory, eventually};

fn hook(url: &str) -> Value {
    json!({ "url": url, "secret": { "secret": "OLD" } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_answer_comes_to_what_the_contract_says() {
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start().await;
    let cases = [
        ("ok", "/status/200", "1 | delivered | -"),
        ("empty", "/status/204", "1 | delivered | -"),
        ("huge", "/huge", "1 | delivered | -"),
        (
            "moved",
            "/status/301/to",
            "1 | failed | the receiver answered 301 (Moved Permanently); redirects are not followed: write the URL that it leads to",
        ),
        ("bad", "/status/400", "1 | failed | the receiver answered 400 (Bad Request)"),
        ("gone", "/status/410", "1 | failed | the receiver answered 410 (Gone)"),
        ("busy", "/status/429/120", "1 | failed | the receiver answered 429 (Too Many Requests)"),
        ("away", "/status/503/date", "1 | failed | the receiver answered 503 (Service Unavailable)"),
        ("broken", "/status/500", "1 | failed | the receiver answered 500 (Internal Server Error)"),
        ("hangs", "/hang", "1 | failed | the receiver did not answer within 15 s"),
        ("drips", "/drip", "1 | failed | the receiver did not answer within 15 s"),
    ];
    for (client, path, _) in cases {
        deliveries.client("t", client, &hook(&receiver.url(path))).await;
        deliveries.events("t", client, &json!({ "text": "hello" }), 1).await;
    }
    deliveries.client("t", "closes", &hook(&receiver.url("/close"))).await;
    deliveries.events("t", "closes", &json!({ "text": "hello" }), 1).await;
    let sender = deliveries.sender(&[]).await;
    for (client, _, expected) in cases {
        assert_eq!(deliveries.first(client).await, expected, "{client}");
    }
    let closed = deliveries.first("closes").await;
    assert!(closed.starts_with("1 | failed | the request came to nothing: "), "{closed}");

    assert_eq!(receiver.requests("/status/200/followed").len(), 0, "a redirect was followed");
    assert!(receiver.written() < 64 << 20, "{} bytes of an answer were taken", receiver.written());
    let database = &deliveries.database;
    let states = "select client_id, state, state_reason from client where state <> 'active'";
    assert_eq!(database.rows(states).await, ["gone | disabled | the receiver answered 410 (Gone)"]);
    let waits = "select client_id, due_at > now() + make_interval(secs => case client_id when 'busy' then 90 else 3000 end) as waits
                 from delivery where client_id in ('busy', 'away') order by 1";
    assert_eq!(database.rows(waits).await, ["away | true", "busy | true"]);
    assert_eq!(sender.metric("event_processor_sender_clients_disabled_total", "gone").await.to_bits(), 1.0_f64.to_bits());
    let seen = [sender.log(), sender.get("/metrics").await.1, database.rows("select error from delivery_log").await.join("\n")].concat();
    assert!(!seen.contains("canary") && !seen.contains("hello"), "{seen}");
    assert_eq!(sender.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attempt_has_the_same_id_and_a_signature_by_each_secret() {
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start().await;
    deliveries.client("t", "one", &hook(&receiver.url("/flaky/2/one"))).await;
    let both = json!([{ "secret": "OLD" }, { "secret": "NEW" }]);
    deliveries.client("t", "both", &json!({ "url": receiver.url("/status/200/both"), "secret": both })).await;
    deliveries.client("t", "unsigned", &json!({ "url": receiver.url("/status/200/unsigned") })).await;
    for client in ["one", "both", "unsigned"] {
        deliveries.events("t", client, &json!({ "text": "grüße" }), 1).await;
    }
    let sender = deliveries.sender(&[]).await;
    deliveries.at_rest().await;
    assert_eq!(deliveries.story("one").await.len(), 3);
    let attempts = receiver.requests("/flaky/2/one");
    assert_eq!(attempts.len(), 3);
    let id = attempts[0].headers["webhook-id"].clone();
    assert!(id.starts_with("msg_") && attempts.iter().all(|attempt| attempt.headers["webhook-id"] == id), "{attempts:?}");
    let is_by = |path: &str, secret: &str| {
        let request = receiver.requests(path).remove(0);
        let header = |name: &str| request.headers.get(name).map(String::as_str).unwrap_or_default();
        is_signed(secret, header("webhook-id"), header("webhook-timestamp"), &request.body, header("webhook-signature"))
    };
    assert_eq!(SECRETS.map(|secret| is_by("/flaky/2/one", secret)), [true, false]);
    assert_eq!(SECRETS.map(|secret| is_by("/status/200/both", secret)), [true, true]);
    assert_eq!(SECRETS.map(|secret| is_by("/status/200/unsigned", secret)), [false, false]);
    let body: Value = serde_json::from_str(&attempts[0].body).expect("JSON");
    assert_eq!((&body["type"], &body["data"]), (&json!("note.sent"), &json!({ "text": "grüße" })));
    assert!(body["timestamp"].as_str().is_some_and(|text| text.ends_with('Z')), "{body}");
    assert_eq!(attempts[0].headers["content-type"], "application/json");
    assert_eq!(sender.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_checked() {
    let directory = Directory::create();
    let Some(tls) = certificate(&directory) else { return };
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start_with(Some(tls)).await;
    let url = format!("https://{}/status/200", receiver.address);
    deliveries.client("t", "strange", &hook(&url)).await;
    deliveries.events("t", "strange", &json!({}), 1).await;
    let sender = deliveries.sender(&[]).await;
    let first = deliveries.first("strange").await;
    assert!(first.starts_with("1 | failed | the request came to nothing: invalid peer certificate: "), "{first}");
    assert_eq!((receiver.requests("/").len(), sender.stop().await), (0, 0));
    // The same one, known to the system.
    let known = directory.0.join("cert.pem").display().to_string();
    let sender = deliveries.sender(&[("SSL_CERT_FILE", &known)]).await;
    deliveries.at_rest().await;
    let story = deliveries.story("strange").await;
    assert!(story.last().is_some_and(|last| last.ends_with("delivered | -")), "{story:?}");
    assert_eq!(sender.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_only_failed_for_five_days_is_disabled() {
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start().await;
    for client in ["fails", "heals"] {
        deliveries.client("t", client, &hook(&receiver.url(&format!("/flaky/{}/{client}", if client == "heals" { 1 } else { 99 })))).await;
    }
    deliveries.events("t", "heals", &json!({}), 1).await;
    deliveries.events("t", "fails", &json!({}), 1).await;
    let sender = deliveries.sender(&[]).await;
    eventually("one is delivered", async || deliveries.story("heals").await.iter().any(|line| line.contains("delivered")).then_some(()))
        .await;
    deliveries.first("fails").await;
    let failing = "select client_id from client_failing";
    eventually("one fails", async || (deliveries.database.rows(failing).await == ["fails"]).then_some(())).await;
    assert_eq!(sender.stop().await, 0);
    deliveries.database.execute("update client_failing set since = since - interval '5 days'; update delivery set due_at = now()").await;
    let sender = deliveries.sender(&[]).await;
    let state = "select state_reason from client where client_id = 'fails' and state = 'disabled'";
    let reason = eventually("it is disabled", async || deliveries.database.rows(state).await.pop()).await;
    assert_eq!(reason, "nothing has been delivered for five days, every attempt has failed");
    eventually("the log tells", async || sender.log().contains("client disabled").then_some(())).await;
    assert_eq!(sender.metric("event_processor_sender_clients_disabled_total", "failing").await.to_bits(), 1.0_f64.to_bits());
    assert_eq!(sender.stop().await, 0);
}
