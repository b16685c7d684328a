//! What the tests with many bodies share: a tenant that takes any payload, what SQS carries, and what became of each message.

use std::collections::BTreeMap;
use std::path::Path;

use event_processor::candidate::{Candidate, QueueBinding};
use event_processor::queue::Queue;
use event_processor::settings::{Format, SQS_MESSAGE_BYTES_MAX};
use serde_json::json;

use crate::stack::{Directory, Stack};

/// The tenant whose type `any` has a schema that allows everything.
pub const TENANT: &str = "anything";

/// A stack with a catalog of that tenant alone.
pub async fn start_for_any_payload(queues: &[&str]) -> Stack {
    let catalog = Directory::create();
    catalog.write(&format!("{TENANT}/tenant.toml"), "");
    catalog.write(&format!("{TENANT}/any/1.json"), "{}");
    let stack = Stack::start_without_catalog(queues).await;
    stack.database.apply(&catalog.0).await;
    stack
}

/// A body around a payload's text, as a producer that joins strings makes it. The payload is last, so that it can only add to the body.
pub fn spliced(event_type: &str, event_id: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(r#"{{"tenant_id":"{TENANT}","event_type":"{event_type}","event_id":{},"payload":"#, json!(event_id));
    [head.as_bytes(), payload, b"}"].concat()
}

/// The text, where it is one that SQS takes as a message's body.
pub fn as_sqs_text(bytes: &[u8]) -> Option<&str> {
    let is_carried = |character| matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    let text = std::str::from_utf8(bytes).ok()?;
    ((1..=SQS_MESSAGE_BYTES_MAX).contains(&text.len()) && text.chars().all(is_carried)).then_some(text)
}

/// A body as if a shared queue had handed it over.
pub fn received(body: Vec<u8>) -> Candidate {
    let queue = QueueBinding { name: "events".to_owned(), tenant: None, trusts_any_sender: true, format: Format::Native };
    Candidate { message_id: "an SQS message id".to_owned(), ..Candidate::of_body(queue, body) }
}

/// Sends a body; gives SQS's id of the message.
pub async fn send(queue: &Queue, body: &[u8]) -> String {
    let text = as_sqs_text(body).expect("a body that SQS carries");
    queue.send(text).await.expect("sent")
}

/// What became of a message.
#[derive(Debug, PartialEq)]
pub enum Finding {
    /// Stored, with this payload.
    Stored(String),
    /// A dead letter, for this reason and with these errors.
    DeadLetter(String, serde_json::Value),
    /// Neither.
    Lost,
}

impl Finding {
    /// `stored`, the dead letter's reason, or `lost`.
    pub fn verdict(&self) -> &str {
        match self {
            Self::Stored(_) => "stored",
            Self::DeadLetter(reason, _) => reason,
            Self::Lost => "lost",
        }
    }
}

/// What became of all messages, by SQS's id of each.
pub struct Findings(BTreeMap<String, Finding>);

impl Findings {
    /// Looks; fails the test where a message is in two places.
    pub async fn of(stack: &Stack) -> Self {
        let mut findings = BTreeMap::new();
        for row in stack.database.rows("select sqs_message_id, payload::text as payload from message").await {
            let (sqs_message_id, payload) = row.split_once(" | ").expect("two columns");
            let other = findings.insert(sqs_message_id.to_owned(), Finding::Stored(payload.to_owned()));
            assert_eq!(other, None, "{row}");
        }
        for row in stack.database.rows("select sqs_message_id, reason, errors from dead_letter").await {
            let mut columns = row.splitn(3, " | ");
            let (Some(sqs_message_id), Some(reason), Some(errors)) = (columns.next(), columns.next(), columns.next()) else {
                panic!("{row}")
            };
            let dead_letter = Finding::DeadLetter(reason.to_owned(), serde_json::from_str(errors).expect("JSON"));
            let other = findings.insert(sqs_message_id.to_owned(), dead_letter);
            assert_eq!(other, None, "{row}");
        }
        Self(findings)
    }

    /// Of one message; each is asked for once.
    pub fn take(&mut self, sqs_message_id: &str) -> Finding {
        self.0.remove(sqs_message_id).unwrap_or(Finding::Lost)
    }

    /// Fails the test where there is more than was asked for.
    pub fn finish(self) {
        assert!(self.0.is_empty(), "from messages that nobody sent: {:?}", self.0);
    }
}

/// The names of what a directory holds, sorted.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}
