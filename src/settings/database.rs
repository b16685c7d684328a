//! Where Postgres is: a URL, or a file that holds one. What a connection is made by is read anew each time, so that a rotated password is
//! used without a restart.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use url::{Host, Url};

use super::role::Role;

/// What the driver acts on of a URL's query. It would log the others with their values at each connection.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

const NOT_SET: &str = "DATABASE_URL is not set; set it to the Postgres to write to, as postgres://user:password@host/database, or \
                       DATABASE_URL_FILE to a file that holds this";

const BOTH_SET: &str = "DATABASE_URL and DATABASE_URL_FILE are both set; keep one of them";

const FORM: &str = "write a URL as postgres://user:password@host:5432/database; special characters in the password percent-encoded";

/// Where Postgres is.
#[derive(Debug, Clone, Args)]
pub struct DatabaseSettings {
    /// Postgres, 15 or later: `postgres://user:password@host/database`. A session of its own, so no transaction pooling. The connection
    /// is encrypted and the server's certificate checked (verify-full) unless it is on loopback or a socket. A password that is not in it
    /// is looked for in the file `PGPASSFILE`, anew at each connection.
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true, value_parser = parse_database_url)]
    pub database_url: Option<Database>,
    /// A file that holds the URL, instead of DATABASE_URL; read anew at each connection.
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub database_url_file: Option<PathBuf>,
}

impl DatabaseSettings {
    /// The database, where one is set. An empty variable is as if not set.
    ///
    /// # Errors
    /// A sentence for the user when both settings are there, or the file is of no use.
    pub fn given(&self) -> Result<Option<Database>, String> {
        let url = self.database_url.as_ref().filter(|database| !database.is_empty());
        match (url, self.database_url_file.as_ref().filter(|file| !file.as_os_str().is_empty())) {
            (Some(_), Some(_)) => Err(BOTH_SET.to_owned()),
            (None, Some(file)) => Database::in_file(file).map(Some),
            (url, None) => Ok(url.cloned()),
        }
    }

    /// The database.
    ///
    /// # Errors
    /// As above, and when none is set.
    pub fn database(&self) -> Result<Database, String> {
        self.given()?.ok_or_else(|| NOT_SET.to_owned())
    }
}

/// What connections are called in `pg_stat_activity`, before what they are for.
const APPLICATION_NAME: &str = "event-processor";

/// Postgres cuts longer names.
const APPLICATION_NAME_BYTES_MAX: usize = 63;

/// Where Postgres is, how to connect, and as whom to work there.
#[derive(Clone)]
pub struct Database {
    source: Source,
    /// What for.
    purpose: &'static str,
    role: Option<Role>,
}

#[derive(Clone)]
enum Source {
    Url(String),
    File(PathBuf),
}

impl Database {
    /// The one whose URL a file holds.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn in_file(file: &Path) -> Result<Self, String> {
        let database = Self::of(Source::File(file.to_owned()));
        database.read().and_then(|url| connect_options(&url).map_err(|problem| wrong_file(file, &problem))).map(|_| database)
    }

    fn of(source: Source) -> Self {
        Self { source, purpose: "", role: None }
    }

    /// The same, by connections that say in `application_name` what they are for.
    #[must_use]
    pub fn to(&self, purpose: &'static str) -> Self {
        Self { purpose, ..self.clone() }
    }

    /// The same, for sessions that take this role where the user is a member of it.
    #[must_use]
    pub fn with_role(self, role: Role) -> Self {
        Self { role: Some(role), ..self }
    }

    /// The role that sessions take.
    pub fn role(&self) -> Option<Role> {
        self.role
    }

    fn is_empty(&self) -> bool {
        matches!(&self.source, Source::Url(url) if url.is_empty())
    }

    fn read(&self) -> Result<String, String> {
        match &self.source {
            Source::Url(url) => Ok(url.clone()),
            Source::File(file) => match std::fs::read_to_string(file) {
                Ok(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
                Err(error) => Err(wrong_file(file, &format!("it cannot be read ({error}); name a file that holds the URL"))),
            },
        }
    }

    /// The URL, password and all.
    ///
    /// # Errors
    /// That the file cannot be read.
    pub fn url(&self) -> Result<String, sqlx::Error> {
        self.read().map_err(|problem| sqlx::Error::Configuration(problem.into()))
    }

    /// What the next connection is made by.
    ///
    /// # Errors
    /// That the file cannot be read, or holds no such URL any more.
    pub fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        let options = connect_options(&self.url()?).map_err(|problem| match &self.source {
            Source::Url(_) => problem,
            Source::File(file) => wrong_file(file, &problem),
        });
        let options = options.map_err(|problem| sqlx::Error::Configuration(problem.into()))?;
        let name = application_name(options.get_application_name().unwrap_or(APPLICATION_NAME), self.purpose);
        Ok(options.application_name(&name))
    }

    /// Host and port, or the socket's directory; none where the file is of no use.
    pub fn address(&self) -> Option<String> {
        let options = self.options().ok()?;
        let (host, port) = (options.get_host(), options.get_port());
        Some(match options.get_socket() {
            Some(directory) => directory.display().to_string(),
            None if host.starts_with('/') => host.to_owned(),
            None if host.contains(':') => format!("[{host}]:{port}"),
            None => format!("{host}:{port}"),
        })
    }

    /// Whether it is on this machine: on loopback or a socket.
    pub fn is_local(&self) -> bool {
        self.options().is_ok_and(|options| is_local(&options))
    }
}

