//! `processor`: the daemon and the commands around it.

mod catalog;
mod dead_letter;
mod judge;
mod run;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use event_processor::database;
use event_processor::settings::{DatabaseSettings, MissingSetting, adopt_dev_environment, explain};
use sqlx::PgConnection;

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
    logging: Logging,
}

#[derive(clap::Args)]
struct Logging {
    /// How logs are written; by default text on a terminal, else JSON.
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", global = true)]
    log_format: Option<LogFormat>,
    /// What is logged: a level, or levels by module, as `info,event_processor=debug`.
    /// By default info, in `dev` warn, and nothing of `aws_config`, which looks for credentials and says so each time.
    #[arg(long, env = "RUST_LOG", value_name = "FILTER", global = true, value_parser = parse_filter)]
    rust_log: Option<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum LogFormat {
    Json,
    Text,
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
    Judge(judge::JudgeSettings),
    /// Look at what was not stored, and why.
    #[command(subcommand)]
    DeadLetter(dead_letter::DeadLetterCommand),
    /// Ask the daemon on this machine whether it is ready; ends with 0 when it is, 69 when not.
    Health(event_processor::settings::ListenSettings),
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
    /// A check or a judgement that found something; it has been printed.
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

    fn setting(sentence: impl std::fmt::Display) -> Self {
        Self { sentence: sentence.to_string(), status: 78 }
    }
}

impl From<MissingSetting> for Failure {
    fn from(missing: MissingSetting) -> Self {
        Self::setting(missing)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::database(&error, format!("the database {}", database::describe(&error)))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let cli = Cli::try_parse_from(&arguments).and_then(|cli| match cli.command {
        // `processor` alone is `processor run`.
        None => Cli::try_parse_from(arguments.iter().cloned().chain(["run".into()])),
        Some(_) => Ok(cli),
    });
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => {
            let (sentence, status) = explain(&error, &Cli::command());
            if status == 0 {
                print!("{sentence}");
            } else {
                eprint!("{sentence}");
            }
            return ExitCode::from(status);
        }
    };
    let is_dev = is_dev(cli.command.as_ref());
    start_logging(&cli.logging, if is_dev { "warn,sqlx_core=error" } else { "info" });
    if !is_dev {
        adopt_dev_environment();
    }
    // Schemas may recurse and payloads nest: threads that judge need more stack than the default 2 MiB.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(16 << 20).build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(dispatch(cli.command));
            // What still runs in the background now is abandoned on purpose: the command has ended.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Failure::internal(format!("failed to start the runtime: {error}"))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { sentence, status }) => {
            if !sentence.is_empty() {
                eprintln!("{sentence}");
            }
            ExitCode::from(status)
        }
    }
}

async fn dispatch(command: Option<Command>) -> Result<(), Failure> {
    match command {
        None => Ok(()),
        Some(Command::Run(settings)) => run::run(settings).await,
        #[cfg(feature = "dev")]
        Some(Command::Dev(settings)) => run::dev(settings).await,
        Some(Command::Migrate(settings)) => run::migrate(&settings).await,
        Some(Command::Catalog(command)) => catalog::run(command).await,
        Some(Command::Judge(settings)) => judge::run(settings).await,
        Some(Command::DeadLetter(command)) => dead_letter::run(command).await,
        Some(Command::Health(settings)) => run::health(&settings).await,
    }
}

/// A connection for a command that needs one once.
async fn connect(settings: &DatabaseSettings) -> Result<PgConnection, Failure> {
    let database = settings.database().map_err(Failure::setting)?;
    database::connect(&database, &[]).await.map_err(|error| Failure::database(&error, database::tell(&database, &error)))
}

/// Prints what a command found: for people, or as JSON where `--json` asks for it.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::internal(format!("failed to write JSON: {error}")))?;
    say(text);
    Ok(())
}

/// Prints a line. Whoever reads may have heard enough, as `head` does; that is no fault.
fn say(line: impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn parse_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("write a level (error, warn, info, debug, trace) or levels by module, as info,event_processor=debug".to_owned()),
    }
}

fn start_logging(logging: &Logging, default: &str) {
    use std::io::IsTerminal as _;
    let is_text = logging.log_format.map_or_else(|| std::io::stderr().is_terminal(), |format| format == LogFormat::Text);
    // While there are no credentials `aws_config` has two lines for each request, and repeats what a `credential_process` wrote.
    let filter = logging.rust_log.clone().unwrap_or_else(|| format!("{default},aws_config=off"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if is_text {
        builder.init();
    } else {
        builder.json().flatten_event(true).init();
    }
}
