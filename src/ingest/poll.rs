//! Stage 1, long polls of one queue, several at once when it is busy, one when it is idle.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::breaker::CircuitBreaker;
use super::hand_back::HandBack;
use super::leases::{Leases, Queues};
use super::queue_check;
use super::watchdog::{Silence, Watchdog};
use crate::backoff::Backoff;
use crate::fault;
use crate::health::{Readiness, queue_part};
use crate::metrics::Metrics;
use crate::queue::{ClientError, Clients, MESSAGES_PER_REQUEST_MAX, POLL_WAIT_MAX, Queue, ReceivedMessage};
use crate::settings::QueueSetting;
use crate::snapshot::{Catalog, Snapshot};
use crate::window::{InFlight, Reservation, Window};

/// Polls of one queue in flight at most.
const POLLERS_MAX: usize = 4;

/// Between asking SQS how many messages a queue has.
const DEPTH_INTERVAL: Duration = Duration::from_secs(30);

/// What the pollers of all queues share.
#[derive(Debug)]
pub struct Polls {
    pub clients: Clients,
    pub queues: Arc<Queues>,
    pub catalog: Catalog,
    pub breaker: Arc<CircuitBreaker>,
    pub window: Window,
    pub hand_back: Arc<HandBack>,
    pub readiness: Arc<Readiness>,
    pub metrics: Arc<Metrics>,
    pub visibility_timeout: Duration,
    pub hold_max: Duration,
    pub drain_timeout: Duration,
    pub stop: CancellationToken,
}

impl Polls {
    /// Finds the queue, then polls it until told to stop; what comes is passed on.
    pub async fn run(self: Arc<Self>, setting: QueueSetting, received: mpsc::Sender<Vec<InFlight>>) {
        let queue = tokio::select! {
            () = self.stop.cancelled() => return,
            queue = self.open(&setting) => queue,
        };
        queue_check::check(&queue, self.hold_max);
        let leases = self.queues.add(queue.clone());
        // How many pollers are awake: doubled by a full reply, one again after an empty one.
        let awake = Arc::new(watch::Sender::new(1));
        // SQS counts in whole seconds. A drain waits for the polls under way, so that their wait has to leave time for the rest.
        let wait = POLL_WAIT_MAX.min(self.drain_timeout / 2).max(Duration::from_secs(1));
        let start = |number, silence| {
            let (leases, polls) = (Arc::clone(&leases), Arc::clone(&self));
            Poller { number, wait, silence, leases, polls, received: received.clone(), awake: Arc::clone(&awake) }.run()
        };
        let watchdog = Watchdog { queue: &setting.name, readiness: &self.readiness, metrics: &self.metrics, stop: &self.stop };
        tokio::join!(watchdog.run(wait, 0..POLLERS_MAX, start), self.watch_depth(&queue));
    }

