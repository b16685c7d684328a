//! `processor`: the daemon and the commands around it.

mod catalog;
mod client;
mod dead_letter;
mod delivery;
mod doctor;
mod logging;
mod reader;
mod run;
mod trace;
mod validate;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use event_processor::audit::Audit;
use event_processor::settings::{
    Database, DatabaseSettings, MissingSetting, OperatorSettings, Role, WrongSetting, explain, settle_environment,
};
use event_processor::{database, output, signals};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

/// Events are many small pieces that one thread allocates and another frees, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes events from SQS, validates each against its tenant's JSON Schema, and writes it to Postgres once and only once.
///
/// Without a command it runs the daemon. Settings come from flags or environment variables; `.env-template` names them all.
#[derive(Parser)]
#[command(name = "processor", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    logging: logging::Logging,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon: poll the queues and store events until SIGTERM or an interrupt.
    Run(run::RunSettings),
    /// Try everything out: start a Postgres and a queue of its own, apply `schemas/`, send sample events and show what became of them.
    #[cfg(feature = "dev")]
    Dev(event_processor::dev::DevSettings),
    /// Create or update the tables.
    Migrate(DatabaseSettings),
    /// Check the catalog's files, or make them what runs.
    #[command(subcommand)]
    Catalog(catalog::CatalogCommand),
    /// Say what would become of one body, without storing anything.
    Validate(validate::ValidateSettings),
    /// Look at what was not stored, and why; mend it, and store it after all.
    #[command(subcommand)]
    DeadLetter(dead_letter::DeadLetterCommand),
    /// Tell an event's whole story: refused why, replayed, stored, and when.
    Trace(trace::TraceSettings),
    /// Look at deliveries to clients, let them wait again, or give them up.
    #[command(subcommand)]
    Delivery(delivery::DeliveryCommand),
    /// Stop and resume deliveries to one client.
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// See how tenants are; stop and resume deliveries of one; let its own people read its rows.
    #[command(subcommand)]
    Tenant(client::TenantCommand),
    /// Look at all that the daemon needs, with the variables that it would run with, and say what is wrong and what to do. Receives, stores and
    /// changes nothing. Ends with 0 when all is well, 65 when something is wrong, 69 when something does not answer.
    Doctor(doctor::DoctorSettings),
    /// Ask the daemon on this machine whether it is ready; ends with 0 when it is, 69 when not.
    Health(event_processor::settings::ListenSettings),
}

/// What is logged where RUST_LOG does not say it.
fn levels(command: Option<&Command>) -> &'static str {
    match command {
        #[cfg(feature = "dev")]
        Some(Command::Dev(_)) => "warn,sqlx_core=error,event_processor::owner_rights=off,event_processor::ingest::rejections=off",
        Some(Command::Run(_)) => "info",
        // Whoever waits for a command sees by himself that a statement takes long.
        _ => "info,sqlx=error",
    }
}

/// Whether the command brings its own settings along and must not meet those of another `dev`.
fn is_dev(command: Option<&Command>) -> bool {
    match command {
        #[cfg(feature = "dev")]
        Some(Command::Dev(_)) => true,
        _ => false,
    }
}

/// Why a command ended otherwise than well: what to say and the exit status of `sysexits.h`.
struct Failure {
    sentence: String,
    status: u8,
}

impl Failure {
    /// A check or a validation that found something; it has been printed.
    fn found() -> Self {
        Self { sentence: String::new(), status: 65 }
    }

    fn unavailable(sentence: impl std::fmt::Display) -> Self {
        Self { sentence: sentence.to_string(), status: 69 }
    }

    fn internal(sentence: impl std::fmt::Display) -> Self {
        Self { sentence: sentence.to_string(), status: 70 }
    }

    /// The database is away, or not what DATABASE_URL says.
    fn database(error: &sqlx::Error, sentence: String) -> Self {
        Self { sentence, status: if database::is_wrong_setting(error) { 78 } else { 69 } }
    }

    fn of_connecting(database: &Database, error: &sqlx::Error) -> Self {
        Self::database(error, database::tell(database, error))
    }

    fn setting(sentence: impl std::fmt::Display) -> Self {
        Self { sentence: sentence.to_string(), status: 78 }
    }
}

impl From<MissingSetting> for Failure {
    fn from(missing: MissingSetting) -> Self {
        Self::setting(missing)
    }
}

impl From<WrongSetting> for Failure {
    fn from(wrong: WrongSetting) -> Self {
        Self::setting(wrong)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::database(&error, format!("the database {}", database::describe(&error)))
    }
}

