//! `processor catalog`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use event_processor::catalog::declaration::Declaration;
use event_processor::catalog::directory::{Problem, read};
use event_processor::catalog::publication::{PublicationError, Undeclared, apply};
use event_processor::output::print;
use event_processor::settings::{DatabaseSettings, OperatorSettings};
use serde::Serialize;

use crate::{Failure, audit, connect, print_json};

#[derive(Subcommand)]
pub enum CatalogCommand {
    /// Check the files alone: tenants, schemas, and each example against its schema. Needs no database.
    Check(CheckSettings),
    /// Make the files what runs, in one transaction, and say what the database has beside them. Published schema versions never change.
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
    /// Take warnings for problems: keywords and formats that a schema's draft does not know and would ignore, for example.
    #[arg(long)]
    strict: bool,
}

#[derive(Args)]
pub struct ApplySettings {
    /// The catalog's directory.
    #[arg(default_value = "schemas")]
    directory: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Take warnings for problems: keywords and formats that a schema's draft does not know and would ignore, for example.
    #[arg(long)]
    strict: bool,
    /// Deactivate what the files do not declare: its events are refused from then on, and a queue of an inactive tenant is not polled.
    /// Nothing is deleted, and what comes back to the files is active again. Without it such things stay as they are.
    #[arg(long)]
    prune: bool,
    /// With --prune: deactivate this tenant also where it has stored an event within the last seven days. May be given several times.
    #[arg(long = "tenant", value_name = "TENANT", requires = "prune")]
    tenants: Vec<String>,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    operator: OperatorSettings,
}

/// What was found, with the directory that it was found in.
#[derive(Serialize)]
struct Printed<T> {
    directory: String,
    #[serde(flatten)]
    found: T,
    warnings: Vec<Problem>,
}

pub async fn run(command: CatalogCommand) -> Result<(), Failure> {
    match command {
        CatalogCommand::Check(CheckSettings { directory, json, strict }) => {
            let declaration = read_directory(&directory, strict, json, "cannot be applied")?;
            let (directory, found, warnings) = (absolute(&directory), declaration.summary(), declaration.warnings);
            if json {
                return print_json(&Printed { directory, found, warnings });
            }
            print_warnings(&warnings);
            print(format_args!("{directory} is good: {found}"));
            Ok(())
        }
        CatalogCommand::Apply(settings) => apply_directory(*settings).await,
    }
}

async fn apply_directory(settings: ApplySettings) -> Result<(), Failure> {
    let declaration = read_directory(&settings.directory, settings.strict, settings.json, "was not applied")?;
    let is_declared = |name: &&String| declaration.tenants.iter().any(|tenant| tenant.tenant_id.as_str() == name.as_str());
    if let Some(tenant) = settings.tenants.iter().find(is_declared) {
        let problem = "the files declare this tenant, so it is not pruned; take its directory out, or leave the flag out";
        return Err(Failure::setting(format!("the value of --tenant is {tenant:?}: {problem}")));
    }
    let undeclared = if settings.prune { Undeclared::Pruned(&settings.tenants) } else { Undeclared::Stays };
    let mut connection = connect(&settings.database).await?;
    let found = match apply(&mut connection, &declaration, undeclared, &audit(&settings.operator, "catalog apply")).await {
        Ok(report) => report,
        Err(PublicationError::Database(error)) => return Err(error.into()),
        Err(error @ PublicationError::PublishedVersionsChanged(_)) => {
            return Err(Failure { sentence: error.to_string(), status: 65 });
        }
        Err(error) => return Err(Failure::unavailable(error)),
    };
    let (directory, warnings) = (absolute(&settings.directory), declaration.warnings);
    if settings.json {
        return print_json(&Printed { directory, found, warnings });
    }
    print_warnings(&warnings);
    print(format_args!("{directory} is applied: {found}"));
    Ok(())
}

/// The files' declaration; where something is wrong with them, each problem is printed, and then what that means for the directory.
pub fn read_directory(directory: &Path, is_strict: bool, is_json: bool, consequence: &str) -> Result<Declaration, Failure> {
    let mut read = read(directory);
    if let Ok(declaration) = &mut read
        && is_strict
        && !declaration.warnings.is_empty()
    {
        read = Err(std::mem::take(&mut declaration.warnings));
    }
    read.map_err(|problems| {
        if is_json {
            return print_json(&problems).err().unwrap_or_else(Failure::found);
        }
        for problem in &problems {
            print(problem);
        }
        let count = match problems.len() {
            1 => "1 problem".to_owned(),
            count => format!("{count} problems"),
        };
        Failure { sentence: format!("{count}; {} {consequence}", absolute(directory)), status: 65 }
    })
}

fn print_warnings(warnings: &[Problem]) {
    for Problem { file, message } in warnings {
        print(format_args!("{file}: warning: {message}"));
    }
}

/// The directory by its whole path: what a relative one means depends on where the command runs.
fn absolute(directory: &Path) -> String {
    std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned()).display().to_string()
}
