//! The examples in `schemas/`: each valid one is stored, each invalid one is a dead letter that says where and why.

use std::path::{Path, PathBuf};

use event_processor::event::Violation;
use serde_json::Value;

use crate::stack::{Stack, sample_catalog};

/// An example's file and what stands in it.
struct Example {
    tenant_id: String,
    event_type: String,
    /// From the tenant's directory.
    path: String,
    payload: String,
}

impl Example {
    /// The file's place is the event's id.
    fn body(&self) -> String {
        let Self { tenant_id, event_type, path, payload } = self;
        format!(r#"{{"tenant_id":"{tenant_id}","event_type":"{event_type}","event_id":"{path}","payload":{payload}}}"#)
    }

    fn name(&self) -> String {
        format!("{}/{}", self.tenant_id, self.path)
    }
}

/// What is in a directory, by name.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

/// All examples that are said to be `valid` or `invalid`.
fn examples(group: &str) -> Vec<Example> {
    let name = |path: &Path| path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
    let mut examples = Vec::new();
    for tenant in entries(&sample_catalog()) {
        for event_type in entries(&tenant) {
            for file in entries(&event_type.join("examples").join(group)) {
                let payload = std::fs::read_to_string(&file).expect("a payload").trim_end().to_owned();
                let path = format!("{}/examples/{group}/{}", name(&event_type), name(&file));
                examples.push(Example { tenant_id: name(&tenant), event_type: name(&event_type), path, payload });
            }
        }
    }
    assert!(examples.len() > 20, "{} examples", examples.len());
    examples
}

/// A stack that has dealt with these examples.
async fn send(examples: &[Example]) -> Stack {
    let stack = Stack::start(&["events"]).await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    let queue = stack.queue("events").await;
    for example in examples {
        queue.send(&example.body()).await.expect("sent");
    }
    stack.at_rest(&queue).await;
    assert_eq!(daemon.stop().await, 0);
    stack
}

#[tokio::test]
async fn each_valid_example_is_stored_as_it_stands_in_its_file() {
    let examples = examples("valid");
    let stack = send(&examples).await;
    let dead_letters = stack.database.rows("select event_id, reason, errors from dead_letter").await;
    assert!(dead_letters.is_empty(), "{dead_letters:#?}");
    let stored = stack.database.rows("select tenant_id || '/' || event_id, payload::text from message order by 1").await;
    let mut expected: Vec<_> = examples.iter().map(|example| format!("{} | {}", example.name(), example.payload)).collect();
    expected.sort();
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn each_invalid_example_is_a_dead_letter_with_the_rule_and_the_place() {
    let examples = examples("invalid");
    let stack = send(&examples).await;
    assert_eq!(stack.database.count("select count(*) from message").await, 0);
    let of_dead_letters =
        "select tenant_id || '/' || event_id as name, reason, rule, errors::text as errors from dead_letter order by name";
    let dead_letters = stack.database.rows(of_dead_letters).await;
    assert_eq!(dead_letters.len(), examples.len());
    let mut told = Vec::new();
    for dead_letter in &dead_letters {
        let [name, reason, rule, errors] = dead_letter.splitn(4, " | ").collect::<Vec<_>>().try_into().expect("four columns");
        assert_eq!(reason, "schema_violation", "{name}");
        let errors: Vec<Value> = serde_json::from_str(errors).expect("JSON");
        let example = examples.iter().find(|example| example.name() == name).expect("an example");
        let violations: Vec<_> = errors.iter().map(violation).collect();
        assert_eq!(rule, format!("{} {}", violations[0].keyword, violations[0].schema_location), "{name}");
        for violation in &violations {
            check_locations(example, violation);
        }
        let location = |violation: &Violation| format!("{:?}", violation.instance_location);
        let locations: Vec<_> = violations.iter().map(location).collect();
        told.push(format!("{}: {rule}, met at {}", name.replace("/examples/invalid", ""), locations.join(" and ")));
    }
    assert_eq!(told.join("\n"), PLACES.trim());
}

fn violation(error: &Value) -> Violation {
    let field = |name: &str| error[name].as_str().expect(name).to_owned();
    assert_eq!(error.as_object().expect("an object").len(), 5, "{error}");
    Violation {
        keyword: field("keyword"),
        instance_location: field("instance_location"),
        schema_location: field("schema_location"),
        expected: field("expected"),
        found: field("found"),
    }
}

/// Both places exist: the rule in its file, under its keyword, and the value in the payload, of the type that was found.
fn check_locations(example: &Example, violation: &Violation) {
    let payload: Value = serde_json::from_str(&example.payload).expect("JSON");
    let found = payload.pointer(&violation.instance_location).unwrap_or_else(|| panic!("{}: {violation:?}", example.name()));
    let type_name = match found {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert_eq!(violation.found, type_name, "{}: {violation:?}", example.name());
    let (file, pointer) = violation.schema_location.split_once('#').expect("a file and a pointer");
    let text = std::fs::read_to_string(sample_catalog().join(&example.tenant_id).join(file)).expect(file);
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    assert!(schema.pointer(pointer).is_some(), "{}: {violation:?}", example.name());
    assert_eq!(pointer.rsplit('/').next(), Some(violation.keyword.as_str()), "{}", example.name());
}

/// Each invalid example, the rule that it breaks first, and where it breaks rules.
const PLACES: &str = r#"
crm/chat.message.received/attachment-url-without-tls.json: pattern chat.message.received/1.json#/properties/attachments/items/properties/url/pattern, met at "/attachments/0/url"
crm/chat.message.received/channel-unknown.json: enum chat.message.received/1.json#/properties/channel/enum, met at "/channel"
crm/chat.message.received/neither-text-nor-attachments.json: anyOf chat.message.received/1.json#/anyOf, met at ""
crm/chat.message.received/received-at-a-number.json: type chat.message.received/1.json#/properties/received_at/type, met at "/received_at"
crm/chat.message.received/sender-without-name.json: required chat.message.received/1.json#/properties/sender/required, met at "/sender"
crm/chat.message.received/text-empty.json: minLength chat.message.received/1.json#/properties/text/minLength, met at "/text"
crm/order.created/order-number-of-the-shop.json: pattern order.created/1.json#/properties/order_number/pattern, met at "/order_number"
crm/order.created/owner-not-an-address.json: format order.created/1.json#/properties/owner/format, met at "/owner"
crm/order.created/stage-missing.json: required order.created/1.json#/required, met at ""
crm/order.created/tags-repeated.json: uniqueItems order.created/1.json#/properties/tags/uniqueItems, met at "/tags"
crm/order.created/value-zero.json: exclusiveMinimum order.created/1.json#/properties/value/exclusiveMinimum, met at "/value"
crm/payment.processed/amount-negative.json: exclusiveMinimum payment.processed/1.json#/properties/amount/exclusiveMinimum, met at "/amount"
crm/payment.processed/failure-code-missing.json: required payment.processed/1.json#/then/required, met at ""
crm/payment.processed/failure-code-of-a-success.json: not payment.processed/1.json#/else/not, met at ""
crm/payment.processed/payment-id-not-a-uuid.json: format payment.processed/1.json#/properties/payment_id/format, met at "/payment_id"
crm/payment.processed/status-unknown.json: enum payment.processed/1.json#/properties/status/enum, met at "/status"
customers/customer.registered/address-without-city.json: required common/address.json#/required, met at "/address"
customers/customer.registered/birth-date-does-not-exist.json: format customer.registered/1.json#/properties/birth_date/format, met at "/birth_date"
customers/customer.registered/country-spelt-out.json: pattern common/address.json#/properties/country/pattern, met at "/address/country"
customers/customer.registered/email-not-an-address.json: format customer.registered/1.json#/properties/email/format, met at "/email"
customers/customer.registered/full-name-missing.json: required customer.registered/1.json#/required, met at ""
customers/customer.registered/terms-not-accepted.json: const customer.registered/1.json#/properties/terms_accepted/const, met at "/terms_accepted"
customers/customer.updated/change-of-unknown-field.json: additionalProperties customer.updated/1.json#/properties/changes/additionalProperties, met at "/changes"
customers/customer.updated/changed-by-unknown.json: enum customer.updated/1.json#/properties/changed_by/enum, met at "/changed_by"
customers/customer.updated/email-removed.json: type customer.updated/1.json#/properties/changes/properties/email/type, met at "/changes/email"
customers/customer.updated/nothing-changed.json: minProperties customer.updated/1.json#/properties/changes/minProperties, met at "/changes"
customers/customer.updated/updated-at-missing.json: required customer.updated/1.json#/required, met at ""
onboarding/client.created/created-at-not-a-date.json: format client.created/1.json#/properties/created_at/format, met at "/created_at"
onboarding/client.created/email-not-an-address.json: format client.created/1.json#/properties/email/format, met at "/email"
onboarding/client.created/name-an-object.json: type client.created/1.json#/properties/name/type, met at "/name"
onboarding/client.created/name-blank.json: pattern client.created/1.json#/properties/name/pattern, met at "/name"
onboarding/client.created/phone-missing.json: required client.created/1.json#/required, met at ""
onboarding/client.created/phone-without-country-code.json: pattern client.created/1.json#/properties/phone/pattern, met at "/phone"
platform/monitor-app/a-number.json: type monitor-app/1.json#/type, met at ""
platform/monitor-app/an-array.json: type monitor-app/1.json#/type, met at ""
platform/monitor-app/an-object.json: type monitor-app/1.json#/type, met at ""
platform/monitor-app/null.json: type monitor-app/1.json#/type, met at ""
platform/transaction-app/a-number.json: type transaction-app/1.json#/type, met at ""
platform/transaction-app/an-array.json: type transaction-app/1.json#/type, met at ""
platform/transaction-app/an-object.json: type transaction-app/1.json#/type, met at ""
platform/transaction-app/null.json: type transaction-app/1.json#/type, met at ""
platform/user-app/a-number.json: type user-app/1.json#/type, met at ""
platform/user-app/an-array.json: type user-app/1.json#/type, met at ""
platform/user-app/an-object.json: type user-app/1.json#/type, met at ""
platform/user-app/null.json: type user-app/1.json#/type, met at ""
shop/order.canceled/canceled-at-missing.json: required order.canceled/1.json#/required, met at ""
shop/order.canceled/comment-missing-for-other-reason.json: required order.canceled/1.json#/then/required, met at ""
shop/order.canceled/field-misspelt.json: additionalProperties order.canceled/1.json#/additionalProperties, met at ""
shop/order.canceled/reason-unknown.json: enum order.canceled/1.json#/properties/reason/enum, met at "/reason"
shop/order.canceled/refund-without-currency.json: required common/money.json#/required, met at "/refund"
shop/order.created/channel-before-version-2.json: additionalProperties order.created/1.json#/additionalProperties, met at ""
shop/order.created/currency-in-lower-case.json: pattern common/money.json#/properties/currency/pattern, met at "/total/currency"
shop/order.created/lines-empty.json: minItems order.created/1.json#/properties/lines/minItems, met at "/lines"
shop/order.created/order-id-missing.json: required order.created/1.json#/required, met at ""
shop/order.created/order-id-not-a-uuid.json: format order.created/1.json#/properties/order_id/format, met at "/order_id"
shop/order.created/placed-at-not-a-date.json: format order.created/1.json#/properties/placed_at/format, met at "/placed_at"
shop/order.created/quantity-zero.json: minimum common/order_line.json#/properties/quantity/minimum, met at "/lines/0/quantity"
shop/order.created/total-negative.json: minimum common/money.json#/properties/amount/minimum, met at "/total/amount"
shop/order.paid/amount-a-fraction.json: type common/money.json#/properties/amount/type, met at "/amount/amount"
shop/order.paid/card-last-four-missing.json: required order.paid/1.json#/then/required, met at ""
shop/order.paid/card-number-in-full.json: pattern order.paid/1.json#/properties/card_last_four/pattern, met at "/card_last_four"
shop/order.paid/method-unknown.json: enum order.paid/1.json#/properties/method/enum, met at "/method"
shop/order.paid/paid-at-without-zone.json: format order.paid/1.json#/properties/paid_at/format, met at "/paid_at"
shop/stock.reserved/expires-at-not-a-date.json: format stock.reserved/1.json#/properties/expires_at/format, met at "/expires_at"
shop/stock.reserved/items-empty.json: minItems stock.reserved/1.json#/properties/items/minItems, met at "/items"
shop/stock.reserved/quantity-as-text.json: type stock.reserved/1.json#/properties/items/items/properties/quantity/type, met at "/items/0/quantity"
shop/stock.reserved/sku-in-lower-case.json: pattern common/sku.json#/pattern, met at "/items/0/sku"
shop/stock.reserved/warehouse-not-a-code.json: pattern stock.reserved/1.json#/properties/warehouse/pattern, met at "/warehouse"
"#;
