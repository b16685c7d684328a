//! `processor dead-letter`.

use clap::{Args, Subcommand};
use event_processor::dead_letter::{Filter, LIST_HEAD, list, show};
use event_processor::event::Reason;
use event_processor::output::print;
use event_processor::settings::{DatabaseSettings, parse_count};

use crate::{Failure, connect, print_json};

#[derive(Subcommand)]
pub enum DeadLetterCommand {
    /// List dead letters, the newest first.
    List(ListSettings),
    /// Show one dead letter: why it was not stored, and its body.
    Show(ShowSettings),
}

#[derive(Args)]
pub struct ListSettings {
    #[command(flatten)]
    database: DatabaseSettings,
    /// Only dead letters of this tenant, or whose body names it.
    #[arg(long)]
    tenant: Option<String>,
    /// Only dead letters with this reason, for example schema_violation.
    #[arg(long, value_parser = Reason::ALL.map(Reason::as_str))]
    reason: Option<String>,
    /// Only dead letters from this queue.
    #[arg(long)]
    queue: Option<String>,
    /// Also dead letters that are closed: stored after all, or discarded.
    #[arg(long)]
    all: bool,
    /// At most so many.
    #[arg(long, default_value_t = 50, value_parser = |text: &str| parse_count(text, 1_i64, 100_000))]
    limit: i64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
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

pub async fn run(command: DeadLetterCommand) -> Result<(), Failure> {
    match command {
        DeadLetterCommand::List(settings) => print_list(settings).await,
        DeadLetterCommand::Show(settings) => print_one(settings).await,
    }
}

async fn print_list(settings: ListSettings) -> Result<(), Failure> {
    let mut connection = connect(&settings.database).await?;
    let filter = Filter {
        tenant: settings.tenant,
        reason: settings.reason,
        queue: settings.queue,
        with_closed: settings.all,
        dead_letters_max: settings.limit,
    };
    let dead_letters = list(&mut connection, &filter).await?;
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
        let sentence =
            format!("there is no dead letter {}; `processor dead-letter list --all` shows which there are", settings.dead_letter_id);
        return Err(Failure { sentence, status: 65 });
    };
    if settings.json {
        return print_json(&dead_letter);
    }
    print(dead_letter);
    Ok(())
}
