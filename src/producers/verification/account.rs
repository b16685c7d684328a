//! The ledger against the evidence: each event of the ledger gets one fate, and what is left over is unexpected.

use std::collections::{BTreeMap, HashMap};

use super::evidence::{Evidence, Letter, Matches, Row};
use super::report::{Fate, Report};
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
    let open = evidence.letters.iter().filter(|letter| letter.is_open);
    let open: HashMap<_, _> = open.map(|letter| ((letter.queue.as_str(), letter.sqs_message_id.as_str()), letter)).collect();
    for row in &evidence.rows {
        let identity = (row.tenant_id.as_str(), row.source.as_str(), row.event_id.as_str());
        if groups.contains_key(&identity) {
            rows.insert(identity, row);
        } else {
            report.unexpected(format!("event {} of tenant {} is stored, and the ledger has none such", row.event_id, row.tenant_id));
        }
        if let Some(letter) = open.get(&(row.queue.as_str(), row.sqs_message_id.as_str())) {
            let told = format!("SQS message {} is both stored and open dead letter {}", row.sqs_message_id, letter.dead_letter_id);
            report.unexpected(told);
        }
    }
    for letter in &matches.strangers {
        report.unexpected(format!("dead letter {} ({}) is of no event of the ledger", letter.dead_letter_id, letter.reason));
    }
    let judge = Judge { entries, matches: &matches };
    for (identity, group) in &groups {
        for (position, fate) in judge.fates(group, rows.get(identity).copied()) {
            report.count(&entries[position], &fate);
        }
    }
    report.reasons = judge.reasons();
    report
}

struct Judge<'a> {
    entries: &'a [Entry],
    matches: &'a Matches<'a>,
}

impl Judge<'_> {
    /// The fates of the events that share an identity: one of them is the row, those that are equal to it are duplicates, and the others
    /// conflict with it. Which one is the row is up to the order in which SQS hands them over.
    fn fates(&self, group: &[usize], row: Option<&Row>) -> Vec<(usize, Fate)> {
        let Some(row) = row else { return self.without_row(group) };
        let Some(carrier) = self.carrier(group, row) else {
            let how = format!("is stored from SQS message {}, by which it was not sent", row.sqs_message_id);
            return group.iter().map(|position| (*position, Fate::Altered(how.clone()))).collect();
        };
        let fate = |position: usize| match (position == carrier, self.is_conflict(carrier) || self.is_conflict(position)) {
            (true, _) => self.stored(position, row),
            (false, true) => self.letter(position, Reason::IdConflict.as_str()),
            (false, false) => self.duplicate(position),
        };
        group.iter().map(|position| (*position, fate(*position))).collect()
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
    fn without_row(&self, group: &[usize]) -> Vec<(usize, Fate)> {
        let is_contested = group.iter().any(|position| self.is_conflict(*position));
        let conflicts = |letter: &&Letter| is_contested && letter.reason == Reason::IdConflict.as_str();
        let fate = |position: usize| match (self.letters(position).first(), &self.entries[position].reason) {
            (_, Some(reason)) if !is_contested => self.letter(position, reason),
            (Some(letter), _) if conflicts(letter) => self.letter(position, Reason::IdConflict.as_str()),
            (Some(letter), _) => {
                Fate::Altered(format!("is dead letter {} ({}), but had to be stored", letter.dead_letter_id, letter.reason))
            }
            (None, _) => absent(&self.entries[position]),
        };
        let mut fates: Vec<(usize, Fate)> = group.iter().map(|position| (*position, fate(*position))).collect();
        // A conflict is one with an event that is stored. That one is not there, also where its sender never heard that it was taken.
        let has = |fates: &[(usize, Fate)], sought: &Fate| fates.iter().any(|(_, fate)| fate == sought);
        if is_contested && has(&fates, &Fate::DeadLettered) && !has(&fates, &Fate::Missing) {
            fates[0].1 = Fate::Missing;
        }
        fates
    }

    fn stored(&self, position: usize, row: &Row) -> Fate {
        let entry = &self.entries[position];
        let is_foreseen = entry.expected != Verdict::Rejected || self.is_conflict(position);
        let wrong = [
            (!is_foreseen, "is stored, but had to become a dead letter"),
            (row.payload_sha256 != entry.payload_sha256, "is stored with another payload"),
            (!row.has_own_hash, "is stored with a payload_hash that is not its payload's"),
            (row.event_type != entry.event_type, "is stored with another event type"),
            (row.client_id != entry.client_id, "is stored with another client"),
            (row.queue != entry.queue, "is stored as from another queue"),
        ];
        match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            Some((_, how)) => Fate::Altered(how.to_owned()),
            None => Fate::Stored,
        }
    }

    fn duplicate(&self, position: usize) -> Fate {
        match self.letters(position).iter().find(|letter| letter.is_open) {
            Some(letter) => Fate::Altered(format!("is dead letter {} ({}), but is a duplicate", letter.dead_letter_id, letter.reason)),
            None if self.entries[position].sending == Sending::Unknown => Fate::Unknown,
            None => Fate::Duplicate,
        }
    }

    /// The fate of an event that must be a dead letter.
    fn letter(&self, position: usize, reason: &str) -> Fate {
        let entry = &self.entries[position];
        let mut letters = self.letters(position).iter().filter(|letter| !letter.is_stored).peekable();
        if letters.peek().is_none() {
            return absent(entry);
        }
        letters.find_map(|letter| wrong_letter(entry, letter, reason)).unwrap_or(Fate::DeadLettered)
    }

    fn letters(&self, position: usize) -> &[&Letter] {
        &self.matches.letters[position]
    }

    /// How many events are letters, by reason.
    fn reasons(&self) -> BTreeMap<String, u64> {
        let mut reasons = BTreeMap::new();
        for letter in self.matches.letters.iter().filter_map(|letters| letters.first()).filter(|letter| !letter.is_stored) {
            *reasons.entry(letter.reason.clone()).or_default() += 1;
        }
        reasons
    }
}

/// An event that is in no place.
fn absent(entry: &Entry) -> Fate {
    match entry.sending {
        Sending::Accepted => Fate::Missing,
        Sending::Unknown => Fate::Unknown,
    }
}

fn wrong_letter(entry: &Entry, letter: &Letter, reason: &str) -> Option<Fate> {
    let Letter { dead_letter_id, tenant_id, body_sha256, .. } = letter;
    let how = if *body_sha256 != entry.body_sha256 {
        "with another body".to_owned()
    } else if letter.reason != reason {
        format!("with the reason {}, not {reason}", letter.reason)
    } else if tenant_id.as_ref().is_some_and(|tenant_id| *tenant_id != entry.tenant) {
        "of another tenant".to_owned()
    } else {
        return None;
    };
    Some(Fate::Altered(format!("is dead letter {dead_letter_id} {how}")))
}