impl FromStr for Database {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        connect_options(url).map(|_| Self::of(Source::Url(url.to_owned())))
    }
}

impl fmt::Debug for Database {
    /// Without its password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Database").field(&self.address()).finish()
    }
}

fn wrong_file(file: &Path, problem: &str) -> String {
    format!("the value of DATABASE_URL_FILE (--database-url-file) is {:?}: {problem}", file.display().to_string())
}

/// The program's name, or what DATABASE_URL says instead, and what the connection is for; of too much the name is cut.
fn application_name(name: &str, purpose: &str) -> String {
    let name = &name[..name.floor_char_boundary(APPLICATION_NAME_BYTES_MAX.saturating_sub(purpose.len() + 1))];
    format!("{name} {purpose}").trim_end().to_owned()
}

fn parse_database_url(url: &str) -> Result<Database, String> {
    if url.is_empty() { Ok(Database::of(Source::Url(String::new()))) } else { url.parse() }
}

fn connect_options(url: &str) -> Result<PgConnectOptions, String> {
    let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    let Some(mut url) = url else { return Err(FORM.to_owned()) };
    let is_acted_on = |name: &str| PARAMETERS.contains(&name) || name.starts_with("options[");
    let mut parameters: Vec<(String, String)> = url.query_pairs().into_owned().filter(|(name, _)| is_acted_on(name)).collect();
    if let Some(Host::Ipv6(address)) = url.host() {
        // Said again without the brackets, which neither the system's resolver nor the password file knows.
        parameters.insert(0, ("host".to_owned(), address.to_string()));
    }
    url.set_query(None);
    if !parameters.is_empty() {
        url.query_pairs_mut().extend_pairs(&parameters);
    }
    let options = PgConnectOptions::from_str(url.as_str()).map_err(|_| FORM.to_owned())?;
    // Not needed, and poolers refuse it.
    let options = options.extra_float_digits(None);
    let mode = parameters.iter().rfind(|(name, _)| matches!(name.as_str(), "sslmode" | "ssl-mode")).map(|(_, mode)| mode.as_str());
    match mode {
        // What `PGSSLMODE` says counts for nothing: it could only weaken the one, and break the other.
        None if is_local(&options) => Ok(options.ssl_mode(PgSslMode::Prefer)),
        Some(_) if is_local(&options) => Ok(options),
        None | Some("verify-full") => Ok(options.ssl_mode(PgSslMode::VerifyFull)),
        Some(mode) => Err(format!(
            "sslmode={mode} would let others on the way read or change events; leave it out (verify-full is used) and name a private \
             authority by sslrootcert=FILE"
        )),
    }
}

fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    options.get_socket().is_some() || host == "localhost" || host.starts_with('/') || is_loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_says_what_it_is_for_within_what_postgres_keeps() {
        let name = |url: &str, purpose| {
            let database: Database = url.parse().expect("a URL");
            database.to(purpose).options().expect("options").get_application_name().map(str::to_owned)
        };
        assert_eq!(name("postgres://localhost/a", "writer").as_deref(), Some("event-processor writer"));
        assert_eq!(name("postgres://localhost/a?application_name=billing", "writer").as_deref(), Some("billing writer"));
        let long = name(&format!("postgres://localhost/a?application_name={}", "x".repeat(80)), "writer").expect("a name");
        assert_eq!((long.len(), long.ends_with("x writer")), (63, true));
    }
}
