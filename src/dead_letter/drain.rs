//! What SQS itself has put into a dead-letter queue: through the path as messages of the queue that it came from, and deleted once that is
//! committed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::kept::Kept;
use super::report::Report;
use super::settling::{Settling, SettlingError, Source};
use crate::audit::Audit;
use crate::candidate::{Candidate, QueueBinding};
use crate::fault;
use crate::progress::Progress;
use crate::queue::{ClientError, Clients, DEAD_LETTER_SOURCE, Lease, MESSAGES_PER_REQUEST_MAX, Queue, ReceivedMessage};
use crate::settings::{Database, QueueSetting};
use crate::store::Foresight;

/// For how long a message is ours. What a killed drain had in its hands comes back after so long, and the next one waits for it.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(30);

/// In a dry run each stays ours until its end: a message that came back would be tried again.
const VISIBILITY_TIMEOUT_OF_DRY_RUN: Duration = Duration::from_hours(1);

/// How long a poll waits. Longer than none, so that SQS asks all of its servers.
const POLL_WAIT: Duration = Duration::from_secs(1);

/// Why a queue was not drained to its end. What the report says by then is committed.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The queue is not one to drain.
    #[error("{0}")]
    WrongQueue(String),
    /// SQS does not answer, or refuses.
    #[error("the queue {0}: {1}")]
    Queue(String, #[source] ClientError),
    /// Its messages could not be settled.
    #[error(transparent)]
    Settling(#[from] SettlingError),
}

/// A dead-letter queue, and those that it has its messages from.
pub struct Drain {
    queue: Queue,
    sources: Vec<Queue>,
    settling: Settling,
    /// Of a dry run.
    foresight: Option<Foresight>,
    /// Of a dry run, to be given back at its end.
    leases: Vec<Lease>,
    /// What stays on the queue, by its message's id.
    left: BTreeSet<String>,
}

impl Drain {
    /// Finds the queue, and among the configured ones those whose redrive target it is.
    ///
    /// # Errors
    /// [`DrainError`].
    pub async fn open(
        clients: &Clients,
        database: &Database,
        setting: &QueueSetting,
        configured: &[QueueSetting],
        body_bytes_max: usize,
        audit: Arc<Audit>,
        is_dry_run: bool,
    ) -> Result<Self, DrainError> {
        let settling = Settling::open(database, Source::Queue, body_bytes_max, audit, Report::new(is_dry_run, false)).await?;
        let queue = open_queue(clients, setting).await?;
        let mut sources: Vec<Queue> = Vec::new();
        for setting in configured.iter().chain(&settling.snapshot.queues) {
            if sources.iter().any(|source| source.binding.name == setting.name) {
                continue;
            }
            let source = match open_queue(clients, setting).await {
                // The daemon goes on without it, too.
                Err(DrainError::Queue(_, error)) if error.is_missing_queue() => continue,
                source => source?,
            };
            if source.attributes.dead_letter_target_arn.is_some() && source.attributes.dead_letter_target_arn == queue.attributes.arn {
                sources.push(source);
            }
        }
        if sources.is_empty() {
            return Err(DrainError::WrongQueue(format!(
                "{} is the dead-letter queue of none of the queues in QUEUES and in the catalog; name the queue it is the redrive target \
                 of there, with its tenant, trust and format",
                setting.name
            )));
        }
        Ok(Self { queue, sources, settling, foresight: is_dry_run.then(Foresight::default), leases: Vec::new(), left: BTreeSet::new() })
    }

    /// What became of those that it has come to.
    pub fn report(&self) -> &Report {
        &self.settling.report
    }

    /// Takes messages until the queue has none but those that are left, or it is stopped. True when it came to the end.
    ///
    /// # Errors
    /// [`DrainError`].
    pub async fn run(&mut self, stop: &CancellationToken) -> Result<bool, DrainError> {
        let mut progress = Progress::new("drained", None, None);
        let outcome = loop {
            if stop.is_cancelled() {
                break Ok(false);
            }
            match self.take().await {
                Ok(true) => {}
                Ok(false) => break Ok(true),
                Err(error) => break Err(error),
            }
            progress.show(self.settling.report.done());
        };
        progress.end();
        for leases in self.leases.chunks(MESSAGES_PER_REQUEST_MAX) {
            let visible: Vec<_> = leases.iter().map(|lease| (lease, Duration::ZERO)).collect();
            // They come back by themselves when their hour has passed.
            if let Err(error) = self.queue.set_visibility(&visible).await {
                tracing::warn!(problem = %error, "what was tried is not given back to the queue yet");
            }
        }
        if matches!(outcome, Ok(true)) && self.foresight.is_none() {
            self.settling.end().await?;
        }
        outcome
    }

    /// One poll and what it brings. False when nothing is to come any more.
    async fn take(&mut self) -> Result<bool, DrainError> {
        let ordinary = fault::shortened("drain_visibility_timeout", VISIBILITY_TIMEOUT);
        let visibility_timeout = if self.foresight.is_some() { VISIBILITY_TIMEOUT_OF_DRY_RUN } else { ordinary };
        let received = self.queue.receive(MESSAGES_PER_REQUEST_MAX, POLL_WAIT, visibility_timeout).await;
        let received = received.map_err(|error| self.failed(error))?;
        if received.is_empty() {
            // Others may have messages in their hands that come back: a drain that was killed, for example.
            let depth = self.queue.depth().await.map_err(|error| self.failed(error))?;
            let messages: i64 = depth.iter().map(|(_, messages)| messages).sum();
            return Ok(usize::try_from(messages).unwrap_or_default() > self.left.len() + self.leases.len());
        }
        let (kept, leases) = self.attribute(received);
        self.settling.report.matched += u64::try_from(kept.len()).unwrap_or(u64::MAX);
        if let Some(foresight) = &mut self.foresight {
            self.settling.rehearse(foresight, kept).await?;
            self.leases.extend(leases);
            return Ok(true);
        }
        let ids: Vec<String> = kept.iter().map(|one| one.candidate.message_id.clone()).collect();
        let settled: BTreeSet<i64> = self.settling.settle(kept).await?.into_iter().collect();
        let is_settled = |number: usize| i64::try_from(number).is_ok_and(|number| settled.contains(&number));
        let deleted: Vec<&Lease> = leases.iter().enumerate().filter(|(number, _)| is_settled(*number)).map(|(_, lease)| lease).collect();
        self.left.extend(ids.into_iter().enumerate().filter(|(number, _)| !is_settled(*number)).map(|(_, id)| id));
        if !deleted.is_empty() {
            // What is not deleted comes again, and is a duplicate or the same dead letter.
            self.queue.delete(&deleted).await.map_err(|error| self.failed(error))?;
        }
        Ok(true)
    }

    fn failed(&self, error: ClientError) -> DrainError {
        DrainError::Queue(self.queue.binding.name.clone(), error)
    }

    /// Messages as their own queues' would be; what came again without being settled, or is of no configured queue, is left.
    fn attribute(&mut self, received: Vec<ReceivedMessage>) -> (Vec<Kept>, Vec<Lease>) {
        let (mut kept, mut leases) = (Vec::new(), Vec::new());
        for ReceivedMessage { candidate, lease } in received {
            if self.left.contains(&candidate.message_id) {
                continue;
            }
            let Some(binding) = self.source(&candidate) else {
                self.settling.report.matched += 1;
                self.settling.report.leave(0, "they are of no queue in QUEUES or the catalog, or SQS does not say of which; name it there");
                self.left.insert(candidate.message_id.clone());
                continue;
            };
            let number = i64::try_from(kept.len()).unwrap_or(i64::MAX);
            kept.push(Kept { number, candidate: Arc::new(Candidate { queue: binding, ..Candidate::clone(&candidate) }) });
            leases.push(lease);
        }
        (kept, leases)
    }

    /// The queue that a message came from: by SQS's word, else the only one that there is.
    fn source(&self, candidate: &Candidate) -> Option<Arc<QueueBinding>> {
        let source = match (candidate.system_attributes.get(DEAD_LETTER_SOURCE), self.sources.as_slice()) {
            (Some(arn), sources) => sources.iter().find(|source| source.attributes.arn.as_ref() == Some(arn)),
            (None, [source]) => Some(source),
            (None, _) => None,
        };
        source.map(|source| Arc::clone(&source.binding))
    }
}

async fn open_queue(clients: &Clients, setting: &QueueSetting) -> Result<Queue, DrainError> {
    Queue::open(clients, setting).await.map_err(|error| DrainError::Queue(setting.name.clone(), error))
}
