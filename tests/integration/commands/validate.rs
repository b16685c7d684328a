//! `processor validate`.

use serde_json::json;

use super::terminal;
use crate::stack::{PROCESSOR, Stack};

const ORDER: &str = include_str!("../../../schemas/shop/order.created/examples/valid/free-gift.json");

fn order(payload: &str) -> String {
    format!(r#"{{"tenant_id":"shop","event_id":"o1","event_type":"order.created","subject":"order 7","more":[1],"payload":{payload}}}"#)
}

#[tokio::test]
async fn a_valid_body_is_shown_as_the_row_that_it_would_become_and_nothing_is_stored() {
    let stack = Stack::start(&[]).await;
    let terminal = terminal(&stack);
    terminal.directory.write("order.json", &order(ORDER.trim()));
    let ended = terminal.run(PROCESSOR, &["validate", "order.json", "--queue", "events?trust=any"]).await;
    assert_eq!((ended.status, ended.errors.as_str()), (0, ""));
    let lines: Vec<_> = ended.output.lines().collect();
    assert_eq!(lines[0], "valid: it would be stored, unless an event with its identity is there already");
    for line in ["  tenant_id          shop", "  schema_version     1", "  event_id           o1", "  deliveries         [\"billing\"]"] {
        assert!(lines.contains(&line), "{line} is not in {}", ended.output);
    }
    let ended = terminal.run(PROCESSOR, &["validate", "order.json", "--queue", "events?trust=any", "--json"]).await;
    assert_eq!(ended.status, 0);
    let row = json!({
        "tenant_id": "shop", "source": "", "event_id": "o1", "event_type": "order.created", "schema_version": 1, "client_id": null,
        "subject": "order 7", "occurred_at": null, "payload": ORDER.trim(), "attributes": r#"{"fields":{"more":[1]}}"#,
        "queue": "events", "catalog_generation": 1, "deliveries": ["billing"],
    });
    assert_eq!(ended.json(), json!({"verdict": "valid", "row": row}));
    for table in ["message", "dead_letter", "delivery"] {
        assert_eq!(stack.database.count(&format!("select count(*) from {table}")).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_body_that_would_be_rejected_is_told_why_and_where() {
    let stack = Stack::start(&[]).await;
    let mut terminal = terminal(&stack);
    terminal.environment.push(("QUEUES", "shared,trusted?trust=any,shop-events=shop".to_owned()));
    for (queue, body, reason, error) in [
        ("shared", "Hello World", "malformed_json", "at the top: expected JSON in UTF-8, yet: no JSON value begins with this character"),
        ("shared", "[]", "invalid_envelope", "at the top: expected an object, found array  (envelope of envelope#)"),
        (
            "shared",
            r#"{"event_type":"a","payload":1}"#,
            "unknown_tenant",
            "at /tenant_id: expected a field `tenant_id`: this queue is shared",
        ),
        ("shared", &order(ORDER), "unauthorized_sender", "at /tenant_id: expected a sender that the tenant's `allowed_senders` names"),
        (
            "shop-events",
            r#"{"tenant_id":"crm","event_type":"order.created","payload":1}"#,
            "tenant_mismatch",
            "at /tenant_id: expected no `tenant_id`, or that of the tenant which the queue is bound to, found string",
        ),
        (
            "trusted",
            &order(ORDER).replace("order.created", "order.sent"),
            "unknown_event_type",
            "at /event_type: expected an event type of the tenant, found string  (catalog of tenant.toml)",
        ),
        (
            "trusted",
            &order(ORDER).replace("\"quantity\": 1", "\"quantity\": 0"),
            "schema_violation",
            "at /lines/0/quantity: expected at least 1, found number  (minimum of common/order_line.json#/properties/quantity/minimum)",
        ),
        (
            "other=shop",
            r#"{"event_type":"order.created","payload":{},"client_id":"x"}"#,
            "unknown_client",
            "at /client_id: expected a client of the tenant",
        ),
    ] {
        let ended = terminal.run_on(PROCESSOR, &["validate", "--queue", queue], body).await;
        assert_eq!((ended.status, ended.errors.as_str()), (65, ""), "{body}");
        assert!(ended.output.starts_with(&format!("rejected: {reason}\n  ")), "{body}: {}", ended.output);
        assert!(ended.output.contains(&format!("\n  {error}")), "{error} is not in {}", ended.output);

        let ended = terminal.run_on(PROCESSOR, &["validate", "-", "--queue", queue, "--json"], body).await;
        let verdict = ended.json();
        assert_eq!((ended.status, &verdict["verdict"], &verdict["reason"]), (65, &json!("rejected"), &json!(reason)), "{body}");
        let location = verdict["errors"][0]["instance_location"].as_str().expect("a place");
        assert!(error.starts_with(&format!("at {}", if location.is_empty() { "the top" } else { location })), "{error}: {verdict}");
    }
    assert_eq!(stack.database.count("select count(*) from dead_letter").await, 0);
}

#[tokio::test]
async fn a_sender_is_validated_by_the_tenants_list() {
    let stack = Stack::start_without_catalog(&[]).await;
    let terminal = terminal(&stack);
    terminal.directory.write("schemas/acme/tenant.toml", "allowed_senders = [\"AROAEXAMPLEEXAMPLE12\"]");
    terminal.directory.write("schemas/acme/note/1.json", "true");
    assert_eq!(terminal.run(PROCESSOR, &["catalog", "apply"]).await.status, 0);
    let body = r#"{"tenant_id":"acme","event_type":"note","payload":1}"#;
    for (sender, status) in [("AROAEXAMPLEEXAMPLE12:any-session", 0), ("AROAEXAMPLEEXAMPLE12", 0), ("AROAEXAMPLEEXAMPLE13", 65), ("", 65)] {
        let ended = terminal.run_on(PROCESSOR, &["validate", "--queue", "events", "--sender", sender], body).await;
        assert_eq!(ended.status, status, "{sender}: {ended:?}");
    }
}

#[tokio::test]
async fn what_the_body_says_of_itself_is_shown_beside_its_column_and_moves_nothing() {
    let stack = Stack::start(&[]).await;
    let terminal = terminal(&stack);
    let body = r#"{"tenant_id":"platform","event_type":"monitor-app","source":"\u202Eweb","subject":"a\u009b31m\n  tenant_id  b","payload":
        "\u2066"}"#;
    let ended = terminal.run_on(PROCESSOR, &["validate", "--queue", "events?trust=any"], body).await;
    for line in ["\n  source             \\u{202e}web\n", "\n  subject            a\\u{9b}31m\n                       tenant_id  b\n"] {
        assert!(ended.status == 0 && ended.output.contains(line), "{line} is not in {ended:?}");
    }
    let ended = terminal.run_on(PROCESSOR, &["validate", "--queue", "events?trust=any", "--json"], body).await;
    assert!(ended.output.contains(r#""subject": "a\u009b31m\n  tenant_id  b""#), "{ended:?}");
    assert_eq!(ended.json()["row"]["source"], "\u{202e}web");
}

#[tokio::test]
async fn attributes_make_a_cloud_event_in_binary_mode_of_a_body() {
    let stack = Stack::start(&[]).await;
    let terminal = terminal(&stack);
    let attributes = ["ce-specversion=1.0", "ce-id=7", "ce-type=monitor-app", "ce-source=/a=b", "content-type=application/json", "note=x"];
    let check = async |attributes: &[&str]| {
        let flags = attributes.iter().flat_map(|attribute| ["--attribute", attribute]);
        let arguments: Vec<_> = ["validate", "--queue", "clouds=platform?format=cloudevents", "--json"].into_iter().chain(flags).collect();
        terminal.run_on(PROCESSOR, &arguments, "\"hello\"").await
    };
    let valid = check(&attributes).await;
    let row = &valid.json()["row"];
    assert_eq!((valid.status, &row["event_id"], &row["source"], &row["payload"]), (0, &json!("7"), &json!("/a=b"), &json!("\"hello\"")));
    assert!(row["attributes"].as_str().is_some_and(|kept| kept.contains(r#""note":{"type":"String","value":"x"}"#)), "{row}");
    let rejected = check(&attributes[1..]).await;
    assert_eq!((rejected.status, &rejected.json()["reason"]), (65, &json!("invalid_envelope")));

    let form = "write NAME=VALUE, the name of 1-256 letters, digits, _, - and ., the value not empty";
    for attribute in ["ce-id", "=7", "ce-id=", "ce id=7"] {
        let wrong = check(&[attribute]).await;
        let sentence = format!("the value of --attribute is {attribute:?}: {form}\n");
        assert_eq!((wrong.status, wrong.errors), (78, sentence), "{attribute}");
    }
    let twice = check(&["ce-id=7", "ce-id=8"]).await;
    let sentence = "the value of --attribute names \"ce-id\" twice; a message has each attribute once\n";
    assert_eq!((twice.status, twice.errors.as_str()), (78, sentence));
}
