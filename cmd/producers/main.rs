//! `producers`: stands in for the applications that put events on the queues.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use event_processor::queue::{Clients, Queue};
use event_processor::settings::{DatabaseSettings, QueueSetting, adopt_dev_environment, explain, parse_duration, parse_queues, read_body};
use event_processor::trace::{Fate, fate};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

/// Sends events as real producers would.
#[derive(Parser)]
#[command(name = "producers", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send one body, exactly as it is.
    Send(SendSettings),
}

#[derive(Args)]
struct SendSettings {
    /// The body's file; - or nothing: standard input.
    #[arg(default_value = "-")]
    file: String,
    /// The queue: a name or URL.
    #[arg(long, value_parser = parse_queue)]
    queue: QueueSetting,
    /// Wait until the event is stored or a dead letter, and say which; ends with 65 where it is a dead letter.
    #[arg(long)]
    wait: bool,
    /// How long to wait at most.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = |text: &str| parse_duration(text, 1, 3600))]
    timeout: Duration,
    #[command(flatten)]
    database: DatabaseSettings,
}

fn parse_queue(text: &str) -> Result<QueueSetting, String> {
    let mut queues = parse_queues(text)?;
    match (queues.pop(), queues.is_empty()) {
        (Some(queue), true) => Ok(queue),
        _ => Err("write one queue's name or URL".to_owned()),
    }
}

/// What to say, and the exit status of `sysexits.h`.
type Failure = (String, u8);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = match Cli::try_parse() {
        Ok(cli) => {
            adopt_dev_environment();
            let Command::Send(settings) = cli.command;
            send(settings).await
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
            eprintln!("{}", sentence.trim_end());
            ExitCode::from(status)
        }
    }
}

async fn send(settings: SendSettings) -> Result<(), Failure> {
    let body = read_body(&settings.file).map_err(|problem| (problem, 78))?;
    let body =
        String::from_utf8(body).map_err(|_| (format!("the body in {:?} is not UTF-8, and SQS carries text only", settings.file), 78))?;
    // Before anything is sent: who is told that a setting is missing will send again.
    let database = match settings.wait {
        true => Some(settings.database.options().map_err(|missing| (format!("--wait looks into the database: {missing}"), 78))?),
        false => None,
    };
    let clients = Clients::load().await;
    if !clients.has_region() && settings.queue.url.is_none() {
        return Err(("AWS_REGION is not set; set it to the queue's region, for example eu-central-1".to_owned(), 78));
    }
    let name = &settings.queue.name;
    let unavailable = |error: event_processor::queue::ClientError| match error.is_missing_queue() {
        true => (format!("the queue {name} does not exist; create it or correct --queue"), 69),
        false => (format!("the queue {name} cannot be used ({error}); check region, endpoint, credentials and permissions"), 69),
    };
    let queue = Queue::open(&clients, &settings.queue).await.map_err(unavailable)?;
    let sqs_message_id = queue.send(&body).await.map_err(unavailable)?;
    println!("sent to {name} as SQS message {sqs_message_id}");
    match database {
        Some(database) => wait(&settings, &database, &body, &sqs_message_id).await,
        None => Ok(()),
    }
}

async fn wait(settings: &SendSettings, options: &PgConnectOptions, body: &str, sqs_message_id: &str) -> Result<(), Failure> {
    let database = |error: sqlx::Error| {
        (format!("the database did not answer ({}); check DATABASE_URL", event_processor::store::describe(&error)), 69)
    };
    let connecting = tokio::time::timeout(Duration::from_secs(10), options.connect()).await;
    let connecting = connecting.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())));
    let mut connection = connecting.map_err(database)?;
    let began = tokio::time::Instant::now();
    while began.elapsed() < settings.timeout {
        match fate(&mut connection, &settings.queue.name, sqs_message_id, body).await.map_err(database)? {
            Some(Fate::Stored { tenant_id, event_id }) => {
                println!("stored for tenant {tenant_id} as event {event_id}");
                return Ok(());
            }
            Some(Fate::Duplicate { tenant_id, event_id }) => {
                println!("a duplicate of event {event_id} of tenant {tenant_id}, which was stored before");
                return Ok(());
            }
            Some(Fate::DeadLetter { dead_letter_id, reason }) => {
                println!("dead letter {dead_letter_id}: {reason}; `processor dead-letter show {dead_letter_id}` explains it");
                return Err((String::new(), 65));
            }
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    Err((format!("nothing became of it within {:?}; is the processor running and polling this queue?", settings.timeout), 69))
}
