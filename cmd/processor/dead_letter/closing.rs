//! `processor dead-letter discard` and `reopen`.

use clap::Args;
use event_processor::dead_letter::{Closed, Closing, close};
use event_processor::output::print;
use event_processor::settings::{DatabaseSettings, OperatorSettings};

use super::connect;
use super::filter::ChoiceSettings;
use crate::{Failure, audit, print_json, stop_on_signal};

#[derive(Args)]
pub struct DiscardSettings {
    #[command(flatten)]
    choice: ChoiceSettings,
    /// Why they are not to be stored; it is kept with each.
    #[arg(long, value_name = "TEXT", value_parser = parse_because)]
    because: String,
    #[command(flatten)]
    common: ClosingSettings,
}

#[derive(Args)]
pub struct ReopenSettings {
    #[command(flatten)]
    choice: ChoiceSettings,
    #[command(flatten)]
    common: ClosingSettings,
}

#[derive(Args)]
struct ClosingSettings {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    operator: OperatorSettings,
}

pub async fn discard(settings: DiscardSettings) -> Result<(), Failure> {
    run(settings.choice, settings.common, &Closing::Discard(settings.because)).await
}

pub async fn reopen(settings: ReopenSettings) -> Result<(), Failure> {
    run(settings.choice, settings.common, &Closing::Reopen).await
}

async fn run(choice: ChoiceSettings, settings: ClosingSettings, closing: &Closing) -> Result<(), Failure> {
    let filter = choice.filter()?;
    let (command, done) = match closing {
        Closing::Discard(_) => ("dead-letter discard", "discarded"),
        Closing::Reopen => ("dead-letter reopen", "reopened"),
    };
    let stop = stop_on_signal()?;
    let mut connection = connect(&settings.database).await?;
    let mut closed = Closed::default();
    let outcome = close(&mut connection, &filter, closing, &audit(&settings.operator, command), &mut closed, &stop).await;
    let Closed { matched, changed } = closed;
    if settings.json {
        print_json(&closed)?;
    } else {
        print(format_args!("{done} {changed} of {matched} dead letter(s)"));
    }
    if !outcome? {
        let sentence = format!("interrupted: {} left; what is done is done, run it again to go on", matched - changed);
        return Err(Failure { sentence, status: 75 });
    }
    Ok(())
}

fn parse_because(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > 1_000 || text.contains('\0') {
        return Err("say why in 1-1000 bytes".to_owned());
    }
    Ok(text.to_owned())
}
