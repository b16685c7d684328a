//! `producers send`.

use std::time::Duration;

use clap::Args;
use event_processor::candidate::QueueBinding;
use event_processor::output::print;
use event_processor::settings::{Database, DatabaseSettings, QueueSetting, SQS_MESSAGE_BYTES_MAX, parse_duration, read_body};
use event_processor::trace::{MessageState, message_state};

use crate::{Failure, connect, open, parse_queue, unavailable_database, unavailable_queue};

#[derive(Args)]
pub struct SendSettings {
    /// The body's file; - or nothing: standard input.
    #[arg(default_value = "-")]
    file: String,
    /// The queue: a name or URL, with its `?format=` where the body is not in the native one.
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

pub async fn run(settings: SendSettings) -> Result<(), Failure> {
    let body = read_body(&settings.file).map_err(|problem| (problem, 78))?;
    let body =
        String::from_utf8(body).map_err(|_| (format!("the body in {:?} is not UTF-8, and SQS carries text only", settings.file), 78))?;
    if body.len() > SQS_MESSAGE_BYTES_MAX {
        let sentence = format!("the body in {:?} has {} bytes, and SQS takes at most {SQS_MESSAGE_BYTES_MAX}", settings.file, body.len());
        return Err((sentence, 78));
    }
    // Before anything is sent: who is told that a setting is missing will send again.
    let database = match settings.wait {
        true => Some(settings.database.database().map_err(|problem| (format!("--wait looks into the database: {problem}"), 78))?),
        false => None,
    };
    let name = &settings.queue.name;
    let queue = open(&settings.queue).await?;
    let sqs_message_id = queue.send(&body).await.map_err(|error| match error.is_refusal_of_the_message() {
        true => (format!("the queue {name} refuses the body, {} bytes in {:?} ({error})", body.len(), settings.file), 78),
        false => unavailable_queue(name, &error),
    })?;
    print(format_args!("sent to {name} as SQS message {sqs_message_id}"));
    match database {
        Some(database) => wait(&settings, &database, &body, &sqs_message_id).await,
        None => Ok(()),
    }
}

async fn wait(settings: &SendSettings, database: &Database, body: &str, sqs_message_id: &str) -> Result<(), Failure> {
    let mut connection = connect(database).await?;
    let binding = QueueBinding::from(&settings.queue);
    let began = tokio::time::Instant::now();
    while began.elapsed() < settings.timeout {
        match message_state(&mut connection, &binding, sqs_message_id, body).await.map_err(|error| unavailable_database(&error))? {
            Some(MessageState::Stored { tenant_id, event_id }) => {
                print(format_args!("stored for tenant {tenant_id} as event {event_id}"));
                return Ok(());
            }
            Some(MessageState::Duplicate { tenant_id, event_id }) => {
                print(format_args!("a duplicate of event {event_id} of tenant {tenant_id}, which was stored before"));
                return Ok(());
            }
            Some(MessageState::DeadLetter { dead_letter_id, reason }) => {
                print(format_args!("dead letter {dead_letter_id}: {reason}; `processor dead-letter show {dead_letter_id}` explains it"));
                return Err((String::new(), 65));
            }
            None => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    Err((format!("nothing became of it within {:?}; is the processor running and polling this queue?", settings.timeout), 69))
}
