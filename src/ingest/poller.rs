//! Long polls of one queue, several at once when it is busy, one when it is idle.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::context::Context;
use super::leases::Leases;
use super::watchdog::{self, Silence};
use super::{part_of, queue_check};
use crate::fault;
use crate::queue::{ClientError, Clients, POLL_WAIT_MAX, Queue, ReceivedMessage, SQS_BATCH_MAX};
use crate::settings::QueueSetting;
use crate::snapshot::{Catalog, Snapshot};
use crate::store::{Judged, RECEIVES_TRUSTED_MAX};
use crate::window::{Held, Reservation};

/// Polls of one queue in flight at most.
const POLLERS_MAX: usize = 4;

/// Between asking SQS how many messages a queue has.
const DEPTH_INTERVAL: Duration = Duration::from_secs(30);

/// Where messages go from here.
#[derive(Clone)]
pub struct Next {
    /// To be judged.
    pub received: mpsc::Sender<Vec<Held>>,
    /// To be stored, for those that are judged one after another.
    pub judged: mpsc::Sender<Vec<Judged>>,
}

/// Finds the queue, then polls it until told to stop.
pub async fn poll_queue(setting: QueueSetting, clients: Clients, context: Arc<Context>, next: Next) {
    let stop = context.stop.clone();
    let queue = tokio::select! {
        () = stop.cancelled() => return,
        queue = open(&setting, &clients, &context) => queue,
    };
    queue_check::check(&queue, context.settings.hold_max);
    let leases = context.add_queue(queue.clone());
    // Longer than the pollers: up to the last commit and delete.
    let drained = context.drained.clone();
    let extending = Arc::clone(&leases).extend_all();
    context.heartbeats.spawn(async move { drained.run_until_cancelled(extending).await });
    // How many pollers are awake: doubled by a full reply, one again after an empty one.
    let awake = Arc::new(watch::Sender::new(1));
    // SQS counts in whole seconds. A drain waits for the polls under way, so that their wait has to leave time for the rest.
    let wait = POLL_WAIT_MAX.min(context.settings.drain_timeout / 2).max(Duration::from_secs(1));
    let start = |number, silence| {
        let (leases, context) = (Arc::clone(&leases), Arc::clone(&context));
        Poller { number, wait, silence, leases, context, next: next.clone(), awake: Arc::clone(&awake) }.run()
    };
    tokio::join!(watchdog::watch(&setting.name, &context, wait, 0..POLLERS_MAX, start), watch_depth(queue, &context));
}

