//! `producers` alone: sends events until it is told to stop.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::error::ErrorKind;
use event_processor::candidate::QueueBinding;
use event_processor::catalog::directory;
use event_processor::output::print;
use event_processor::producers::generation::{Generator, Mix};
use event_processor::producers::ledger::Ledger;
use event_processor::producers::material;
use event_processor::producers::sending::{self, Pace, SendingError};
use event_processor::progress::Progress;
use event_processor::settings::{QueueSetting, parse_bytes, parse_count, parse_duration};
use event_processor::signals::stop_on_signal;

use crate::{Failure, open, parse_queue};

#[derive(Args)]
pub struct GenerateSettings {
    /// The queue, which has to be named: a name or URL, as an entry of QUEUES. With `=tenant` behind it the queue is that tenant's, only its events are sent, and
    /// their bodies name no tenant. It is taken for granted that the sender may write for the tenants.
    #[arg(long, value_parser = parse_queue)]
    queue: Option<QueueSetting>,
    /// Events a second. Without it, every event type each 100 ms.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    rate: Option<f64>,
    /// End after so many events.
    #[arg(long, value_name = "COUNT", value_parser = |text: &str| parse_count(text, 1_u64, 1_000_000_000))]
    events: Option<u64>,
    /// End after this time.
    #[arg(long, value_name = "DURATION", value_parser = |text: &str| parse_duration(text, 1, 365 * 86_400))]
    duration: Option<Duration>,
    /// Send only for this tenant; may be repeated. Without it, for all of the catalog.
    #[arg(long, value_name = "TENANT")]
    tenant: Vec<String>,
    /// Send only this event type; may be repeated.
    #[arg(long, value_name = "TYPE")]
    event_type: Vec<String>,
    /// The share of events that must become dead letters, from 0 to 1. They take turns through all reasons that a producer can cause on
    /// this queue.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = parse_share)]
    invalid: f64,
    /// The share of events that were sent before and are sent again, every other time with the payload's keys in another order, other
    /// white space and escapes.
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = parse_share)]
    duplicates: f64,
    /// Fill valid payloads up to so many bytes, where the schema lets the payload itself or one of its members be a string that long (the
    /// platform tenant's are any string). Others stay as they are.
    #[arg(long, value_name = "BYTES", value_parser = |text: &str| parse_bytes(text, 1, 1_000_000), conflicts_with = "payloads")]
    size: Option<usize>,
    /// Send each file below this directory as a payload, exactly as it is but for white space around it, in place of the examples: in the
    /// order of their names, once to each event type, or over and over where --events or --duration says when to end. What must become of
    /// each is foretold by the type's schema. Narrow the types down by --tenant and --event-type.
    #[arg(long, value_name = "DIR")]
    payloads: Option<PathBuf>,
    /// The catalog's directory, from which come tenants, types and examples. It must be what is applied.
    #[arg(long, value_name = "DIR", default_value = "schemas")]
    schemas: PathBuf,
    /// Tell SQS each message's tenant as its `MessageGroupId`, also on a standard queue: SQS then hands out a tenant's backlog behind what
    /// others bring (fair queues). It proves nothing to the processor, which goes by the body and the sender.
    #[arg(long)]
    fair: bool,
    /// Make the same events as another run did, but for their ids. Each run prints its seed.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Write a line for each event into this file, which must not exist yet, for `producers verify`.
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "write a share of all events as 0.05, from 0 to 1".to_owned())
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.01..=100_000.0).contains(rate));
    rate.ok_or_else(|| "write events a second, from 0.01 to 100000".to_owned())
}

pub async fn run(settings: GenerateSettings) -> Result<(), Failure> {
    let Some(setting) = &settings.queue else {
        let command = <crate::Cli as clap::CommandFactory>::command();
        let error = command.clone().error(ErrorKind::MissingRequiredArgument, "--queue is missing: the queue's name or URL");
        return Err(event_processor::settings::explain(&error, &command));
    };
    if settings.invalid + settings.duplicates > 1.0 {
        return Err(("--invalid and --duplicates are above 1 together; they are shares of the same events".to_owned(), 78));
    }
    let seed = settings.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let mut generator = generator(&settings, setting.into(), seed)?;
    let queue = open(setting).await?;
    let ledger = settings.ledger.as_ref().map(|path| {
        Ledger::create(path).map_err(|error| (format!("the ledger {} cannot be begun ({error}); name a new file", path.display()), 78))
    });
    let ledger = ledger.transpose()?;
    let rate = settings.rate.unwrap_or_else(|| 10.0 * f64::from(u32::try_from(generator.kinds()).unwrap_or(u32::MAX)));
    print(format_args!("seed {seed}, source {}", generator.source()));
    // Where a second signal does not wait for what is on its way, its lines in the ledger say `unknown`.
    let stop = stop_on_signal().map_err(|error| (format!("signals cannot be awaited ({error})"), 70))?;
    let pace = Pace { rate, events: settings.events, duration: settings.duration, is_fair: settings.fair };
    let mut progress = Progress::new("sent", settings.events, settings.duration);
    let (sent, outcome) = sending::run(&queue, setting.url.as_deref(), &mut generator, pace, ledger, &mut progress, &stop).await;
    progress.end();
    let lost = match sent.lost_replies {
        0 => String::new(),
        lost => format!("; {lost} replies were lost, after which {} events are not known to have arrived", sent.unknown),
    };
    print(format_args!("sent {} events to {}{lost}", sent.accepted, setting.name));
    if let Some(path) = &settings.ledger {
        print(format_args!("`producers verify --ledger {}` says what became of them", path.display()));
    }
    outcome.map_err(|error| match error {
        SendingError::Ledger(_) => (error.to_string(), 70),
        _ => (error.to_string(), 69),
    })
}

fn generator(settings: &GenerateSettings, binding: QueueBinding, seed: u64) -> Result<Generator, Failure> {
    let path = &settings.schemas;
    let declaration = directory::read(path).map_err(|problems| {
        let first = problems.first().map_or_else(String::new, ToString::to_string);
        (
            format!(
                "the catalog in {} cannot be used: {first}; `processor catalog check` says all; name another by --schemas",
                path.display()
            ),
            78,
        )
    })?;
    let size = settings.size.unwrap_or(0);
    let mix = Mix { invalid: settings.invalid, duplicates: settings.duplicates, size };
    let wrong = |problem: String| (problem, 78);
    let kinds = material::of_catalog(path, &declaration, &settings.tenant, &settings.event_type, size).map_err(wrong)?;
    let run = uuid::Uuid::now_v7().simple().to_string();
    let generator = Generator::new(kinds, binding, mix, seed, &run).map_err(wrong)?;
    let Some(payloads) = &settings.payloads else {
        let problem = "no event type that is sent for has a payload below `examples/valid`; write one, or send your own by --payloads";
        return if generator.has_examples() { Ok(generator) } else { Err(wrong(problem.to_owned())) };
    };
    let payloads = material::files(payloads).map_err(wrong)?;
    if payloads.is_empty() {
        return Err(wrong("the directory of --payloads holds no file".to_owned()));
    }
    Ok(generator.with_payloads(&payloads, settings.events.is_none() && settings.duration.is_none()))
}
