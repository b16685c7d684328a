//! Events onto a queue, ten at a time and several batches at once, each into the ledger before it is sent.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::generation::{Draft, Generator};
use super::ledger::{Entry, Ledger, Location, Sending};
use crate::backoff::Backoff;
use crate::progress::Progress;
use crate::queue::{ClientError, MESSAGES_PER_REQUEST_MAX, Outgoing, Queue};

/// How many batches may be on their way at once.
const BATCHES_MAX: usize = 8;

/// SQS refuses larger batches; so little that servers which follow its older limit take them too.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// For how long a batch waits for its other nine.
const LINGER: Duration = Duration::from_millis(50);

/// How often an event is sent before its fate is left unknown, or SQS's refusal is taken for its last word.
const TRIES_MAX: u32 = 6;

/// The pauses between tries, the first and the longest.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(6_400));

/// How fast, how many, how long, and whether SQS is told the tenants.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Events a second.
    pub rate: f64,
    /// The number of events after which to end.
    pub events: Option<u64>,
    /// The time after which to end.
    pub duration: Option<Duration>,
    /// Whether each message's group is its tenant on a standard queue, too, as SQS's fair queues have it.
    pub is_fair: bool,
}

/// What was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Events that SQS has.
    pub accepted: u64,
    /// Events of which only unanswered requests are known.
    pub unknown: u64,
    /// Replies that were lost.
    pub lost_replies: u64,
}

/// Why sending ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum SendingError {
    /// SQS does not take events.
    #[error("the queue does not take events ({0})")]
    Queue(#[from] ClientError),
    /// SQS refuses an event, for good.
    #[error("the queue refused an event of {bytes} bytes ({code})")]
    Refused {
        /// SQS's code.
        code: String,
        /// The size of its body.
        bytes: usize,
    },
    /// The ledger cannot be written.
    #[error("the ledger cannot be written ({0})")]
    Ledger(#[from] std::io::Error),
}

/// Sends what the generator makes until it ends, the pace ends it, or `stop` is cancelled. What is on its way then is waited for, and the
/// ledger is complete.
///
/// # Errors
/// When the queue or the ledger refuses; also then the ledger is complete.
pub async fn run(
    queue: &Queue,
    queue_url: Option<&str>,
    generator: &mut Generator,
    pace: Pace,
    ledger: Option<Ledger>,
    progress: &mut Progress,
    stop: &CancellationToken,
) -> (Sent, Result<(), SendingError>) {
    let (batches, batch, sent) = (JoinSet::new(), Vec::new(), Sent::default());
    let mut sender = Sender { queue, queue_url, is_fair: pace.is_fair, ledger, batches, batch, sent, failure: None };
    sender.send_all(generator, pace, progress, stop).await;
    sender.flush();
    while let Some(done) = sender.batches.join_next().await {
        sender.settle(done);
    }
    let synced = sender.ledger.take().map_or(Ok(()), Ledger::finish);
    let outcome = sender.failure.map_or(Ok(()), Err).and(synced.map_err(SendingError::from));
    (sender.sent, outcome)
}

struct Sender<'a> {
    queue: &'a Queue,
    queue_url: Option<&'a str>,
    is_fair: bool,
    ledger: Option<Ledger>,
    batches: JoinSet<Batch>,
    batch: Vec<Draft>,
    sent: Sent,
    failure: Option<SendingError>,
}

/// A batch that is being sent, and in the end what became of it.
struct Batch {
    bodies: Vec<String>,
    entries: Vec<Entry>,
    /// Events that are not on the queue: SQS said so.
    refused: Vec<usize>,
    location: Option<Location>,
    failure: Option<SendingError>,
}

impl Batch {
    /// Notes that SQS has not said of these whether it has them, so that each further try may make a copy.
    fn answer_is_lost(&mut self, positions: &[usize]) {
        for position in positions {
            self.entries[*position].lost_replies += 1;
        }
    }
}

