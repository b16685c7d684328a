//! 6. Delete what is settled, ten at a time. Deleting comes last: a crash before it makes a duplicate, which the key absorbs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::context::Context;
use crate::metrics::Metrics;
use crate::queue::{ClientError, Queue, SQS_BATCH_MAX};
use crate::store::Settled;

/// How long the last few of a batch wait for others to share their request.
const BATCH_AGE_MAX: Duration = Duration::from_millis(20);

/// Delete requests in flight at most.
const DELETES_MAX: usize = 8;

/// Pauses before what SQS did not delete is tried again, each shortened at random.
const RETRY_PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(250), Duration::from_millis(500)];

/// Deletes what the writers have settled. Ends when they have ended and nothing waits; deletes under way belong to the tracker.
pub async fn acknowledge(context: Arc<Context>, mut settled: mpsc::Receiver<Settled>) {
    let deletes = Arc::new(Semaphore::new(DELETES_MAX));
    let mut waiting: HashMap<String, Vec<Settled>> = HashMap::new();
    let mut ready = Vec::new();
    loop {
        let is_waiting = waiting.values().any(|events| !events.is_empty());
        let receiving = settled.recv_many(&mut ready, SQS_BATCH_MAX * DELETES_MAX);
        let received = match is_waiting {
            // Cancel-safe: nothing is taken from the channel by a receive that is cut.
            true => tokio::time::timeout(BATCH_AGE_MAX, receiving).await.ok(),
            false => Some(receiving.await),
        };
        for event in ready.drain(..) {
            waiting.entry(event.queue().name.clone()).or_default().push(event);
        }
        for (name, events) in &mut waiting {
            // Full requests at once; the rest when nothing came in time, or nothing will come.
            while events.len() >= SQS_BATCH_MAX || (!events.is_empty() && matches!(received, None | Some(0))) {
                let chunk = events.drain(..events.len().min(SQS_BATCH_MAX)).collect();
                let (Some(queue), Ok(permit)) = (context.queue(name), Arc::clone(&deletes).acquire_owned().await) else {
                    continue;
                };
                context.tracker.spawn(delete(queue, chunk, Arc::clone(&context.metrics), permit));
            }
        }
        if received == Some(0) {
            return;
        }
    }
}

/// Deletes up to ten messages, trying again what SQS neither deleted nor refused. The slots are free when it ends, either way.
async fn delete(queue: Queue, mut events: Vec<Settled>, metrics: Arc<Metrics>, _permit: OwnedSemaphorePermit) {
    let name = queue.binding.name.as_str();
    for pause in RETRY_PAUSES.into_iter().map(Some).chain([None]) {
        let handles: Vec<&str> = events.iter().map(Settled::receipt_handle).collect();
        let reply = queue.delete(&handles).await;
        let result = reply.as_ref().map_or_else(ClientError::class, |_| "ok");
        metrics.sqs_requests.with_label_values(&[name, "delete", result]).inc();
        let reply = reply.unwrap_or_default();
        for (_, code) in &reply.refused {
            let reason = if code.contains("ReceiptHandle") { "receipt_handle_invalid" } else { "refused" };
            metrics.delete_failures.with_label_values(&[name, reason]).inc();
        }
        let is_done = |position| reply.successful.contains(&position) || reply.refused.iter().any(|(refused, _)| *refused == position);
        let mut position = 0;
        events.retain(|_| {
            position += 1;
            !is_done(position - 1)
        });
        let Some(pause) = pause.filter(|_| !events.is_empty()) else { break };
        let share = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(pause.mul_f64(share)).await;
    }
    if !events.is_empty() {
        let failures = u64::try_from(events.len()).unwrap_or(u64::MAX);
        metrics.delete_failures.with_label_values(&[name, "given_up"]).inc_by(failures);
        tracing::warn!(queue = name, events = events.len(), "stored events could not be deleted; they come again and count as duplicates");
    }
}
