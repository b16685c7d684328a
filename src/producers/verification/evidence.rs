//! What the database has of a ledger's events. Bodies and payloads are hashed as they stream by and not kept.

use std::collections::{BTreeSet, HashMap};

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::producers::ledger::{Entry, sha256};

/// Why a dead letter's event is stored after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoredBy {
    /// It came again.
    Queue,
    /// It was replayed.
    Replay,
}

/// A dead letter.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "the column's name")]
pub(super) struct DeadLetter {
    pub(super) dead_letter_id: i64,
    pub(super) tenant_id: Option<String>,
    pub(super) queue: String,
    pub(super) sqs_message_id: String,
    pub(super) reason: String,
    pub(super) body_sha256: String,
    pub(super) is_open: bool,
    /// Whether it was closed because its event was stored after all, and by whom.
    pub(super) stored_by: Option<StoredBy>,
    /// Whether it came after the ledger began.
    pub(super) is_since: bool,
}

/// A stored event.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) tenant_id: String,
    pub(super) source: String,
    pub(super) event_id: String,
    pub(super) event_type: String,
    pub(super) client_id: Option<String>,
    pub(super) payload_sha256: String,
    /// Whether the column beside the payload says the same.
    pub(super) has_own_hash: bool,
    pub(super) queue: String,
    pub(super) sqs_message_id: String,
}

/// All that bears on a ledger.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) rows: Vec<Row>,
}

/// Reads the rows of the ledger's sources and the dead letters of its queues.
pub(super) async fn collect(connection: &mut PgConnection, entries: &[Entry]) -> Result<Evidence, sqlx::Error> {
    let distinct = |name: fn(&Entry) -> &String| entries.iter().map(name).collect::<BTreeSet<_>>().into_iter().cloned().collect::<Vec<_>>();
    let (queues, sources) = (distinct(|entry| &entry.queue), distinct(|entry| &entry.source));
    let began = entries.iter().map(|entry| entry.sent_at).min().unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut dead_letters = Vec::new();
    let mut stream = sqlx::query_file!("src/producers/verification/dead_letters.sql", &queues, began).fetch(&mut *connection);
    while let Some(row) = stream.try_next().await? {
        dead_letters.push(DeadLetter {
            dead_letter_id: row.dead_letter_id,
            tenant_id: row.tenant_id,
            queue: row.queue,
            sqs_message_id: row.sqs_message_id,
            reason: row.reason,
            body_sha256: sha256(&row.body),
            is_open: row.is_open,
            stored_by: row.is_stored.then_some(if row.is_replayed { StoredBy::Replay } else { StoredBy::Queue }),
            is_since: row.is_since,
        });
    }
    drop(stream);
    let mut rows = Vec::new();
    let mut stream = sqlx::query_file!("src/producers/verification/stored.sql", &sources).fetch(connection);
    while let Some(row) = stream.try_next().await? {
        let payload_sha256 = sha256(row.payload.as_bytes());
        rows.push(Row {
            has_own_hash: hex::encode(&row.payload_hash) == payload_sha256,
            tenant_id: row.tenant_id,
            source: row.source,
            event_id: row.event_id,
            event_type: row.event_type,
            client_id: row.client_id,
            payload_sha256,
            queue: row.queue,
            sqs_message_id: row.sqs_message_id,
        });
    }
    Ok(Evidence { dead_letters, rows })
}

/// The ledger and the evidence, each findable by the other.
#[derive(Debug)]
pub(super) struct Matches<'a> {
    /// By position in the ledger: the dead letters that the event left.
    pub(super) dead_letters: Vec<Vec<&'a DeadLetter>>,
    /// Dead letters that nothing in the ledger explains.
    pub(super) strangers: Vec<&'a DeadLetter>,
    by_message: HashMap<(&'a str, &'a str), usize>,
}

impl<'a> Matches<'a> {
    pub(super) fn of(entries: &'a [Entry], evidence: &'a Evidence) -> Self {
        let mut by_message = HashMap::new();
        // Copies of which only the body is known.
        let mut by_body = HashMap::new();
        for (position, entry) in entries.iter().enumerate() {
            if let Some(sqs_message_id) = &entry.sqs_message_id {
                by_message.insert((entry.queue.as_str(), sqs_message_id.as_str()), position);
            }
            if entry.may_have_copies() {
                by_body.entry((entry.queue.as_str(), entry.body_sha256.as_str())).or_insert(position);
            }
        }
        let mut matches = Self { dead_letters: entries.iter().map(|_| Vec::new()).collect(), strangers: Vec::new(), by_message };
        for dead_letter in &evidence.dead_letters {
            let by_body = || by_body.get(&(dead_letter.queue.as_str(), dead_letter.body_sha256.as_str())).copied();
            match matches.entry_of(&dead_letter.queue, &dead_letter.sqs_message_id).or_else(by_body) {
                Some(position) => matches.dead_letters[position].push(dead_letter),
                None if dead_letter.is_since => matches.strangers.push(dead_letter),
                None => {}
            }
        }
        matches
    }

    /// The position of the event that SQS took under this id.
    pub(super) fn entry_of(&self, queue: &str, sqs_message_id: &str) -> Option<usize> {
        self.by_message.get(&(queue, sqs_message_id)).copied()
    }
}
