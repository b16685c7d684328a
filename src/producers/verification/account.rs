//! The ledger against the evidence: each event of the ledger gets one fate, and what is left over is unexpected.

use std::collections::{BTreeMap, HashMap};

use super::evidence::{DeadLetter, Evidence, Matches, Row, StoredBy};
use super::report::{Disposition, Report};
use crate::event::Reason;
use crate::producers::ledger::{Entry, Sending, Verdict};

/// Tenant, source and id.
type Identity<'a> = (&'a str, &'a str, &'a str);

/// Compares.
pub(super) fn account(entries: &[Entry], evidence: &Evidence) -> Report {
    let matches = Matches::of(entries, evidence);
    let mut groups: BTreeMap<Identity<'_>, Vec<usize>> = BTreeMap::new();
    for (position, entry) in entries.iter().enumerate() {
        groups.entry((&entry.tenant, &entry.source, &entry.event_id)).or_default().push(position);
    }
    let mut report = Report::default();
    let mut rows: HashMap<Identity<'_>, &Row> = HashMap::new();
    let open = evidence.dead_letters.iter().filter(|dead_letter| dead_letter.is_open);
    let open: HashMap<_, _> =
        open.map(|dead_letter| ((dead_letter.queue.as_str(), dead_letter.sqs_message_id.as_str()), dead_letter)).collect();
    for row in &evidence.rows {
        let identity = (row.tenant_id.as_str(), row.source.as_str(), row.event_id.as_str());
        if groups.contains_key(&identity) {
            rows.insert(identity, row);
        } else {
            report.unexpected(format!("event {} of tenant {} is stored, and the ledger has none such", row.event_id, row.tenant_id));
        }
        if let Some(dead_letter) = open.get(&(row.queue.as_str(), row.sqs_message_id.as_str())) {
            let told = format!("SQS message {} is both stored and open dead letter {}", row.sqs_message_id, dead_letter.dead_letter_id);
            report.unexpected(told);
        }
    }
    for dead_letter in &matches.strangers {
        report.unexpected(format!("dead letter {} ({}) is of no event of the ledger", dead_letter.dead_letter_id, dead_letter.reason));
    }
    let verifier = Verifier { entries, matches: &matches };
    for (identity, group) in &groups {
        for (position, disposition) in verifier.dispositions(group, rows.get(identity).copied()) {
            report.count(&entries[position], &disposition, verifier.reason(position));
        }
    }
    report
}

struct Verifier<'a> {
    entries: &'a [Entry],
    matches: &'a Matches<'a>,
}

