//! What became of dead letters that went the path again.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::event::Rejection;
use crate::output::Escaped;
use crate::store::{Counts, Settlement, rule};

/// What became of one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Its event is a row, or would be.
    Stored,
    /// Its event's equal was there before.
    Duplicate,
    /// It is refused again.
    Rejected,
    /// Another open one has its identity and differs.
    Skipped,
    /// It was closed meanwhile, by somebody else.
    Closed,
    /// It has no verdict, and stays as it was.
    Left,
}

/// Why events are refused again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Refusal {
    tenant_id: Option<String>,
    event_type: Option<String>,
    reason: &'static str,
    rule: Option<String>,
    instance_location: Option<String>,
    expected: Option<String>,
}

#[derive(Debug, Serialize)]
struct RefusalCount {
    #[serde(flatten)]
    refusal: Refusal,
    dead_letters: u64,
}

/// What became of one dead letter.
#[derive(Debug, Serialize)]
struct Each {
    dead_letter_id: i64,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

/// What became of all of them.
#[derive(Debug, Default)]
pub struct Report {
    /// Whether nothing was changed.
    pub is_dry_run: bool,
    /// How many were meant.
    pub matched: u64,
    /// Those with a verdict.
    pub counts: Counts,
    /// Those that share their identity with another one and differ.
    pub skipped: Vec<i64>,
    /// How many were closed by somebody else.
    pub closed: u64,
    /// Why some have no verdict.
    pub left: BTreeMap<String, u64>,
    refusals: BTreeMap<Refusal, u64>,
    /// Of each, where that is asked for.
    outcomes: Option<Vec<Each>>,
}

/// How many kinds of refusals are told apart; the rest is counted without.
const REFUSALS_MAX: usize = 1_000;

impl Report {
    /// Of nothing yet; it tells what became of each dead letter where that is asked for.
    pub fn new(is_dry_run: bool, tells_each: bool) -> Self {
        Self { is_dry_run, outcomes: tells_each.then(Vec::new), ..Self::default() }
    }

    /// How many are dealt with.
    pub fn done(&self) -> u64 {
        let Counts { stored, duplicate, rejected } = self.counts;
        stored + duplicate + rejected + self.closed + self.left.values().sum::<u64>() + self.skipped.len() as u64
    }

    /// Whether all that were meant are events now, or were before.
    pub fn is_mended(&self) -> bool {
        self.counts.rejected == 0 && self.skipped.is_empty() && self.left.is_empty()
    }

    /// Counts what became of one.
    pub(super) fn count(&mut self, dead_letter_id: i64, settlement: &Settlement) {
        self.counts.count(settlement);
        match settlement {
            Settlement::Stored => self.tell(dead_letter_id, Outcome::Stored, None),
            Settlement::Duplicate => self.tell(dead_letter_id, Outcome::Duplicate, None),
            Settlement::Rejected(rejection) => self.reject(dead_letter_id, rejection),
        }
    }

    fn reject(&mut self, dead_letter_id: i64, rejection: &Rejection) {
        self.tell(dead_letter_id, Outcome::Rejected, Some(rejection.reason.as_str()));
        let violation = rejection.violations.first();
        let refusal = Refusal {
            tenant_id: rejection.admitted.as_ref().map(ToString::to_string),
            event_type: rejection.envelope.as_ref().map(|envelope| envelope.event_type.to_string()),
            reason: rejection.reason.as_str(),
            rule: rule(rejection),
            instance_location: violation.map(|violation| violation.instance_location.clone()),
            expected: violation.map(|violation| violation.expected.clone()),
        };
        let is_full = self.refusals.len() >= REFUSALS_MAX && !self.refusals.contains_key(&refusal);
        let refusal = if is_full { Refusal { rule: None, instance_location: None, expected: None, ..refusal } } else { refusal };
        *self.refusals.entry(refusal).or_default() += 1;
    }

    /// Counts one that shares its identity.
    pub(super) fn skip(&mut self, dead_letter_id: i64) {
        self.skipped.push(dead_letter_id);
        self.tell(dead_letter_id, Outcome::Skipped, None);
    }

    /// Counts one that somebody else has closed.
    pub(super) fn close(&mut self, dead_letter_id: i64) {
        self.closed += 1;
        self.tell(dead_letter_id, Outcome::Closed, None);
    }

    /// Counts one without a verdict.
    pub(super) fn leave(&mut self, dead_letter_id: i64, why: &str) {
        *self.left.entry(why.to_owned()).or_default() += 1;
        self.tell(dead_letter_id, Outcome::Left, None);
    }

    fn tell(&mut self, dead_letter_id: i64, outcome: Outcome, reason: Option<&'static str>) {
        if let Some(outcomes) = &mut self.outcomes {
            outcomes.push(Each { dead_letter_id, outcome, reason });
        }
    }
}

impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Printed<'a> {
            dry_run: bool,
            matched: u64,
            #[serde(flatten)]
            counts: Counts,
            skipped: &'a [i64],
            closed: u64,
            left: &'a BTreeMap<String, u64>,
            refusals: Vec<RefusalCount>,
            #[serde(skip_serializing_if = "Option::is_none")]
            dead_letters: &'a Option<Vec<Each>>,
        }
        let refusals = self.refusals.iter();
        let refusals = refusals.map(|(refusal, count)| RefusalCount { refusal: refusal.clone(), dead_letters: *count }).collect();
        let Self { is_dry_run, matched, counts, closed, .. } = *self;
        let (skipped, left, dead_letters) = (&self.skipped, &self.left, &self.outcomes);
        Printed { dry_run: is_dry_run, matched, counts, skipped, closed, left, refusals, dead_letters }.serialize(serializer)
    }
}

/// So many numbers are told in a line.
const NUMBERS_MAX: usize = 20;

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { stored, duplicate, rejected } = self.counts;
        let (would, is) = if self.is_dry_run { ("would be ", " (dry run: nothing is changed)") } else { ("", "") };
        writeln!(formatter, "{} open dead letter(s){is}", self.matched)?;
        writeln!(formatter, "  {stored:>8}  {would}stored")?;
        writeln!(formatter, "  {duplicate:>8}  {would}duplicates of what is stored")?;
        write!(formatter, "  {rejected:>8}  {would}refused again")?;
        for (refusal, count) in &self.refusals {
            write!(formatter, "\n  {count:>8}  {refusal}")?;
        }
        if !self.skipped.is_empty() {
            let numbers: Vec<String> = self.skipped.iter().take(NUMBERS_MAX).map(ToString::to_string).collect();
            let more = if self.skipped.len() > NUMBERS_MAX { ", ..." } else { "" };
            write!(
                formatter,
                "\n  {:>8}  skipped: they share their identity with another one that differs; choose by --id ({}{more})",
                self.skipped.len(),
                numbers.join(", ")
            )?;
        }
        if self.closed > 0 {
            write!(formatter, "\n  {:>8}  closed meanwhile, by the queue or another command", self.closed)?;
        }
        for (why, count) in &self.left {
            write!(formatter, "\n  {count:>8}  left as they were: {why}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |text: &Option<String>| Escaped(text.as_deref().unwrap_or("-")).to_string();
        write!(formatter, "  {} {}: {}", known(&self.tenant_id), known(&self.event_type), self.reason)?;
        if let (Some(rule), Some(location), Some(expected)) = (&self.rule, &self.instance_location, &self.expected) {
            let location = if location.is_empty() { "the event" } else { location };
            write!(formatter, " by {}, at {}: expected {}", Escaped(rule), Escaped(location), Escaped(expected))?;
        }
        Ok(())
    }
}
