//! `producers verify`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use event_processor::output::{print, print_json};
use event_processor::producers::ledger;
use event_processor::producers::verification::{VerificationError, verify};
use event_processor::settings::{DatabaseSettings, parse_duration};

use crate::{Failure, connect, open, parse_queue, unavailable_database};

#[derive(Args)]
pub struct VerifySettings {
    /// The ledger. Where several producers wrote to a queue at the same time, join theirs (`cat one two > both`): each one's dead letters
    /// are unexpected to the others.
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
    /// How long to wait at most for the queue to come to rest; then what is there is compared.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = |text: &str| parse_duration(text, 1, 86_400))]
    timeout: Duration,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

pub async fn run(settings: VerifySettings) -> Result<(), Failure> {
    let path = settings.ledger.display();
    let entries = ledger::read(&settings.ledger).map_err(|error| (format!("the ledger {path} cannot be used: {error}"), 78))?;
    let database = settings.database.database().map_err(|problem| (problem, 78))?;
    let addresses: BTreeMap<&String, &String> =
        entries.iter().map(|entry| (&entry.queue, entry.queue_url.as_ref().unwrap_or(&entry.queue))).collect();
    let mut queues = Vec::new();
    for address in addresses.values() {
        let setting = parse_queue(address).map_err(|problem| (format!("the ledger {path} names a queue {address:?}: {problem}"), 78))?;
        queues.push(open(&setting).await?);
    }
    let mut connection = connect(&database).await?;
    let report = verify(&mut connection, &queues, &entries, settings.timeout).await.map_err(|error| match error {
        VerificationError::Queue(_) => (format!("{error}; check region, endpoint, credentials and permissions"), 69),
        VerificationError::Database(error) => unavailable_database(&error),
    })?;
    if settings.json {
        print_json(&report).map_err(|error| (format!("failed to write JSON: {error}"), 70))?;
    } else {
        print(&report);
    }
    if report.accounted { Ok(()) } else { Err((String::new(), 65)) }
}
