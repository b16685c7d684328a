//! The parts alone, each a process of its own, as lean as it can be written.

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, MessageSystemAttributeName};
use clap::Subcommand;
use event_processor::candidate::{Candidate, QueueBinding};
use event_processor::dev::queue_server::QueueServer;
use event_processor::settings::Format;
use event_processor::snapshot::Snapshot;
use event_processor::validate::validate;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;

use crate::{relay, usage};

/// What this program is when it starts itself.
#[derive(Subcommand)]
pub enum Role {
    /// The queue's server: prints its URL, lives as long as its standard input.
    Queue,
    /// Relays to a server, so many milliseconds late: prints its address, lives as long as its standard input.
    Relay { server: SocketAddr, latency_ms: u64 },
    /// Receives and deletes so many messages.
    Sdk { url: String, events: usize, pollers: usize },
    /// Inserts the rows of `kept_message` again, with their deliveries.
    Driver { database: String, batch_rows: usize, writers: usize },
    /// Inserts tenant, event id and payload of `kept_message` into a table with one key.
    Bare { database: String, batch_rows: usize, writers: usize },
    /// Validates the bodies of a file.
    Validate { database: String, bodies: PathBuf },
}

/// What a part alone took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ceiling {
    pub events_per_second: f64,
    /// Of this process.
    pub cpu_us_per_event: f64,
}

struct Clock {
    began: Instant,
    cpu_seconds: f64,
}

impl Clock {
    /// Begins when the one who started this process wants it to, who may look at the database before and after.
    fn start() -> Result<Self> {
        println!("ready");
        std::io::stdin().read_line(&mut String::new())?;
        Ok(Self { cpu_seconds: usage::cpu(std::process::id())?, began: Instant::now() })
    }

    fn stop(&self, events: usize) -> Result<()> {
        let (seconds, cpu_seconds) = (self.began.elapsed().as_secs_f64(), usage::cpu(std::process::id())? - self.cpu_seconds);
        let events = f64::from(u32::try_from(events)?);
        let ceiling = Ceiling { events_per_second: events / seconds, cpu_us_per_event: cpu_seconds * 1e6 / events };
        println!("{}", serde_json::to_string(&ceiling)?);
        std::io::stdin().read_to_end(&mut Vec::new())?;
        Ok(())
    }
}

impl Role {
    pub async fn run(self) -> Result<()> {
        match self {
            Self::Queue => {
                let server = QueueServer::start(([127, 0, 0, 1], 0).into()).await?;
                println!("{}", server.endpoint_url());
                tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
                Ok(())
            }
            Self::Relay { server, latency_ms } => {
                tokio::task::spawn_blocking(move || relay::run(server, Duration::from_millis(latency_ms))).await?
            }
            Self::Sdk { url, events, pollers } => drain(&url, events, pollers).await,
            Self::Driver { database, batch_rows, writers } => insert_again(&database, batch_rows, writers).await,
            Self::Bare { database, batch_rows, writers } => insert_bare(&database, batch_rows, writers).await,
            Self::Validate { database, bodies } => validate_all(&database, &bodies).await,
        }
    }
}

async fn drain(url: &str, events: usize, pollers: usize) -> Result<()> {
    let credentials = aws_sdk_sqs::config::Credentials::new("test", "test", None, None, "bench");
    let endpoint = url::Url::parse(url)?.origin().ascii_serialization();
    let loader = aws_config::defaults(aws_config::BehaviorVersion::latest()).region("us-east-1").endpoint_url(endpoint);
    let http = aws_smithy_http_client::Builder::new();
    let http =
        http.tls_provider(aws_smithy_http_client::tls::Provider::Rustls(aws_smithy_http_client::tls::rustls_provider::CryptoMode::Ring));
    let stalled = aws_sdk_sqs::config::StalledStreamProtectionConfig::disabled();
    let loader = loader.credentials_provider(credentials).http_client(http.build_https()).stalled_stream_protection(stalled);
    let client = aws_sdk_sqs::Client::new(&loader.load().await);
    let left = Arc::new(AtomicUsize::new(events));
    let clock = Clock::start()?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..pollers {
        tasks.spawn(drain_one(client.clone(), url.to_owned(), Arc::clone(&left)));
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    clock.stop(events)
}

async fn drain_one(client: aws_sdk_sqs::Client, url: String, left: Arc<AtomicUsize>) -> Result<()> {
    while left.load(Ordering::Relaxed) > 0 {
        let receive = client.receive_message().queue_url(&url).max_number_of_messages(10).wait_time_seconds(0).visibility_timeout(60);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All).message_attribute_names("All");
        let messages = receive.send().await?.messages.unwrap_or_default();
        if messages.is_empty() {
            continue;
        }
        let mut delete = client.delete_message_batch().queue_url(&url);
        for (position, message) in messages.iter().enumerate() {
            let entry = DeleteMessageBatchRequestEntry::builder().id(position.to_string());
            delete = delete.entries(entry.receipt_handle(message.receipt_handle.as_deref().unwrap_or_default()).build()?);
        }
        left.fetch_sub(delete.send().await?.successful.len(), Ordering::Relaxed);
    }
    Ok(())
}

