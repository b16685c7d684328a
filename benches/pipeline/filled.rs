//! A queue with messages on it, of a server's own.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, bail, ensure};
use event_processor::queue::{Clients, MESSAGES_PER_REQUEST_MAX, Queue};
use event_processor::settings::parse_queues;
use futures_util::StreamExt as _;

use crate::process::Process;
use crate::relay::Relay;
use crate::usage;

/// The queue that is measured, as the daemon is told of it.
pub const QUEUES: &str = "events?trust=any";

/// A queue with messages on it.
pub struct Filled {
    pub queue: Queue,
    pub server: Process,
    /// Between the server and who is measured. The bench itself sends past it.
    pub relay: Option<Relay>,
    /// Others on the same server.
    neighbours: Vec<Queue>,
    clients: Clients,
    endpoint: String,
}

impl Filled {
    /// Starts the server, behind a relay where there is to be a latency.
    pub async fn start(latency_ms: Option<u64>) -> Result<Self> {
        let (server, endpoint) = Process::serve(&["queue"])?;
        let clients = Clients::local(&endpoint, "us-east-1").await;
        let queue = create(&clients, "events").await?;
        let address: SocketAddr = endpoint.trim_start_matches("http://").parse()?;
        let relay = latency_ms.map(|latency_ms| Relay::start(address, latency_ms)).transpose()?;
        Ok(Self { queue, server, relay, neighbours: Vec::new(), clients, endpoint })
    }

    /// Adds a queue, which a daemon that is started later polls as well.
    pub async fn add(&mut self, name: &str) -> Result<Queue> {
        let queue = create(&self.clients, name).await?;
        self.neighbours.push(queue.clone());
        Ok(queue)
    }

    /// Creates queues that no daemon is told of at its start.
    pub async fn create_unpolled(&self, queues: usize, name: impl Fn(usize) -> String) -> Result<Vec<Queue>> {
        let mut created = Vec::with_capacity(queues);
        for number in 0..queues {
            created.push(create(&self.clients, &name(number)).await?);
        }
        Ok(created)
    }

    /// Where who is measured finds the server.
    pub fn endpoint(&self) -> String {
        self.relay.as_ref().map_or_else(|| self.endpoint.clone(), |relay| format!("http://{}", relay.address))
    }

    /// The queue's URL there.
    pub fn url(&self) -> Result<String> {
        let path = self.queue.url().strip_prefix(&self.endpoint).context("the queue is another server's")?;
        Ok(format!("{}{path}", self.endpoint()))
    }

    /// All queues, as the daemon is told of them.
    pub fn setting(&self) -> String {
        let neighbours = self.neighbours.iter().map(|queue| format!(",{}?trust=any", queue.binding.name));
        neighbours.fold(QUEUES.to_owned(), |setting, neighbour| setting + &neighbour)
    }

    /// The processor time that the relay has used, in seconds.
    pub fn relay_cpu(&self) -> Result<f64> {
        self.relay.as_ref().map_or(Ok(0.0), |relay| usage::cpu(relay.process.id()))
    }

    /// Sends messages, ten at a time.
    pub async fn send(&self, bodies: &[String]) -> Result<()> {
        send(&self.queue, bodies, MESSAGES_PER_REQUEST_MAX).await
    }

    /// Sends messages at a rate, each `batch` when their time has come, whatever became of those before.
    pub async fn send_at(&self, mut bodies: impl Iterator<Item = String>, events_per_second: f64, batch: usize) -> Result<()> {
        let batches = std::iter::from_fn(|| Some(bodies.by_ref().take(batch).collect::<Vec<_>>()).filter(|bodies| !bodies.is_empty()));
        let began = tokio::time::Instant::now();
        let mut sending = futures_util::stream::FuturesUnordered::new();
        for (number, bodies) in batches.enumerate() {
            let due = began + Duration::from_secs_f64(f64::from(u32::try_from(number * batch)?) / events_per_second);
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => break,
                    Some(sent) = sending.next(), if !sending.is_empty() => sent?,
                }
            }
            sending.push(async move {
                let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
                self.queue.send_batch(&bodies).await.map(|_| ())
            });
        }
        while let Some(sent) = sending.next().await {
            sent?;
        }
        Ok(())
    }

    /// Waits until nothing is on the queue any more.
    pub async fn at_rest(&self) -> Result<()> {
        at_rest(&self.queue).await
    }
}

async fn create(clients: &Clients, name: &str) -> Result<Queue> {
    clients.create_queue(name, &[]).await?;
    let setting = parse_queues(&format!("{name}?trust=any")).map_err(Error::msg)?;
    Ok(Queue::open(clients, &setting[0]).await?)
}

/// Sends messages, so many at a time.
pub async fn send(queue: &Queue, bodies: &[String], batch: usize) -> Result<()> {
    let batches = bodies.chunks(batch).map(|batch| batch.iter().map(String::as_str).collect::<Vec<_>>());
    let sending = futures_util::stream::iter(batches).map(async |batch| queue.send_batch(&batch).await);
    let mut replies = sending.buffer_unordered(8);
    while let Some(reply) = replies.next().await {
        ensure!(reply?.refused.is_empty(), "the queue refused a message");
    }
    Ok(())
}

/// Waits until nothing is on a queue any more.
pub async fn at_rest(queue: &Queue) -> Result<()> {
    let deadline = Instant::now() + Duration::from_mins(15);
    while Instant::now() < deadline {
        if queue.depth().await?.iter().all(|(_, messages)| *messages == 0) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("the queue did not come to rest")
}
