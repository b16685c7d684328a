//! Why a batch is not settled, and whose fault that is.

use super::CommitError;

/// Why a batch is not settled. Nothing of it was stored, except perhaps under [`Failure::Unknown`].
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A rejection depends on the catalog, and Postgres has a newer one: judge again.
    #[error("the catalog has become newer than the snapshot that judged")]
    Stale,
    /// Postgres refused a row for what it holds: store the others, one of them is at fault.
    #[error("Postgres refused a row (SQLSTATE {0})")]
    Refused(String),
    /// A row names what the catalog's tables do not have.
    #[error("Postgres misses what a row refers to (SQLSTATE 23503)")]
    MissingReference,
    /// Ours: try later.
    #[error("the database does not store: {0}")]
    Unavailable(String),
    /// Ours, and nothing came back at all.
    #[error("the database did not answer in time")]
    Deadline,
    /// The commit was sent and its outcome never told: redelivery settles it.
    #[error("the outcome of a commit is unknown: {0}")]
    Unknown(String),
}

impl Failure {
    pub(super) fn of(error: &sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
        match code.as_ref() {
            "23503" => Self::MissingReference,
            "23514" => Self::Refused(code.into_owned()),
            code if code.starts_with("22") || code.starts_with("54") => Self::Refused(code.to_owned()),
            _ => Self::Unavailable(describe(error)),
        }
    }

    pub(super) fn of_commit(error: CommitError) -> Self {
        match error {
            CommitError::RolledBack => Self::Unavailable("the commit was rolled back".to_owned()),
            CommitError::Unknown(error) => Self::Unknown(error.as_ref().map_or_else(|| "no status".to_owned(), describe)),
        }
    }
}

/// An error without the detail, which may hold an event's values: SQLSTATE or kind.
pub fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => format!("SQLSTATE {}", database.code().unwrap_or_default()),
        sqlx::Error::Io(error) => format!("connection: {}", error.kind()),
        sqlx::Error::Tls(_) => "TLS: the server's certificate or its settings were not accepted".to_owned(),
        _ => "the driver gave up on the connection".to_owned(),
    }
}
