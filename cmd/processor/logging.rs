//! How the processor logs.

use std::ffi::OsString;
use std::io::IsTerminal as _;

use clap::ValueEnum;
use event_processor::output::{self, StandardError, problem_and_advice};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

#[derive(clap::Args)]
pub struct Logging {
    /// How logs are written; by default text on a terminal, else JSON.
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", global = true)]
    log_format: Option<LogFormat>,
    /// What is logged: a level, or levels by module, as `info,event_processor=debug`.
    /// By default info, in `dev` warn, and nothing of `aws_config`, which looks for credentials and says so each time. Of the libraries
    /// nothing below info is ever logged, whatever stands here: their debug and trace lines hold payloads, statements and credentials.
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", global = true, value_parser = parse_filter)]
    rust_log: Option<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

fn parse_filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => {
            Err("write a level (error, warn, info, debug, trace) or levels by module, as info,event_processor=debug; debug and trace \
                       apply to event_processor and processor alone"
                .to_owned())
        }
    }
}

/// Whether a line may be logged at all. Below info the libraries tell what they send and receive.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let origin = metadata.target().split("::").next();
    *metadata.level() <= Level::INFO || matches!(origin, Some("event_processor" | "processor" | "sender"))
}

/// Whether a log in JSON is asked for, as far as can be told before the arguments are read.
pub fn is_json_asked_for(arguments: &[OsString]) -> bool {
    let flags = arguments.windows(2).any(|pair| pair[0] == "--log-format" && pair[1] == "json");
    let by_flag = flags || arguments.iter().any(|argument| argument == "--log-format=json");
    by_flag || std::env::var_os("LOG_FORMAT").is_some_and(|format| format == "json")
}

/// Tells why a daemon ends, as a line like those of its log: also where nothing is logged yet, or RUST_LOG leaves errors out.
pub fn tell_end(program: &str, sentence: &str, status: u8) {
    let (problem, advice) = problem_and_advice(sentence.trim_end());
    let timestamp = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
    let line = json!({
        "timestamp": timestamp, "level": "ERROR", "message": "ended", "problem": problem, "advice": advice, "exit_status": status,
        "target": program,
    });
    output::tell(line);
}

/// Logs from now on to standard error, by the filter that is given or by this one.
pub fn start(logging: &Logging, default: &str) {
    let is_terminal = std::io::stderr().is_terminal();
    let is_text = logging.log_format.map_or(is_terminal, |format| format == LogFormat::Text);
    // While there are no credentials `aws_config` has two lines for each request, and repeats what a `credential_process` wrote.
    let filter = logging.rust_log.clone().unwrap_or_else(|| format!("{default},aws_config=off"));
    // What cannot be formatted must not be told by a write that panics.
    let layer = tracing_subscriber::fmt::layer().with_writer(|| StandardError).with_ansi(is_terminal).log_internal_errors(false);
    let layer = if is_text { layer.boxed() } else { layer.json().flatten_event(true).boxed() };
    tracing_subscriber::registry().with(layer).with(EnvFilter::new(filter)).with(filter_fn(may_be_logged)).init();
}
