//! `processor doctor`.

use std::path::{Path, PathBuf};

use clap::Args;
use event_processor::doctor::{State, examine};
use event_processor::output::print;

use crate::{Failure, print_json};

/// Where the catalog's files are, unless it is said.
const DIRECTORY: &str = "schemas";

#[derive(Args)]
pub struct DoctorSettings {
    /// The catalog's directory, to be held against what runs. Without it `schemas`, where that is here.
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(settings: DoctorSettings) -> Result<(), Failure> {
    let default = Path::new(DIRECTORY);
    let directory = settings.directory.as_deref().or_else(|| default.is_dir().then_some(default));
    let checks = examine(directory).await;
    if settings.json {
        print_json(&checks)?;
    } else {
        checks.iter().for_each(print);
    }
    let has = |state| checks.iter().any(|check| check.state == state);
    match () {
        () if has(State::Away) => Err(Failure { sentence: String::new(), status: 69 }),
        () if has(State::Wrong) => Err(Failure::found()),
        () => Ok(()),
    }
}
