//! Events of which it is known what must become: valid ones, the same ones again, and ones that are wrong in a known way.

mod draft;
mod faults;

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use super::body::{Fields, quote};
use super::material::EventKind;
use super::reformat::reformat;
use super::template::Template;
use crate::candidate::{Candidate, QueueBinding};
use crate::decode::decode;
use crate::event::Reason;
use crate::schema::BUDGET;
use crate::settings::{Format, SQS_MESSAGE_BYTES_MAX};
pub use draft::{Draft, Expected, Mix};

/// How many earlier events are kept to be sent again: some are sent again at once, some long after.
const EARLIER_MAX: usize = 64;

/// A valid event that may be sent again.
#[derive(Debug, Clone)]
struct Earlier {
    kind: usize,
    fields: Fields,
    /// Whether another event has been sent under its id: a third would make it unforeseeable which of them comes first.
    is_contested: bool,
}

/// Makes events, without end unless it has payloads to send once. The same seed makes the same bodies but for sources and event ids.
#[derive(Debug)]
pub struct Generator {
    kinds: Vec<EventKind>,
    /// One's own payloads, in place of the examples.
    payloads: Vec<Template>,
    /// Whether to end after each payload was sent once to each type.
    is_once: bool,
    binding: QueueBinding,
    mix: Mix,
    source: String,
    random: StdRng,
    earlier: Vec<Earlier>,
    /// The reasons for which wrong events must be rejected.
    faults: Vec<Reason>,
    sent_valid: usize,
    sent_invalid: usize,
}

impl Generator {
    /// For a queue; `run` makes the source of its events their own.
    ///
    /// # Errors
    /// A sentence, where there is nothing that it could send.
    pub fn new(kinds: Vec<EventKind>, binding: QueueBinding, mix: Mix, seed: u64, run: &str) -> Result<Self, String> {
        if binding.format != Format::Native {
            return Err("generated events are in the native format; name a queue without `format=`".to_owned());
        }
        let kinds: Vec<_> =
            kinds.into_iter().filter(|kind| binding.tenant.as_ref().is_none_or(|id| id.as_str() == kind.tenant_id)).collect();
        let faults = faults::possible(&kinds, &binding);
        let source = format!("producers-{run}");
        let random = StdRng::seed_from_u64(seed);
        let (payloads, earlier) = (Vec::new(), Vec::new());
        let generator =
            Self { kinds, payloads, is_once: false, binding, mix, source, random, earlier, faults, sent_valid: 0, sent_invalid: 0 };
        match generator.kinds.is_empty() {
            true => Err("the catalog has no event type for this queue and these tenants".to_owned()),
            false => Ok(generator),
        }
    }

    /// Sends these payloads in place of the valid examples: once to each type, or over and over.
    #[must_use]
    pub fn with_payloads(mut self, payloads: &[String], is_once: bool) -> Self {
        self.payloads = payloads.iter().map(|text| Template::verbatim(text)).collect();
        self.is_once = is_once;
        self
    }

    /// Whether there is a valid example: without one, and without payloads of one's own, nothing is made.
    pub fn has_examples(&self) -> bool {
        self.kinds.iter().any(|kind| !kind.valid.is_empty())
    }

    /// How many event types it sends.
    pub fn kinds(&self) -> usize {
        self.kinds.len()
    }

    /// The source that its events carry.
    pub fn source(&self) -> &str {
        &self.source
    }

    fn valid(&mut self) -> Option<Draft> {
        let turn = self.sent_valid;
        let count = self.kinds.len();
        if self.is_once && turn >= self.payloads.len() * count {
            return None;
        }
        self.sent_valid += 1;
        let (kind, payload_text) = match self.payloads.is_empty() {
            true => self.example_from(turn % count)?,
            false => (turn % count, self.payloads[turn / count % self.payloads.len()].fill(&mut self.random, 0)),
        };
        let fields = self.fields(kind, payload_text);
        let expected = if self.payloads.is_empty() { Expected::Stored } else { self.foretell(kind, &fields) };
        if expected == Expected::Stored {
            let earlier = Earlier { kind, fields: fields.clone(), is_contested: false };
            if self.earlier.len() < EARLIER_MAX {
                self.earlier.push(earlier);
            } else {
                let location = self.random.random_range(0..EARLIER_MAX);
                self.earlier[location] = earlier;
            }
        }
        Some(self.draft(kind, &fields, fields.write(), expected))
    }

    /// A payload from one of the type's examples.
    fn payload_of(&mut self, kind: usize) -> Option<String> {
        let examples = &self.kinds[kind].valid;
        let chosen = (!examples.is_empty()).then(|| self.random.random_range(0..examples.len()))?;
        Some(examples[chosen].fill(&mut self.random, self.mix.size))
    }