/// Looks for the queue until it is there and may be used; the other queues do not wait for this one.
async fn open(setting: &QueueSetting, clients: &Clients, context: &Context) -> Queue {
    let part = part_of(&setting.name);
    let mut backoff = Backoff::default();
    loop {
        let found = Queue::open(clients, setting).await;
        let result = found.as_ref().map_or_else(ClientError::class, |_| "ok");
        context.metrics.sqs_requests.with_label_values(&[setting.name.as_str(), "open", result]).inc();
        match found {
            Ok(queue) => {
                context.readiness.set(&part, Ok(()));
                return queue;
            }
            Err(error) => context.readiness.set(&part, Err(error.advice())),
        }
        tokio::time::sleep(backoff.pause()).await;
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
    context: Arc<Context>,
    next: Next,
    awake: Arc<watch::Sender<usize>>,
}

impl Poller {
    async fn run(self) {
        let stop = self.context.stop.clone();
        let mut backoff = Backoff::default();
        loop {
            let reservation = tokio::select! {
                () = stop.cancelled() => return,
                reservation = self.reserve() => reservation,
            };
            let asked = reservation.messages();
            let messages = match self.receive(asked).await {
                Ok(messages) => reservation.hold(messages),
                Err(trouble) => {
                    drop(reservation);
                    self.report(trouble, &backoff);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(backoff.pause()) => continue,
                    }
                }
            };
            backoff = Backoff::default();
            self.report_success();
            self.adapt(messages.len(), asked);
            if stop.is_cancelled() {
                if fault::has_bug("loss_on_sigterm") {
                    self.delete(&messages).await;
                }
                self.context.release_now(messages);
                return;
            }
            // The tenant may have been pruned during the poll, and is back perhaps before these are.
            if !self.is_wanted_by(&self.context.catalog.snapshot()) {
                self.context.release_now(messages);
                continue;
            }
            fault::crash("received");
            if fault::has_bug("delete_before_commit") {
                self.delete(&messages).await;
            }
            self.judge(messages).await;
        }
    }

    /// Hands messages on to be judged.
    async fn judge(&self, messages: Vec<Held>) {
        if self.leases.queue.binding.is_fifo() && !fault::has_bug("no_groups") {
            return self.context.judge_groups(messages, &self.next.judged);
        }
        let is_suspect = |held: &Held| held.message.receive_count > RECEIVES_TRUSTED_MAX;
        let (suspects, messages): (Vec<Held>, Vec<Held>) = messages.into_iter().partition(is_suspect);
        for held in suspects {
            self.context.tracker.spawn(Arc::clone(&self.context).judge_suspect(held, self.next.judged.clone()));
        }
        if !messages.is_empty() {
            // Who receives them ends only after all who can send to it.
            let _ = self.next.received.send(messages).await;
        }
    }

    /// Polls once. The leases of what comes are extended from here on.
    async fn receive(&self, asked: usize) -> Result<Vec<ReceivedMessage>, Trouble> {
        let began = Instant::now();
        let receiving = async {
            fault::hang("hung_receive").await;
            self.leases.queue.receive(asked, self.wait, self.context.settings.visibility_timeout).await
        };
        // Never under a select: a receive that is dropped has leased messages that nobody sees.
        let reply = self.silence.during(receiving).await;
        let result = reply.as_ref().map_or_else(ClientError::class, |_| "ok");
        self.context.metrics.sqs_requests.with_label_values(&[self.name(), "receive", result]).inc();
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

    /// What no build but the tests' may do.
    async fn delete(&self, messages: &[Held]) {
        let handles: Vec<String> = messages.iter().map(|held| held.message.lease.receipt_handle()).collect();
        let _ = self.leases.queue.delete(handles).await;
    }

    /// Waits until this poller is wanted, its events can be stored, and there is room.
    async fn reserve(&self) -> Reservation {
        let mut awake = self.awake.subscribe();
        let mut catalog = self.context.catalog.clone();
        let gate = &self.context.store_gate;
        loop {
            // The sender lives as long as a poller does.
            let _ = awake.wait_for(|awake| *awake > self.number).await;
            let messages_max = gate.pass(self.number == 0, SQS_BATCH_MAX).await;
            self.wait_for_catalog(&mut catalog).await;
            let is_idle = *self.awake.borrow() == 1;
            let reservation = if is_idle {
                self.context.window.reserve_idle(messages_max).await
            } else {
                self.context.window.reserve(messages_max).await
            };
            if gate.is_open() {
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
            self.context.readiness.set(&part, Err(problem));
        }
        catalog.wait_for(|snapshot| self.is_wanted_by(snapshot)).await;
        self.context.readiness.set(&part, Ok(()));
    }

    /// Whether there is a catalog, and the queue's tenant is in it and active.
    fn is_wanted_by(&self, snapshot: &Snapshot) -> bool {
        let tenant = self.leases.queue.binding.tenant.as_ref();
        snapshot.generation > 0 && tenant.is_none_or(|tenant| snapshot.tenant(tenant.as_str()).is_some())
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
        self.context.readiness.set(&part_of(self.name()), Err(advice));
    }

    fn report_success(&self) {
        self.context.readiness.set(&part_of(self.name()), Ok(()));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.context.metrics.last_poll_timestamp.with_label_values(&[self.name()]).set(now.as_secs_f64());
    }
}

/// Shows what SQS says is in the queue, now and then.
async fn watch_depth(queue: Queue, context: &Context) {
    let name = queue.binding.name.as_str();
    loop {
        let depth = tokio::select! {
            () = context.stop.cancelled() => return,
            depth = queue.depth() => depth,
        };
        let result = depth.as_ref().map_or_else(ClientError::class, |_| "ok");
        context.metrics.sqs_requests.with_label_values(&[name, "depth", result]).inc();
        for (state, messages) in depth.unwrap_or_default() {
            context.metrics.queue_messages.with_label_values(&[name, state]).set(messages);
        }
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = tokio::time::sleep(DEPTH_INTERVAL) => {}
        }
    }
}
