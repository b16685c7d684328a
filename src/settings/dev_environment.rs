//! `.dev/env`: where `processor dev` writes down how to reach what it runs, so that other commands in the same directory need no settings.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Where `processor dev` leaves its settings, from the directory in which it runs.
pub const DEV_ENVIRONMENT_FILE: &str = ".dev/env";

/// A command that has any of these set means something else than the embedded stack.
const DECISIVE: [&str; 5] = ["DATABASE_URL", "DATABASE_URL_FILE", "QUEUES", "QUEUE_NAME", "AWS_ENDPOINT_URL"];

/// Uses `.dev/env` where there is one and nothing else was set, and says so on standard error. The process is replaced by itself with the
/// variables set, because the AWS SDK reads the environment of the process, which nothing safe can change from inside.
pub fn adopt_dev_environment() {
    if DECISIVE.iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let Ok(text) = std::fs::read_to_string(Path::new(DEV_ENVIRONMENT_FILE)) else {
        return;
    };
    let (Ok(program), variables) = (std::env::current_exe(), parse(&text)) else {
        return;
    };
    if !variables.iter().any(|(name, _)| DECISIVE.contains(&name.as_str())) {
        return;
    }
    eprintln!(
        "using {DEV_ENVIRONMENT_FILE}, written by `processor dev`; set DATABASE_URL, QUEUES or AWS_ENDPOINT_URL to use something else"
    );
    let error = Command::new(program).args(std::env::args_os().skip(1)).envs(variables).exec();
    eprintln!("{DEV_ENVIRONMENT_FILE} is not used: failed to start anew with it: {error}");
}

/// `NAME='value'` lines, as a shell reads them too.
fn parse(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned())).collect()
}
