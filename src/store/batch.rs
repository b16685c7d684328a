//! A batch as it is stored: candidates with their verdicts, and the identities by which Postgres knows them.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::admit::tenant_of_queue;
use crate::candidate::Candidate;
use crate::event::{Envelope, Identity, TenantId};
use crate::validate::Verdict;

/// A candidate with its verdict, ready to be stored.
#[derive(Debug, Clone)]
pub struct Decided {
    /// What the verdict was asked on.
    pub candidate: Arc<Candidate>,
    /// What was decided.
    pub verdict: Verdict,
    /// The catalog's generation under which.
    pub generation: i64,
    /// How much its dead letter tells, where it becomes one.
    pub detail: Detail,
}

/// What a dead letter tells beside the body. Less where Postgres has refused more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// All that is known.
    #[default]
    All,
    /// All but the attributes.
    NoAttributes,
    /// The reason alone.
    ReasonOnly,
}

impl Decided {
    /// An event whose verdict has just been found.
    pub fn new(candidate: Arc<Candidate>, verdict: Verdict, generation: i64) -> Self {
        Self { candidate, verdict, generation, detail: Detail::default() }
    }

    /// Whose it is: the admitted tenant's, or before that the queue's.
    pub fn tenant_id(&self) -> Option<&TenantId> {
        match &self.verdict {
            Ok(event) => Some(event.tenant_id()),
            Err(rejection) => rejection.admitted.as_ref().or_else(|| tenant_of_queue(&self.candidate, rejection.reason)),
        }
    }

    /// Of which type it says to be, where its envelope could be read.
    pub(super) fn event_type(&self) -> Option<&SmolStr> {
        match &self.verdict {
            Ok(event) => Some(&event.envelope().event_type),
            Err(rejection) => rejection.envelope.as_ref().map(|envelope| &envelope.event_type),
        }
    }

    /// The identity of an event whose tenant is known.
    pub(super) fn identity(&self) -> Option<(Identity<'_>, &Envelope)> {
        let (tenant_id, envelope) = match &self.verdict {
            Ok(event) => (event.tenant_id(), event.envelope()),
            Err(rejection) => (rejection.admitted.as_ref()?, rejection.envelope.as_deref()?),
        };
        Some((Identity { tenant_id: tenant_id.as_str(), source: &envelope.source, event_id: &envelope.event_id }, envelope))
    }

    /// The text of the payload, as it was sent.
    pub(super) fn payload<'a>(&'a self, envelope: &'a Envelope) -> &'a str {
        envelope.payload.of(&self.candidate.body)
    }
}
