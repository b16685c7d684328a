//! The event processor takes events from Amazon SQS, works out which tenant each belongs to, validates its payload against that tenant's
//! JSON Schema, and writes it to Postgres once and only once.
//!
//! An event's path, which is also the order of the modules: **receive** a message for which there is room, **decode** its body, **admit**
//! its tenant and sender, **validate** it, **store** the verdict, then **acknowledge**. A module uses only modules above it; a test reads
//! the sources and holds them to it. What the event itself gets wrong is a [`event::Rejection`], a value that is stored like any other
//! verdict; an error is a reason not to acknowledge. What may be acknowledged is a [`store::Settled`], and only a commit that the server
//! has confirmed makes one.

/// What tests break on purpose; nothing in a user's build.
pub mod fault;
/// What is printed and logged: whoever reads it, and whether anybody does, the work goes on.
pub mod output;
/// A first signal stops taking work, a second one ends the process.
pub mod signals;
/// How far work on many events is, for whoever waits for it.
pub mod progress;
/// JSON, read within limits and compared by meaning.
pub mod json;
/// The pause before something is tried again.
pub mod backoff;
/// The words: ids, envelopes, reasons.
pub mod event;
/// What users set.
pub mod settings;
/// Which authorities' certificates servers are known by.
pub mod certificates;
/// Connect to Postgres, say what the session needs, tell what goes wrong.
pub mod database;
/// Who changed what by a command.
pub mod audit;
/// What is counted.
pub mod metrics;
/// What is traced.
pub mod spans;

/// How deliveries go out to a client, as its settings say it.
pub mod channel;
/// Compile schemas, refuse those that would harm, say what a payload breaks.
pub mod schema;
/// Read what tenants declare in files, and publish it.
pub mod catalog;
/// The published catalog, as it runs.
pub mod snapshot;

/// What a verdict is asked on: a body with all that is known of it.
pub mod candidate;

/// 1. Receive from SQS; hand back to SQS.
pub mod queue;
/// A permit first, then a receive.
pub mod window;
/// 2. What does the body say?
pub mod decode;
/// 3. Whose is it, and may the sender write for that tenant?
pub mod admit;
/// 4. Does it satisfy what its tenant has declared?
pub mod validate;
/// 5. Write a batch, each event once; make sure of the commit.
pub mod store;
/// Who validates, for how long, and what follows when that does not end.
pub mod validation;
/// Is the daemon alive, and is it ready?
pub mod health;
/// The daemon: all of the above from poll to delete; 6. acknowledge.
pub mod ingest;

/// Dead letters, for those who must find out why.
pub mod dead_letter;
/// Deliveries to clients: what waits and what was given up.
pub mod delivery;
/// Clients and tenants: how they are, and whether deliveries go out.
pub mod client;
/// Who reads a tenant's rows.
pub mod reader;
/// What became of one message.
pub mod trace;
/// What stands in the daemon's way, before it is asked to run or when it does not.
pub mod doctor;
/// `sender`: claims deliveries and sends them, as the reference for those who write their own.
pub mod sender;
/// `producers`: events by the thousand, a ledger of them, and the proof that none was lost.
pub mod producers;
/// `processor dev`: everything on one machine, with nothing to set up.
#[cfg(feature = "dev")]
pub mod dev;
