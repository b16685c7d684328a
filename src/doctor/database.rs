//! Postgres: what the daemon's own probe finds, and what becomes a trouble only later.

use std::time::Duration;

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::check::Check;
use crate::database::{self, Setting, describe, is_wrong_setting, tell};
use crate::fault;
use crate::settings::{Database, Role};
use crate::store::{DatabaseState, Session, SessionError, missing_rights_of_daemon, probe};

const CHECK: &str = "database";

/// A server that takes longer to answer cannot be relied on.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// None of what is asked here takes long, or waits for whoever works.
const SETTINGS: [Setting; 2] = [("statement_timeout", "15000"), ("lock_timeout", "2000")];

/// A process has at most so many connections at once, its commands' and those that ask about another one included.
const CONNECTIONS_NEEDED: i32 = 11;

/// Clocks that differ by more make times of sending and of storing contradict each other.
const SKEW_SECONDS_MAX: f64 = 10.0;

/// Postgres stops taking writes at about two billions; its own vacuum begins at 200 millions.
const TRANSACTION_AGE_MAX: i32 = 1_000_000_000;

/// One that is open for longer keeps vacuum from all that was deleted since, and migrations from their locks.
const TRANSACTION_TIME_MAX: Duration = Duration::from_mins(10);

/// A standby that is behind by more is worth a look, for a failover to it loses as much.
const REPLICATION_LAG_MAX: Duration = Duration::from_mins(1);

const OWNER_RIGHTS: &str = "the daemon would work with the rights of the tables' owner or of a superuser, and could change and delete what is \
                            stored; make the login in DATABASE_URL a member of event_processor_writer, or run `processor migrate` where there \
                            is no such role";

/// Looks at the database, with the rights that the daemon would have, and then with all of the login's. Gives a connection where there are tables to be asked, else why there is none.
pub async fn check(database: &Database, checks: &mut Vec<Check>) -> Result<PgConnection, &'static str> {
    let of_daemon = database.clone().with_role(Role::Writer);
    let state = probe(&mut Session::new(of_daemon.clone()), PROBE_TIMEOUT, true).await;
    let found = match &state {
        Ok(DatabaseState::Fit { caution: Some(caution), .. }) => Some(Check::wrong(CHECK, caution)),
        Ok(DatabaseState::Fit { has_owner_rights: true, .. }) => Some(Check::wrong(CHECK, OWNER_RIGHTS)),
        Ok(DatabaseState::Fit { .. }) => None,
        Ok(DatabaseState::Unfit(_, sentence)) => Some(Check::wrong(CHECK, sentence)),
        Err(SessionError::Driver(error)) if is_away(error) => Some(Check::away(CHECK, tell(database, error))),
        Err(SessionError::Driver(error)) => Some(Check::wrong(CHECK, tell(database, error))),
        Err(error @ (SessionError::Silent | SessionError::Deadline)) => {
            Some(Check::away(CHECK, format_args!("{error}; check DATABASE_URL and the server, and who holds its tables")))
        }
    };
    let is_fit = found.is_none();
    checks.extend(found);
    // Who lacks a right may be asked which ones.
    if state.is_err_and(|error| !matches!(&error, SessionError::Driver(error) if lacks_right(error))) {
        return Err("the database cannot be asked");
    }
    let asked = async {
        let mut connection = database::connect(database, &SETTINGS).await?;
        let has_tables = ask(&mut connection, database, is_fit, checks).await?;
        if has_tables {
            let role = sqlx::query_file_scalar!("src/doctor/database/role.sql");
            let role = role.fetch_one(&mut database::connect(&of_daemon, &SETTINGS).await?).await?;
            checks.extend(of_rights(&mut connection, &role).await?);
        }
        Ok::<_, sqlx::Error>((connection, has_tables))
    };
    match asked.await {
        Ok((connection, true)) => Ok(connection),
        Ok((_, false)) => Err("the tables are not there"),
        Err(error) => {
            checks.push(Check::away(CHECK, tell(database, &error)));
            Err("the database cannot be asked")
        }
    }
}

/// Whether the role may not do what was asked.
pub fn lacks_right(error: &sqlx::Error) -> bool {
    code_of(error) == "42501"
}

fn code_of(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned()
}

/// Whether the server does not answer, or only that it cannot at the moment: nothing that it was told is wrong.
fn is_away(error: &sqlx::Error) -> bool {
    let code = code_of(error);
    !is_wrong_setting(error) && (code.is_empty() || ["08", "53", "57"].iter().any(|class| code.starts_with(class)))
}

/// What is asked beyond the probe; whether the tables are there.
async fn ask(connection: &mut PgConnection, database: &Database, is_fit: bool, checks: &mut Vec<Check>) -> Result<bool, sqlx::Error> {
    let server = sqlx::query_file_as!(Server, "src/doctor/database/server.sql").fetch_one(&mut *connection).await?;
    let now = fault::now();
    if is_fit {
        let address = database.address().unwrap_or_default();
        let sentence = format!("PostgreSQL {} at {address} takes events: in UTF8, durable, with this build's tables", server.version);
        checks.push(Check::well(CHECK, sentence));
    }
    let mut problems = server.problems(now);
    if server.has_tables {
        problems.extend(of_tables(connection).await?);
    }
    problems.extend(of_others(connection, server.sees_others).await?);
    if problems.is_empty() {
        let sentence = "connections are free, clocks agree, no transaction is old, nobody is behind, tables are cleaned up";
        problems.push(Check::well("upkeep", sentence));
    }
    if !server.sees_others {
        let why = "other users' transactions and the standbys; this role sees them where it is granted pg_read_all_stats";
        problems.push(Check::skipped("upkeep", why));
    }
    checks.append(&mut problems);
    Ok(server.has_tables)
}

