//! A dead letter's payload as an example in the catalog's files: what was refused once is proven by `catalog check` from then on.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use sqlx::PgConnection;

use super::kept::read_any;
use crate::catalog::directory::find_event_type;
use crate::decode::decode;
use crate::event::{Reason, is_name};
use crate::settings::SQS_MESSAGE_BYTES_MAX;

/// Why there is no example.
#[derive(Debug, thiserror::Error)]
pub enum ExampleError {
    /// There is no such dead letter.
    #[error("there is no dead letter {0}; `processor dead-letter list --closed` shows which there are")]
    NoDeadLetter(i64),
    /// It has no payload.
    #[error("dead letter {0} has no payload that could be an example: its body is refused before ({1})")]
    NoPayload(i64, Reason),
    /// Nobody says whose it is.
    #[error("dead letter {0} names no tenant, so there is no directory for its payload")]
    NoTenant(i64),
    /// The files have no place for it.
    #[error("{directory} declares no event type {event_type:?}; name the catalog's directory by --schemas, or declare the type first")]
    NoEventType {
        /// The tenant's.
        directory: String,
        /// The event's.
        event_type: String,
    },
    /// There is one of that name.
    #[error("{0} is there already, and stays as it is; choose another --name")]
    Exists(String),
    /// It was not written.
    #[error("failed to write {0}: {1}")]
    Write(String, std::io::Error),
    /// Postgres does not answer, or refuses.
    #[error("the database {}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// Writes a dead letter's payload, as it was sent, among the examples of its event type; gives the file.
///
/// # Errors
/// [`ExampleError`]; nothing was written then, or not all of it.
pub async fn write_example(
    connection: &mut PgConnection,
    dead_letter_id: i64,
    name: &str,
    is_valid: bool,
    schemas: &Path,
) -> Result<PathBuf, ExampleError> {
    let kept = read_any(connection, dead_letter_id).await?.ok_or(ExampleError::NoDeadLetter(dead_letter_id))?;
    let decoded = decode(kept.candidate.clone(), SQS_MESSAGE_BYTES_MAX);
    let envelope = decoded.map_err(|rejection| ExampleError::NoPayload(dead_letter_id, rejection.reason))?.into_envelope();
    let of_queue = kept.candidate.queue.tenant.as_ref().map(|tenant| tenant.as_str().to_owned());
    let tenant = of_queue.or_else(|| envelope.tenant_id.as_ref().map(ToString::to_string)).filter(|tenant| is_name(tenant));
    let tenant = tenant.ok_or(ExampleError::NoTenant(dead_letter_id))?;
    let directory = find_event_type(schemas, &tenant, &envelope.event_type).ok_or_else(|| ExampleError::NoEventType {
        directory: schemas.join(&tenant).display().to_string(),
        event_type: envelope.event_type.to_string(),
    })?;
    let group = if is_valid { "valid" } else { "invalid" };
    let directory = schemas.join(tenant).join(directory).join("examples").join(group);
    let file = directory.join(format!("{name}.json"));
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => ExampleError::Exists(file.display().to_string()),
        _ => ExampleError::Write(file.display().to_string(), error),
    };
    std::fs::create_dir_all(&directory).map_err(failed)?;
    let mut writing = std::fs::File::create_new(&file).map_err(failed)?;
    writeln!(writing, "{}", envelope.payload.of(&kept.candidate.body)).map_err(failed)?;
    Ok(file)
}
