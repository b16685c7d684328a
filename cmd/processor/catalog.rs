//! `processor catalog`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use event_processor::catalog::declaration::Declaration;
use event_processor::catalog::directory::{Problem, read};
use event_processor::catalog::publication::{PublicationError, apply};
use event_processor::output::print;
use event_processor::settings::DatabaseSettings;

use crate::{Failure, connect, print_json};

#[derive(Subcommand)]
pub enum CatalogCommand {
    /// Check the files alone: tenants, schemas, and each example against its schema. Needs no database.
    Check(CheckSettings),
    /// Make the files what runs, in one transaction. What left the files stays as it is; published schema versions never change.
    Apply(Box<ApplySettings>),
}

#[derive(Args)]
pub struct CheckSettings {
    /// The catalog's directory.
    #[arg(default_value = "schemas")]
    directory: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct ApplySettings {
    /// The catalog's directory.
    #[arg(default_value = "schemas")]
    directory: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Not supported by this build.
    #[arg(long, hide = true)]
    prune: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

pub async fn run(command: CatalogCommand) -> Result<(), Failure> {
    match command {
        CatalogCommand::Check(settings) => {
            let declaration = read_directory(&settings.directory, settings.json)?;
            if settings.json {
                return print_json(&declaration.summary());
            }
            print(format_args!("{} is good: {}", settings.directory.display(), declaration.summary()));
            Ok(())
        }
        CatalogCommand::Apply(settings) if settings.prune => {
            let sentence = "--prune is not supported by this build: what left the files stays as it is";
            Err(Failure { sentence: sentence.to_owned(), status: 64 })
        }
        CatalogCommand::Apply(settings) => {
            let declaration = read_directory(&settings.directory, settings.json)?;
            let mut connection = connect(&settings.database).await?;
            let report = match apply(&mut connection, &declaration).await {
                Ok(report) => report,
                Err(PublicationError::Database(error)) => return Err(error.into()),
                Err(error @ PublicationError::PublishedVersionsChanged(_)) => {
                    return Err(Failure { sentence: error.to_string(), status: 65 });
                }
                Err(error) => return Err(Failure::unavailable(error)),
            };
            if settings.json {
                return print_json(&report);
            }
            print(report);
            Ok(())
        }
    }
}

fn read_directory(directory: &std::path::Path, is_json: bool) -> Result<Declaration, Failure> {
    read(directory).map_err(|problems| {
        if is_json {
            return print_json(&problems).err().unwrap_or_else(Failure::found);
        }
        for problem in &problems {
            print(problem);
        }
        Failure { sentence: summary(&problems), status: 65 }
    })
}

fn summary(problems: &[Problem]) -> String {
    match problems.len() {
        1 => "1 problem; nothing was applied".to_owned(),
        count => format!("{count} problems; nothing was applied"),
    }
}
