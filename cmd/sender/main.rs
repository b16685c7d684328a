//! `sender`: takes deliveries from the event processor's database to clients, by webhook, mail or any HTTP API.

#[path = "../processor/logging.rs"]
mod logging;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, Parser};
use event_processor::health::listen;
use event_processor::sender::{Sender, SenderError, SystemResolver};
use event_processor::settings::{DatabaseSettings, SenderListenSettings, SenderSettings, explain};
use event_processor::spans::Exporter;
use event_processor::{certificates, output, signals};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Delivers stored events to the clients that are to get them, until SIGTERM or an interrupt: webhooks signed by Standard Webhooks, mails by
/// SMTP, requests to any HTTP API, as each client's `settings` in the catalog say.
///
/// It logs in to Postgres as a member of the role `event_processor_sender`. Any number of senders may run at once.
#[derive(Parser)]
#[command(name = "sender", version)]
struct Cli {
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    sender: SenderSettings,
    #[command(flatten)]
    listen: SenderListenSettings,
    #[command(flatten)]
    logging: logging::Logging,
}

/// What to say, and the exit status of `sysexits.h`.
type Failure = (String, u8);

fn main() -> ExitCode {
    output::tell_panics();
    let arguments: Vec<_> = std::env::args_os().collect();
    let is_log = logging::is_json_asked_for(&arguments);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let (sentence, status) = explain(&error, &Cli::command());
            match status {
                0 => output::print_as_is(&sentence),
                _ if is_log => logging::tell_end("sender", &sentence, status),
                _ => output::tell_as_is(sentence),
            }
            return output::end(status);
        }
    };
    logging::start(&cli.logging, "info");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.map_err(|error| (format!("failed to start the runtime: {error}"), 70)).and_then(|runtime| {
        let outcome = runtime.block_on(run(cli));
        runtime.shutdown_background();
        outcome
    });
    match ended {
        Ok(()) => output::end(0),
        Err((sentence, status)) => {
            if is_log {
                logging::tell_end("sender", &sentence, status);
            } else {
                output::tell(sentence);
            }
            output::end(status)
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let database = cli.database.database().map_err(|sentence| (sentence, 78))?;
    let exporter = Exporter::from_environment("event-processor-sender").map_err(|wrong| (wrong.to_string(), 78))?;
    // Nearly all receivers are known by their certificates, and each delivery to them would be tried in vain until it is given up.
    certificates::check().map_err(|wrong| (wrong.to_string(), 78))?;
    let address = cli.listen.listen_address;
    let listener = listen(address).map_err(|error| {
        let sentence = "cannot listen there";
        (format!("the value of LISTEN_ADDRESS (--listen-address) is \"{address}\": {sentence} ({error}); choose another port"), 78)
    })?;
    let sender = Sender { database, settings: cli.sender, listener: Some(listener), resolver: Arc::new(SystemResolver), exporter };
    let stop = signals::stop_on_signal().map_err(|error| (format!("failed to watch for signals: {error}"), 70))?;
    if let Some(address) = sender.health_address() {
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "started; /livez, /readyz and /metrics are served here");
    }
    match sender.run(stop).await {
        Ok(()) => {
            tracing::info!("stopped; all that was under way is settled or given back");
            Ok(())
        }
        Err(error) => {
            let status = match &error {
                SenderError::Setting(_) => 78,
                SenderError::DrainTimeout(_) => 75,
                SenderError::Metrics(_) => 70,
            };
            Err((error.to_string(), status))
        }
    }
}
