//! What goes wrong with the database, for people: what it is, in Postgres's own words where these hold no event's values, and what to do.

use sqlx::error::DatabaseError;

use crate::settings::Database;

/// What kind of trouble there is with the database, from a fixed list: fit for a metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// It is away, out of something, or not what it should be.
    Unavailable,
    /// It does not know who asks.
    Authentication,
    /// Who asks may not do this here, or there is no such table or column.
    Permission,
    /// It did not answer in time.
    Timeout,
    /// Another transaction came first.
    Conflict,
}

impl ErrorClass {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Unavailable, Self::Authentication, Self::Permission, Self::Timeout, Self::Conflict];

    /// The class of a driver's error.
    pub fn of(error: &sqlx::Error) -> Self {
        let code = match error {
            sqlx::Error::Database(error) => error.code().unwrap_or_default(),
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => return Self::Timeout,
            _ => return Self::Unavailable,
        };
        match code.as_ref() {
            "55P03" | "57014" => Self::Timeout,
            "25006" => Self::Permission,
            code if code.starts_with("28") => Self::Authentication,
            code if code.starts_with("42") => Self::Permission,
            code if code.starts_with("40") || code.starts_with("23") => Self::Conflict,
            _ => Self::Unavailable,
        }
    }

    /// The value of the label `class`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Authentication => "authentication",
            Self::Permission => "permission",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
        }
    }
}

/// Completes "the database ...". Never an error's detail, which may hold an event's values.
pub fn describe(error: &sqlx::Error) -> String {
    match error {
        // The sentence is ours, or the driver's about a file that DATABASE_URL names.
        sqlx::Error::Configuration(problem) => format!("cannot be used: {problem}"),
        sqlx::Error::Database(error) => describe_answer(error.as_ref()),
        sqlx::Error::Io(error) => describe_io(error),
        sqlx::Error::Tls(error) => describe_tls(&error.to_string()),
        sqlx::Error::Protocol(_) => "does not speak as Postgres does; check host and port in DATABASE_URL".to_owned(),
        sqlx::Error::RowNotFound => "lacks a row that was there before; try again".to_owned(),
        _ => "is lost to the driver, which gave up on the connection; try again".to_owned(),
    }
}

/// A whole sentence, with the database's address.
pub fn tell(database: &Database, error: &sqlx::Error) -> String {
    match database.address() {
        Some(address) => format!("the database at {address} {}", describe(error)),
        None => format!("the database {}", describe(error)),
    }
}

/// Whether the database is there and what DATABASE_URL says of it is not right: nothing changes by waiting.
pub fn is_wrong_setting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Configuration(_) => true,
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            code.starts_with("28") || matches!(code.as_ref(), "3D000" | "42501" | "42P01" | "42703" | "42883")
        }
        _ => false,
    }
}

/// Whether the server has no room for one more connection, which says nothing about those that there are.
pub fn is_for_want_of_connections(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == "53300")
}

fn describe_answer(error: &dyn DatabaseError) -> String {
    let code = error.code().unwrap_or_default();
    let advice = match code.as_ref() {
        "28P01" | "28000" => "correct user and password in DATABASE_URL, or in the password file",
        "3D000" => "create it, or correct its name in DATABASE_URL",
        "42501" => {
            "run `processor migrate`, which grants the roles event_processor_* what they need, or grant this to the role that DATABASE_URL names"
        }
        "42P01" | "42703" | "42883" => "run `processor migrate`",
        "53100" => "make room on its disk",
        "53300" => "close other programs' connections, or raise max_connections",
        "25006" => "point DATABASE_URL at the primary, or make it writable again",
        "26000" | "42P05" => "a pooler hands each transaction to another session: set it to session pooling",
        "40001" | "40P01" | "55P03" | "57014" => "another transaction is in the way: try again",
        "57P01" | "57P02" | "57P03" => "wait until it is up",
        _ => "its own log says more",
    };
    // In the other classes a message may quote a value.
    let is_told = ["08", "25", "28", "3D", "42", "53", "55", "57"].iter().any(|class| code.starts_with(class));
    let what = if is_told { format!("says: {}", error.message()) } else { "refuses a statement".to_owned() };
    format!("{what} (SQLSTATE {code}); {advice}")
}

fn describe_io(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let text = error.to_string();
    match error.kind() {
        // So TLS says what is wrong in a handshake.
        ErrorKind::InvalidData => describe_tls(&text),
        ErrorKind::ConnectionRefused => {
            "refuses the connection, nothing listens there; check DATABASE_URL and that Postgres runs".to_owned()
        }
        ErrorKind::NotFound => {
            "has no socket there, or lacks a file that DATABASE_URL names; check both, and that Postgres runs".to_owned()
        }
        ErrorKind::PermissionDenied => {
            "may not be reached by this user; check the rights of its socket, and of the files in DATABASE_URL".to_owned()
        }
        ErrorKind::TimedOut => "does not answer in time; check DATABASE_URL, the network and what the server is busy with".to_owned(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            "cannot be reached over the network; check DATABASE_URL and the route".to_owned()
        }
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => {
            "has closed the connection; it may be restarting, else its own log says why".to_owned()
        }
        _ if text.starts_with("failed to lookup address") => {
            "is not found: no address is known for its host; check DATABASE_URL and name resolution".to_owned()
        }
        _ => format!("cannot be reached ({text}); check DATABASE_URL and the network"),
    }
}

/// By the words of the driver and of its TLS library, whose types it does not show; a test meets each of them.
fn describe_tls(text: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["does not support TLS"]) {
        "offers no TLS, without which only loopback and sockets are used; set `ssl = on` there".to_owned()
    } else if has(&["not valid for name", "NotValidForName"]) {
        "has a certificate for another name; write the host in DATABASE_URL as the certificate has it".to_owned()
    } else if has(&["UnknownIssuer", "unknown issuer"]) {
        "has a certificate whose issuer is not known here; name the authority's certificate by sslrootcert=FILE in DATABASE_URL".to_owned()
    } else if has(&["CaUsedAsEndEntity"]) {
        "has a certificate that is an authority's, as openssl makes them of itself, and so proves no server; give it one without CA:TRUE"
            .to_owned()
    } else if has(&["expired", "Expired"]) {
        "has a certificate that has expired; renew it there".to_owned()
    } else {
        format!("does not agree on TLS ({text}); check its certificate, and sslrootcert, sslcert and sslkey in DATABASE_URL")
    }
}
