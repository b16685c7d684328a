//! What a user sets, by variable or flag: one struct for each concern, whose doc comments are the help texts.

mod database;
#[cfg(feature = "dev")]
mod dev_environment;
mod environment;
mod networks;
mod operator;
mod queues;
mod region;
mod role;
mod sender;
mod traces;

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

pub use database::{Database, DatabaseSettings};
#[cfg(feature = "dev")]
pub use dev_environment::{DEV_ENVIRONMENT_FILE, is_of_libpq, write_dev_environment};
pub use environment::{check_sdk_environment, has_proxy, is_credential, is_http_url, settle_environment};
pub use networks::Networks;
pub use operator::{OperatorSettings, system_user};
pub use queues::{Format, QueueSetting, parse_queue_fields, parse_queues};
pub use region::{is_reached_with_signatures, region_of_host};
pub use role::Role;
pub use sender::{Domains, SecretTable, SenderListenSettings, SenderSettings, SmtpEncryption, SmtpUrl};
pub use traces::TracesSettings;

/// SQS refuses longer messages and longer replies to a receive.
pub const SQS_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// A setting that has no default and was not given.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct MissingSetting(pub &'static str);

/// A setting that cannot be used, as a sentence for the user.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongSetting(pub String);

/// Which queues are polled.
#[derive(Debug, Clone, Args)]
pub struct QueueSettings {
    /// The queues, comma-separated: a name or URL, then optionally `=tenant` (every event on it is that tenant's) or `?trust=any` (every
    /// sender may write for every tenant), and `format=` native, cloudevents, sns or eventbridge, in which its events arrive:
    /// `events?trust=any,acme-events=acme,bus=shop?format=eventbridge`.
    #[arg(long, env = "QUEUES", value_name = "LIST")]
    pub queues: Option<QueueList>,
    /// One queue that tenants share; the short form of `QUEUES`.
    #[arg(long, env = "QUEUE_NAME", value_name = "NAME", value_parser = parse_queue_name)]
    pub queue_name: Option<QueueList>,
}

/// A parsed list of queues; empty where the variable is.
#[derive(Debug, Clone)]
pub struct QueueList(pub Vec<QueueSetting>);

impl FromStr for QueueList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_queues(text).map(Self)
    }
}

impl QueueSettings {
    /// The queues to poll.
    ///
    /// # Errors
    /// A sentence for the user when there is none, or both variables are set.
    pub fn list(&self) -> Result<Vec<QueueSetting>, MissingSetting> {
        match self.given()? {
            list if list.is_empty() => {
                Err(MissingSetting("neither QUEUES nor QUEUE_NAME is set; set QUEUES to the queues to poll, for example events?trust=any"))
            }
            list => Ok(list),
        }
    }

    /// The queues to poll beside those of the catalog, if any.
    ///
    /// # Errors
    /// A sentence for the user when both variables are set.
    pub fn given(&self) -> Result<Vec<QueueSetting>, MissingSetting> {
        let given = |list: &Option<QueueList>| list.clone().map(|list| list.0).filter(|list| !list.is_empty());
        match (given(&self.queues), given(&self.queue_name)) {
            (Some(_), Some(_)) => Err(MissingSetting("QUEUES and QUEUE_NAME are both set; keep QUEUES and move the name into it")),
            (Some(list), None) | (None, Some(list)) => Ok(list),
            (None, None) => Ok(Vec::new()),
        }
    }
}

/// What a body may be.
#[derive(Debug, Clone, Args)]
pub struct BodySettings {
    /// A larger body is a dead letter, `too_large`.
    #[arg(long, env = "BODY_BYTES_MAX", value_name = "BYTES", default_value = "1MiB", value_parser = |text: &str| parse_bytes(text, 1024, SQS_MESSAGE_BYTES_MAX))]
    pub body_bytes_max: usize,
}

