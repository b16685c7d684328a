//! `processor validate`: one body through decode, admit and validate, against the database's catalog.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use event_processor::candidate::{Candidate, MessageAttribute, QueueBinding};
use event_processor::event::{Envelope, Rejection};
use event_processor::output::{Escaped, print};
use event_processor::settings::{BodySettings, DatabaseSettings, QueueSetting, QueueSettings, parse_queues, read_body};
use event_processor::snapshot::Snapshot;
use event_processor::validate::{ValidEvent, validate};
use serde_json::{Value, json};

use crate::{Failure, connect, print_json};

#[derive(Args)]
pub struct ValidateSettings {
    /// The body's file; - or nothing: standard input.
    #[arg(default_value = "-")]
    file: String,
    /// The queue that it would come from: a name from QUEUES, or an entry as in QUEUES (`events?trust=any`, `acme-events=acme`,
    /// `bus=shop?format=eventbridge`).
    #[arg(long)]
    queue: String,
    /// The unique id of the IAM user or role that would send it, as AIDA... or AROA...
    #[arg(long)]
    sender: Option<String>,
    /// A message attribute of type String that would come with it; may be repeated. CloudEvents in binary mode are made of them:
    /// `--attribute ce-id=1`.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_attribute)]
    attribute: Vec<(String, String)>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    queues: QueueSettings,
    #[command(flatten)]
    body: BodySettings,
}

pub async fn run(settings: ValidateSettings) -> Result<(), Failure> {
    let body = read_body(&settings.file).map_err(Failure::setting)?;
    let mut connection = connect(&settings.database).await?;
    let snapshot = Snapshot::load(&mut connection, None, 0).await?;
    if snapshot.generation == 0 {
        return Err(Failure::unavailable("no catalog was applied to this database; run `processor catalog apply DIR`"));
    }
    let binding = find_binding(&settings, &snapshot.queues)?;
    let (message_id, attributes) = ("the SQS message id".to_owned(), attributes(settings.attribute)?);
    let candidate = Candidate { message_id, sender_id: settings.sender, attributes, ..Candidate::of_body(binding, body) };
    let candidate = Arc::new(candidate);
    let verdict = validate(Arc::clone(&candidate), &snapshot, settings.body.body_bytes_max).map_err(Failure::internal)?;
    let is_rejected = verdict.is_err();
    if settings.json {
        print_json(&match &verdict {
            Ok(event) => json!({"verdict": "valid", "row": row(event, &candidate, snapshot.generation)}),
            Err(rejection) => json!({
                "verdict": "rejected",
                "reason": rejection.reason.as_str(),
                "explanation": rejection.reason.explanation(),
                "errors": rejection.violations,
                "tenant_id": rejection.admitted.as_ref().map(ToString::to_string),
            }),
        })?;
    } else {
        match &verdict {
            Ok(event) => print_valid(event, &candidate, snapshot.generation),
            Err(rejection) => print_rejected(rejection),
        }
    }
    if is_rejected { Err(Failure::found()) } else { Ok(()) }
}

fn print_valid(event: &ValidEvent, candidate: &Candidate, generation: i64) {
    print("valid: it would be stored, unless an event with its identity is there already");
    if let Value::Object(columns) = row(event, candidate, generation) {
        for (column, value) in columns {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            // Indented, so that lines of a payload's own do not look like further columns.
            let lines: Vec<String> = text.split('\n').map(|line| Escaped(line).to_string()).collect();
            print(format_args!("  {column:<18} {}", lines.join(&format!("\n{:21}", ""))));
        }
    }
}

fn print_rejected(rejection: &Rejection) {
    print(format_args!("rejected: {}", rejection.reason));
    print(format_args!("  {}", rejection.reason.explanation()));
    for violation in &rejection.violations {
        print(format_args!("  {violation}"));
    }
}

/// The row of `message` that the event would become.
fn row(event: &ValidEvent, candidate: &Candidate, generation: i64) -> Value {
    let envelope: &Envelope = event.envelope();
    let payload = envelope.payload.of(&candidate.body);
    json!({
        "tenant_id": event.tenant_id().as_str(),
        "source": envelope.source,
        "event_id": envelope.event_id,
        "event_type": envelope.event_type,
        "schema_version": event.schema_version(),
        "client_id": envelope.client_id,
        "subject": envelope.subject,
        "occurred_at": envelope.occurred_at.map(|time| time.to_string()),
        "payload": payload,
        "attributes": envelope.attributes,
        "queue": candidate.queue.name,
        "catalog_generation": generation,
        "deliveries": event.recipients().iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// As SQS has them: names of its own alphabet, values that are not empty.
fn parse_attribute(text: &str) -> Result<(String, String), String> {
    let is_name = |name: &str| {
        (1..=256).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    let attribute = text.split_once('=').filter(|(name, value)| is_name(name) && !value.is_empty());
    let attribute = attribute.map(|(name, value)| (name.to_owned(), value.to_owned()));
    attribute.ok_or_else(|| "write NAME=VALUE, the name of 1-256 letters, digits, _, - and ., the value not empty".to_owned())
}

fn attributes(given: Vec<(String, String)>) -> Result<BTreeMap<String, MessageAttribute>, Failure> {
    let mut attributes = BTreeMap::new();
    for (name, value) in given {
        let attribute = MessageAttribute { data_type: "String".to_owned(), value };
        if attributes.insert(name.clone(), attribute).is_some() {
            return Err(Failure::setting(format!("the value of --attribute names {name:?} twice; a message has each attribute once")));
        }
    }
    Ok(attributes)
}

/// The binding under this name in QUEUES or the catalog, else what the flag itself says.
fn find_binding(settings: &ValidateSettings, of_catalog: &[QueueSetting]) -> Result<QueueBinding, Failure> {
    let configured = settings.queues.list().unwrap_or_default();
    if let Some(queue) = configured.iter().chain(of_catalog).find(|queue| queue.name == settings.queue) {
        return Ok(queue.into());
    }
    let wrong = |problem: &str| Failure::setting(format!("the value of --queue is {:?}: {problem}", settings.queue));
    let parsed = parse_queues(&settings.queue).map_err(|problem| wrong(&problem))?;
    match parsed.as_slice() {
        [queue] => Ok(queue.into()),
        _ => Err(wrong("write one queue's name, or one entry as in QUEUES")),
    }
}
