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

/// How the database that was checked is reached, as a URL for other programs and commands.
pub fn url_of(options: &PgConnectOptions) -> String {
    let mut options = options.clone();
    // The driver writes both as they are, whatever they hold.
    let name = url::Url::parse("postgres://localhost").ok().and_then(|mut url| {
        url.set_username(options.get_username()).ok()?;
        Some(url.username().to_owned())
    });
    if let Some(name) = name {
        options = options.username(&name);
    }
    let host = options.get_host();
    if host.contains(':') && !host.starts_with('[') {
        options = options.clone().host(&format!("[{host}]"));
    }
    let mut url = options.to_url_lossy();
    if let Some(settings) = options.get_options() {
        url.query_pairs_mut().append_pair("options", settings);
    }
    url.to_string()
}

async fn mark(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // A statement that takes no parameters; both its parts are constants.
    let statement = format!("do $$ begin execute format('comment on database %I is %L', current_database(), '{MARK}'); end $$");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_given_database_reaches_it_again() {
        for url in [
            "postgres://someone:s3%2Fcret@127.0.0.1:5433/events",
            "postgres://some%40one@localhost/events?options=-c%20search_path%3Dmine",
            "postgres://someone@%2Frun%2Fpostgresql:5433/events",
        ] {
            let options: PgConnectOptions = url.parse().expect("a URL");
            let again: PgConnectOptions = url_of(&options).parse().expect("a URL");
            let parts = |options: &PgConnectOptions| {
                let texts = [Some(options.get_username()), options.get_database(), options.get_options(), Some(options.get_host())];
                (texts.map(|text| text.map(str::to_owned)), options.get_port(), options.get_socket().cloned())
            };
            assert_eq!(parts(&again), parts(&options), "{url}");
        }
        let without_brackets: PgConnectOptions = "postgres://someone@localhost/events".parse().expect("a URL");
        assert!(url_of(&without_brackets.host("::1")).starts_with("postgres://someone@[::1]:5432/events?"));
    }
}
