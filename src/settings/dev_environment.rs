//! `.dev/env`: where `processor dev` writes down how to reach what it runs, so that other commands in the same directory need no settings.
//! Builds without the feature `dev` do not read it.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::environment::Change;
use crate::output;

/// Where `processor dev` leaves its settings, from the directory in which it runs.
pub const DEV_ENVIRONMENT_FILE: &str = ".dev/env";

/// What `processor dev` writes down; nothing else is read.
const NAMES: [&str; 8] = [
    "DATABASE_URL",
    "QUEUES",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "LISTEN_ADDRESS",
];

/// A command that has any of these set means something else than the embedded stack.
const DECISIVE: [&str; 6] = ["DATABASE_URL", "DATABASE_URL_FILE", "QUEUES", "QUEUE_NAME", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS"];

/// The flags that stand for some of them.
const DECISIVE_FLAGS: [&str; 3] = ["--database-url", "--queues", "--queue-name"];

/// Writes down how to reach what `dev` runs, in the order of [`NAMES`].
///
/// # Errors
/// When the file cannot be written.
pub fn write_dev_environment(values: [&str; NAMES.len()]) -> std::io::Result<()> {
    let lines: Vec<String> = NAMES.iter().zip(values).map(|(name, value)| format!("{name}='{value}'\n")).collect();
    let text = format!(
        "# Written by `processor dev`, removed when it ends. To use it in a shell: set -a; . {DEV_ENVIRONMENT_FILE}; set +a\n{}",
        lines.concat()
    );
    std::fs::create_dir_all(".dev")?;
    std::fs::write(DEV_ENVIRONMENT_FILE, text)
}

/// What has to change in the environment of this command: `dev` begins without the variables by which libpq's programs and the driver find
/// another Postgres, unless it is given a database; a command that names nothing itself uses `.dev/env` where there is one, in the same way,
/// and says so on standard error.
pub(super) fn changes(is_dev: bool) -> Vec<Change> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let is_set = |name: &str| std::env::var_os(name).is_some();
    if is_dev {
        let is_given = is_set("DATABASE_URL") || is_set("DATABASE_URL_FILE") || value_of("--database-url", &arguments).is_some();
        return if is_given { Vec::new() } else { without_postgres() };
    }
    let is_flag_given = DECISIVE_FLAGS.iter().any(|flag| value_of(flag, &arguments).is_some());
    let is_queue_url = value_of("--queue", &arguments).is_some_and(|queue| queue.to_string_lossy().contains("://"));
    if is_flag_given || is_queue_url || DECISIVE.into_iter().any(is_set) {
        return Vec::new();
    }
    let variables = std::fs::read_to_string(Path::new(DEV_ENVIRONMENT_FILE)).map(|text| parse(&text)).unwrap_or_default();
    if !variables.iter().any(|(name, _)| DECISIVE.contains(&name.as_str())) {
        return Vec::new();
    }
    output::tell(format_args!(
        "using {DEV_ENVIRONMENT_FILE}, written by `processor dev`; set DATABASE_URL, QUEUES or AWS_ENDPOINT_URL to use something else"
    ));
    // The thread that writes it ends with this program.
    output::flush();
    let variables = variables.into_iter().map(|(name, value)| (name.into(), Some(value.into())));
    without_postgres().into_iter().chain(variables).collect()
}

/// The variables of libpq, each to be removed.
fn without_postgres() -> Vec<Change> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| is_of_libpq(name)).map(|name| (name, None)).collect()
}

/// Whether a variable is one by which libpq's programs, and the driver, find a Postgres.
pub fn is_of_libpq(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"PG")
}

/// The value of a flag, as `--flag value` or `--flag=value`; the last one where there are several.
fn value_of<'a>(flag: &str, arguments: &'a [OsString]) -> Option<&'a OsStr> {
    let flags = arguments.iter().take_while(|argument| *argument != "--").enumerate();
    let values = flags.filter_map(|(position, argument)| match argument.to_str()?.strip_prefix(flag)? {
        "" => arguments.get(position + 1).map(OsString::as_os_str),
        rest => rest.strip_prefix('=').map(OsStr::new),
    });
    values.last()
}

/// `NAME='value'` lines, as a shell reads them too.
fn parse(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter_map(|line| line.trim().split_once('='));
    let known = lines.filter(|(name, _)| NAMES.contains(name));
    known.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_found_in_both_ways_of_writing_it_and_not_behind_the_end_of_flags() {
        for (line, expected) in [
            ("send --queue http://a/1/b", Some("http://a/1/b")),
            ("send --queue=events --wait", Some("events")),
            ("send --queue a --queue=b", Some("b")),
            ("send --queues a", None),
            ("send -- --queue a", None),
            ("send --queue", None),
        ] {
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            assert_eq!(value_of("--queue", &arguments).and_then(OsStr::to_str), expected, "{line}");
        }
    }

    #[test]
    fn only_what_dev_writes_is_read() {
        let text = "# LISTEN_ADDRESS='no'\nQUEUES='a'\nLD_PRELOAD='b'\n RUST_LOG=c\nAWS_REGION='us-east-1'\n";
        let read: Vec<String> = parse(text).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(read, ["QUEUES=a", "AWS_REGION=us-east-1"]);
    }
}
