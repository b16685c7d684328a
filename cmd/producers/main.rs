//! `producers`: stands in for the applications that put events on the queues, and proves that nothing of theirs is lost.

mod generate;
mod send;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use event_processor::database;
use event_processor::queue::{ClientError, Clients, Queue};
use event_processor::settings::{Database, QueueSetting, adopt_dev_environment, explain, parse_queues};
use sqlx::PgConnection;

/// Sends events as real producers would: the catalog's examples with values of their own, until it is interrupted or --events or --duration
/// ends it.
#[derive(Parser)]
#[command(name = "producers", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    generate: generate::GenerateSettings,
}

#[derive(Subcommand)]
enum Command {
    /// Send one body, exactly as it is.
    Send(send::SendSettings),
    /// Hold a ledger against the database and the queue: ends with 0 when every event is accounted for, with 65 when not.
    Verify(verify::VerifySettings),
}

/// What to say, and the exit status of `sysexits.h`.
type Failure = (String, u8);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Cli::try_parse() {
        Ok(cli) => {
            adopt_dev_environment();
            match cli.command {
                None => generate::run(cli.generate).await,
                Some(Command::Send(settings)) => send::run(settings).await,
                Some(Command::Verify(settings)) => verify::run(settings).await,
            }
        }
        Err(error) => Err(explain(&error, &Cli::command())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((sentence, 0)) => {
            print!("{sentence}");
            ExitCode::SUCCESS
        }
        Err((sentence, status)) => {
            if !sentence.is_empty() {
                eprintln!("{}", sentence.trim_end());
            }
            ExitCode::from(status)
        }
    }
}

/// The value of `--queue`.
fn parse_queue(text: &str) -> Result<QueueSetting, String> {
    let mut queues = parse_queues(text)?;
    match (queues.pop(), queues.is_empty()) {
        (Some(queue), true) => Ok(queue),
        _ => Err("write one queue's name or URL".to_owned()),
    }
}

/// The queue of a setting, where it is there.
async fn open(setting: &QueueSetting) -> Result<Queue, Failure> {
    let clients = Clients::load().await;
    if !clients.has_region() && setting.url.is_none() {
        return Err(("AWS_REGION is not set; set it to the queue's region, for example eu-central-1".to_owned(), 78));
    }
    Queue::open(&clients, setting).await.map_err(|error| unavailable_queue(&setting.name, &error))
}

fn unavailable_queue(name: &str, error: &ClientError) -> Failure {
    match error.is_missing_queue() {
        true => (format!("the queue {name} does not exist; create it or correct --queue"), 69),
        false => (format!("the queue {name} cannot be used ({error}); check region, endpoint, credentials and permissions"), 69),
    }
}

async fn connect(database: &Database) -> Result<PgConnection, Failure> {
    let connecting = database::connect(database, &[]).await;
    connecting.map_err(|error| (database::tell(database, &error), if database::is_wrong_setting(&error) { 78 } else { 69 }))
}

fn unavailable_database(error: &sqlx::Error) -> Failure {
    (format!("the database {}", database::describe(error)), 69)
}

/// Prints a line. Whoever reads may have heard enough; that is no reason to stop.
fn say(line: impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}
