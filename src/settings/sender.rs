//! What the sender is told.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use url::{Host, Url};

use super::{Networks, parse_address, parse_count, parse_duration};

/// How the sender paces its work, and what it may reach.
#[derive(Debug, Clone, Args)]
pub struct SenderSettings {
    /// What it calls itself in `delivery_log`; by default the machine's name and the process's id.
    #[arg(long, env = "SENDER_NAME", value_name = "NAME", value_parser = parse_name)]
    pub sender_name: Option<String>,
    /// How many requests and mails are under way at once. Too low: a backlog lasts. Too high: receivers and memory.
    #[arg(long, env = "SENDER_CONCURRENCY_MAX", value_name = "COUNT", default_value = "64", value_parser = |text: &str| parse_count(text, 1_usize, 4_096))]
    pub sender_concurrency_max: usize,
    /// How many of them to one client. Too low: a busy client waits. Too high: a client may be overrun.
    #[arg(long, env = "SENDER_CLIENT_CONCURRENCY_MAX", value_name = "COUNT", default_value = "4", value_parser = |text: &str| parse_count(text, 1_usize, 1_024))]
    pub sender_client_concurrency_max: usize,
    /// The server that takes mails: `smtps://user:password@mail.example.com`, or `smtp://` where it offers STARTTLS. The connection is
    /// encrypted and the server's certificate checked, unless it is on loopback. Without it clients of channel `email` get nothing.
    #[arg(long, env = "SMTP_URL", value_name = "URL", hide_env_values = true)]
    pub smtp_url: Option<SmtpUrl>,
    /// The domains that mails may be from, comma-separated. Without it clients of channel `email` get nothing.
    #[arg(long, env = "SENDER_FROM_DOMAINS", value_name = "LIST", default_value = "", hide_default_value = true)]
    pub sender_from_domains: Domains,
    /// The directory in which the file `<tenant>/NAME` holds what a tenant's settings call `{ secret = "NAME" }`. Files are read anew within
    /// ten seconds, so that a secret can be rotated; links are followed while they stay within the tenant's directory.
    #[arg(long, env = "SENDER_SECRETS_DIR", value_name = "DIR", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub sender_secrets_dir: Option<PathBuf>,
    /// The same as JSON, for what is not found there: `{"tenant":{"NAME":"..."}}`.
    #[arg(long, env = "SENDER_SECRETS", value_name = "JSON", hide_env_values = true, default_value = "", hide_default_value = true)]
    pub sender_secrets: SecretTable,
    /// The networks that may be connected to though they are private (loopback, link-local and the like), comma-separated, as `10.1.0.0/16`.
    /// They alone may be reached by `http:`. Whoever may write settings reaches all that is in them.
    #[arg(long, env = "SENDER_ALLOWED_NETWORKS", value_name = "LIST", default_value = "", hide_default_value = true)]
    pub sender_allowed_networks: Networks,
    /// For how long a SIGTERM waits for what is under way. Too low: what is cut off is delivered again. Keep the supervisor's own patience
    /// above it.
    #[arg(long, env = "DRAIN_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = |text: &str| parse_duration(text, 1, 3_600))]
    pub drain_timeout: Duration,
}

/// Where the sender's `/metrics`, `/livez` and `/readyz` are served.
#[derive(Debug, Clone, Args)]
pub struct SenderListenSettings {
    /// Address of `/metrics`, `/livez` and `/readyz`. They need no password: keep them on loopback or a private network.
    #[arg(long, env = "LISTEN_ADDRESS", value_name = "ADDRESS", default_value = "127.0.0.1:9465", value_parser = parse_address)]
    pub listen_address: SocketAddr,
}

impl SenderSettings {
    /// What it calls itself.
    pub fn name(&self) -> String {
        let given = self.sender_name.clone().filter(|name| !name.is_empty());
        given.unwrap_or_else(|| {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            format!("{host}-{}", std::process::id())
        })
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    let is_fine = text.len() <= 200 && !text.contains(char::is_control);
    if is_fine { Ok(text.to_owned()) } else { Err("write a name of at most 200 bytes without control characters".to_owned()) }
}

/// Domains in small letters.
#[derive(Debug, Clone, Default)]
pub struct Domains(Vec<String>);

impl Domains {
    /// Whether one of them is this, or above it.
    pub fn contain(&self, domain: &str) -> bool {
        let is_above = |above: &String| domain.strip_suffix(above.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        self.0.iter().any(is_above)
    }
}

impl FromStr for Domains {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let domains = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let is_domain = |part: &str| {
            part.split('.').all(|label| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
        };
        let told = |part: &str| match is_domain(part) {
            true => Ok(part.to_ascii_lowercase()),
            false => Err(format!("`{part}` is no domain; write them as shop.example,example.com")),
        };
        domains.map(told).collect::<Result<_, _>>().map(Self)
    }
}

/// Secrets by tenant and name.
#[derive(Clone, Default)]
pub struct SecretTable(BTreeMap<String, BTreeMap<String, String>>);

impl SecretTable {
    /// One of them.
    pub fn get(&self, tenant: &str, name: &str) -> Option<&str> {
        self.0.get(tenant)?.get(name).map(String::as_str)
    }
}

impl fmt::Debug for SecretTable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretTable(not shown)")
    }
}