    /// The fields of a valid event. One in four names its recipient, one in four its version.
    fn fields(&mut self, kind: usize, payload_text: String) -> Fields {
        let EventKind { tenant_id, event_type, clients, schema_version, .. } = &self.kinds[kind];
        let names_client = !clients.is_empty() && self.random.random_ratio(1, 4);
        let client_id = names_client.then(|| clients[self.random.random_range(0..clients.len())].clone());
        let schema_version = self.random.random_ratio(1, 4).then_some(i64::from(*schema_version));
        Fields {
            tenant_id: self.binding.tenant.is_none().then(|| tenant_id.clone()),
            event_id: Uuid::now_v7().to_string(),
            source: self.source.clone(),
            event_type: Some(event_type.clone()),
            schema_version,
            client_id,
            payload_text,
            others: Vec::new(),
        }
    }

    /// What must become of a payload of one's own: what it is, only the schema can say.
    fn foretell(&self, kind: usize, fields: &Fields) -> Expected {
        let candidate = Candidate::of_body(self.binding.clone(), fields.write().into_bytes());
        let decoded = match decode(Arc::new(candidate), SQS_MESSAGE_BYTES_MAX) {
            Ok(decoded) => decoded,
            Err(rejection) => return Expected::Rejected(rejection.reason),
        };
        match self.kinds[kind].schema.violations(decoded.payload()).first() {
            None => Expected::Stored,
            Some(violation) if violation.keyword == BUDGET => Expected::Rejected(Reason::ValidationTimeout),
            Some(_) => Expected::Rejected(Reason::SchemaViolation),
        }
    }

    /// An earlier event once more; every other time in other letters.
    fn duplicate(&mut self) -> Draft {
        let chosen = self.random.random_range(0..self.earlier.len());
        let Earlier { kind, mut fields, .. } = self.earlier[chosen].clone();
        let body = if self.random.random() {
            fields.payload_text = reformat(&fields.payload_text);
            fields.write()
        } else {
            fields.write()
        };
        self.draft(kind, &fields, body, Expected::Duplicate)
    }

    /// The next wrong event; the faults take turns.
    fn invalid(&mut self) -> Option<Draft> {
        let fault = self.faults[self.sent_invalid % self.faults.len()];
        self.sent_invalid += 1;
        if fault == Reason::IdConflict {
            return self.conflict();
        }
        let begin = self.random.random_range(0..self.kinds.len());
        let (kind, payload_text) = if fault == Reason::SchemaViolation {
            let kind = self.kind_from(begin, |kind| !kind.invalid.is_empty())?;
            let examples = &self.kinds[kind].invalid;
            let chosen = self.random.random_range(0..examples.len());
            (kind, examples[chosen].fill(&mut self.random, 0))
        } else {
            self.example_from(begin)?
        };
        let mut fields = self.fields(kind, payload_text);
        let body = faults::spoil(&mut fields, fault);
        Some(self.draft(kind, &fields, body, Expected::Rejected(fault)))
    }

    /// Another payload under the id of an earlier event.
    fn conflict(&mut self) -> Option<Draft> {
        let chosen = self.earlier.iter().rposition(|earlier| !earlier.is_contested)?;
        let Earlier { kind, mut fields, .. } = self.earlier[chosen].clone();
        let other = self.payload_of(kind)?;
        if crate::json::is_equal(&other, &fields.payload_text) {
            return None;
        }
        self.earlier[chosen].is_contested = true;
        fields.payload_text = other;
        Some(self.draft(kind, &fields, fields.write(), Expected::Rejected(Reason::IdConflict)))
    }

    /// The first event type from there on that has something.
    fn kind_from(&self, begin: usize, has: impl Fn(&EventKind) -> bool) -> Option<usize> {
        let count = self.kinds.len();
        (begin..begin + count).map(|position| position % count).find(|position| has(&self.kinds[*position]))
    }

    /// The first event type from there on that has valid examples, and a payload from one of them.
    fn example_from(&mut self, begin: usize) -> Option<(usize, String)> {
        let kind = self.kind_from(begin, |kind| !kind.valid.is_empty())?;
        self.payload_of(kind).map(|payload_text| (kind, payload_text))
    }

    fn draft(&self, kind: usize, fields: &Fields, body: String, expected: Expected) -> Draft {
        Draft {
            tenant_id: fields.tenant_id.clone().unwrap_or_else(|| self.kinds[kind].tenant_id.clone()),
            source: fields.source.clone(),
            event_id: fields.event_id.clone(),
            event_type: fields.event_type.clone().unwrap_or_default(),
            client_id: fields.client_id.clone(),
            body,
            payload: fields.payload_text.clone(),
            expected,
        }
    }
}

impl Iterator for Generator {
    type Item = Draft;

    fn next(&mut self) -> Option<Draft> {
        let drawn: f64 = self.random.random();
        let is_over = self.is_once && self.sent_valid >= self.payloads.len() * self.kinds.len();
        if is_over {
            return None;
        }
        if drawn < self.mix.invalid {
            // What cannot be wrong in this way yet, because nothing valid was sent, is wrong in the next one.
            for _ in 0..self.faults.len() {
                if let Some(draft) = self.invalid() {
                    return Some(draft);
                }
            }
        }
        if drawn >= self.mix.invalid && drawn < self.mix.invalid + self.mix.duplicates && !self.earlier.is_empty() {
            return Some(self.duplicate());
        }
        self.valid()
    }
}

/// A string of so many bytes as JSON.
fn long_string(bytes: usize) -> String {
    quote(&"x".repeat(bytes))
}
