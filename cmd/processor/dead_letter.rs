//! `processor dead-letter`.

mod closing;
mod filter;
mod replay;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use event_processor::dead_letter::{
    self, ExampleError, Filter, LIST_HEAD, Page, SUMMARY_HEAD, State, export, list, show, summary, write_example,
};
use event_processor::output::print;
use event_processor::settings::{DatabaseSettings, parse_count};
use sqlx::PgConnection;

use self::filter::FilterSettings;
pub use self::filter::parse_time;
use crate::{Failure, database, print_json};

#[derive(Subcommand)]
pub enum DeadLetterCommand {
    /// List dead letters, the last seen first.
    List(ListSettings),
    /// Show one dead letter: why it was not stored, and its body.
    Show(ShowSettings),
    /// Say what is wrong: how many open dead letters there are of one tenant, event type, reason and rule, and since when.
    Summary(SummarySettings),
    /// Send open dead letters through the path of new events again, and store those that are right by now.
    Replay(Box<replay::ReplaySettings>),
    /// Close dead letters that are not to be stored. They are kept.
    Discard(closing::DiscardSettings),
    /// Open dead letters again that were discarded.
    Reopen(closing::ReopenSettings),
    /// Write a dead letter's payload among the examples of its event type, where `catalog check` proves it from then on.
    Example(ExampleSettings),
    /// Take what SQS itself has put into a dead-letter queue through the path again, and store it, as an event or a dead letter.
    Drain(Box<replay::DrainSettings>),
    /// Print open dead letters whole, each as a line of JSON with the body in base64.
    Export(ExportSettings),
}

#[derive(Args)]
pub struct ListSettings {
    #[command(flatten)]
    filter: FilterSettings,
    /// Also dead letters that are closed: stored after all, or discarded.
    #[arg(long)]
    closed: bool,
    /// The page behind the one that ends with the dead letter of this number.
    #[arg(long, value_name = "NUMBER", value_parser = |text: &str| parse_count(text, 1, i64::MAX))]
    before: Option<i64>,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = |text: &str| parse_count(text, 1_i64, 100_000))]
    limit: i64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

