//! Whether the database is fit to store events: reachable, writable, durable, with the tables that this build expects.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use super::describe;

/// The migrations of this build. A database that has newer ones as well is accepted: migrations only ever add.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!();
    migrator.set_ignore_missing(true);
    migrator
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseState {
    /// Events can be stored.
    Fit,
    /// They cannot; the sentence says why and what to do.
    Unfit(String),
}

/// What a batch does, in this order.
const STATEMENTS: [&str; 6] = [
    include_str!("begin.sql"),
    include_str!("insert_unless_stored.sql"),
    include_str!("select_messages.sql"),
    include_str!("upsert_dead_letters.sql"),
    include_str!("close_dead_letters.sql"),
    include_str!("clear_suspects.sql"),
];

/// Does what a batch does, with no rows: what it finds missing, a right or a column perhaps, a batch would too.
async fn try_statements(connection: &mut PgConnection) -> Result<DatabaseState, sqlx::Error> {
    for statement in STATEMENTS {
        let without_rows = (1..=99).rev().fold(statement.to_owned(), |text, number| text.replace(&format!("${number}"), "null"));
        match sqlx::raw_sql(AssertSqlSafe(without_rows)).execute(&mut *connection).await {
            Err(sqlx::Error::Database(error)) => {
                let code = error.code().unwrap_or_default();
                let sentence = format!("the server refuses what storing needs (SQLSTATE {code}); check the role's rights and the tables");
                return Ok(DatabaseState::Unfit(sentence));
            }
            answered => _ = answered?,
        }
    }
    Ok(DatabaseState::Fit)
}

async fn probe(connection: &mut PgConnection) -> Result<DatabaseState, sqlx::Error> {
    let server = sqlx::query_file!("src/store/probe_server.sql").fetch_one(&mut *connection).await?;
    let unfit = |sentence: &str| Ok(DatabaseState::Unfit(sentence.to_owned()));
    if server.version < 150_000 {
        return unfit("the server is older than PostgreSQL 15; use 15 or later");
    }
    if server.is_read_only {
        return unfit("the server is read-only, a standby perhaps; point DATABASE_URL at the primary");
    }
    if !server.is_durable {
        return unfit("the server runs with fsync or full_page_writes off and would lose events at a crash; set both to on");
    }
    let applied = match sqlx::query_file_scalar!("src/store/probe_migrations.sql").fetch_all(connection).await {
        Ok(applied) => applied,
        // undefined_table: nothing was ever migrated.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => Vec::new(),
        Err(error) => return Err(error),
    };
    let missing = migrator().iter().filter(|migration| !applied.contains(&migration.version)).count();
    if missing > 0 {
        return Ok(DatabaseState::Unfit(format!("the database lacks {missing} of this build's migrations; run `processor migrate`")));
    }
    Ok(DatabaseState::Fit)
}

/// Applies what is missing of the migrations, by a connection of its own: the migrator's lock belongs to its session.
///
/// Gives how many were missing.
///
/// # Errors
/// When Postgres does not answer, another migration holds the lock, or a statement fails.
pub async fn migrate(options: &PgConnectOptions) -> Result<usize, MigrateError> {
    // A migration that waits for a lock makes everyone else wait behind it.
    let options = options.clone().options([("lock_timeout", "2s")]);
    let mut connection = options.connect().await?;
    let before = applied_count(&mut connection).await;
    let outcome = migrator().run_direct(None, &mut connection, false).await;
    let after = applied_count(&mut connection).await;
    connection.close().await?;
    outcome.map(|()| after.saturating_sub(before))
}

async fn applied_count(connection: &mut PgConnection) -> usize {
    sqlx::query_file_scalar!("src/store/probe_migrations.sql").fetch_all(connection).await.map_or(0, |applied| applied.len())
}

/// One look at the database, from connecting to closing; where it is thorough, what a batch does is tried too.
///
/// # Errors
/// What kind of trouble there was, without details.
pub async fn look(options: &PgConnectOptions, is_thorough: bool) -> Result<DatabaseState, String> {
    let mut connection = options.connect().await.map_err(|error| describe(&error))?;
    let mut state = probe(&mut connection).await.map_err(|error| describe(&error))?;
    if is_thorough && state == DatabaseState::Fit {
        state = try_statements(&mut connection).await.map_err(|error| describe(&error))?;
    }
    connection.close().await.map_err(|error| describe(&error))?;
    Ok(state)
}
