//! Whether the database is fit to store events: reachable, writable, durable, with the tables that this build expects.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, PgConnection};

use super::failure::SessionError;
use super::session::{Session, backend_of};
use crate::database::{ErrorClass, describe};

/// The migrations of this build. A database that has newer ones as well is accepted: migrations only ever add.
pub(super) fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    migrator.set_ignore_missing(true);
    // Whoever waits for the driver's lock does so by a statement, whose snapshot an index that is built beside others waits for in turn.
    migrator.set_locking(false);
    migrator
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseState {
    /// Events can be stored.
    Fit {
        /// Something to be careful about.
        caution: Option<&'static str>,
        /// Whether what is stored could be changed and deleted by the session, too.
        has_owner_rights: bool,
    },
    /// They cannot; the sentence says why and what to do.
    Unfit(ErrorClass, String),
}

/// What a batch does, in this order.
const STATEMENTS: [&str; 8] = [
    include_str!("begin.sql"),
    include_str!("insert_messages.sql"),
    include_str!("insert_deliveries.sql"),
    include_str!("select_stored.sql"),
    include_str!("select_payloads.sql"),
    include_str!("upsert_dead_letters.sql"),
    include_str!("close_dead_letters.sql"),
    include_str!("clear_poison_attempts.sql"),
];

/// What a command's batch does beside that.
const STATEMENTS_OF_COMMANDS: [&str; 3] =
    [include_str!("lock_open_dead_letters.sql"), include_str!("replay_dead_letters.sql"), include_str!("../audit/end.sql")];

/// Does what a batch does, with no rows: what it finds missing, a right or a column perhaps, a batch would too. Says what that is.
async fn try_statements(connection: &mut PgConnection, statements: &[&str]) -> Result<Option<(ErrorClass, String)>, sqlx::Error> {
    for statement in statements {
        let without_rows = (1..=99).rev().fold((*statement).to_owned(), |text, number| text.replace(&format!("${number}"), "null"));
        match sqlx::raw_sql(AssertSqlSafe(without_rows)).execute(&mut *connection).await {
            Err(error @ sqlx::Error::Database(_)) => {
                return Ok(Some((ErrorClass::of(&error), format!("the database {}", describe(&error)))));
            }
            answered => _ = answered?,
        }
    }
    Ok(None)
}

/// What the server says of itself.
#[expect(clippy::struct_excessive_bools, reason = "a column each, which have nothing to do with one another")]
pub(super) struct Server {
    version: i32,
    encoding: String,
    is_standby: bool,
    is_read_only: bool,
    has_fsync: bool,
    has_full_page_writes: bool,
    /// Whether anything was ever migrated.
    has_migrations: bool,
    has_owner_rights: bool,
}

impl Server {
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        sqlx::query_file_as!(Self, "src/store/probe_server.sql").fetch_one(connection).await
    }

    /// The migrations that were applied, of whichever build.
    pub(super) async fn applied(&self, connection: &mut PgConnection) -> Result<Vec<i64>, sqlx::Error> {
        // Not asked for in vain: that would leave an error in the server's log.
        match self.has_migrations {
            true => sqlx::query_file_scalar!("src/store/probe_migrations.sql").fetch_all(connection).await,
            false => Ok(Vec::new()),
        }
    }

    /// Why the tables cannot be here.
    pub(super) fn unfit_for_tables(&self) -> Option<String> {
        if self.version < 150_000 {
            return Some("the server is older than PostgreSQL 15; use 15 or later".to_owned());
        }
        if self.encoding != "UTF8" {
            return Some(format!(
                "the database's encoding is {}, which cannot hold every event; make another one by `create database NAME encoding 'UTF8' \
                 template template0` (with locale 'C' where the server's own does not allow for it) and name it in DATABASE_URL",
                self.encoding
            ));
        }
        if self.is_standby {
            return Some("the server is read-only, a standby; point DATABASE_URL at the primary".to_owned());
        }
        self.is_read_only.then(|| {
            "the database is read-only by default_transaction_read_only, of the server, the database or the role; switch it off there once \
             writing is wanted"
                .to_owned()
        })
    }

    /// Why events cannot be stored here.
    fn unfit_for_events(&self) -> Option<String> {
        let is_lossy = !self.has_fsync;
        let lossy = || "the server runs with fsync off and would lose events at a crash; set it to on".to_owned();
        self.unfit_for_tables().or_else(|| is_lossy.then(lossy))
    }

    /// Right on storage that never tears a page, such as ZFS.
    fn caution(&self) -> Option<&'static str> {
        let caution = "the server runs with full_page_writes off: where its storage can tear a page at a crash, set it to on";
        (!self.has_full_page_writes).then_some(caution)
    }
}

async fn probe_by(connection: &mut PgConnection, statements: &[&str]) -> Result<DatabaseState, sqlx::Error> {
    backend_of(connection).await?;
    let server = Server::of(connection).await?;
    if let Some(sentence) = server.unfit_for_events() {
        return Ok(DatabaseState::Unfit(ErrorClass::Unavailable, sentence));
    }
    let applied = server.applied(connection).await?;
    let missing = migrator().iter().filter(|migration| !applied.contains(&migration.version)).count();
    if missing > 0 {
        let sentence = format!("the database lacks {missing} of this build's migrations; run `processor migrate`");
        return Ok(DatabaseState::Unfit(ErrorClass::Permission, sentence));
    }
    let refused = try_statements(connection, statements).await?;
    let fit = DatabaseState::Fit { caution: server.caution(), has_owner_rights: server.has_owner_rights };
    Ok(refused.map_or(fit, |(class, sentence)| DatabaseState::Unfit(class, sentence)))
}

/// One probe of the database, by a session that is kept for the next; where it is thorough, what a batch does is tried too.
///
/// # Errors
/// What stood in the way.
pub async fn probe(session: &mut Session, deadline: Duration, is_thorough: bool) -> Result<DatabaseState, SessionError> {
    let statements: &[&str] = if is_thorough { &STATEMENTS } else { &[] };
    session.run(deadline, move |connection| Box::pin(probe_by(connection, statements))).await
}

/// Why a command cannot store events here, or change dead letters; none: it can.
///
/// # Errors
/// As above.
pub async fn unfit_for_commands(session: &mut Session, deadline: Duration) -> Result<Option<String>, SessionError> {
    let statements = [&STATEMENTS[..], &STATEMENTS_OF_COMMANDS].concat();
    let state = session.run(deadline, move |connection| Box::pin(async move { probe_by(connection, &statements).await })).await?;
    Ok(match state {
        DatabaseState::Fit { .. } => None,
        DatabaseState::Unfit(_, sentence) => Some(sentence),
    })
}

/// Why a database can hold no tables of ours; none: it can.
///
/// # Errors
/// The driver's.
pub async fn unfit_for_tables(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    Ok(Server::of(connection).await?.unfit_for_tables())
}