impl FromStr for SecretTable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let table = serde_json::from_str(text).map(Self);
        table.map_err(|_| "write JSON as {\"tenant\":{\"NAME\":\"the secret\"}}".to_owned())
    }
}

/// Where mails go.
#[derive(Clone, PartialEq, Eq)]
pub struct SmtpUrl {
    /// The server's name; none: the variable is empty.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is encrypted.
    pub encryption: SmtpEncryption,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

/// How the connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpEncryption {
    /// From the beginning.
    Whole,
    /// From STARTTLS on.
    Upgraded,
    /// Not at all, within this machine.
    None,
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SmtpUrl({}:{})", self.host, self.port)
    }
}

impl FromStr for SmtpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self { host: String::new(), port: 0, encryption: SmtpEncryption::None, credentials: None });
        }
        let form = || {
            "write a URL as smtps://user:password@mail.example.com or smtp://mail.example.com:587, special characters percent-encoded"
                .to_owned()
        };
        let url = Url::parse(text).map_err(|_| form())?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(form)?.trim_matches(['[', ']']).to_owned();
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(form());
        }
        let is_loopback = host == "localhost"
            || Host::parse(&host).is_ok_and(|host| matches!(host, Host::Ipv4(address) if address.is_loopback()))
            || host == "::1";
        let (encryption, port) = match (url.scheme(), is_loopback) {
            ("smtps", _) => (SmtpEncryption::Whole, 465),
            ("smtp", true) => (SmtpEncryption::None, 25),
            ("smtp", false) => (SmtpEncryption::Upgraded, 587),
            _ => return Err(form()),
        };
        let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8().map(String::from).map_err(|_| form());
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, Some(password)) => Some((decoded(user)?, decoded(password)?)),
            (_, None) => return Err(form()),
        };
        Ok(Self { host, port: url.port().unwrap_or(port), encryption, credentials })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_server_is_reached_encrypted_unless_it_is_on_this_machine() {
        let parsed = |text: &str| {
            let url: SmtpUrl = text.parse().expect(text);
            (url.host, url.port, url.encryption, url.credentials)
        };
        let credentials = Some(("me".to_owned(), "p@ss".to_owned()));
        assert_eq!(parsed("smtps://me:p%40ss@mail.example"), ("mail.example".to_owned(), 465, SmtpEncryption::Whole, credentials));
        assert_eq!(parsed("smtp://mail.example:25"), ("mail.example".to_owned(), 25, SmtpEncryption::Upgraded, None));
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            assert_eq!(parsed(&format!("smtp://{host}:2525")).2, SmtpEncryption::None);
        }
        for wrong in
            ["mail.example", "http://mail.example", "smtp://", "smtp://mail.example/x", "smtp://me@mail.example", "smtp://a?tls=none"]
        {
            assert!(wrong.parse::<SmtpUrl>().is_err(), "{wrong}");
        }
        assert!(!format!("{:?}", "smtps://me:p%40ss@mail.example".parse::<SmtpUrl>()).contains("p@ss"));
    }

    #[test]
    fn a_domain_is_within_one_that_it_ends_with() {
        let domains: Domains = "Shop.example, example.com".parse().expect("domains");
        for (domain, is_in) in [("shop.example", true), ("mail.shop.example", true), ("notshop.example", false), ("example", false)] {
            assert_eq!(domains.contain(domain), is_in, "{domain}");
        }
        assert!(!Domains::default().contain("shop.example"));
        assert!("a b".parse::<Domains>().is_err());
    }

    #[test]
    fn secrets_are_never_told() {
        let table: SecretTable = r#"{"shop":{"KEY":"s3cret"}}"#.parse().expect("a table");
        assert_eq!((table.get("shop", "KEY"), table.get("crm", "KEY")), (Some("s3cret"), None));
        assert!(!format!("{table:?}").contains("s3cret"));
        assert!(r#"{"shop":{"KEY":1,"OTHER":"s3cret"}}"#.parse::<SecretTable>().is_err_and(|problem| !problem.contains("s3cret")));
    }
}