/// Runs one share of the batches on each of several connections.
async fn write<'r, R: Sync>(
    database: &str,
    rows: &'r [R],
    batch_rows: usize,
    writers: usize,
    insert: impl AsyncFn(&mut PgConnection, &'r [R]) -> Result<()>,
) -> Result<()> {
    let mut connections = Vec::new();
    for _ in 0..writers {
        connections.push(PgConnection::connect(database).await?);
    }
    let batches: Vec<&[R]> = rows.chunks(batch_rows).collect();
    let next = AtomicUsize::new(0);
    let clock = Clock::start()?;
    let writing = connections.iter_mut().map(async |connection| {
        while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            sqlx::raw_sql("begin").execute(&mut *connection).await?;
            insert(connection, batch).await?;
            sqlx::raw_sql("commit").execute(&mut *connection).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(writing).await?;
    clock.stop(rows.len())
}

#[derive(sqlx::FromRow)]
struct Kept {
    tenant_id: String,
    source: String,
    event_id: String,
    event_type: String,
    schema_version: i32,
    client_id: Option<String>,
    subject: Option<String>,
    occurred_at: Option<OffsetDateTime>,
    sent_at: Option<OffsetDateTime>,
    payload: String,
    payload_hash: Vec<u8>,
    attributes: String,
    queue: String,
    sqs_message_id: String,
    message_group: Option<String>,
    sequence_number: Option<String>,
    traceparent: Option<String>,
    catalog_generation: i64,
    recipients: Vec<String>,
}

/// What `src/store` sends for a batch of new events, and nothing else.
async fn insert_again(database: &str, batch_rows: usize, writers: usize) -> Result<()> {
    let mut connection = PgConnection::connect(database).await?;
    let rows: Vec<Kept> = sqlx::query_as(include_str!("kept.sql")).fetch_all(&mut connection).await?;
    write(database, &rows, batch_rows, writers, async |connection, batch| {
        let mut batch: Vec<&Kept> = batch.iter().collect();
        batch.sort_by_key(|row| (&row.tenant_id, &row.source, &row.event_id));
        sqlx::query(include_str!("../../src/store/insert_messages.sql"))
            .bind(column(&batch, |row| row.tenant_id.as_str()))
            .bind(column(&batch, |row| row.source.as_str()))
            .bind(column(&batch, |row| row.event_id.as_str()))
            .bind(column(&batch, |row| row.event_type.as_str()))
            .bind(column(&batch, |row| row.schema_version))
            .bind(column(&batch, |row| row.client_id.as_deref()))
            .bind(column(&batch, |row| row.subject.as_deref()))
            .bind(column(&batch, |row| row.occurred_at))
            .bind(column(&batch, |row| row.sent_at))
            .bind(column(&batch, |row| row.payload.as_str()))
            .bind(column(&batch, |row| row.payload_hash.as_slice()))
            .bind(column(&batch, |row| row.attributes.as_str()))
            .bind(column(&batch, |row| row.queue.as_str()))
            .bind(column(&batch, |row| row.sqs_message_id.as_str()))
            .bind(column(&batch, |row| row.message_group.as_deref()))
            .bind(column(&batch, |row| row.sequence_number.as_deref()))
            .bind(column(&batch, |row| row.traceparent.as_deref()))
            .bind(column(&batch, |row| row.catalog_generation))
            .fetch_all(&mut *connection)
            .await?;
        insert_deliveries(connection, &batch).await
    })
    .await
}

async fn insert_deliveries(connection: &mut PgConnection, batch: &[&Kept]) -> Result<()> {
    let deliveries: Vec<(&Kept, &str)> =
        batch.iter().flat_map(|row| row.recipients.iter().map(move |client_id| (*row, client_id.as_str()))).collect();
    if deliveries.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("../../src/store/insert_deliveries.sql"))
        .bind(column(&deliveries, |(row, _)| row.tenant_id.as_str()))
        .bind(column(&deliveries, |(row, _)| row.source.as_str()))
        .bind(column(&deliveries, |(row, _)| row.event_id.as_str()))
        .bind(column(&deliveries, |(_, client_id)| *client_id))
        .bind(vec![None::<&str>; deliveries.len()])
        .bind(vec![None::<&str>; deliveries.len()])
        .bind(vec![None::<&str>; deliveries.len()])
        .execute(connection)
        .await?;
    Ok(())
}

fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

async fn insert_bare(database: &str, batch_rows: usize, writers: usize) -> Result<()> {
    let mut connection = PgConnection::connect(database).await?;
    let select = "select tenant_id, event_id, payload::text as payload from kept_message";
    let rows: Vec<(String, String, String)> = sqlx::query_as(select).fetch_all(&mut connection).await?;
    let insert = "insert into bare select * from unnest($1::text[], $2::text[], $3::text[]::json[]) on conflict do nothing";
    write(database, &rows, batch_rows, writers, async |connection, batch| {
        let mut batch: Vec<_> = batch.iter().collect();
        batch.sort();
        let query = sqlx::query(insert).bind(column(&batch, |row| row.0.as_str())).bind(column(&batch, |row| row.1.as_str()));
        query.bind(column(&batch, |row| row.2.as_str())).execute(connection).await?;
        Ok(())
    })
    .await
}

async fn validate_all(database: &str, bodies: &Path) -> Result<()> {
    let mut connection = PgConnection::connect(database).await?;
    let snapshot = Snapshot::load(&mut connection, None, 100).await?;
    let binding = QueueBinding { name: "events".to_owned(), tenant: None, trusts_any_sender: true, format: Format::Native };
    let bodies: Vec<String> = serde_json::from_slice(&fs::read(bodies)?)?;
    let candidate = |body: String| Arc::new(Candidate::of_body(binding.clone(), body.into_bytes()));
    let candidates: Vec<Arc<Candidate>> = bodies.into_iter().map(candidate).collect();
    let clock = Clock::start()?;
    let validated = candidates.iter().filter(|candidate| validate(Arc::clone(candidate), &snapshot, 1 << 20).is_ok()).count();
    anyhow::ensure!(validated == candidates.len(), "not every body was validated");
    clock.stop(validated).context("the clock")
}
