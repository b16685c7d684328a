//! Sample events: the catalog's own examples, valid and invalid, a few of them twice, and bodies that are no events at all. What became of
//! them is read from the database and the queue, not asked of the daemon.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde_json::value::RawValue;
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use crate::catalog::declaration::Declaration;
use crate::event::Reason;
use crate::queue::{ClientError, Queue};

/// How long the samples may take; they take a second.
const ACCOUNT_TIMEOUT: Duration = Duration::from_mins(1);

/// A body to send, and what must become of it.
struct Sample {
    tenant_id: Option<String>,
    body: String,
    expected: Expected,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Expected {
    Stored,
    Duplicate,
    Rejected(Reason),
}

/// What was sent for a tenant, and what became of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Account {
    sent: i64,
    stored: i64,
    duplicate: i64,
    rejected: BTreeMap<String, i64>,
}

/// The accounts of all tenants; without a tenant: of events that were not admitted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Accounts(BTreeMap<Option<String>, Account>);

impl fmt::Display for Accounts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:<14} {:>5} {:>7} {:>10}  rejected by reason", "tenant", "sent", "stored", "duplicate")?;
        for (tenant_id, account) in &self.0 {
            let rejected: Vec<String> = account.rejected.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            let name = tenant_id.as_deref().unwrap_or("(none)");
            let (sent, stored, duplicate) = (account.sent, account.stored, account.duplicate);
            writeln!(formatter, "{name:<14} {sent:>5} {stored:>7} {duplicate:>10}  {}", rejected.join(", "))?;
        }
        Ok(())
    }
}

/// Why the samples could not be sent or accounted for.
#[derive(Debug, thiserror::Error)]
pub enum SampleError {
    /// The queue did not take an event.
    #[error("the queue did not take a sample event: {0}")]
    Queue(#[from] ClientError),
    /// The database did not answer.
    #[error("the database {}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// Sends the samples of a catalog and waits until each is accounted for. The accounts, and whether they are as expected.
///
/// # Errors
/// When the queue or the database does not answer.
pub async fn send(
    queue: &Queue,
    connection: &mut PgConnection,
    directory: &Path,
    declaration: &Declaration,
) -> Result<(Accounts, bool), SampleError> {
    let source = format!("sample-{}", Uuid::now_v7());
    let samples = samples(directory, declaration, &source);
    let mut expected = Accounts::default();
    let mut sqs_message_ids = Vec::new();
    for sample in &samples {
        sqs_message_ids.push(queue.send(&sample.body).await?);
        let account = expected.0.entry(sample.tenant_id.clone()).or_default();
        account.sent += 1;
        match sample.expected {
            Expected::Stored => account.stored += 1,
            Expected::Duplicate => account.duplicate += 1,
            Expected::Rejected(reason) => *account.rejected.entry(reason.as_str().to_owned()).or_default() += 1,
        }
    }
    let began = Instant::now();
    loop {
        let found = account(queue, connection, &source, &sqs_message_ids, &expected).await?;
        let is_accounted = found == expected;
        if is_accounted || began.elapsed() > ACCOUNT_TIMEOUT {
            return Ok((found, is_accounted));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What is found now. Duplicates leave no row: they are what is gone from the queue and is neither stored nor a letter.
async fn account(
    queue: &Queue,
    connection: &mut PgConnection,
    source: &str,
    sqs_message_ids: &[String],
    expected: &Accounts,
) -> Result<Accounts, SampleError> {
    let is_at_rest = queue.depth().await?.iter().all(|(_, messages)| *messages == 0);
    let mut accounts = Accounts::default();
    for (tenant_id, account) in &expected.0 {
        accounts.0.entry(tenant_id.clone()).or_default().sent = account.sent;
    }
    for row in sqlx::query_file!("src/dev/sample/stored.sql", source).fetch_all(&mut *connection).await? {
        accounts.0.entry(Some(row.tenant_id)).or_default().stored = row.events;
    }
    for row in sqlx::query_file!("src/dev/sample/rejected.sql", sqs_message_ids).fetch_all(connection).await? {
        accounts.0.entry(row.tenant_id).or_default().rejected.insert(row.reason, row.events);
    }
    for account in accounts.0.values_mut().filter(|_| is_at_rest) {
        account.duplicate = account.sent - account.stored - account.rejected.values().sum::<i64>();
    }
    Ok(accounts)
}

fn samples(directory: &Path, declaration: &Declaration, source: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    for tenant in &declaration.tenants {
        let mut valid = Vec::new();
        for event_type in &tenant.event_types {
            let examples = directory.join(tenant.tenant_id.as_str()).join(&event_type.directory).join("examples");
            let body = |payload: &str| body(tenant.tenant_id.as_str(), source, &event_type.event_type, payload);
            let sample = |expected| move |body| Sample { tenant_id: Some(tenant.tenant_id.to_string()), body, expected };
            valid.extend(payloads(&examples.join("valid")).iter().map(|payload| body(payload)).map(sample(Expected::Stored)));
            let violation = Expected::Rejected(Reason::SchemaViolation);
            samples.extend(payloads(&examples.join("invalid")).iter().map(|payload| body(payload)).map(sample(violation)));
        }
        // A producer that lost the reply sends again.
        let again = valid.first().map(|first| Sample {
            tenant_id: first.tenant_id.clone(),
            body: first.body.clone(),
            expected: Expected::Duplicate,
        });
        samples.extend(valid);
        samples.extend(again);
        let unknown_type = body(tenant.tenant_id.as_str(), source, "no.such.type", "{}");
        samples.push(Sample {
            tenant_id: Some(tenant.tenant_id.to_string()),
            body: unknown_type,
            expected: Expected::Rejected(Reason::UnknownEventType),
        });
    }
    let stranger = body("no-such-tenant", source, "order.created", "{}");
    samples.push(Sample { tenant_id: None, body: stranger, expected: Expected::Rejected(Reason::UnknownTenant) });
    samples.push(Sample { tenant_id: None, body: "Hello World".to_owned(), expected: Expected::Rejected(Reason::MalformedJson) });
    samples
}

fn body(tenant_id: &str, source: &str, event_type: &str, payload: &str) -> String {
    #[derive(serde::Serialize)]
    struct Body<'a> {
        tenant_id: &'a str,
        source: &'a str,
        event_id: Uuid,
        event_type: &'a str,
        payload: Option<&'a RawValue>,
    }
    let event_id = Uuid::now_v7();
    // An example was proven to be JSON when the catalog was read.
    let body = Body { tenant_id, source, event_id, event_type, payload: serde_json::from_str(payload).ok() };
    serde_json::to_string(&body).unwrap_or_default()
}

/// The payloads in a directory of examples; none where there is no such directory.
fn payloads(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
    files.sort();
    files.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}
