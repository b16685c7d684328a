//! `processor trace`.

use clap::Args;
use event_processor::output::print;
use event_processor::settings::DatabaseSettings;
use event_processor::trace::{EventName, story};

use crate::{Failure, connect, print_json};

#[derive(Args)]
pub struct TraceSettings {
    /// Whose event it is, or by its body wants to be.
    tenant: String,
    /// The event's id; of one without it, the SQS message's.
    event_id: String,
    /// The event's source. Without it, the events of this id of every source.
    #[arg(long)]
    source: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

pub async fn run(settings: TraceSettings) -> Result<(), Failure> {
    let TraceSettings { tenant, event_id, source, json, database } = settings;
    let mut connection = connect(&database).await?;
    let name = EventName { tenant_id: tenant, source, event_id };
    let steps = story(&mut connection, &name).await?;
    if json {
        print_json(&steps)?;
    }
    if steps.is_empty() {
        let EventName { tenant_id, event_id, .. } = name;
        let sentence = format!(
            "nothing is known of an event {event_id:?} of tenant {tenant_id:?}: it was not received, or its body could not be read so far; \
             `processor dead-letter list --since 1h` shows what was refused lately"
        );
        return Err(Failure { sentence, status: 65 });
    }
    if json {
        return Ok(());
    }
    for same_source in steps.chunk_by(|left, right| left.source == right.source) {
        print(format_args!("event {} of tenant {}, source {:?}", name.event_id, name.tenant_id, same_source[0].source));
        for step in same_source {
            print(format_args!("  {step}"));
        }
    }
    Ok(())
}
