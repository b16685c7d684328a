//! What becomes of one event of a batch.

use super::{Judged, Quotes};
use crate::event::{Envelope, Reason, Rejection, TenantId, Violation};
use crate::fault;

/// What a transaction decided on one event.
#[derive(Debug, Clone, PartialEq)]
pub enum Settlement {
    /// It is a row now.
    Stored,
    /// Its equal was there before.
    Duplicate,
    /// It is a letter.
    Rejected(Reason),
}

/// What becomes of one event. A rejected one that is stored with equal content is a duplicate, whatever the catalog says now.
pub fn decide(judged: &Judged, is_inserted: bool, is_equal: Option<bool>) -> Result<(Settlement, Option<Rejection>), sqlx::Error> {
    match (&judged.verdict, is_inserted, is_equal) {
        (Ok(_), true, _) => Ok((Settlement::Stored, None)),
        (_, false, Some(true)) => Ok((Settlement::Duplicate, None)),
        (Ok(event), false, Some(false)) => {
            let rejection = conflict(event.envelope().clone(), event.tenant_id().clone());
            Ok((Settlement::Rejected(Reason::IdConflict), Some(rejection)))
        }
        // Neither inserted nor there: the row it met was deleted in between. The whole batch is tried again.
        (Ok(_), false, None) if fault::has_bug("key_without_tenant") => Ok((Settlement::Duplicate, None)),
        (Ok(_), false, None) => Err(sqlx::Error::RowNotFound),
        (Err(rejection), ..) => Ok((Settlement::Rejected(rejection.reason), Some(rejection.clone()))),
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

/// Turns an event that Postgres refused alone into the dead letter that it is.
///
/// # Errors
/// The event as it was, where even the barest letter was refused: then the fault is ours.
#[expect(clippy::result_large_err, reason = "both are the event; which one says whether to try again")]
pub fn refuse(mut judged: Judged, sqlstate: &str) -> Result<Judged, Judged> {
    let violation = Violation {
        keyword: "postgres".to_owned(),
        instance_location: String::new(),
        schema_location: "message".to_owned(),
        expected: format!("a row that Postgres accepts (SQLSTATE {sqlstate})"),
        found: "event".to_owned(),
    };
    match (&mut judged.verdict, judged.quotes) {
        (Ok(event), _) => {
            let (envelope, admitted) = (Some(Box::new(event.envelope().clone())), Some(event.tenant_id().clone()));
            judged.verdict = Err(Rejection { envelope, admitted, ..Rejection::new(Reason::Unstorable, violation) });
        }
        // The letter itself was refused for something that it quotes.
        (Err(_), Quotes::All) => judged.quotes = Quotes::NoAttributes,
        (Err(rejection), Quotes::NoAttributes) => {
            judged.quotes = Quotes::Nothing;
            rejection.violations = vec![violation];
        }
        (Err(_), Quotes::Nothing) => return Err(judged),
    }
    Ok(judged)
}
