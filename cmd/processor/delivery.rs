//! `processor delivery`.

use clap::{Args, Subcommand};
use event_processor::delivery::{self, Change, Changed, Filter, LIST_HEAD, Selection, State};
use event_processor::output::print;
use event_processor::settings::{DatabaseSettings, OperatorSettings, parse_count};
use time::OffsetDateTime;

use crate::dead_letter::parse_time;
use crate::{Failure, audit, connect, print_json, stop_on_signal};

#[derive(Subcommand)]
pub enum DeliveryCommand {
    /// List deliveries: what waits, and what was given up.
    List(ListSettings),
    /// Show an event's deliveries, with each attempt and what came of it.
    Show(ShowSettings),
    /// Let deliveries wait again that are dead or cancelled; their attempts begin anew.
    Requeue(ChangeSettings),
    /// Give deliveries up that wait. They are kept in the log, and `requeue` takes them back.
    Cancel(ChangeSettings),
}

#[derive(Args)]
struct FilterSettings {
    /// Only deliveries of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Only deliveries to this client.
    #[arg(long)]
    client: Option<String>,
    /// Only deliveries of events of this source.
    #[arg(long)]
    source: Option<String>,
    /// Only deliveries of the event with this id; may be repeated.
    #[arg(long, value_name = "EVENT_ID")]
    id: Vec<String>,
    /// Only deliveries of events from this queue.
    #[arg(long)]
    queue: Option<String>,
    /// Only deliveries of this event type.
    #[arg(long)]
    event_type: Option<String>,
    /// Only deliveries of this version of it.
    #[arg(long)]
    schema_version: Option<i32>,
    /// Only deliveries of the event of this SQS message.
    #[arg(long)]
    message_id: Option<String>,
    /// Only deliveries that were last tried or ended, or without that received, then or later: `2h` for two hours ago, or a time as
    /// 2026-11-30T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<OffsetDateTime>,
    /// Only those before then.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<OffsetDateTime>,
}

impl From<FilterSettings> for Filter {
    fn from(settings: FilterSettings) -> Self {
        let FilterSettings { tenant, client, source, id, queue, event_type, schema_version, message_id, since, until } = settings;
        Self { tenant, client, source, event_ids: id, queue, event_type, schema_version, message_id, since, until }
    }
}

#[derive(Args)]
pub struct ListSettings {
    #[command(flatten)]
    filter: FilterSettings,
    /// Only deliveries in this state; may be repeated. Without it all but those that are delivered.
    #[arg(long, value_parser = State::ALL.map(State::as_str))]
    state: Vec<String>,
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
    /// Whose event it is.
    tenant: String,
    /// The event's id.
    event_id: String,
    /// The event's source.
    #[arg(long, default_value = "")]
    source: String,
    /// Only the delivery to this client.
    #[arg(long)]
    client: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
}

#[derive(Args)]
pub struct ChangeSettings {
    #[command(flatten)]
    filter: FilterSettings,
    /// All of them.
    #[arg(long)]
    all: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    operator: OperatorSettings,
}

pub async fn run(command: DeliveryCommand) -> Result<(), Failure> {
    match command {
        DeliveryCommand::List(settings) => list(settings).await,
        DeliveryCommand::Show(settings) => show(settings).await,
        DeliveryCommand::Requeue(settings) => change(settings, Change::Requeue, "delivery requeue").await,
        DeliveryCommand::Cancel(settings) => change(settings, Change::Cancel, "delivery cancel").await,
    }
}

async fn list(settings: ListSettings) -> Result<(), Failure> {
    let mut connection = connect(&settings.database).await?;
    let is_asked_for = |state: &State| match settings.state.is_empty() {
        true => *state != State::Delivered,
        false => settings.state.iter().any(|name| name == state.as_str()),
    };
    let states: Vec<State> = State::ALL.into_iter().filter(is_asked_for).collect();
    let lines = delivery::list(&mut connection, &settings.filter.into(), &states, settings.limit).await?;
    if settings.json {
        return print_json(&lines);
    }
    if lines.is_empty() {
        print("no deliveries");
        return Ok(());
    }
    print(LIST_HEAD);
    lines.iter().for_each(print);
    Ok(())
}

async fn show(settings: ShowSettings) -> Result<(), Failure> {
    let mut connection = connect(&settings.database).await?;
    let ShowSettings { tenant, event_id, source, client, json, .. } = settings;
    let selection = Selection { tenant_id: tenant, source, event_id, client_id: client };
    let deliveries = delivery::show(&mut connection, &selection).await?;
    if deliveries.is_empty() {
        let Selection { tenant_id, source, event_id, .. } = selection;
        let sentence = format!(
            "there is no such delivery of an event {event_id:?} of source {source:?} of tenant {tenant_id:?}; `processor trace` tells what is \
             known of the event, whatever its source"
        );
        return Err(Failure { sentence, status: 65 });
    }
    if json {
        return print_json(&deliveries);
    }
    deliveries.iter().for_each(print);
    Ok(())
}

async fn change(settings: ChangeSettings, change: Change, name: &'static str) -> Result<(), Failure> {
    let filter = Filter::from(settings.filter);
    let sentence = match (settings.all, filter.is_empty()) {
        (false, true) => "say which deliveries by a filter, such as --tenant or --id, or --all for every one",
        (true, false) => "--all means every one, and a filter some of them; leave one of the two out",
        _ => "",
    };
    if !sentence.is_empty() {
        return Err(Failure { sentence: sentence.to_owned(), status: 64 });
    }
    let stop = stop_on_signal()?;
    let mut connection = connect(&settings.database).await?;
    let mut changed = Changed::default();
    let outcome = delivery::change(&mut connection, &filter, change, &audit(&settings.operator, name), &mut changed, &stop).await;
    let Changed { matched, changed: done } = changed;
    if settings.json {
        print_json(&changed)?;
    } else {
        print(format_args!("{} {done} of {matched} deliveries", change.done()));
    }
    if !outcome? {
        let sentence = format!("interrupted: {} left; what is done is done, run it again to go on", matched.saturating_sub(done));
        return Err(Failure { sentence, status: 75 });
    }
    Ok(())
}
