//! What becomes of one event of a batch.

use super::batch::{Decided, Detail};
use super::conflicts::Comparison;
use crate::event::{Envelope, Reason, Rejection, TenantId, Violation};

/// What a transaction decided on one event.
#[derive(Debug, Clone, PartialEq)]
pub enum Settlement {
    /// It is a row now.
    Stored,
    /// Its equal was there before.
    Duplicate,
    /// It is a dead letter.
    Rejected(Box<Rejection>),
}

/// What becomes of one event; nothing yet where its comparison was deferred. A rejected one that is stored with equal content is a
/// duplicate, whatever the catalog says now.
///
/// # Errors
/// Where an event was neither inserted nor is there: the row that it met was deleted in between, and the whole batch is to be tried again.
pub fn decide(decided: &Decided, is_inserted: bool, comparison: Option<Comparison>) -> Result<Option<Settlement>, sqlx::Error> {
    match (&decided.verdict, is_inserted, comparison) {
        (Ok(_), true, _) => Ok(Some(Settlement::Stored)),
        (_, false, Some(Comparison::Deferred)) => Ok(None),
        (_, false, Some(Comparison::Equal)) => Ok(Some(Settlement::Duplicate)),
        (Ok(event), false, Some(Comparison::Different)) => {
            let rejection = conflict(event.envelope().clone(), event.tenant_id().clone());
            Ok(Some(Settlement::Rejected(Box::new(rejection))))
        }
        (Ok(_), false, None) => Err(sqlx::Error::RowNotFound),
        (Err(rejection), ..) => Ok(Some(Settlement::Rejected(Box::new(rejection.clone())))),
    }
}

fn conflict(envelope: Envelope, tenant_id: TenantId) -> Rejection {
    let violation = Violation {
        keyword: "identity".to_owned(),
        instance_location: "/event_id".to_owned(),
        schema_location: "message".to_owned(),
        expected: "the type, client and payload of the event that is stored under this id, or an id of its own".to_owned(),
        found: "string".to_owned(),
    };
    Rejection { envelope: Some(Box::new(envelope)), admitted: Some(tenant_id), ..Rejection::new(Reason::IdConflict, violation) }
}

/// Turns an event that Postgres refused alone into the dead letter that it is. False where even the barest dead letter was refused: then the
/// fault is ours.
pub fn refuse(decided: &mut Decided, sqlstate: &str) -> bool {
    let violation = Violation {
        keyword: "postgres".to_owned(),
        instance_location: String::new(),
        schema_location: "message".to_owned(),
        expected: format!("a row that Postgres accepts (SQLSTATE {sqlstate})"),
        found: "event".to_owned(),
    };
    match (&mut decided.verdict, decided.detail) {
        (Ok(event), _) => {
            let (envelope, admitted) = (Some(Box::new(event.envelope().clone())), Some(event.tenant_id().clone()));
            decided.verdict = Err(Rejection { envelope, admitted, ..Rejection::new(Reason::Unstorable, violation) });
        }
        // The dead letter itself was refused for something that it tells.
        (Err(_), Detail::All) => decided.detail = Detail::NoAttributes,
        (Err(rejection), Detail::NoAttributes) => {
            decided.detail = Detail::ReasonOnly;
            rejection.violations = vec![violation];
        }
        (Err(_), Detail::ReasonOnly) => return false,
    }
    true
}