/// How the daemon paces and bounds its work.
#[derive(Debug, Clone, Args)]
pub struct IngestSettings {
    /// For how long SQS hides a received message from others. Too low: events are received again while they wait to be stored, which
    /// costs work but loses nothing. Too high: what a killed process held comes back late.
    #[arg(long, env = "VISIBILITY_TIMEOUT", value_name = "DURATION", default_value = "60s", value_parser = |text: &str| parse_duration(text, 1, 43_200))]
    pub visibility_timeout: Duration,
    /// For how long an event is held at most, its lease extended meanwhile: then it is left to others. Too low: a slow database makes
    /// events come again before they are stored. Too high: an event that this process cannot finish is kept from others.
    #[arg(long, env = "HOLD_MAX", value_name = "DURATION", default_value = "5m", value_parser = |text: &str| parse_duration(text, 1, 39_600))]
    pub hold_max: Duration,
    /// For how long a SIGTERM waits for what is in flight to be stored and acknowledged. Too low: the rest is received again by another
    /// process. Keep the supervisor's own patience above it.
    #[arg(long, env = "DRAIN_TIMEOUT", value_name = "DURATION", default_value = "10s", value_parser = |text: &str| parse_duration(text, 1, 3_600))]
    pub drain_timeout: Duration,
    /// How many received events may be without an outcome at once. Too low: batches stay small. Too high: memory, and leases that end
    /// before their turn comes.
    #[arg(long, env = "IN_FLIGHT_EVENTS_MAX", value_name = "COUNT", default_value = "5000", value_parser = |text: &str| parse_count(text, 1_usize, 100_000))]
    pub in_flight_events_max: usize,
    /// How many bytes of bodies may be in memory at once. A poll reserves what the queue's messages weighed lately; what
    /// comes larger is held all the same, and the next polls wait.
    #[arg(long, env = "IN_FLIGHT_BYTES_MAX", value_name = "BYTES", default_value = "64MiB", value_parser = |text: &str| parse_bytes(text, SQS_MESSAGE_BYTES_MAX, 16 << 30))]
    pub in_flight_bytes_max: usize,
    /// How many events one transaction stores at most.
    #[arg(long, env = "BATCH_ROWS_MAX", value_name = "COUNT", default_value = "1000", value_parser = |text: &str| parse_count(text, 1_usize, 10_000))]
    pub batch_rows_max: usize,
    /// What a body may be.
    #[command(flatten)]
    pub body: BodySettings,
    /// How much compiled schemas may weigh together; those used longest ago go, and are compiled again on use. Too low: compiling takes longer
    /// than validating. Too high: memory.
    #[arg(long, env = "COMPILED_SCHEMAS_BYTES_MAX", value_name = "BYTES", default_value = "256MiB", value_parser = |text: &str| parse_bytes(text, 1 << 20, 64 << 30))]
    pub compiled_schemas_bytes_max: usize,
    /// How many events of a queue may wait there at once because their tenants are over their rates, half of them one tenant's. What waits counts
    /// among the messages that SQS may have in flight (about 120,000 a queue). Beyond it events are stored all the same, and counted.
    #[arg(long, env = "DEFERRED_EVENTS_MAX", value_name = "COUNT", default_value = "10000", value_parser = |text: &str| parse_count(text, 0_usize, 100_000))]
    pub deferred_events_max: usize,
    /// How many tenants have a metric label of their own, the first by name; the others share `other`.
    #[arg(long, env = "TENANT_LABELS_MAX", value_name = "COUNT", default_value = "100", value_parser = |text: &str| parse_count(text, 0_usize, 10_000))]
    pub tenant_labels_max: usize,
}

/// Where `/metrics`, `/livez` and `/readyz` are served.
#[derive(Debug, Clone, Args)]
pub struct ListenSettings {
    /// Address of `/metrics`, `/livez` and `/readyz`. They need no password: keep them on loopback or a private network.
    #[arg(long, env = "LISTEN_ADDRESS", value_name = "ADDRESS", default_value = "127.0.0.1:9464", value_parser = parse_address)]
    pub listen_address: SocketAddr,
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port, as 127.0.0.1:9464 or [::]:9464".to_owned())
}