impl Sender<'_> {
    async fn send_all(&mut self, generator: &mut Generator, pace: Pace, progress: &mut Progress, stop: &CancellationToken) {
        let limiter = limiter(pace.rate);
        let began = Instant::now();
        let ends = pace.duration.map(|duration| began + duration);
        let mut drafted = 0;
        let mut flushes = began;
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        while self.failure.is_none() {
            let has_room = self.batches.len() < BATCHES_MAX;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep_until(ends.unwrap_or(began)), if ends.is_some() => break,
                Some(done) = self.batches.join_next() => self.settle(done),
                _ = ticks.tick() => progress.show(self.sent.accepted + self.sent.unknown),
                () = sleep_until(flushes), if has_room && !self.batch.is_empty() => self.flush(),
                () = limiter.until_ready(), if has_room => {
                    let next = if pace.events.is_some_and(|events| drafted >= events) { None } else { generator.next() };
                    let Some(draft) = next else { break };
                    drafted += 1;
                    let bytes: usize = self.batch.iter().map(|draft| draft.body.len()).sum();
                    if bytes + draft.body.len() > BATCH_BYTES_MAX {
                        self.flush();
                    }
                    if self.batch.is_empty() {
                        flushes = Instant::now() + LINGER;
                    }
                    self.batch.push(draft);
                    if self.batch.len() == MESSAGES_PER_REQUEST_MAX {
                        self.flush();
                    }
                }
            }
        }
    }

    /// Writes the lines of what has gathered, then sends it.
    fn flush(&mut self) {
        let drafts = std::mem::take(&mut self.batch);
        if drafts.is_empty() || self.failure.is_some() {
            return;
        }
        let entries: Vec<Entry> = drafts.iter().map(|draft| Entry::new(draft, &self.queue.binding.name, self.queue_url)).collect();
        let location = match self.ledger.as_mut().map(|ledger| ledger.announce(&entries)).transpose() {
            Ok(location) => location,
            Err(error) => {
                self.failure = Some(error.into());
                return;
            }
        };
        let bodies = drafts.into_iter().map(|draft| draft.body).collect();
        let batch = Batch { bodies, entries, refused: Vec::new(), location, failure: None };
        // On a FIFO queue a tenant's events keep their order.
        let has_groups = self.is_fair || self.queue.binding.is_fifo();
        self.batches.spawn(send(self.queue.clone(), has_groups, batch));
    }

    /// Notes what became of a batch.
    fn settle(&mut self, done: Result<Batch, tokio::task::JoinError>) {
        let Ok(batch) = done else { return };
        for (position, entry) in batch.entries.iter().enumerate() {
            self.sent.lost_replies += u64::from(entry.lost_replies);
            match entry.sending {
                Sending::Accepted => self.sent.accepted += 1,
                Sending::Unknown if !batch.refused.contains(&position) => self.sent.unknown += 1,
                Sending::Unknown => {}
            }
        }
        let completed = match (&mut self.ledger, &batch.location) {
            (Some(ledger), Some(location)) => ledger.complete(location, &batch.entries),
            _ => Ok(()),
        };
        if let Err(error) = completed {
            self.failure.get_or_insert(error.into());
        }
        if let Some(failure) = batch.failure {
            self.failure.get_or_insert(failure);
        }
    }
}

/// Spreads events evenly; what a pause of the machine has cost, up to a tenth of a second, is made up for.
fn limiter(rate: f64) -> DefaultDirectRateLimiter {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is positive, and one above 4 billion may be cut")]
    let at_once = NonZeroU32::new((rate / 10.0).ceil() as u32).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(Duration::from_secs_f64(1.0 / rate)).unwrap_or(Quota::per_second(NonZeroU32::MIN));
    RateLimiter::direct(quota.allow_burst(at_once))
}

fn outgoing<'a>(body: &'a str, entry: &'a Entry, has_groups: bool) -> Outgoing<'a> {
    Outgoing { body, group: has_groups.then_some(entry.tenant.as_str()) }
}

/// Sends a batch until each of its events is accepted or refused, or has been tried often enough.
async fn send(queue: Queue, has_groups: bool, mut batch: Batch) -> Batch {
    let mut left: Vec<usize> = (0..batch.bodies.len()).collect();
    let mut backoff = Backoff::new(RETRY_PAUSES.0, RETRY_PAUSES.1);
    let mut last = None;
    for _ in 0..TRIES_MAX {
        let outgoing = |position: &usize| outgoing(&batch.bodies[*position], &batch.entries[*position], has_groups);
        let messages: Vec<Outgoing<'_>> = left.iter().map(outgoing).collect();
        match queue.send_batch(&messages).await {
            Ok(reply) => {
                for (position, code) in reply.refused {
                    let bytes = messages[position].body.len();
                    batch.refused.push(left[position]);
                    batch.failure.get_or_insert(SendingError::Refused { code, bytes });
                }
                for (position, sqs_message_id) in reply.accepted {
                    let entry = &mut batch.entries[left[position]];
                    (entry.sending, entry.sqs_message_id) = (Sending::Accepted, Some(sqs_message_id));
                }
                let (entries, refused) = (&batch.entries, &batch.refused);
                left.retain(|position| entries[*position].sending == Sending::Unknown && !refused.contains(position));
                batch.answer_is_lost(&left);
            }
            Err(error) if error.is_unanswered() => batch.answer_is_lost(&left),
            Err(error) if error.class() == "throttled" => last = Some(error),
            Err(error) => {
                batch.refused.extend(&left);
                batch.failure.get_or_insert(error.into());
                return batch;
            }
        }
        if left.is_empty() {
            return batch;
        }
        tokio::time::sleep(backoff.pause()).await;
    }
    if let Some(error) = last {
        batch.failure.get_or_insert(error.into());
    }
    batch
}
