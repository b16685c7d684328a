//! Real input: GitHub's webhook payloads, validated by GitHub's own schemas.

use std::path::Path;

use serde_json::{Value, json};

use crate::corpus::{Finding, Findings, names, send};
use crate::stack::{Directory, Stack, corpus};

/// GitHub as a tenant, and what it sends.
struct Github {
    /// With the tenant `github`: an event type for each event and action that has a schema.
    catalog: Directory,
    payloads: Vec<Payload>,
}

/// A payload of GitHub's.
struct Payload {
    /// The file, `check_run/created.payload.json`.
    path: String,
    event_type: String,
    text: String,
}

/// A property that a payload must have.
#[derive(Clone)]
struct Required {
    /// JSON pointer to the object that has it.
    object: String,
    property: String,
    /// The error where it is missing, as `lines` writes it.
    error: String,
}

/// A part of a schema, and where it stands.
struct Part {
    file: String,
    pointer: String,
    schema: Value,
}

impl Github {
    fn load() -> Option<Self> {
        let corpus = corpus("github")?;
        let catalog = write_catalog(&corpus.join("payload-schemas/api.github.com"));
        let examples = corpus.join("payload-examples/api.github.com");
        let mut payloads = Vec::new();
        for event in names(&examples) {
            let files = names(&examples.join(&event)).into_iter().filter(|file| file.ends_with(".payload.json"));
            payloads.extend(files.map(|file| Payload::load(&examples, &event, &file, &catalog.0)));
        }
        assert_eq!(payloads.len(), 255);
        Some(Self { catalog, payloads })
    }

    /// Sends an event with each payload, lets a daemon validate them, and gives what became of each.
    async fn validate(&self, payloads: &[Payload]) -> Vec<Finding> {
        let stack = Stack::start_without_catalog(&["webhooks"]).await;
        stack.database.apply(&self.catalog.0).await;
        let queue = stack.queue("webhooks").await;
        let mut sent = Vec::new();
        for Payload { path, event_type, text } in payloads {
            let body = format!(r#"{{"event_type":"{event_type}","event_id":{},"payload":{text}}}"#, json!(path));
            sent.push(send(&queue, body.as_bytes()).await);
        }
        let daemon = stack.daemon("webhooks=github", &[]).await;
        stack.at_rest(&queue).await;
        let mut findings = Findings::of(&stack).await;
        let validated = sent.iter().map(|sqs_message_id| findings.take(sqs_message_id)).collect();
        findings.finish();
        assert_eq!(daemon.stop().await, 0);
        validated
    }

    /// A schema file of the tenant's.
    fn part(&self, file: String) -> Part {
        let text = std::fs::read_to_string(self.catalog.0.join("github").join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        Part { file, pointer: String::new(), schema: serde_json::from_str(&text).expect("JSON") }
    }

    /// What a payload must have: at its root first, then inwards. What only items must have is not looked for.
    fn required(&self, payload: &Payload) -> Vec<Required> {
        let root = self.part(format!("{}/1.json", payload.event_type));
        let value = serde_json::from_str(&payload.text).expect("JSON");
        let mut required = self.required_in(&value, "", &root);
        if let Some(alternatives) = root.schema["oneOf"].as_array() {
            // Here only the alternatives say what must be there, so it is the choice among them that fails.
            let property = alternatives[0]["required"][0].as_str().expect("a property").to_owned();
            let error = format!("oneOf  {}#/oneOf: a value that one of the alternatives allows", root.file);
            required.push(Required { object: String::new(), property, error });
        }
        required
    }

    fn required_in(&self, payload: &Value, at: &str, Part { file, pointer, schema }: &Part) -> Vec<Required> {
        let Some(object) = payload.as_object() else { return Vec::new() };
        if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
            return self.required_in(payload, at, &self.part(format!("common/{name}")));
        }
        let properties = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut required: Vec<_> = properties
            .map(|property| {
                let error = format!("required {at} {file}#{pointer}/required: property `{property}`");
                Required { object: at.to_owned(), property: property.to_owned(), error }
            })
            .collect();
        for (name, value) in object {
            if let Some(schema) = schema["properties"].get(name) {
                let inside = Part { file: file.clone(), pointer: format!("{pointer}/properties/{name}"), schema: schema.clone() };
                required.extend(self.required_in(value, &format!("{at}/{name}"), &inside));
            }
        }
        required
    }
}

impl Payload {
    /// An action with a schema of its own is an event type of its own.
    fn load(examples: &Path, event: &str, file: &str, catalog: &Path) -> Self {
        let text = std::fs::read_to_string(examples.join(event).join(file)).expect("a payload").trim().to_owned();
        let payload: Value = serde_json::from_str(&text).expect("JSON");
        let of_action = format!("{event}.{}", payload["action"].as_str().unwrap_or_default());
        let event_type = if catalog.join("github").join(&of_action).is_dir() { of_action } else { event.to_owned() };
        Self { path: format!("{event}/{file}"), event_type, text }
    }

