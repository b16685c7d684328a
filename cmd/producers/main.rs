//! `producers`: stands in for the applications that put events on the queues, and proves that nothing of theirs is lost.

mod generate;
mod send;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use event_processor::queue::{ClientError, Clients, Queue};
use event_processor::settings::{Database, QueueSetting, Role, explain, parse_queues, settle_environment};
use event_processor::{database, output};
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
    output::tell_panics();
    let outcome = match Cli::try_parse() {
        Ok(cli) => match (settle_environment(false), cli.command) {
            (Err(wrong), _) => Err((wrong.to_string(), 78)),
            (Ok(()), None) => generate::run(cli.generate).await,
            (Ok(()), Some(Command::Send(settings))) => send::run(settings).await,
            (Ok(()), Some(Command::Verify(settings))) => verify::run(settings).await,
        },
        Err(error) => Err(explain(&error, &Cli::command())),
    };
    match outcome {
        Ok(()) => output::end(0),
        Err((sentence, status)) => {
            match status {
                0 => output::print_as_is(&sentence),
                // A usage, perhaps in colours.
                64 => output::tell_as_is(sentence),
                _ if sentence.is_empty() => {}
                _ => output::tell(sentence.trim_end()),
            }
            output::end(status)
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
    let clients = Clients::load().await.map_err(|wrong| (wrong.to_string(), 78))?;
    if !clients.has_region() && setting.url.is_none() {
        return Err(("AWS_REGION is not set; set it to the queue's region, for example eu-central-1".to_owned(), 78));
    }
    Queue::open(&clients, setting).await.map_err(|error| unavailable_queue(&setting.name, &error))
}

fn unavailable_queue(name: &str, error: &ClientError) -> Failure {
    match error.is_missing_queue() {
        true => (format!("the queue {name} does not exist; create it or correct --queue"), 69),
        false => (format!("the queue {name} cannot be used: {}", error.advice_for_sender()), 69),
    }
}

async fn connect(database: &Database) -> Result<PgConnection, Failure> {
    let connecting = database::connect(&database.clone().with_role(Role::Operator).to("producers"), &[]).await;
    connecting.map_err(|error| (database::tell(database, &error), if database::is_wrong_setting(&error) { 78 } else { 69 }))
}

fn unavailable_database(error: &sqlx::Error) -> Failure {
    (format!("the database {}", database::describe(error)), if database::is_wrong_setting(error) { 78 } else { 69 })
}
