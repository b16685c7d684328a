//! Connections to Postgres, each of which says itself what it needs, and what goes wrong with them, as sentences.

mod trouble;

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tokio::time::{Interval, MissedTickBehavior};

use crate::settings::Database;

pub use trouble::{ErrorClass, describe, is_for_want_of_connections, is_wrong_setting, tell};

/// A server's setting and its value, in the unit in which `pg_settings` has it.
pub type Setting = (&'static str, &'static str);

/// What every session needs, whatever the defaults of the server, the database or the role are. `default_transaction_read_only` is none of
/// these: with it an operator stops all writing, and that is told. Nor is `search_path`: it says where the tables are.
pub const PINNED: [Setting; 9] = [
    // A commit that is confirmed is on disk.
    ("synchronous_commit", "on"),
    // Foreign keys are checked.
    ("session_replication_role", "origin"),
    // A statement sees what others have committed before it, and waits for them instead of failing.
    ("default_transaction_isolation", "read committed"),
    ("lock_timeout", "0"),
    // As the driver and the statements mean what they write.
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("TimeZone", "UTC"),
    ("standard_conforming_strings", "on"),
    // A session without work is kept.
    ("idle_session_timeout", "0"),
];

/// A server that takes longer is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects, pins these settings beside those that every session needs, and takes the role that is asked for where the user is a member of
/// it. Of a setting that both name, these have the last word.
///
/// # Errors
/// The driver's, or that the setting which says where to connect is of no use by now.
pub async fn connect(database: &Database, settings: &[Setting]) -> Result<PgConnection, sqlx::Error> {
    let connecting = async {
        let mut connection = database.options()?.connect().await?;
        sqlx::raw_sql(AssertSqlSafe(opening(database, settings))).execute(&mut connection).await?;
        Ok(connection)
    };
    let connecting = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
    connecting.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
}

/// A connection that is told what is notified on a channel; a pool of one, because the listener of the driver wants one.
///
/// # Errors
/// As above.
pub async fn listen(database: &Database, channel: &str) -> Result<PgListener, sqlx::Error> {
    let opening = opening(database, &[]);
    let pool = PgPoolOptions::new().max_connections(1).after_connect(move |connection, _| {
        let opening = AssertSqlSafe(opening.clone());
        Box::pin(async move { sqlx::raw_sql(opening).execute(connection).await.map(|_| ()) })
    });
    let mut listener = PgListener::connect_with(&pool.connect_lazy_with(database.options()?)).await?;
    listener.listen(channel).await?;
    Ok(listener)
}

/// Waits for a notification, and then until the pace allows for heeding it; what comes meanwhile is one with it. False when the connection was
/// lost, and with it whatever was notified. Anybody may notify without an end: that is read all the same, for the server keeps what is not, but
/// it makes no more work than the pace has steps. Only reading is abandoned when this future is dropped: the listener keeps what it has received.
pub async fn notified(listener: &mut PgListener, pace: &mut Interval) -> bool {
    if !matches!(listener.try_recv().await, Ok(Some(_))) {
        return false;
    }
    loop {
        tokio::select! {
            biased;
            _ = pace.tick() => return true,
            heard = listener.try_recv() => if !matches!(heard, Ok(Some(_))) { return false },
        }
    }
}

/// Steps of which the first is at once, and each other one so long after the one before it.
pub fn pace(step: Duration) -> Interval {
    let mut pace = tokio::time::interval(step);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

/// What a session begins with, in one exchange, by the simple protocol; what is put in is constants of ours. The settings come first: those of
/// a superuser only he may change.
fn opening(database: &Database, settings: &[Setting]) -> String {
    let mut statements = include_str!("database/pin_settings.sql").replace("$1", &format!("'{}'", pinned(settings)));
    if let Some(role) = database.role() {
        statements += ";\n";
        statements += &include_str!("database/set_role.sql").replace("$1", role.name());
    }
    statements
}

/// What a session has that was given these settings, as a JSON object.
pub fn pinned(settings: &[Setting]) -> serde_json::Value {
    PINNED.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), serde_json::Value::from(*value))).collect()
}
