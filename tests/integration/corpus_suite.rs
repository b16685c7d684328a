//! Schemas that others wrote: the official suite's, each group an event type, each of its tests an example and an event.

use std::collections::BTreeMap;
use std::path::Path;

use event_processor::catalog::directory;
use event_processor::json;
use serde_json::{Value, json};

use crate::corpus::{Finding, Findings, send};
use crate::official_suite::{DRAFTS, Group, groups, remotes};
use crate::stack::{Directory, Stack, corpus};

/// Each so-manieth group goes through the daemon; `SUITE_SHARE=1` lets all.
const SHARE: usize = 12;

/// What Postgres cannot hold is refused before a schema is asked.
fn is_storable(value: &Value) -> bool {
    json::read(value.to_string().as_bytes()).is_ok()
}

/// A value's text in the characters that SQS carries, whatever stands in it.
fn ascii(value: &Value) -> String {
    let mut text = String::new();
    for character in value.to_string().chars() {
        if matches!(character, ' '..='~') {
            text.push(character);
        } else {
            text.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    text
}

/// The tenants, with what remote references lead to as shared definitions.
fn write_tenants(corpus: &Path, catalog: &Directory) {
    for (tenant, _) in DRAFTS {
        catalog.write(&format!("{tenant}/tenant.toml"), "");
        for (path, text) in remotes(corpus) {
            catalog.write(&format!("{tenant}/{path}"), &text);
        }
    }
}

impl Group {
    /// As an event type, its tests as examples.
    fn write(&self, catalog: &Directory) {
        let Self { tenant, event_type, schema, tests, .. } = self;
        catalog.write(&format!("{tenant}/{event_type}/1.json"), &schema.to_string());
        for (index, test) in tests.iter().enumerate().filter(|(_, test)| is_storable(&test["data"])) {
            let kind = if test["valid"] == true { "valid" } else { "invalid" };
            catalog.write(&format!("{tenant}/{event_type}/examples/{kind}/{index}.json"), &test["data"].to_string());
        }
    }

    /// Why it is refused alone; nothing where it is admitted and each example is what it is said to be.
    fn problems(&self, catalog: &Directory) -> Vec<String> {
        self.write(catalog);
        let problems = directory::read(&catalog.0).err().unwrap_or_default();
        std::fs::remove_dir_all(catalog.0.join(self.tenant).join(&self.event_type)).expect("removed");
        problems.iter().map(ToString::to_string).collect()
    }

    async fn send(&self, queue: &event_processor::queue::Queue) -> Vec<(String, &Value)> {
        let mut sent = Vec::new();
        for (index, test) in self.tests.iter().enumerate().filter(|(_, test)| is_storable(&test["data"])) {
            let Self { tenant, event_type, .. } = self;
            let event_id = format!("{event_type}/{index}");
            let body = json!({ "tenant_id": tenant, "event_type": event_type, "event_id": event_id, "payload": test["data"] });
            sent.push((send(queue, ascii(&body).as_bytes()).await, test));
        }
        sent
    }
}

#[tokio::test]
async fn the_official_suites_events_are_stored_and_refused_as_their_examples_are_proven() {
    let Some(corpus) = corpus("json-schema-test-suite") else { return };
    let share = std::env::var("SUITE_SHARE").ok().and_then(|share| share.parse().ok()).unwrap_or(SHARE);
    let (alone, catalog) = (Directory::create(), Directory::create());
    write_tenants(&corpus, &alone);
    write_tenants(&corpus, &catalog);
    let (mut admitted, mut refused) = (Vec::new(), BTreeMap::new());
    for group in groups(&corpus).into_iter().filter(|group| is_storable(&group.schema)).step_by(share) {
        let problems = group.problems(&alone);
        let wrong: Vec<_> = problems.iter().filter(|problem| problem.contains("/examples/")).collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", group.name);
        if problems.is_empty() {
            group.write(&catalog);
            admitted.push(group);
        } else {
            refused.insert(group.name, problems);
        }
    }
    println!("{} groups admitted, {} refused: {refused:#?}", admitted.len(), refused.len());
    assert!(refused.len() * 100 <= 3 * (admitted.len() + refused.len()));

    let stack = Stack::start_without_catalog(&["suite"]).await;
    stack.database.apply(&catalog.0).await;
    let queue = stack.queue("suite").await;
    let mut sent = Vec::new();
    for group in &admitted {
        sent.extend(group.send(&queue).await.into_iter().map(|(sqs_message_id, test)| (sqs_message_id, test, &group.name)));
    }
    let daemon = stack.daemon("suite?trust=any", &[]).await;
    stack.at_rest(&queue).await;
    let mut findings = Findings::of(&stack).await;
    for (sqs_message_id, test, name) in &sent {
        let finding = findings.take(sqs_message_id);
        let expected = if test["valid"] == true { "stored" } else { "schema_violation" };
        assert_eq!(finding.verdict(), expected, "{name}: {}: {finding:?}", test["description"]);
        assert!(!matches!(finding, Finding::Lost));
    }
    findings.finish();
    assert_eq!(daemon.stop().await, 0);
}