    /// Looks for the queue until it is there and may be used; the other queues do not wait for this one.
    async fn open(&self, setting: &QueueSetting) -> Queue {
        let part = queue_part(&setting.name);
        let mut backoff = Backoff::default();
        loop {
            let found = Queue::open(&self.clients, setting).await;
            self.count_request(&setting.name, "open", found.as_ref().err());
            match found {
                Ok(queue) => {
                    self.readiness.set(&part, Ok(()));
                    return queue;
                }
                Err(error) => self.readiness.set(&part, Err(error.advice())),
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// Shows what SQS says is in the queue, now and then.
    async fn watch_depth(&self, queue: &Queue) {
        let name = queue.binding.name.as_str();
        loop {
            let depth = tokio::select! {
                () = self.stop.cancelled() => return,
                depth = queue.depth() => depth,
            };
            self.count_request(name, "depth", depth.as_ref().err());
            for (state, messages) in depth.unwrap_or_default() {
                self.metrics.queue_messages.with_label_values(&[name, state]).set(messages);
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(DEPTH_INTERVAL) => {}
            }
        }
    }

    fn count_request(&self, queue: &str, operation: &str, error: Option<&ClientError>) {
        let result = error.map_or("ok", ClientError::class);
        self.metrics.sqs_requests.with_label_values(&[queue, operation, result]).inc();
    }
}

/// Why a poll was in vain.
enum Trouble {
    Failed(ClientError),
    EmptyTooSoon,
}

struct Poller {
    number: usize,
    /// Of a poll.
    wait: Duration,
    silence: Silence,
    leases: Arc<Leases>,
    polls: Arc<Polls>,
    received: mpsc::Sender<Vec<InFlight>>,
    awake: Arc<watch::Sender<usize>>,
}

impl Poller {
    async fn run(self) {
        let stop = &self.polls.stop;
        let mut backoff = Backoff::default();
        loop {
            let reservation = tokio::select! {
                () = stop.cancelled() => return,
                reservation = self.reserve() => reservation,
            };
            let asked = reservation.messages();
            let messages = match self.receive(asked).await {
                Ok(messages) => reservation.fill(messages),
                Err(trouble) => {
                    drop(reservation);
                    self.report(trouble, &backoff);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(backoff.pause()) => continue,
                    }
                }
            };
            backoff.reset();
            self.report_success();
            self.adapt(messages.len(), asked);
            if stop.is_cancelled() {
                return self.polls.hand_back.now(messages);
            }
            // The tenant may have been pruned during the poll, and is back perhaps before these are.
            if !self.is_wanted_by(&self.polls.catalog.snapshot()) {
                self.polls.hand_back.now(messages);
                continue;
            }
            fault::crash("received");
            if !messages.is_empty() {
                // Who receives them ends only after all who can send to it.
                let _ = self.received.send(messages).await;
            }
        }
    }

    /// Waits until this poller is wanted, its events can be stored, and there is room.
    async fn reserve(&self) -> Reservation {
        let mut awake = self.awake.subscribe();
        let mut catalog = self.polls.catalog.clone();
        let (breaker, window) = (&self.polls.breaker, &self.polls.window);
        loop {
            // The sender lives as long as a poller does.
            let _ = awake.wait_for(|awake| *awake > self.number).await;
            let messages_max = breaker.pass(self.number == 0, MESSAGES_PER_REQUEST_MAX).await;
            self.wait_for_catalog(&mut catalog).await;
            let is_idle = *self.awake.borrow() == 1;
            let reservation = if is_idle { window.reserve_idle(messages_max).await } else { window.reserve(messages_max).await };
            if breaker.is_closed() {
                return reservation;
            }
        }
    }

    /// A queue is polled only under a catalog that has its tenant.
    async fn wait_for_catalog(&self, catalog: &mut Catalog) {
        if self.is_wanted_by(&catalog.snapshot()) {
            return;
        }
        // Before the first catalog is there, no tenant is missing from it.
        catalog.wait_for(|snapshot| snapshot.generation > 0).await;
        let part = format!("tenant of queue {}", self.name());
        let tenant = self.leases.queue.binding.tenant.as_ref();
        if let Some(tenant) = tenant.filter(|_| !self.is_wanted_by(&catalog.snapshot())) {
            let problem = format!("{tenant} is not in the catalog: the queue is not polled; correct QUEUES or apply the tenant");
            self.polls.readiness.set(&part, Err(problem));
        }
        catalog.wait_for(|snapshot| self.is_wanted_by(snapshot)).await;
        self.polls.readiness.set(&part, Ok(()));
    }

    /// Whether there is a catalog, and the queue's tenant is in it and active.
    fn is_wanted_by(&self, snapshot: &Snapshot) -> bool {
        let tenant = self.leases.queue.binding.tenant.as_ref();
        snapshot.generation > 0 && tenant.is_none_or(|tenant| snapshot.tenant(tenant.as_str()).is_some())
    }

    /// Polls once. The leases of what comes are extended from here on.
    async fn receive(&self, asked: usize) -> Result<Vec<ReceivedMessage>, Trouble> {
        let began = Instant::now();
        let receiving = async {
            fault::hang("hung_receive").await;
            self.leases.queue.receive(asked, self.wait, self.polls.visibility_timeout).await
        };
        // Never under a select: a receive that is dropped has leased messages that nobody sees.
        let reply = self.silence.during(receiving).await;
        self.polls.count_request(self.name(), "receive", reply.as_ref().err());
        let mut messages = reply.map_err(Trouble::Failed)?;
        // Asked again at once it would never end.
        if messages.is_empty() && began.elapsed() <= self.wait / 2 {
            return Err(Trouble::EmptyTooSoon);
        }
        for message in &mut messages {
            self.leases.keep(message);
        }
        Ok(messages)
    }

    fn name(&self) -> &str {
        &self.leases.queue.binding.name
    }

    fn adapt(&self, received: usize, asked: usize) {
        self.awake.send_if_modified(|awake| {
            let wanted = match received {
                0 => 1,
                received if received == asked => (*awake * 2).min(POLLERS_MAX),
                _ => *awake,
            };
            std::mem::replace(awake, wanted) != wanted
        });
    }

    /// Says what is wrong, and leaves it to one poller to find out when it is not any more.
    fn report(&self, trouble: Trouble, backoff: &Backoff) {
        self.awake.send_replace(1);
        let advice = match trouble {
            Trouble::Failed(error) => error.advice(),
            // SQS does so itself now and then.
            Trouble::EmptyTooSoon if !backoff.has_begun() => return,
            Trouble::EmptyTooSoon => {
                "polls come back empty before their wait is over, as they do from a broken proxy or when 120,000 of the \
                                      queue's messages are in flight; check AWS_ENDPOINT_URL and what stands before it"
                    .to_owned()
            }
        };
        self.polls.readiness.set(&queue_part(self.name()), Err(advice));
    }

    fn report_success(&self) {
        self.polls.readiness.set(&queue_part(self.name()), Ok(()));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.polls.metrics.last_poll_timestamp.with_label_values(&[self.name()]).set(now.as_secs_f64());
    }
}
