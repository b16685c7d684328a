//! A database that `dev` is given instead of starting one.

use sqlx::{AssertSqlSafe, PgConnection};

use super::stack::DevError;
use crate::database::{connect, is_wrong_setting, tell};
use crate::settings::Database;
use crate::store::unfit_for_tables;

/// What a database carries as its comment that `dev` may use again.
const MARK: &str = "made by processor dev";

/// Nobody's production gets sample tenants: a given database is used only on this machine, and only when it is empty or was made here.
pub async fn check_given(database: &Database) -> Result<(), DevError> {
    let refused = |problem: &str| DevError::Setting(format!("the value of DATABASE_URL (--database-url) is (not shown): {problem}"));
    if !database.is_local() {
        return Err(refused("`dev` uses only a database on loopback or a socket; unset it, and `dev` starts a Postgres of its own"));
    }
    match is_unusable(database).await {
        Ok(None) => Ok(()),
        Ok(Some(problem)) => Err(refused(&problem)),
        Err(error) if is_wrong_setting(&error) => Err(refused(&tell(database, &error))),
        Err(error) => Err(anyhow::anyhow!(tell(database, &error)).into()),
    }
}

/// Why it is not to be used; none: it is, and is marked.
async fn is_unusable(database: &Database) -> Result<Option<String>, sqlx::Error> {
    let mut connection = connect(database, &[]).await?;
    if let Some(problem) = unfit_for_tables(&mut connection).await? {
        return Ok(Some(problem));
    }
    if sqlx::query_file_scalar!("src/dev/given_database/is_empty.sql").fetch_one(&mut connection).await? {
        mark(&mut connection).await?;
        return Ok(None);
    }
    let is_ours = sqlx::query_file_scalar!("src/dev/given_database/is_ours.sql", MARK).fetch_one(&mut connection).await?;
    let problem = "that database holds tables which `dev` did not make; name an empty one, or unset it";
    Ok((is_ours != Some(true)).then(|| problem.to_owned()))
}

async fn mark(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // A statement that takes no parameters; both its parts are constants.
    let statement = format!("do $$ begin execute format('comment on database %I is %L', current_database(), '{MARK}'); end $$");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
