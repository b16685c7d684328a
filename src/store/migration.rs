//! Bringing the tables up to this build.

use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::{Connection as _, PgConnection};

use super::database::{Server, migrator};
use super::roles::{become_owner, grant_rights};
use crate::database::{self, Setting, describe};
use crate::settings::Database;

/// A migration that waits for a lock makes everyone else wait behind it; what it does by itself may take as long as it has to.
const SETTINGS: [Setting; 4] =
    [("lock_timeout", "2000"), ("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0"), ("transaction_timeout", "0")];

/// Of the advisory lock that one migration of a database has at a time: "events", in ASCII.
const LOCK_KEY: i64 = 0x0065_7665_6e74_7300;

/// How often the lock is tried, and the pause before each but the first.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Why the migrations were not applied.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// It is not a database for this.
    #[error("{0}")]
    Unfit(String),
    /// Another one is at work.
    #[error("another `processor migrate` is at work on this database; wait for its end, then try again")]
    Locked,
    /// Postgres does not answer.
    #[error("the database {}", describe(.0))]
    Database(#[from] sqlx::Error),
    /// A statement was refused, or waited in vain for a lock.
    #[error("migration {version} did not succeed, and nothing of it remains: the database {}", describe(.error))]
    Refused {
        /// Which one.
        version: i64,
        /// Postgres's own word.
        error: sqlx::Error,
    },
    /// What was applied before are not this build's migrations.
    #[error("the database's migrations are not this build's: {0}; use the build that made them")]
    Foreign(MigrateError),
}

impl From<MigrateError> for MigrationError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => Self::Database(error),
            MigrateError::ExecuteMigration(error, version) => Self::Refused { version, error },
            other => Self::Foreign(other),
        }
    }
}

/// What `migrate` has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// How many migrations were missing.
    pub applied: usize,
    /// Statements for somebody who may make the roles and grant them what they need, where this user may not.
    pub statements_left: Option<String>,
}

/// Applies what is missing of the migrations, by a connection of its own: the lock belongs to its session. Makes the roles before, to make what
/// is new as the owner where that is possible, and gives them their rights thereafter.
///
/// # Errors
/// When Postgres does not answer, the database is not fit, another migration holds the lock, or a statement fails.
pub async fn migrate(database: &Database) -> Result<Migrated, MigrationError> {
    let mut connection = database::connect(&database.to("migrate"), &SETTINGS).await?;
    let before = Server::of(&mut connection).await?;
    if let Some(sentence) = before.unfit_for_tables() {
        return Err(MigrationError::Unfit(sentence));
    }
    lock(&mut connection).await?;
    become_owner(&mut connection).await?;
    let applied_before = before.applied(&mut connection).await?.len();
    sqlx::raw_sql(include_str!("drop_invalid_indexes.sql")).execute(&mut connection).await?;
    migrator().run_direct(None, &mut connection, false).await?;
    let applied_after = Server::of(&mut connection).await?.applied(&mut connection).await?.len();
    let statements_left = grant_rights(&mut connection).await?;
    connection.close().await?;
    Ok(Migrated { applied: applied_after.saturating_sub(applied_before), statements_left })
}

async fn lock(connection: &mut PgConnection) -> Result<(), MigrationError> {
    for tried in 1..=LOCK_TRIES {
        if sqlx::query_file_scalar!("src/store/lock_migrations.sql", LOCK_KEY).fetch_one(&mut *connection).await? {
            return Ok(());
        }
        if tried < LOCK_TRIES {
            tokio::time::sleep(LOCK_PAUSE).await;
        }
    }
    Err(MigrationError::Locked)
}