impl Verifier<'_> {
    /// The fates of the events that share an identity: one of them is the row, those that are equal to it are duplicates, and the others
    /// conflict with it. Which one is the row is up to the order in which SQS hands them over.
    fn dispositions(&self, group: &[usize], row: Option<&Row>) -> Vec<(usize, Disposition)> {
        let Some(row) = row else { return self.without_row(group) };
        let Some(carrier) = self.carrier(group, row) else {
            let how = format!("is stored from SQS message {}, by which it was not sent", row.sqs_message_id);
            return group.iter().map(|position| (*position, Disposition::Altered(how.clone()))).collect();
        };
        let disposition = |position: usize| match (position == carrier, self.is_conflict(carrier) || self.is_conflict(position)) {
            (true, _) => self.stored(position, row),
            (false, true) => self.dead_letter(position, Reason::IdConflict.as_str()),
            (false, false) => self.duplicate(position),
        };
        group.iter().map(|position| (*position, disposition(*position))).collect()
    }

    /// The event whose message became the row.
    fn carrier(&self, group: &[usize], row: &Row) -> Option<usize> {
        let by_message = self.matches.entry_of(&row.queue, &row.sqs_message_id).filter(|position| group.contains(position));
        let is_copy = |entry: &Entry| entry.may_have_copies() && entry.queue == row.queue && entry.payload_sha256 == row.payload_sha256;
        by_message.or_else(|| group.iter().copied().find(|position| is_copy(&self.entries[*position])))
    }

    fn is_conflict(&self, position: usize) -> bool {
        self.entries[position].reason.as_deref() == Some(Reason::IdConflict.as_str())
    }

    /// The fates of the events under an identity that no row has.
    fn without_row(&self, group: &[usize]) -> Vec<(usize, Disposition)> {
        let is_contested = group.iter().any(|position| self.is_conflict(*position));
        let conflicts = |dead_letter: &&DeadLetter| is_contested && dead_letter.reason == Reason::IdConflict.as_str();
        let disposition = |position: usize| match (self.dead_letters(position).first(), &self.entries[position].reason) {
            (_, Some(reason)) if !is_contested => self.dead_letter(position, reason),
            (Some(dead_letter), _) if conflicts(dead_letter) => self.dead_letter(position, Reason::IdConflict.as_str()),
            (Some(dead_letter), _) => Disposition::Altered(format!(
                "is dead letter {} ({}), but had to be stored",
                dead_letter.dead_letter_id, dead_letter.reason
            )),
            (None, _) => absent(&self.entries[position]),
        };
        let mut dispositions: Vec<(usize, Disposition)> = group.iter().map(|position| (*position, disposition(*position))).collect();
        // A conflict is one with an event that is stored. That one is not there, also where its sender never heard that it was taken.
        let has =
            |dispositions: &[(usize, Disposition)], sought: &Disposition| dispositions.iter().any(|(_, disposition)| disposition == sought);
        if is_contested && has(&dispositions, &Disposition::DeadLettered) && !has(&dispositions, &Disposition::Missing) {
            dispositions[0].1 = Disposition::Missing;
        }
        dispositions
    }

    fn stored(&self, position: usize, row: &Row) -> Disposition {
        let entry = &self.entries[position];
        // What was to be refused, and was, is stored after all where the catalog was mended and a replay has looked again.
        let is_mended = self.dead_letters(position).iter().any(|dead_letter| dead_letter.stored_by == Some(StoredBy::Replay));
        let is_foreseen = entry.expected != Verdict::Rejected || self.is_conflict(position) || is_mended;
        let wrong = [
            (!is_foreseen, "is stored, but had to become a dead letter"),
            (row.payload_sha256 != entry.payload_sha256, "is stored with another payload"),
            (!row.has_own_hash, "is stored with a payload_hash that is not its payload's"),
            (row.event_type != entry.event_type, "is stored with another event type"),
            (row.client_id != entry.client_id, "is stored with another client"),
            (row.queue != entry.queue, "is stored as from another queue"),
        ];
        match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, how)) => Disposition::Altered(how.to_owned()),
            None => Disposition::Stored,
        }
    }

    fn duplicate(&self, position: usize) -> Disposition {
        match self.dead_letters(position).iter().find(|dead_letter| dead_letter.is_open) {
            Some(dead_letter) => {
                Disposition::Altered(format!("is dead letter {} ({}), but is a duplicate", dead_letter.dead_letter_id, dead_letter.reason))
            }
            None if self.entries[position].sending == Sending::Unknown => Disposition::Unknown,
            None => Disposition::Duplicate,
        }
    }

    /// The fate of an event that must be a dead letter.
    fn dead_letter(&self, position: usize, reason: &str) -> Disposition {
        let entry = &self.entries[position];
        let mut dead_letters = self.dead_letters(position).iter().filter(|dead_letter| dead_letter.stored_by.is_none()).peekable();
        if dead_letters.peek().is_none() {
            return absent(entry);
        }
        dead_letters.find_map(|dead_letter| wrong_dead_letter(entry, dead_letter, reason)).unwrap_or(Disposition::DeadLettered)
    }

    fn dead_letters(&self, position: usize) -> &[&DeadLetter] {
        &self.matches.dead_letters[position]
    }

    /// The reason of an event that is a dead letter.
    fn reason(&self, position: usize) -> Option<&str> {
        let dead_letter = self.dead_letters(position).first().filter(|dead_letter| dead_letter.stored_by.is_none());
        dead_letter.map(|dead_letter| dead_letter.reason.as_str())
    }
}

/// An event that is in no place.
fn absent(entry: &Entry) -> Disposition {
    match entry.sending {
        Sending::Accepted => Disposition::Missing,
        Sending::Unknown => Disposition::Unknown,
    }
}

fn wrong_dead_letter(entry: &Entry, dead_letter: &DeadLetter, reason: &str) -> Option<Disposition> {
    let DeadLetter { dead_letter_id, tenant_id, body_sha256, .. } = dead_letter;
    let how = if *body_sha256 != entry.body_sha256 {
        "with another body".to_owned()
    } else if dead_letter.reason != reason {
        format!("with the reason {}, not {reason}", dead_letter.reason)
    } else if tenant_id.as_ref().is_some_and(|tenant_id| *tenant_id != entry.tenant) {
        "of another tenant".to_owned()
    } else {
        return None;
    };
    Some(Disposition::Altered(format!("is dead letter {dead_letter_id} {how}")))
}
