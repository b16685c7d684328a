//! What a comparison found, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::producers::ledger::Entry;

/// How many findings are kept; all are counted.
const FINDINGS_MAX: usize = 50;

/// What became of an event of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Disposition {
    Stored,
    Duplicate,
    DeadLettered,
    /// Its reply was lost and nothing of it came.
    Unknown,
    Missing,
    Altered(String),
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// SQS took it, and it is in no place.
    Missing,
    /// It is there, and not as it was sent or had to become.
    Altered,
    /// It is there, and was not sent.
    Unexpected,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// In which way.
    pub kind: Kind,
    /// What exactly.
    pub what: String,
}

/// How many events of the ledger had which fate; each has one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Lines of the ledger.
    pub sent: u64,
    /// A row each.
    pub stored: u64,
    /// Their event is a row by another message.
    pub duplicates: u64,
    /// A dead letter each, with the right reason.
    pub dead_lettered: u64,
    /// The reply was lost and nothing of them came: SQS never had them, or they were duplicates.
    pub unknown: u64,
    /// In no place.
    pub missing: u64,
    /// Not as they were sent or had to become.
    pub altered: u64,
    /// What the database has beside them.
    pub unexpected: u64,
}

/// What became of events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The numbers.
    #[serde(flatten)]
    pub counts: Counts,
    /// Dead letters by reason.
    pub reasons: BTreeMap<String, u64>,
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether every event is accounted for and the queue rests.
    pub accounted: bool,
    /// Of all events.
    #[serde(flatten)]
    pub total: Tally,
    /// By the tenant that the events were meant for.
    pub tenants: BTreeMap<String, Tally>,
    /// Messages that the queues still have.
    pub on_queue: i64,
    /// What is wrong; the first fifty.
    pub findings: Vec<Finding>,
}

impl Tally {
    fn count(&mut self, disposition: &Disposition, reason: Option<&str>) {
        let counts = &mut self.counts;
        counts.sent += 1;
        *match disposition {
            Disposition::Stored => &mut counts.stored,
            Disposition::Duplicate => &mut counts.duplicates,
            Disposition::DeadLettered => &mut counts.dead_lettered,
            Disposition::Unknown => &mut counts.unknown,
            Disposition::Missing => &mut counts.missing,
            Disposition::Altered(_) => &mut counts.altered,
        } += 1;
        if let Some(reason) = reason {
            *self.reasons.entry(reason.to_owned()).or_default() += 1;
        }
    }
}

impl Report {
    /// Whether every event is accounted for.
    pub(super) fn is_clean(&self) -> bool {
        let Counts { missing, altered, unexpected, .. } = self.total.counts;
        missing + altered + unexpected == 0
    }

    /// Notes what the queues still have; with that, all is known.
    pub(super) fn conclude(mut self, on_queue: i64) -> Self {
        self.on_queue = on_queue;
        self.accounted = self.is_clean() && on_queue == 0;
        self
    }

    pub(super) fn unexpected(&mut self, what: String) {
        self.total.counts.unexpected += 1;
        self.find(Kind::Unexpected, what);
    }

    /// Counts an event, and the reason where it is a dead letter.
    pub(super) fn count(&mut self, entry: &Entry, disposition: &Disposition, reason: Option<&str>) {
        let tenant = self.tenants.entry(entry.tenant.clone()).or_default();
        for tally in [&mut self.total, tenant] {
            tally.count(disposition, reason);
        }
        let event = || {
            let message = entry.sqs_message_id.as_deref().unwrap_or("unknown");
            format!("event {} of tenant {} (SQS message {message})", entry.event_id, entry.tenant)
        };
        match disposition {
            Disposition::Missing => self.find(Kind::Missing, format!("{} is neither stored nor a dead letter", event())),
            Disposition::Altered(how) => self.find(Kind::Altered, format!("{} {how}", event())),
            _ => {}
        }
    }

    fn find(&mut self, kind: Kind, what: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { kind, what });
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { sent, stored, duplicates, dead_lettered, unknown, missing, altered, unexpected } = self.total.counts;
        writeln!(formatter, "{:<24}{sent:>9}", "sent")?;
        writeln!(formatter, "{:<24}{stored:>9}", "stored")?;
        writeln!(formatter, "{:<24}{duplicates:>9}", "duplicates")?;
        writeln!(formatter, "{:<24}{dead_lettered:>9}", "dead-lettered")?;
        for (reason, count) in &self.total.reasons {
            writeln!(formatter, "  {reason:<22}{count:>9}")?;
        }
        if unknown > 0 {
            writeln!(formatter, "{:<24}{unknown:>9}  (nothing came of them, and SQS never said that it had them)", "reply lost")?;
        }
        writeln!(formatter, "{:<24}{missing:>9}", "missing")?;
        writeln!(formatter, "{:<24}{altered:>9}", "altered")?;
        writeln!(formatter, "{:<24}{unexpected:>9}", "unexpected")?;
        for Finding { kind, what } in &self.findings {
            let kind = match kind {
                Kind::Missing => "missing",
                Kind::Altered => "altered",
                Kind::Unexpected => "unexpected",
            };
            writeln!(formatter, "{kind}: {what}")?;
        }
        match (self.accounted, self.on_queue) {
            (true, _) => write!(formatter, "every event is accounted for, and the queue rests"),
            (false, 0) => write!(formatter, "not every event is accounted for"),
            (false, messages) => write!(formatter, "the queue does not rest: {messages} message(s) on it; is the processor running?"),
        }
    }
}
