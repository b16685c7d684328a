//! Stage 1, long polls of one queue, as many at once as pay, one when it is idle.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::leases::Leases;
use super::pace::Pace;
use super::polls::Polls;
use super::queue_check;
use super::watchdog::{Silence, Watchdog};
use crate::backoff::Backoff;
use crate::fault;
use crate::queue::{ClientError, MESSAGES_PER_REQUEST_MAX, POLL_WAIT_MAX, ReceivedMessage};
use crate::settings::QueueSetting;
use crate::snapshot::{Catalog, Snapshot};
use crate::window::{InFlight, Reservation, Share};

/// How long a poll waits beside others: the last of them ends so long after a burst has.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// A receive that has brought nothing for so long is waiting for messages to be sent.
const WAITING_AFTER: Duration = Duration::from_millis(250);

impl Polls {
    /// Finds the queue, then polls it until told to stop; what comes is passed on.
    pub async fn run(self: Arc<Self>, setting: QueueSetting, received: mpsc::Sender<Vec<InFlight>>, stop: CancellationToken) {
        let queue = tokio::select! {
            () = stop.cancelled() => return,
            queue = self.open(&setting) => queue,
        };
        queue_check::check(&queue, self.hold_max);
        let leases = self.queues.add(queue.clone());
        let (pace, share) = (Arc::new(Pace::new()), self.window.share(&setting.name));
        // SQS counts in whole seconds. A drain waits for the polls under way, so that their wait has to leave time for the rest.
        let wait = POLL_WAIT_MAX.min(self.drain_timeout / 2).max(Duration::from_secs(1));
        let start = |number, silence| {
            let (leases, polls) = (Arc::clone(&leases), Arc::clone(&self));
            let wait = if number == 0 { wait } else { wait.min(BUSY_WAIT) };
            let (pace, share, received, stop) = (Arc::clone(&pace), Arc::clone(&share), received.clone(), stop.clone());
            Poller { number, wait, silence, leases, polls, received, pace, share, stop }.run()
        };
        let watchdog = Watchdog { queue: &setting.name, readiness: &self.readiness, metrics: &self.metrics, stop: &stop };
        tokio::join!(watchdog.run(wait, pace.subscribe(), start), self.watch_depth(&queue, &stop));
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
    pace: Arc<Pace>,
    share: Arc<Share>,
    stop: CancellationToken,
}

impl Poller {
    /// Ends when it is told to stop, or when there are more pollers than pay.
    async fn run(self) {
        let stop = &self.stop;
        let mut backoff = Backoff::default();
        loop {
            let reservation = tokio::select! {
                () = stop.cancelled() => return,
                reservation = self.reserve() => reservation,
            };
            let Some(reservation) = reservation else { return };
            let (asked, has_waited) = (reservation.messages(), reservation.has_waited);
            let began = Instant::now();
            let messages = match self.receive_into(reservation).await {
                Ok(messages) => messages,
                Err(trouble) => {
                    self.report(trouble, &backoff);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(backoff.pause()) => continue,
                    }
                }
            };
            backoff.reset();
            self.report_success();
            self.pace.learn(&messages, asked, has_waited, began.elapsed());
            self.show_pace();
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

    /// Waits until events can be stored and there is room; none where there are more pollers than pay.
    async fn reserve(&self) -> Option<Reservation> {
        let mut catalog = self.polls.catalog.clone();
        let breaker = &self.polls.breaker;
        loop {
            if self.number >= self.pace.polls() {
                return None;
            }
            let messages_max = breaker.pass(self.number == 0, MESSAGES_PER_REQUEST_MAX).await;
            self.wait_for_catalog(&mut catalog).await;
            let message_bytes = self.pace.message_bytes();
            let reservation = match self.pace.polls() {
                1 => self.share.reserve_idle(messages_max, message_bytes).await,
                _ => self.share.reserve(messages_max, message_bytes).await,
            };
            if breaker.is_closed() {
                return Some(reservation);
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
        let tenant = self.leases.queue.binding.tenant.as_ref();
        if let Some(tenant) = tenant.filter(|_| !self.is_wanted_by(&catalog.snapshot())) {
            let problem = format!("its tenant {tenant} is not in the catalog: it is not polled; correct QUEUES or apply the tenant");
            self.polls.set_state(self.name(), Err(problem));
        }
        catalog.wait_for(|snapshot| self.is_wanted_by(snapshot)).await;
        self.polls.set_state(self.name(), Ok(()));
    }

    /// Whether there is a catalog, and the queue's tenant is in it and active.
    fn is_wanted_by(&self, snapshot: &Snapshot) -> bool {
        let tenant = self.leases.queue.binding.tenant.as_ref();
        snapshot.generation > 0 && tenant.is_none_or(|tenant| snapshot.tenant(tenant.as_str()).is_some())
    }

    /// Polls once; while it waits for messages to be sent it takes next to no room.
    async fn receive_into(&self, mut reservation: Reservation) -> Result<Vec<InFlight>, Trouble> {
        let mut receiving = std::pin::pin!(self.receive(reservation.messages()));
        let received = match tokio::time::timeout(WAITING_AFTER, &mut receiving).await {
            Ok(received) => received,
            Err(_) => {
                reservation.shrink();
                receiving.await
            }
        };
        Ok(reservation.fill(received?))
    }

    /// The leases of what comes are extended from here on.
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

    /// Says what is wrong, and leaves it to one poller to find out when it is not any more.
    fn report(&self, trouble: Trouble, backoff: &Backoff) {
        self.pace.fall();
        self.show_pace();
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
        self.polls.set_state(self.name(), Err(advice));
    }

    fn show_pace(&self) {
        let polls = i64::try_from(self.pace.polls()).unwrap_or(i64::MAX);
        self.polls.metrics.polls.with_label_values(&[self.name()]).set(polls);
    }

    fn report_success(&self) {
        self.polls.set_state(self.name(), Ok(()));
        self.share.poll();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.polls.metrics.last_poll_timestamp.with_label_values(&[self.name()]).set(now.as_secs_f64());
    }
}
