//! A database that `dev` is given instead of starting one.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};

use super::stack::DevError;
use crate::settings::is_local;
use crate::store;

/// What a database carries as its comment that `dev` may use again.
const MARK: &str = "made by processor dev";

/// Nobody's production gets sample tenants: a given database is used only on this machine, and only when it is empty or was made here.
pub async fn check_given(options: &PgConnectOptions) -> Result<(), DevError> {
    let refused = |problem: &str| DevError::Setting(format!("the value of DATABASE_URL (--database-url) is (not shown): {problem}"));
    if !is_local(options) {
        return Err(refused("`dev` uses only a database on loopback or a socket; unset it, and `dev` starts a Postgres of its own"));
    }
    let asked = async {
        let mut connection = options.connect().await?;
        let is_empty = sqlx::query_file_scalar!("src/dev/given_database/is_empty.sql").fetch_one(&mut connection).await?;
        let is_ours =
            sqlx::query_file_scalar!("src/dev/given_database/is_ours.sql", MARK).fetch_one(&mut connection).await?.unwrap_or(false);
        if is_empty {
            mark(&mut connection).await?;
        }
        Ok::<_, sqlx::Error>(is_empty || is_ours)
    };
    match asked.await {
        Ok(true) => Ok(()),
        Ok(false) => Err(refused("that database holds tables which `dev` did not make; name an empty one, or unset it")),
        Err(error) => Err(anyhow::anyhow!("the database at DATABASE_URL did not answer ({})", store::describe(&error)).into()),
    }
}

async fn mark(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // A statement that takes no parameters; both its parts are constants.
    let statement = format!("do $$ begin execute format('comment on database %I is %L', current_database(), '{MARK}'); end $$");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}