    /// Without a property, and named after it, so that it is another event.
    fn without(&self, Required { object, property, .. }: &Required) -> Self {
        let mut payload: Value = serde_json::from_str(&self.text).expect("JSON");
        let members = payload.pointer_mut(object).and_then(Value::as_object_mut).expect("an object");
        members.remove(property).expect("a property that is there");
        Self { path: format!("{} without {object}/{property}", self.path), event_type: self.event_type.clone(), text: payload.to_string() }
    }
}

/// GitHub's references count from the directory of all schemas, ours from the file's own.
fn write_catalog(schemas: &Path) -> Directory {
    let catalog = Directory::create();
    catalog.write("github/tenant.toml", "");
    for event in names(schemas) {
        for file in names(&schemas.join(&event)) {
            let action = file.strip_suffix(".schema.json").expect("a schema");
            let location = match (event.as_str(), action) {
                ("common", _) => format!("common/{file}"),
                (event, "event") => format!("{event}/1.json"),
                (event, action) => format!("{event}.{action}/1.json"),
            };
            let text = std::fs::read_to_string(schemas.join(&event).join(&file)).expect("a schema");
            catalog.write(&format!("github/{location}"), &text.replace("\"common/", "\"../common/"));
        }
    }
    catalog
}

/// Keyword, place in the payload, place in the schema and expectation of each error.
fn lines(errors: &Value) -> Vec<String> {
    let line = |error: &Value| {
        let [keyword, instance, schema, expected] =
            ["keyword", "instance_location", "schema_location", "expected"].map(|field| error[field].as_str().expect("text"));
        format!("{keyword} {instance} {schema}: {expected}")
    };
    errors.as_array().expect("a list").iter().map(line).collect()
}

#[tokio::test]
async fn githubs_payloads_are_stored_byte_for_byte_but_for_two_that_break_githubs_own_schema() {
    let Some(github) = Github::load() else { return };
    let findings = github.validate(&github.payloads).await;
    let (mut stored, mut refused) = (0, Vec::new());
    for (Payload { path, text, .. }, finding) in github.payloads.iter().zip(findings) {
        match finding {
            Finding::Stored(payload) => {
                assert!(payload == *text, "{path}: stored is {payload}");
                stored += 1;
            }
            Finding::DeadLetter(reason, errors) => {
                refused.extend(lines(&errors).into_iter().map(|error| format!("{path}: {reason} {error}")));
            }
            Finding::Lost => panic!("{path} is lost"),
        }
    }
    assert_eq!(stored, 253, "{refused:#?}");
    refused.sort();
    insta::assert_snapshot!(refused.join("\n"), @r"
    check_run/rerequested.payload.json: schema_violation format /check_run/app/created_at common/app.schema.json#/properties/created_at/format: format date-time
    check_run/rerequested.payload.json: schema_violation format /check_run/app/updated_at common/app.schema.json#/properties/updated_at/format: format date-time
    check_run/rerequested.payload.json: schema_violation format /check_run/check_suite/app/created_at common/app.schema.json#/properties/created_at/format: format date-time
    check_run/rerequested.payload.json: schema_violation format /check_run/check_suite/app/updated_at common/app.schema.json#/properties/updated_at/format: format date-time
    check_run/rerequested.with-organization.payload.json: schema_violation format /check_run/app/created_at common/app.schema.json#/properties/created_at/format: format date-time
    check_run/rerequested.with-organization.payload.json: schema_violation format /check_run/app/updated_at common/app.schema.json#/properties/updated_at/format: format date-time
    check_run/rerequested.with-organization.payload.json: schema_violation format /check_run/check_suite/app/created_at common/app.schema.json#/properties/created_at/format: format date-time
    check_run/rerequested.with-organization.payload.json: schema_violation format /check_run/check_suite/app/updated_at common/app.schema.json#/properties/updated_at/format: format date-time
    ");
}

#[tokio::test]
async fn githubs_payloads_without_a_required_property_are_refused_where_it_is_missing() {
    let Some(github) = Github::load() else { return };
    let (mut payloads, mut missing) = (Vec::new(), Vec::new());
    for payload in &github.payloads {
        let required = github.required(payload);
        let innermost = required.iter().max_by_key(|required| required.object.split('/').count());
        for required in required.first().into_iter().chain(innermost.filter(|required| !required.object.is_empty())) {
            payloads.push(payload.without(required));
            missing.push(required.error.clone());
        }
    }
    // One at the root of each payload, and one within each but the two whose schema is a choice of alternatives.
    assert_eq!(payloads.len(), 255 + 253);
    let findings = github.validate(&payloads).await;
    for ((Payload { path, .. }, missing), finding) in payloads.iter().zip(missing).zip(findings) {
        let Finding::DeadLetter(reason, errors) = finding else { panic!("{path}: {finding:?}") };
        assert_eq!(reason, "schema_violation", "{path}");
        let mut errors = lines(&errors);
        if path.starts_with("check_run/rerequested") {
            errors.retain(|error| !error.ends_with("format date-time"));
        }
        assert_eq!(errors, [missing], "{path}");
    }
}
