//! What is known of an event before it is sent, and in which shares events are mixed.

use crate::event::Reason;

/// What must become of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A row.
    Stored,
    /// Nothing: its event is a row already.
    Duplicate,
    /// A dead letter.
    Rejected(Reason),
}

/// An event that is about to be sent.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The tenant that it is meant for.
    pub tenant_id: String,
    /// Its producer.
    pub source: String,
    /// Its id.
    pub event_id: String,
    /// Its type.
    pub event_type: String,
    /// The recipient that it names.
    pub client_id: Option<String>,
    /// The whole body.
    pub body: String,
    /// The payload within it.
    pub payload: String,
    /// What must become of it.
    pub expected: Expected,
}

/// How events are mixed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mix {
    /// The share of events that must become dead letters.
    pub invalid: f64,
    /// The share of events that were sent before.
    pub duplicates: f64,
    /// What payloads are filled up to, in bytes.
    pub size: usize,
}
