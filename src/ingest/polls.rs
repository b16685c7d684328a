//! What the pollers of all queues share: how a queue is found, how it is, and how many messages it has.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng as _;
use tokio_util::sync::CancellationToken;

use super::breaker::CircuitBreaker;
use super::hand_back::HandBack;
use super::leases::Queues;
use super::rates::Rates;
use crate::backoff::Backoff;
use crate::fault;
use crate::health::{NOT_KNOWN, Readiness, queue_part};
use crate::metrics::Metrics;
use crate::queue::{ClientError, Clients, Queue};
use crate::settings::QueueSetting;
use crate::snapshot::Catalog;
use crate::window::Window;

/// Between asking SQS how many messages a queue has, a quarter more or less.
const DEPTH_INTERVAL: Duration = Duration::from_secs(30);

/// The same while events wait there because their tenants are over their rates: replicas share what may wait.
const DEPTH_INTERVAL_WHILE_DEFERRED: Duration = Duration::from_secs(2);

/// What the pollers of all queues share.
#[derive(Debug)]
pub struct Polls {
    pub clients: Clients,
    pub queues: Arc<Queues>,
    pub catalog: Catalog,
    pub breaker: Arc<CircuitBreaker>,
    pub window: Arc<Window>,
    pub hand_back: Arc<HandBack>,
    pub rates: Arc<Rates>,
    pub readiness: Arc<Readiness>,
    pub metrics: Arc<Metrics>,
    pub visibility_timeout: Duration,
    pub hold_max: Duration,
    pub drain_timeout: Duration,
    pub stop: CancellationToken,
}

impl Polls {
    /// Looks for the queue until it is there and may be used; the other queues do not wait for this one.
    pub async fn open(&self, setting: &QueueSetting) -> Queue {
        let mut backoff = Backoff::default();
        loop {
            let found = Queue::open(&self.clients, setting).await;
            self.count_request(&setting.name, "open", found.as_ref().err());
            match found {
                Ok(queue) => {
                    self.set_state(&setting.name, Ok(()));
                    return queue;
                }
                Err(error) => self.set_state(&setting.name, Err(error.advice())),
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Shows what SQS says is in the queue, now and then.
    pub async fn watch_depth(&self, queue: &Queue, stop: &CancellationToken) {
        let name = queue.binding.name.as_str();
        let interval = fault::shortened("depth_interval", DEPTH_INTERVAL);
        if let Some(retention) = queue.attributes.message_retention {
            self.metrics.queue_retention.with_label_values(&[name]).set(i64::try_from(retention.as_secs()).unwrap_or(i64::MAX));
        }
        loop {
            let depth = tokio::select! {
                () = stop.cancelled() => return,
                depth = queue.depth() => depth,
            };
            self.count_request(name, "depth", depth.as_ref().err());
            let depth = depth.unwrap_or_default();
            let not_visible = depth.iter().find(|(state, _)| *state == "in_flight").map(|(_, messages)| *messages);
            let has_deferred = self.rates.see(name, not_visible);
            for (state, messages) in depth {
                self.metrics.queue_messages.with_label_values(&[name, state]).set(messages);
            }
            let interval = if has_deferred { DEPTH_INTERVAL_WHILE_DEFERRED } else { interval };
            // Queues that ask at the same time need a connection each; by turns they need one between them.
            let pause = interval.mul_f64(rand::rng().random_range(0.75..=1.25));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    pub fn count_request(&self, queue: &str, operation: &str, error: Option<&ClientError>) {
        let result = error.map_or("ok", ClientError::class);
        self.metrics.sqs_requests.with_label_values(&[queue, operation, result]).inc();
    }

    /// Records how a queue is.
    pub fn set_state(&self, queue: &str, state: Result<(), String>) {
        self.metrics.queue_ready.with_label_values(&[queue]).set(i64::from(state.is_ok()));
        self.readiness.set(&queue_part(queue), state);
    }

    /// Records that a queue is not polled yet.
    pub fn expect(&self, queue: &str) {
        self.metrics.queue_ready.with_label_values(&[queue]).set(0);
        self.readiness.expect(&queue_part(queue), NOT_KNOWN);
    }
}