/// A duration with a unit, or a bare number of seconds; whole seconds, as SQS counts.
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse_duration(text: &str, seconds_min: u64, seconds_max: u64) -> Result<Duration, String> {
    let parsed = text.parse().map(Duration::from_secs).or_else(|_| humantime::parse_duration(text));
    parsed
        .ok()
        .filter(|duration| duration.subsec_nanos() == 0 && (seconds_min..=seconds_max).contains(&duration.as_secs()))
        .ok_or_else(|| format!("write whole seconds as 60s, 5m or 60, from {seconds_min} to {seconds_max} seconds"))
}

/// A whole number within limits.
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse_count<N: Copy + FromStr + PartialOrd + std::fmt::Display>(text: &str, min: N, max: N) -> Result<N, String> {
    let is_within = |count: &N| (&min..=&max).contains(&count);
    text.parse().ok().filter(is_within).ok_or_else(|| format!("write a whole number from {min} to {max}"))
}

/// A number of bytes, with or without a unit, within limits.
///
/// # Errors
/// A sentence that says what would be right.
pub fn parse_bytes(text: &str, min: usize, max: usize) -> Result<usize, String> {
    let (number, unit) = text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit.trim() {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let bytes = number.parse::<usize>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    bytes
        .filter(|bytes| (min..=max).contains(bytes))
        .ok_or_else(|| format!("write bytes as 1048576, 1024KiB or 1MiB, from {min} to {max} bytes"))
}

/// A body for a command: from a file, or from standard input where that is `-`. A last newline is the editor's, not the event's.
///
/// # Errors
/// A sentence for the user.
pub fn read_body(file: &str) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let mut body = Vec::new();
    let read = match file {
        "-" => std::io::stdin().lock().read_to_end(&mut body).map(|_| ()),
        path => std::fs::read(path).map(|bytes| body = bytes),
    };
    read.map_err(|error| format!("the body's file is {file:?}: it cannot be read ({error}); name a file, or - for standard input"))?;
    if body.last() == Some(&b'\n') {
        body.pop();
    }
    Ok(body)
}

fn parse_queue_name(text: &str) -> Result<QueueList, String> {
    if text.contains(['=', ',', '?']) {
        return Err("write one queue's name; a list, a tenant or options go into QUEUES".into());
    }
    text.parse()
}

/// Flags whose values hold passwords.
const SECRET_FLAGS: [&str; 3] = ["--database-url", "--smtp-url", "--sender-secrets"];

/// A clap error as this program's sentence and exit status: 78 for a value that is wrong, 64 for an unknown command or flag, 0 for help.
pub fn explain(error: &clap::Error, command: &clap::Command) -> (String, u8) {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    use std::io::IsTerminal as _;
    let rendered = |is_terminal: bool| if is_terminal { error.render().ansi().to_string() } else { error.render().to_string() };
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => (rendered(std::io::stdout().is_terminal()), 0),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            let argument = context(ContextKind::InvalidArg);
            let flag = argument.split(' ').next().unwrap_or_default().to_owned();
            let value = if SECRET_FLAGS.contains(&flag.as_str()) {
                "(not shown)".to_owned()
            } else {
                format!("{:?}", context(ContextKind::InvalidValue))
            };
            let right = match std::error::Error::source(error) {
                Some(source) => source.to_string(),
                None => match error.get(ContextKind::ValidValue) {
                    Some(ContextValue::Strings(values)) if !values.is_empty() => format!("write one of {}", values.join(", ")),
                    _ => "write a value behind it; --help says which".to_owned(),
                },
            };
            let name = variable_of(command, &flag).map_or(flag.clone(), |variable| format!("{variable} ({flag})"));
            (format!("the value of {name} is {value}: {right}\n"), 78)
        }
        _ => (rendered(std::io::stderr().is_terminal()), 64),
    }
}

/// The variable that stands for a flag, where there is one.
fn variable_of(command: &clap::Command, flag: &str) -> Option<String> {
    let is_meant = |argument: &&clap::Arg| argument.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long));
    let variable = command.get_arguments().find(is_meant).and_then(|argument| argument.get_env());
    let variable = variable.map(|name| name.to_string_lossy().into_owned());
    variable.or_else(|| command.get_subcommands().find_map(|command| variable_of(command, flag)))
}
