//! What settings may say, and what is said of the others.

use serde_json::{Map, Value, json};

use super::{Body, Channel, Event, Http};

fn table(settings: Value) -> Map<String, Value> {
    let Value::Object(table) = settings else { panic!("a table") };
    table
}

fn parsed(settings: Value) -> Channel {
    Channel::parse(&table(settings)).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Settings that are refused: at this field, with a sentence that has this in it, and no value of theirs.
#[expect(clippy::needless_pass_by_value, reason = "so that a call says no more than the settings")]
fn check(settings: Value, field: &str, part: &str) {
    let problems = Channel::parse(&table(settings.clone())).expect_err(&settings.to_string());
    let is_said = problems.iter().any(|problem| problem.field == field && problem.sentence.contains(part));
    assert!(is_said, "{settings}: {problems:?}");
    assert!(!format!("{problems:?}").contains("s3cret"), "{problems:?}");
}

fn http(more: Value) -> Value {
    let mut settings = table(json!({ "channel": "http", "url": "https://api.example.com/messages" }));
    settings.extend(table(more));
    settings.into()
}

fn request(more: Value) -> Http {
    let Channel::Http(http) = parsed(http(more)) else { panic!("http") };
    http
}

fn event(payload: &Value) -> Event {
    Event::new(&json!({ "event_type": "client.created", "tenant_id": "onboarding", "payload": payload }))
}

#[test]
fn what_each_channel_needs_is_taken() {
    let secret = json!({ "secret": "WEBHOOK_SECRET" });
    assert_eq!(parsed(json!({ "url": "https://example.com/hook" })).name(), "webhook");
    assert_eq!(parsed(json!({ "channel": "webhook", "url": "https://example.com/hook", "secret": secret })).name(), "webhook");
    assert_eq!(parsed(json!({ "url": "https://example.com/hook", "secret": [secret, { "secret": "NEXT" }] })).name(), "webhook");
    let mail =
        json!({ "channel": "email", "from": "Shop <hello@shop.example>", "to": "{{ payload.email }}", "subject": "Hello", "text": "Hi" });
    assert_eq!(parsed(mail).name(), "email");
    let headers = json!({ "Authorization": { "secret": "TOKEN", "prefix": "Bearer " }, "x-id": "{{ webhook_id }}" });
    assert_eq!(request(json!({ "headers": headers, "method": "PUT" })).headers.len(), 2);
}

#[test]
fn what_is_wrong_is_said_with_its_field_and_without_its_value() {
    check(json!({ "channel": "fax" }), "channel", "webhook, email or http");
    check(json!({ "channel": 1 }), "channel", "is no text");
    check(json!({}), "url", "is missing");
    check(
        json!({ "url": "https://example.com/", "retries": 1 }),
        "retries",
        "is not a field of this channel; known here: channel, url, secret",
    );
    check(json!({ "url": "ftp://example.com/" }), "url", "is no URL of a web server");
    check(json!({ "url": "example.com" }), "url", "is no URL");
    check(json!({ "url": "https://me:s3cret@example.com/" }), "url", "a user's name or a password");
    check(json!({ "url": "https://example.com/?token=s3cret" }), "url", "is a secret as it is");
    check(json!({ "url": "https://example.com/{{ payload.id }}" }), "url", "is a template, which a webhook's is not");
    check(json!({ "url": "https://example.com/", "secret": "whsec_s3cret" }), "secret", "is a secret as it is");
    check(json!({ "url": "https://example.com/", "secret": { "secret": "../crm/KEY" } }), "secret", "write { secret = \"NAME\" }");
    check(json!({ "url": "https://example.com/", "secret": { "secret": "KEY", "tenant": "crm" } }), "secret", "write { secret");
    let three = vec![json!({ "secret": "KEY" }); 3];
    check(json!({ "url": "https://example.com/", "secret": three }), "secret", "more than two");
    let mail = json!({ "channel": "email", "from": "shop", "to": "{{ payload.email }}", "subject": "Hello", "text": "Hi" });
    check(mail, "from", "is no address");
    check(http(json!({ "method": "TRACE" })), "method", "is not supported");
    check(http(json!({ "headers": { "authorization": "Bearer s3cret" } })), "headers.authorization", "is a secret as it is");
    check(http(json!({ "headers": { "x-api-key": "s3cret" } })), "headers.x-api-key", "is a secret as it is");
    check(http(json!({ "headers": { "host": "elsewhere" } })), "headers.host", "is no header that can be set here");
    check(http(json!({ "headers": { "x-a": "a\r\nb" } })), "headers.x-a", "a line's end");
    check(http(json!({ "body": { "a": [{ "text": "whsec_s3cret" }] } })), "body.a.text", "is a secret as it is");
    check(http(json!({ "body": { "password": "s3cret" } })), "body.password", "is a secret as it is");
    check(http(json!({ "body": 1 })), "body", "neither a text nor a table");
}

#[test]
fn no_template_reaches_for_scheme_host_or_port() {
    for url in
        ["{{ payload.url }}", "https://{{ payload.host }}/", "https://example.com:{{ payload.port }}/", "{{ event_type }}://example.com/"]
    {
        check(http(json!({ "url": url })), "url", "a template in scheme, host or port");
    }
    let reach = |url: &str, payload: Value| {
        let Channel::Http(http) = parsed(http(json!({ "url": url }))) else { panic!("http") };
        http.url(&event(&payload)).map(|url| url.to_string()).map_err(|error| error.to_string())
    };
    let within = "https://api.example.com/u/{{ payload.id }}?q={{ payload.id }}";
    assert_eq!(
        reach(within, json!({ "id": "a/b?c#d@e é" })).as_deref(),
        Ok("https://api.example.com/u/a%2Fb%3Fc%23d%40e%20%C3%A9?q=a%2Fb%3Fc%23d%40e%20%C3%A9")
    );
    for (url, id) in [(within, ".."), (within, "."), ("https://api.example.com/%2e{{ payload.id }}/", ".")] {
        assert!(reach(url, json!({ "id": id })).is_err_and(|error| error.contains("as a part of its path")), "{url} {id}");
    }
    // Directly behind the host: what follows cannot become a part of it.
    assert_eq!(
        reach("https://api.example.com?{{ payload.id }}", json!({ "id": "@evil.example" })).as_deref(),
        Ok("https://api.example.com/?%40evil.example")
    );
}

#[test]
fn a_value_cannot_end_the_json_around_it() {
    let payload = json!({ "name": "Ann \"x\"\n\\", "n": 7, "list": [1, 2], "none": null });
    let rendered = |body: Value| request(json!({ "body": body })).body.as_ref().map(|body: &Body| body.render(&event(&payload)));
    let table = rendered(json!({ "to": "{{ payload.name }}", "n": 1, "all": ["{{ payload.n }}", "fixed"] })).expect("a body");
    let table: Value = serde_json::from_str(&table.expect("rendered")).expect("JSON");
    assert_eq!(table, json!({ "to": "Ann \"x\"\n\\", "n": 1, "all": ["7", "fixed"] }));
    let text = rendered(json!(r#"{ "to": {{ payload.name }}, "n": {{ payload.list }}, "none": {{ payload.none }} }"#)).expect("a body");
    let text: Value = serde_json::from_str(&text.expect("rendered")).expect("JSON");
    assert_eq!(text, json!({ "to": "Ann \"x\"\n\\", "n": [1, 2], "none": null }));
    let broken = rendered(json!(r#"{ "to": "{{ payload.name }}" }"#)).expect("a body").expect_err("no JSON");
    assert!(broken.to_string().starts_with("settings.body is not JSON once it is filled in"), "{broken}");
}

#[test]
fn templates_compute_nothing_and_name_what_an_event_has() {
    for (text, part) in [
        ("{{ 'x' * 100000000 }}", "arithmetic"),
        ("{{ payload.a ~ payload.a }}", "arithmetic"),
        ("{% set a = payload.a %}{{ a }}", "`set`"),
        ("{% for i in range(1000000000) %}x{% endfor %}", "a function"),
        ("{% for i in [1, 2] recursive %}{{ loop(i) }}{% endfor %}", "`recursive`"),
        ("{% for i in [1, 2] %}x{% endfor %}", "a list"),
        ("{{ payload.a.upper() }}", "a function"),
        ("{{ payload.a | tojson(indent=100000000) }}", "this filter's argument"),
        ("{{ payload.a | replace('a', 'b') }}", "this filter"),
        ("{{ payload.a[1:2] }}", "a slice"),
        ("{{ payload.a", "is no template: line 1"),
        ("{% include 'x' %}", "is no template: line 1"),
        ("{{ paylod.a }}", "names \"paylod\", which no event has"),
        ("{{ env.SECRET }}", "names \"env\""),
    ] {
        check(http(json!({ "body": { "a": text } })), "body.a", part);
    }
    check(http(json!({ "body": "x".repeat(70_000) })), "body", "longer than 64 KiB");
}

#[test]
fn a_template_that_loops_or_prints_without_end_is_stopped() {
    let payload = json!({ "items": vec![1; 2_000], "text": "x".repeat(1000), "nothing": null });
    let rendered = |text: &str| {
        let body = request(json!({ "body": { "a": text } })).body;
        body.expect("a body").render(&event(&payload)).expect_err(text).to_string()
    };
    let loops = "{% for a in payload.items %}{% for b in payload.items %}{% for c in payload.items %}{% endfor %}{% endfor %}{% endfor %}";
    assert_eq!(rendered(loops), "settings.body takes more than 100000 steps");
    let prints = "{% for a in payload.items %}{{ payload.text }}{% endfor %}";
    assert_eq!(rendered(prints), "settings.body prints more than 1024 KiB");
    assert!(rendered("\n{{ payload.email }}").starts_with("settings.body line 2 names what the event does not have"));
    assert!(rendered("{{ payload.nothing }}").starts_with("settings.body line 1 prints null"));
    assert!(rendered("{{ payload.a.b }}").starts_with("settings.body line 1 names what the event does not have"));
}
