//! `processor dead-letter replay` and `drain`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use event_processor::catalog::publication::{PublicationError, changed_versions};
use event_processor::dead_letter::{Drain, DrainError, Replay, Report, Selection, SettlingError, rehearse};
use event_processor::output::print;
use event_processor::queue::Clients;
use event_processor::settings::{BodySettings, DatabaseSettings, OperatorSettings, QueueSetting, QueueSettings, parse_count, parse_queues};
use event_processor::snapshot::Snapshot;
use event_processor::store::SessionError;

use super::filter::ChoiceSettings;
use crate::catalog::read_directory;
use crate::{Failure, audit, database as database_of, print_json, stop_on_signal};

#[derive(Args)]
pub struct ReplaySettings {
    #[command(flatten)]
    choice: ChoiceSettings,
    /// Say what would become of each, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: by the catalog as it would be if the files of this directory were applied.
    #[arg(long, value_name = "DIR", requires = "dry_run")]
    catalog: Option<PathBuf>,
    /// At most so many a second.
    #[arg(long, value_name = "EVENTS", conflicts_with = "dry_run", value_parser = parse_rate)]
    rate: Option<NonZeroU32>,
    /// At most so many, those that were sent first.
    #[arg(long, value_name = "COUNT", value_parser = |text: &str| parse_count(text, 1_usize, 1_000_000_000))]
    limit: Option<usize>,
    #[command(flatten)]
    path: PathSettings,
}

#[derive(Args)]
pub struct DrainSettings {
    /// The dead-letter queue of SQS: a name or URL. One of the queues in QUEUES or the catalog has it as its redrive target.
    #[arg(value_parser = parse_dead_letter_queue)]
    queue: QueueSetting,
    /// Say what would become of each, give them back to the queue, and change nothing else.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    path: PathSettings,
}

/// What sending events through the path again needs to know, wherever they come from.
#[derive(Args)]
struct PathSettings {
    /// Print JSON: the counts, and what became of each that is replayed.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    queues: QueueSettings,
    #[command(flatten)]
    body: BodySettings,
    #[command(flatten)]
    operator: OperatorSettings,
}

pub async fn replay(settings: ReplaySettings) -> Result<(), Failure> {
    let ReplaySettings { choice, dry_run, catalog, rate, limit, path } = settings;
    let PathSettings { json, database, queues, body, operator } = path;
    let filter = if dry_run { choice.filter_or_all()? } else { choice.filter()? };
    let selection = Selection { filter, dead_letters_max: limit };
    let queues = queues.list().unwrap_or_default();
    let stop = stop_on_signal()?;
    let mut report = Report::new(dry_run, json);
    let outcome = if dry_run {
        let mut connection = super::connect(&database).await?;
        let snapshot = match &catalog {
            None => Snapshot::load(&mut connection, None, 0).await?,
            Some(directory) => {
                let declaration = read_directory(directory, false, json, "cannot be applied")?;
                let changed = changed_versions(&mut connection, &declaration).await?;
                if !changed.is_empty() {
                    return Err(Failure { sentence: PublicationError::PublishedVersionsChanged(changed).to_string(), status: 65 });
                }
                Snapshot::load_overlaid(&mut connection, &declaration).await?
            }
        };
        if snapshot.generation == 0 && catalog.is_none() {
            return Err(settling_failure(&SettlingError::NoCatalog));
        }
        rehearse(&mut connection, &snapshot, &queues, body.body_bytes_max, &selection, &mut report, &stop).await
    } else {
        let audit = Arc::new(audit(&operator, "dead-letter replay"));
        let opened = Replay::open(&database_of(&database)?, queues, body.body_bytes_max, audit, report).await;
        let mut replay = opened.map_err(|error| settling_failure(&error))?;
        let outcome = replay.run(&selection, rate, &stop).await;
        report = replay.into_report();
        outcome
    };
    conclude(&report, json, outcome.map_err(|error| settling_failure(&error)))
}

pub async fn drain(settings: DrainSettings) -> Result<(), Failure> {
    let DrainSettings { queue, dry_run, path } = settings;
    let configured = path.queues.given()?;
    let clients = Clients::load().await?;
    let audit = Arc::new(audit(&path.operator, "dead-letter drain"));
    let database = database_of(&path.database)?;
    let stop = stop_on_signal()?;
    let opening = Drain::open(&clients, &database, &queue, &configured, path.body.body_bytes_max, audit, dry_run);
    let mut drain = opening.await.map_err(|error| drain_failure(&error))?;
    let outcome = drain.run(&stop).await;
    conclude(drain.report(), path.json, outcome.map_err(|error| drain_failure(&error)))
}

/// Prints what was done, and says how it ended.
fn conclude(report: &Report, json: bool, outcome: Result<bool, Failure>) -> Result<(), Failure> {
    if json {
        print_json(report)?;
    } else {
        print(report);
    }
    let left = report.matched.saturating_sub(report.done());
    match outcome {
        Ok(true) if report.is_mended() => Ok(()),
        Ok(true) => Err(Failure::found()),
        Ok(false) => {
            Err(Failure { sentence: format!("interrupted: {left} left; what is done is done, run it again to go on"), status: 75 })
        }
        Err(Failure { sentence, status }) => {
            Err(Failure { sentence: format!("ended early, {left} left, run it again to go on: {sentence}"), status })
        }
    }
}

fn settling_failure(error: &SettlingError) -> Failure {
    match error {
        SettlingError::Database(cause) | SettlingError::Session(SessionError::Driver(cause)) => Failure::database(cause, error.to_string()),
        SettlingError::Unfit(_) => Failure::setting(error),
        SettlingError::Threads(_) => Failure::internal(error),
        SettlingError::Session(_) | SettlingError::Store(_) | SettlingError::NoCatalog => Failure::unavailable(error),
    }
}

fn drain_failure(error: &DrainError) -> Failure {
    match error {
        DrainError::Settling(error) => settling_failure(error),
        DrainError::WrongQueue(_) => Failure::setting(error),
        DrainError::Queue(name, cause) if cause.is_missing_queue() => {
            Failure::unavailable(format!("the queue {name} does not exist; create it, or correct the name"))
        }
        DrainError::Queue(name, cause) => Failure::unavailable(format!("the queue {name} cannot be used: {}", cause.advice())),
    }
}

fn parse_rate(text: &str) -> Result<NonZeroU32, String> {
    parse_count(text, 1_u32, 1_000_000).and_then(|rate| NonZeroU32::new(rate).ok_or_else(|| "write 1 or more".to_owned()))
}

/// The argument of `drain`: tenant, trust and format are those of the queue that the messages came from.
fn parse_dead_letter_queue(text: &str) -> Result<QueueSetting, String> {
    let address = text.split_once("://").map_or(text, |(_, rest)| rest);
    if address.contains(['=', '?', ',']) {
        return Err(
            "write a queue's name or URL alone: tenant, trust and format are those of the queue that its messages came from".to_owned()
        );
    }
    parse_queues(text)?.pop().ok_or_else(|| "write a queue's name or URL".to_owned())
}
