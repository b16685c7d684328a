//! Requests by templates, and settings that cannot be followed.

use serde_json::{Value, json};

use super::Deliveries;
use super::receiver::Receiver;
use crate::stack::{Directory, PROCESSOR, command};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_gets_what_the_templates_say_with_the_tenants_own_secret() {
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start().await;
    let settings = json!({
        "channel": "http",
        "method": "PUT",
        "url": format!("http://{}/status/200/{{{{ payload.id }}}}?type={{{{ event_type }}}}", receiver.address),
        "headers": { "authorization": { "secret": "TOKEN", "prefix": "Bearer " }, "idempotency-key": "{{ webhook_id }}" },
        "body": { "to": "{{ payload.name }}", "all": ["{% for n in payload.list %}{{ n }};{% endfor %}"] },
    });
    deliveries.client("t", "api", &settings).await;
    let payload = json!({ "id": "../a b", "name": "Ann \"x\"", "list": [1, 2] });
    deliveries.events("t", "api", &payload, 1).await;
    let sender = deliveries.sender(&[]).await;
    assert_eq!(deliveries.first("api").await, "1 | delivered | -");
    let request = receiver.requests("/").remove(0);
    assert_eq!(request.path, "/status/200/..%2Fa%20b?type=note.sent");
    assert_eq!(request.headers["authorization"], "Bearer canary-token");
    assert!(request.headers["idempotency-key"].starts_with("msg_"), "{request:?}");
    assert_eq!(request.headers["content-type"], "application/json");
    let body: Value = serde_json::from_str(&request.body).expect("JSON");
    assert_eq!(body, json!({ "to": "Ann \"x\"", "all": ["1;2;"] }));
    assert_eq!(sender.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_cannot_be_followed_are_told_once_and_not_tried_again() {
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start().await;
    let http = |more: Value| {
        let mut settings = json!({ "channel": "http", "url": receiver.url("/status/200") });
        for (name, value) in more.as_object().expect("a table") {
            settings[name] = value.clone();
        }
        settings
    };
    let nested = "{% for a in payload.list %}".repeat(4) + &"{% endfor %}".repeat(4);
    let cases = [
        ("loops", http(json!({ "body": { "a": nested } })), "settings.body takes more than 100000 steps"),
        (
            "prints",
            http(json!({ "body": "{% for a in payload.list %}{% for b in payload.list %}{{ payload.list }}{% endfor %}{% endfor %}" })),
            "settings.body prints more than 1024 KiB",
        ),
        ("makes", http(json!({ "body": "{{ 'x' * 100000000 }}" })), "settings.body line 1: arithmetic and `~` may not be used"),
        ("host", http(json!({ "url": "https://{{ payload.host }}/" })), "settings.url has a template in scheme, host or port"),
        ("port", http(json!({ "url": "https://example.com:{{ payload.port }}/" })), "settings.url has a template in scheme, host or port"),
        ("lacks", http(json!({ "body": "{{ payload.missing }}" })), "settings.body line 1 names what the event does not have"),
        ("literal", json!({ "url": receiver.url("/"), "secret": "whsec_canary" }), "settings.secret is a secret as it is"),
        ("field", json!({ "url": receiver.url("/"), "retries": 3 }), "settings.retries is not a field of this channel"),
        ("none", json!({}), "the client has no settings"),
        (
            "from",
            json!({ "channel": "email", "from": "a@elsewhere.example", "to": "b@example.com", "subject": "s", "text": "t" }),
            "settings.from is at elsewhere.example, and SENDER_FROM_DOMAINS does not name it",
        ),
    ];
    for (client, settings, _) in &cases {
        deliveries.client("t", client, settings).await;
        deliveries.events("t", client, &json!({ "list": vec![1; 300] }), 1).await;
    }
    let sender = deliveries.sender(&[]).await;
    deliveries.at_rest().await;
    for (client, _, expected) in &cases {
        let story = deliveries.story(client).await;
        assert!(
            story.len() == 2 && story[0].contains(&format!("1 | failed | {expected}")) && story[1].starts_with("1 | dead"),
            "{client}: {story:?}"
        );
    }
    assert_eq!(receiver.requests("/").len(), 0);
    assert!(!sender.log().contains("canary"), "{}", sender.log());
    assert_eq!(sender.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_another_tenants_is_out_of_reach() {
    let deliveries = Deliveries::create().await;
    let receiver = Receiver::start().await;
    let secrets = Directory::create();
    secrets.write("u/KEY", "canary-of-u");
    secrets.write("t/MINE", "canary-mine");
    std::os::unix::fs::symlink("../u/KEY", secrets.0.join("t/LINK")).expect("a link");
    for (client, name) in [("link", "LINK"), ("named", "KEY"), ("mine", "MINE")] {
        let headers = json!({ "authorization": { "secret": name } });
        deliveries.client("t", client, &json!({ "channel": "http", "url": receiver.url("/status/200"), "headers": headers })).await;
        deliveries.events("t", client, &json!({}), 1).await;
    }
    let sender = deliveries.sender(&[("SENDER_SECRETS_DIR", &secrets.0.display().to_string())]).await;
    assert_eq!(deliveries.first("mine").await, "1 | delivered | -");
    let link = deliveries.first("link").await;
    assert!(
        link.starts_with("1 | failed | not sent: the secret LINK of tenant t is a link that leads out of the tenant's directory"),
        "{link}"
    );
    let named = deliveries.first("named").await;
    assert!(named.starts_with("1 | failed | not sent: the secret KEY of tenant t is not there"), "{named}");
    assert_eq!(receiver.requests("/").len(), 1);
    assert!(!sender.log().contains("canary"), "{}", sender.log());
    assert_eq!(sender.stop().await, 0);
}

#[tokio::test]
async fn catalog_check_finds_first_what_the_sender_would_refuse() {
    let directory = Directory::create();
    directory.write("acme/note/1.json", "{}");
    directory.write(
        "acme/tenant.toml",
        r#"
        [clients.literal]
        settings = { url = "https://example.com/", secret = "whsec_canary" }
        [clients.token]
        settings = { channel = "http", url = "https://example.com/", headers = { authorization = "Bearer canary" } }
        [clients.field]
        settings = { url = "https://example.com/", retries = 3 }
        [clients.other]
        settings = { url = "https://example.com/", secret = { secret = "../crm/KEY" } }
        [clients.host]
        settings = { channel = "http", url = "https://{{ payload.host }}/" }
        [clients.makes]
        settings = { channel = "http", url = "https://example.com/", body = "{{ 'x' * 100000000 }}" }
        [clients.fine]
        settings = { url = "https://example.com/", secret = { secret = "KEY" } }
        "#,
    );
    let (status, output, errors) = command(PROCESSOR, &["catalog", "check", &directory.0.display().to_string()], &[]).await;
    let told = output + &errors;
    assert_eq!(status, 65, "{told}");
    for sentence in [
        "clients.literal.settings.secret: is a secret as it is",
        "clients.token.settings.headers.authorization: is a secret as it is",
        "clients.field.settings.retries: is not a field of this channel",
        "clients.other.settings.secret: write { secret = \"NAME\" }",
        "clients.host.settings.url: has a template in scheme, host or port",
        "clients.makes.settings.body: line 1: arithmetic and `~` may not be used",
    ] {
        assert!(told.contains(sentence), "{sentence}: {told}");
    }
    assert!(!told.contains("canary") && !told.contains("clients.fine"), "{told}");
}