/// What the server says of itself.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a column each, which have nothing to do with one another")]
struct Server {
    version: String,
    now: OffsetDateTime,
    free_connections: i32,
    has_autovacuum: bool,
    transaction_age: i32,
    sees_others: bool,
    lacks_standby: bool,
    has_tables: bool,
}

impl Server {
    fn problems(&self, now: OffsetDateTime) -> Vec<Check> {
        let mut problems = Vec::new();
        let mut note = |check, sentence: String| problems.push(Check::wrong(check, sentence));
        if self.free_connections < CONNECTIONS_NEEDED {
            let free = self.free_connections.max(0);
            note(
                "connections",
                format!(
                    "{free} are free of max_connections, and a process may need {CONNECTIONS_NEEDED}; close those of other programs, \
                 or raise it"
                ),
            );
        }
        let skew = (self.now - now).as_seconds_f64();
        if skew.abs() > SKEW_SECONDS_MAX {
            let direction = if skew > 0.0 { "ahead of" } else { "behind" };
            note("clock", format!("the server's clock is {:.0} s {direction} this machine's; have both set by NTP", skew.abs()));
        }
        if !self.has_autovacuum {
            note("vacuum", "autovacuum is off, so that tables grow for ever; set it to on".to_owned());
        }
        if self.transaction_age > TRANSACTION_AGE_MAX {
            let millions = self.transaction_age / 1_000_000;
            note(
                "vacuum",
                format!(
                    "the oldest row is {millions} million transactions old, and at 2,000 Postgres stops taking writes; run `vacuum (freeze)`, \
                     and see below who is in its way"
                ),
            );
        }
        if self.lacks_standby && self.sees_others {
            note(
                "replication",
                "synchronous_standby_names is set and no such standby is connected, so that each commit waits for ever; start the \
                          standby, or empty the setting"
                    .to_owned(),
            );
        }
        problems
    }
}

/// Of the role that the daemon would work as.
async fn of_rights(connection: &mut PgConnection, role: &str) -> Result<Vec<Check>, sqlx::Error> {
    let lacking = missing_rights_of_daemon(connection, role).await?;
    let sentence =
        |statement: String| format!("{role}, as which the daemon would work, lacks a right; have the tables' owner run `{statement}`");
    Ok(lacking.into_iter().map(|statement| Check::wrong("rights", sentence(statement))).collect())
}

async fn of_tables(connection: &mut PgConnection) -> Result<Vec<Check>, sqlx::Error> {
    let mut problems = Vec::new();
    for table in sqlx::query_file!("src/doctor/database/tables.sql").fetch_all(&mut *connection).await? {
        let name = &table.table_name;
        problems.push(Check::wrong(
            "vacuum",
            match table.is_switched_off {
                true => {
                    format!("autovacuum is switched off for {name}, which grows for ever; `alter table {name} reset (autovacuum_enabled)`")
                }
                false => format!(
                    "{name} has {} dead rows beside {} and was not cleaned up lately; run `vacuum {name}`, and see who is in the way: old \
                 transactions, replication slots",
                    table.dead_rows, table.live_rows
                ),
            },
        ));
    }
    for index in sqlx::query_file_scalar!("src/doctor/database/invalid_indexes.sql").fetch_all(connection).await? {
        problems.push(Check::wrong(
            "indexes",
            format!(
                "{index} is not whole, a migration was interrupted; run `processor migrate` again, else \
                 `reindex index concurrently {index}`"
            ),
        ));
    }
    Ok(problems)
}

/// Who is in the way: old transactions, standbys, slots.
async fn of_others(connection: &mut PgConnection, sees_others: bool) -> Result<Vec<Check>, sqlx::Error> {
    let mut problems = Vec::new();
    let time_max = fault::shortened("transaction_time_max", TRANSACTION_TIME_MAX).as_secs_f64();
    let transactions = sqlx::query_file!("src/doctor/database/transactions.sql", time_max).fetch_all(&mut *connection).await?;
    for one in transactions {
        let (who, state, minutes, pid) = (one.who, one.state, one.seconds / 60, one.pid);
        problems.push(Check::wrong(
            "transactions",
            format!(
                "{who} has a transaction open for {minutes} min ({state}), which keeps vacuum from its work; end it there, or by \
                 `select pg_terminate_backend({pid})`"
            ),
        ));
    }
    if sees_others {
        let lag_max = fault::shortened("replication_lag_max", REPLICATION_LAG_MAX).as_secs_f64();
        for one in sqlx::query_file!("src/doctor/database/standbys.sql", lag_max).fetch_all(&mut *connection).await? {
            let (standby, seconds) = (one.standby, one.seconds);
            problems.push(Check::wrong(
                "replication",
                format!(
                    "the standby {standby} is {seconds} s behind, which a failover to it would lose; see its disk, its network and its \
                     queries"
                ),
            ));
        }
    }
    for one in sqlx::query_file!("src/doctor/database/unread.sql").fetch_all(connection).await? {
        let (name, mib) = (one.name, one.kept_mib);
        problems.push(Check::wrong(
            "replication",
            format!(
                "nobody reads the replication slot {name}, for which the server keeps {mib} MiB of WAL until its disk is full; start \
                 its reader, or `select pg_drop_replication_slot('{name}')`"
            ),
        ));
    }
    Ok(problems)
}

/// That a query of the doctor's own was refused.
pub fn refused(check: &'static str, error: &sqlx::Error) -> Check {
    Check::skipped(check, format_args!("the database {}", describe(error)))
}
