//! The ledger: one JSON line for each event that was sent, fit to be held against the database later, whatever happened in between.
//!
//! A line is written before its event is sent, as `unknown`, and completed in its place once SQS has answered: it has room for that. So a
//! producer that is killed leaves a line for every event that may be on the queue, and each event has one line.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::generation::{Draft, Expected};

/// Room for an SQS message id (at most 100 characters), and for what else grows when a line is completed.
const ROOM: usize = 128;

/// What is known of the sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sending {
    /// SQS has it.
    Accepted,
    /// Sent, but the reply was lost, or the producer ended before it came: SQS may have it.
    Unknown,
}

/// What must become of an event, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A row.
    Stored,
    /// Nothing beside the row that is there.
    Duplicate,
    /// A dead letter.
    Rejected,
}

/// A line: an event that was sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// The tenant that it was meant for.
    pub tenant: String,
    /// Its producer.
    pub source: String,
    /// Its id.
    pub event_id: String,
    /// Its type; empty where it has none, by intent.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The recipient that it names.
    pub client_id: Option<String>,
    /// The queue's name.
    pub queue: String,
    /// The queue's URL, where it was reached by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_url: Option<String>,
    /// SHA-256 of the body, in hexadecimal digits.
    pub body_sha256: String,
    /// SHA-256 of the payload's text.
    pub payload_sha256: String,
    /// What must become of it.
    pub expected: Verdict,
    /// The dead letter's reason, where it must become one.
    pub reason: Option<String>,
    /// When it was about to be sent.
    #[serde(with = "time::serde::rfc3339")]
    pub sent_at: OffsetDateTime,
    /// How many replies were lost: so many more copies may be on the queue, under ids that nobody knows.
    pub lost_replies: u32,
    /// SQS's id of it, where it is known.
    pub sqs_message_id: Option<String>,
    /// What is known of the sending.
    pub sending: Sending,
}

impl Entry {
    /// The line of an event that is about to be sent.
    pub fn new(draft: &Draft, queue: &str, queue_url: Option<&str>) -> Self {
        let (expected, reason) = match draft.expected {
            Expected::Stored => (Verdict::Stored, None),
            Expected::Duplicate => (Verdict::Duplicate, None),
            Expected::Rejected(reason) => (Verdict::Rejected, Some(reason.as_str().to_owned())),
        };
        Self {
            tenant: draft.tenant_id.clone(),
            source: draft.source.clone(),
            event_id: draft.event_id.clone(),
            event_type: draft.event_type.clone(),
            client_id: draft.client_id.clone(),
            queue: queue.to_owned(),
            queue_url: queue_url.map(str::to_owned),
            body_sha256: sha256(draft.body.as_bytes()),
            payload_sha256: sha256(draft.payload.as_bytes()),
            expected,
            reason,
            sent_at: OffsetDateTime::now_utc(),
            lost_replies: 0,
            sqs_message_id: None,
            sending: Sending::Unknown,
        }
    }

    /// Whether copies of it may be on the queue under ids that nobody knows.
    pub fn may_have_copies(&self) -> bool {
        self.sending == Sending::Unknown || self.lost_replies > 0
    }
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A ledger that is being written.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    end: u64,
}

/// Where a batch's lines stand in the ledger.
#[derive(Debug)]
pub struct Location {
    offset: u64,
    lengths: Vec<usize>,
}

impl Ledger {
    /// Begins a ledger. One that is there already is evidence, and stays.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: OpenOptions::new().write(true).create_new(true).open(path)?, end: 0 })
    }

    /// Writes the lines of a batch that is about to be sent.
    ///
    /// # Errors
    /// When the file cannot be written; then the batch must not be sent.
    pub fn announce(&mut self, entries: &[Entry]) -> io::Result<Location> {
        let mut lengths = Vec::with_capacity(entries.len());
        let mut lines = String::new();
        for entry in entries {
            let line = serde_json::to_string(entry)?;
            lengths.push(line.len() + ROOM);
            lines.push_str(&padded(&line, line.len() + ROOM));
        }
        let offset = self.end;
        self.file.write_all_at(lines.as_bytes(), offset)?;
        self.end += u64::try_from(lines.len()).unwrap_or(u64::MAX);
        Ok(Location { offset, lengths })
    }

    /// Completes the lines of a batch.
    ///
    /// # Errors
    /// When the file cannot be written; the lines then still say `unknown`.
    pub fn complete(&mut self, location: &Location, entries: &[Entry]) -> io::Result<()> {
        let mut lines = String::new();
        for (entry, length) in entries.iter().zip(&location.lengths) {
            let line = serde_json::to_string(entry)?;
            if line.len() > *length {
                return Err(io::Error::other("SQS gave a message id of more than 100 characters"));
            }
            lines.push_str(&padded(&line, *length));
        }
        self.file.write_all_at(lines.as_bytes(), location.offset)
    }

    /// Makes sure that the disk has it.
    ///
    /// # Errors
    /// When the disk does not.
    pub fn finish(self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// A line of so many bytes.
fn padded(line: &str, length: usize) -> String {
    format!("{line}{}\n", " ".repeat(length.saturating_sub(line.len())))
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file.
    #[error("cannot be read ({0})")]
    File(#[from] io::Error),
    /// A line in it.
    #[error("line {line} is no line of a ledger ({problem})")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing in it.
    #[error("it has no line")]
    Empty,
}

/// Reads a ledger, or several that were joined. A last line without its end was being written when its producer died: its event was not
/// sent.
///
/// # Errors
/// When it cannot be read or is no ledger.
pub fn read(path: &Path) -> Result<Vec<Entry>, LedgerError> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut entries = Vec::new();
    let mut text = String::new();
    while reader.read_line(&mut text)? > 0 && text.ends_with('\n') {
        let problem = |error: serde_json::Error| LedgerError::Line { line: entries.len() + 1, problem: error.to_string() };
        let entry = serde_json::from_str(&text).map_err(problem)?;
        entries.push(entry);
        text.clear();
    }
    if entries.is_empty() { Err(LedgerError::Empty) } else { Ok(entries) }
}