#[derive(Args)]
pub struct ShowSettings {
    #[command(flatten)]
    database: DatabaseSettings,
    /// The dead letter's number, as `list` prints it.
    #[arg(value_parser = |text: &str| parse_count(text, 1, i64::MAX))]
    dead_letter_id: i64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct SummarySettings {
    #[command(flatten)]
    filter: FilterSettings,
    /// At most so many problems.
    #[arg(long, default_value_t = 100, value_parser = |text: &str| parse_count(text, 1_i64, 100_000))]
    limit: i64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

#[derive(Args)]
pub struct ExampleSettings {
    /// The dead letter's number, as `list` prints it.
    #[arg(value_parser = |text: &str| parse_count(text, 1, i64::MAX))]
    dead_letter_id: i64,
    /// What the example is called: its file's name without `.json`.
    #[arg(long, value_parser = parse_name)]
    name: String,
    /// The payload is wrong, and has to be refused for ever.
    #[arg(long)]
    invalid: bool,
    /// The catalog's directory.
    #[arg(long, value_name = "DIR", default_value = "schemas")]
    schemas: PathBuf,
    #[command(flatten)]
    database: DatabaseSettings,
}

#[derive(Args)]
pub struct ExportSettings {
    #[command(flatten)]
    filter: FilterSettings,
    /// Print JSON lines, as it does without.
    #[arg(long, hide = true)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

pub async fn run(command: DeadLetterCommand) -> Result<(), Failure> {
    match command {
        DeadLetterCommand::List(settings) => print_list(settings).await,
        DeadLetterCommand::Show(settings) => print_one(settings).await,
        DeadLetterCommand::Summary(settings) => print_summary(settings).await,
        DeadLetterCommand::Replay(settings) => replay::replay(*settings).await,
        DeadLetterCommand::Discard(settings) => closing::discard(settings).await,
        DeadLetterCommand::Reopen(settings) => closing::reopen(settings).await,
        DeadLetterCommand::Example(settings) => make_example(settings).await,
        DeadLetterCommand::Drain(settings) => replay::drain(*settings).await,
        DeadLetterCommand::Export(ExportSettings { filter, database, json: _ }) => {
            let mut connection = connect(&database).await?;
            Ok(export(&mut connection, &filter.into(), |line| print(line)).await?)
        }
    }
}

/// A connection, planned for what is asked of dead letters.
async fn connect(settings: &DatabaseSettings) -> Result<PgConnection, Failure> {
    let database = database(settings)?;
    dead_letter::connect(&database).await.map_err(|error| Failure::of_connecting(&database, &error))
}

async fn print_list(settings: ListSettings) -> Result<(), Failure> {
    let mut connection = connect(&settings.database).await?;
    let page = Page { before: settings.before, dead_letters_max: Some(settings.limit) };
    let state = if settings.closed { State::Any } else { State::Open };
    let listed = list(&mut connection, &Filter::from(settings.filter), state, page).await;
    let dead_letters = match (listed, settings.before) {
        (Err(sqlx::Error::RowNotFound), Some(before)) => return Err(missing(before)),
        (listed, _) => listed?,
    };
    if settings.json {
        return print_json(&dead_letters);
    }
    if dead_letters.is_empty() {
        print("no dead letters");
        return Ok(());
    }
    print(LIST_HEAD);
    for dead_letter in dead_letters {
        print(dead_letter);
    }
    Ok(())
}

async fn print_one(settings: ShowSettings) -> Result<(), Failure> {
    let mut connection = connect(&settings.database).await?;
    let Some(dead_letter) = show(&mut connection, settings.dead_letter_id).await? else {
        return Err(missing(settings.dead_letter_id));
    };
    if settings.json {
        return print_json(&dead_letter);
    }
    print(dead_letter);
    Ok(())
}

fn missing(dead_letter_id: i64) -> Failure {
    let sentence = format!("there is no dead letter {dead_letter_id}; `processor dead-letter list --closed` shows which there are");
    Failure { sentence, status: 65 }
}

async fn print_summary(settings: SummarySettings) -> Result<(), Failure> {
    let mut connection = connect(&settings.database).await?;
    let (problems, count) = summary(&mut connection, &settings.filter.into(), settings.limit).await?;
    if settings.json {
        return print_json(&problems);
    }
    if problems.is_empty() {
        print("no open dead letters");
        return Ok(());
    }
    print(SUMMARY_HEAD);
    for problem in &problems {
        print(problem);
    }
    if i64::try_from(problems.len()).is_ok_and(|printed| printed < count) {
        print(format_args!("these are the largest {} of {count} problems; --limit shows more", problems.len()));
    }
    Ok(())
}

async fn make_example(settings: ExampleSettings) -> Result<(), Failure> {
    let mut connection = connect(&settings.database).await?;
    let ExampleSettings { dead_letter_id, name, invalid, schemas, .. } = settings;
    match write_example(&mut connection, dead_letter_id, &name, !invalid, &schemas).await {
        Ok(file) => {
            print(format_args!("wrote {}; `processor catalog check` proves it from now on", file.display()));
            Ok(())
        }
        Err(ExampleError::Database(error)) => Err(error.into()),
        Err(error @ ExampleError::Write(..)) => Err(Failure { sentence: error.to_string(), status: 74 }),
        Err(error) => Err(Failure { sentence: error.to_string(), status: 65 }),
    }
}

/// A file's name that goes nowhere else.
fn parse_name(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let begins_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins_well && text.len() <= 100 && text.bytes().all(is_name) {
        return Ok(text.strip_suffix(".json").unwrap_or(text).to_owned());
    }
    Err("write 1-100 letters, digits, dots, underscores and hyphens, the first a letter or digit".to_owned())
}