fn main() -> ExitCode {
    output::tell_panics();
    let arguments: Vec<_> = std::env::args_os().collect();
    let cli = Cli::try_parse_from(&arguments).and_then(|cli| match cli.command {
        // `processor` alone is `processor run`.
        None => Cli::try_parse_from(arguments.iter().cloned().chain(["run".into()])),
        Some(_) => Ok(cli),
    });
    let is_log = is_run(&arguments) && logging::is_json_asked_for(&arguments);
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => return end_unread(is_log, &error),
    };
    let is_dev = is_dev(cli.command.as_ref());
    logging::start(&cli.logging, levels(cli.command.as_ref()));
    if let Err(wrong) = settle_environment(is_dev) {
        return end(is_log, wrong.into());
    }
    // Schemas may recurse and payloads nest: threads that validate need more stack than the default 2 MiB.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(16 << 20).build();
    let ended = runtime.map(|runtime| {
        let outcome = runtime.block_on(dispatch(cli.command));
        // What still runs in the background now is abandoned on purpose: the command has ended.
        runtime.shutdown_background();
        outcome
    });
    match ended.unwrap_or_else(|error| Err(Failure::internal(format!("failed to start the runtime: {error}")))) {
        Ok(()) => output::end(0),
        Err(failure) => end(is_log, failure),
    }
}

/// The end of a program whose arguments could not be read, or asked for help alone.
fn end_unread(is_log: bool, error: &clap::Error) -> ExitCode {
    let (sentence, status) = explain(error, &Cli::command());
    match status {
        0 => output::print_as_is(&sentence),
        _ if is_log => logging::tell_end("processor", &sentence, status),
        _ => output::tell_as_is(sentence),
    }
    output::end(status)
}

/// The end of a program that failed.
fn end(is_log: bool, Failure { sentence, status }: Failure) -> ExitCode {
    if is_log {
        logging::tell_end("processor", &sentence, status);
    } else if !sentence.is_empty() {
        output::tell(sentence);
    }
    output::end(status)
}

/// Whether it is the daemon that these arguments ask for.
fn is_run(arguments: &[OsString]) -> bool {
    let command = Cli::command();
    let commands = || command.get_subcommands().map(clap::Command::get_name).chain(["help"]);
    let named = arguments.iter().skip(1).find_map(|argument| commands().find(|name| argument == *name));
    named.is_none_or(|name| name == "run")
}

async fn dispatch(command: Option<Command>) -> Result<(), Failure> {
    match command {
        None => Ok(()),
        Some(Command::Run(settings)) => run::run(settings).await,
        #[cfg(feature = "dev")]
        Some(Command::Dev(settings)) => run::dev(settings).await,
        Some(Command::Migrate(settings)) => run::migrate(&settings).await,
        Some(Command::Catalog(command)) => catalog::run(command).await,
        Some(Command::Validate(settings)) => validate::run(settings).await,
        Some(Command::DeadLetter(command)) => dead_letter::run(command).await,
        Some(Command::Trace(settings)) => trace::run(settings).await,
        Some(Command::Delivery(command)) => delivery::run(command).await,
        Some(Command::Client(command)) => client::run(command).await,
        Some(Command::Tenant(command)) => client::run_tenant(command).await,
        Some(Command::Doctor(settings)) => doctor::run(settings).await,
        Some(Command::Health(settings)) => run::health(&settings).await,
    }
}

/// A connection for a command that needs one once.
async fn connect(settings: &DatabaseSettings) -> Result<PgConnection, Failure> {
    let database = database(settings)?;
    database::connect(&database, &[]).await.map_err(|error| Failure::of_connecting(&database, &error))
}

/// As the role of those who run commands.
fn database(settings: &DatabaseSettings) -> Result<Database, Failure> {
    settings.database().map(|database| database.with_role(Role::Operator).to("command")).map_err(Failure::setting)
}

/// The row in `audit` of the command that this process runs.
fn audit(operator: &OperatorSettings, command: &'static str) -> Audit {
    let words = command.split(' ').count();
    // Not every argument has to be UTF-8; it is told as well as it can be.
    let arguments = std::env::args_os().skip(1 + words).map(|argument| argument.to_string_lossy().into_owned());
    Audit::new(operator.name(), command, arguments)
}

fn stop_on_signal() -> Result<CancellationToken, Failure> {
    signals::stop_on_signal().map_err(|error| Failure::internal(format!("failed to watch for signals: {error}")))
}

/// Prints what a command found as JSON, for `--json`.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    output::print_json(value).map_err(|error| Failure::internal(format!("failed to write JSON: {error}")))
}
