//! Why a batch is not settled, and who mends that.

use crate::database::{self, ErrorClass, describe};

/// Why work on a connection did not end well.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The driver says so.
    #[error("the database {}", database::describe(.0))]
    Driver(#[source] sqlx::Error),
    /// The server is there and waits for what was sent to it.
    #[error("the connection to the database is silent")]
    Silent,
    /// It took too long.
    #[error("the database did not answer in time")]
    Deadline,
}

impl SessionError {
    /// What kind of trouble it is.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Driver(error) => ErrorClass::of(error),
            Self::Silent | Self::Deadline => ErrorClass::Timeout,
        }
    }

    /// Whether the server has no room for one more connection, which says nothing about those that there are.
    pub fn is_for_want_of_connections(&self) -> bool {
        matches!(self, Self::Driver(error) if database::is_for_want_of_connections(error))
    }
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The server says that the transaction was rolled back.
    #[error("the server rolled the transaction back")]
    RolledBack,
    /// The server did not say: the transaction may be committed or not.
    #[error("the outcome of the commit is unknown")]
    Unknown(#[source] Option<sqlx::Error>),
}

/// Why a batch is not settled. Nothing of it was stored, except perhaps under [`Failure::Unknown`].
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A rejection depends on the catalog, and Postgres has a newer one: validate again.
    #[error("the catalog has become newer than the snapshot that validated")]
    Stale,
    /// A dead letter is not to be replayed any more, or is another transaction's: see which are still open.
    #[error("a dead letter of the batch is closed by now, or another transaction has it")]
    Closed,
    /// Postgres refused a row for what it holds: store the others, one of them is at fault.
    #[error("Postgres refused a row (SQLSTATE {0})")]
    Refused(String),
    /// A row names what the catalog's tables do not have.
    #[error("Postgres misses what a row refers to (SQLSTATE 23503)")]
    MissingReference,
    /// Ours: try later.
    #[error("the database {1}")]
    Unavailable(ErrorClass, String),
    /// Ours, and nothing came back at all.
    #[error("the database did not answer in time")]
    Deadline,
    /// The commit was sent and its outcome never told: redelivery settles it.
    #[error("the outcome of a commit is unknown: the database {1}")]
    Unknown(ErrorClass, String),
}

impl Failure {
    /// Its name, for spans.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Closed => "closed",
            Self::Refused(_) => "refused",
            Self::MissingReference => "missing_reference",
            Self::Unavailable(..) => "unavailable",
            Self::Deadline => "deadline",
            Self::Unknown(..) => "unknown",
        }
    }

    pub(super) fn of(error: &sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
        match code.as_ref() {
            "23503" => Self::MissingReference,
            "23514" => Self::Refused(code.into_owned()),
            code if code.starts_with("22") || code.starts_with("54") => Self::Refused(code.to_owned()),
            _ => Self::Unavailable(ErrorClass::of(error), describe(error)),
        }
    }

    /// What kind of trouble it is with the database; none where the fault is not ours.
    pub fn class(&self) -> Option<ErrorClass> {
        match self {
            Self::Stale | Self::Closed | Self::Refused(_) | Self::MissingReference => None,
            Self::Unavailable(class, _) | Self::Unknown(class, _) => Some(*class),
            Self::Deadline => Some(ErrorClass::Timeout),
        }
    }

    pub(super) fn of_commit(error: CommitError) -> Self {
        match error {
            CommitError::RolledBack => Self::Unavailable(ErrorClass::Unavailable, "has rolled back what was to be committed".to_owned()),
            CommitError::Unknown(Some(error)) => Self::Unknown(ErrorClass::of(&error), describe(&error)),
            CommitError::Unknown(None) => Self::Unknown(ErrorClass::Unavailable, "does not know of it".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::error::Error;

    use sqlx::error::{DatabaseError, ErrorKind};

    use super::*;

    /// What Postgres says by a code alone.
    #[derive(Debug, thiserror::Error)]
    #[error("an error")]
    struct Said(String);

    impl DatabaseError for Said {
        fn message(&self) -> &'static str {
            "an error"
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(Cow::Borrowed(&self.0))
        }

        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    /// The name of what a code leads to.
    fn failure(code: &str) -> String {
        let failure = format!("{:?}", Failure::of(&sqlx::Error::Database(Box::new(Said(code.to_owned())))));
        failure.split('(').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn each_code_leads_to_what_the_table_of_the_store_says() {
        let rows = include_str!("../store.rs").lines().filter_map(|line| line.strip_prefix("//! |")).skip(2);
        let mut codes = 0;
        for row in rows {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let named = cells[0].split(':').next().unwrap_or_default().split(", ");
            for code in named.filter(|name| name.starts_with(|character: char| character.is_ascii_digit() || character == 'X')) {
                // A code that no row names stands for its class.
                assert_eq!(failure(&code.replace('*', "999")), cells[1], "{code}");
                codes += 1;
            }
        }
        assert_eq!((codes, failure("0A000").as_str()), (22, "Unavailable"));
    }
}
