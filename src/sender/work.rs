//! The sender at work: it keeps deliveries in hand, begins them as the plan says, and tells what became of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::attempts::Attempts;
use super::claim_watchdog::ClaimWatchdog;
use super::claimed::{ClientKey, Delivery};
use super::outcome::{Ending, Failed};
use super::plan::{Places, Plan, Taken};
use super::settle::{Settled, Settlement};
use crate::fault;
use crate::metrics::SenderMetrics;

/// For how long deliveries are leased: four requests' time, so that extending them may come late.
pub(super) const LEASE: Duration = Duration::from_mins(1);

/// A lease with less left is extended.
const EXTEND_BELOW: Duration = Duration::from_secs(45);

/// How often Postgres is asked without a notification: what failed comes again by the clock.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is seen to that leases hold and nobody is stuck.
const CARE_INTERVAL: Duration = Duration::from_millis(250);

/// The most that one claim asks for.
const CLAIM_MAX: usize = 200;

/// How much of payloads may wait in memory before nothing more is claimed. A claim brings 16 MiB at most.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// What comes in from the other tasks.
pub(super) enum News {
    /// What a claim has brought; none where Postgres does not answer.
    Claimed(Option<Vec<Delivery>>),
    /// Of these leases those still hold, and from then on for a whole lease; none where Postgres does not answer.
    Extended { asked: Vec<i64>, kept: Option<Vec<i64>>, from: Instant },
    /// There may be something to claim.
    Notified,
}

/// What the other tasks are asked for.
pub(super) struct Desks {
    pub(super) claims: mpsc::UnboundedSender<usize>,
    pub(super) extensions: mpsc::UnboundedSender<Vec<i64>>,
    pub(super) settlements: mpsc::UnboundedSender<Settlement>,
}

/// A delivery that was begun.
struct Running {
    delivery: Arc<Delivery>,
    leased_until: Instant,
    abort: AbortHandle,
    began: Instant,
}

/// What is in hand, and what is to be done about it.
pub(super) struct Work {
    plan: Plan,
    places: Places,
    attempts: Arc<Attempts>,
    tasks: JoinSet<(&'static str, Ending)>,
    running: HashMap<Id, Running>,
    desks: Desks,
    metrics: Arc<SenderMetrics>,
    watchdog: ClaimWatchdog,
    /// Told to Postgres, and not confirmed.
    settling: usize,
    is_claiming: bool,
    is_extending: bool,
    may_claim: bool,
    polled_at: Instant,
}

/// What is left when the drain runs out of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CutOff(pub(super) usize);

impl Work {
    pub(super) fn new(places: Places, attempts: Arc<Attempts>, desks: Desks, metrics: Arc<SenderMetrics>, watchdog: ClaimWatchdog) -> Self {
        Self {
            plan: Plan::new(places),
            places,
            attempts,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            desks,
            metrics,
            watchdog,
            settling: 0,
            is_claiming: false,
            is_extending: false,
            may_claim: true,
            polled_at: Instant::now(),
        }
    }

    /// Works until `stop`, then finishes what is under way, for no longer than `drain_timeout`.
    pub(super) async fn run(
        mut self,
        mut news: mpsc::UnboundedReceiver<News>,
        mut told: mpsc::UnboundedReceiver<usize>,
        stop: CancellationToken,
        drain_timeout: Duration,
    ) -> Result<(), CutOff> {
        let mut care = tokio::time::interval(fault::shortened("care_interval", CARE_INTERVAL));
        care.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut drain_until: Option<Instant> = None;
        let mut cut_off = 0;
        loop {
            if drain_until.is_none() {
                self.begin_what_may();
                self.claim_if_there_is_room();
            }
            self.measure();
            let is_empty = self.running.is_empty() && self.settling == 0 && !self.is_claiming;
            if drain_until.is_some() && is_empty {
                break;
            }
            tokio::select! {
                Some(joined) = self.tasks.join_next_with_id() => self.end(joined),
                Some(count) = told.recv() => self.settling -= count,
                Some(news) = news.recv() => self.hear(news, drain_until.is_some()),
                _ = care.tick() => self.take_care(),
                () = stop.cancelled(), if drain_until.is_none() => {
                    drain_until = Some(Instant::now() + drain_timeout);
                    self.plan.give_up().into_iter().for_each(|delivery| self.release(delivery, Duration::ZERO));
                }
                () = tokio::time::sleep_until(drain_until.unwrap_or_else(Instant::now)), if drain_until.is_some() => {
                    if cut_off > 0 || self.running.is_empty() {
                        // Postgres does not answer, either: the leases end by themselves.
                        cut_off = cut_off.max(1);
                        break;
                    }
                    cut_off = self.cut_off();
                    drain_until = Some(Instant::now() + Duration::from_secs(1));
                }
            }
        }
        if cut_off > 0 { Err(CutOff(cut_off)) } else { Ok(()) }
    }

    fn begin_what_may(&mut self) {
        let now = Instant::now();
        while let Some(delivery) = self.plan.next(now) {
            let delivery = Arc::new(delivery);
            let (attempts, own) = (Arc::clone(&self.attempts), Arc::clone(&delivery));
            let abort = self.tasks.spawn(async move { attempts.attempt(&own).await });
            let running = Running { leased_until: delivery.leased_until, delivery, abort: abort.clone(), began: now };
            self.running.insert(abort.id(), running);
        }
    }

    /// Claims where there was a hint, the time has come, or the last claim brought something.
    fn claim_if_there_is_room(&mut self) {
        let in_hand = self.plan.waiting() + self.plan.running();
        let room = self.places.in_hand().saturating_sub(in_hand).min(CLAIM_MAX);
        let is_worth_it = room >= self.places.in_hand() / 4 || room > 0 && self.plan.waiting() == 0;
        if self.is_claiming || !self.may_claim || !is_worth_it || self.plan.bytes() >= WAITING_BYTES_MAX {
            return;
        }
        (self.is_claiming, self.may_claim, self.polled_at) = (true, false, Instant::now());
        // Who takes it lives as long as this does.
        let _ = self.desks.claims.send(room);
    }

    fn hear(&mut self, news: News, is_draining: bool) {
        match news {
            News::Notified => self.may_claim = true,
            News::Claimed(claimed) => {
                self.is_claiming = false;
                self.watchdog.reset();
                let claimed = claimed.unwrap_or_default();
                self.may_claim |= !claimed.is_empty();
                self.metrics.claimed.inc_by(claimed.len() as u64);
                let now = Instant::now();
                for delivery in claimed {
                    if is_draining { self.release(delivery, Duration::ZERO) } else { self.plan.add(delivery, now) }
                }
                self.give_back();
            }
            News::Extended { asked, kept, from } => {
                self.is_extending = false;
                if let Some(kept) = kept {
                    self.renew(&asked, &kept, from + LEASE);
                }
            }
        }
    }

    fn renew(&mut self, asked: &[i64], kept: &[i64], leased_until: Instant) {
        let kept: std::collections::HashSet<i64> = kept.iter().copied().collect();
        let asked: std::collections::HashSet<i64> = asked.iter().copied().collect();
        self.plan.waiting_mut().filter(|one| kept.contains(&one.lease_id)).for_each(|one| one.leased_until = leased_until);
        let running = self.running.values_mut().filter(|one| kept.contains(&one.delivery.lease_id));
        running.for_each(|one| one.leased_until = leased_until);
        let lost = self.plan.drop_lost(|one| asked.contains(&one.lease_id) && !kept.contains(&one.lease_id));
        self.count_lost(lost.len());
    }

    fn count_lost(&self, count: usize) {
        self.metrics.deliveries.with_label_values(&["unknown", "lease_lost"]).inc_by(count as u64);
    }

    fn take_care(&mut self) {
        let now = Instant::now();
        self.watchdog.tick(self.is_claiming);
        let lost = self.plan.drop_lost(|one| one.leased_until <= now).len();
        self.count_lost(lost);
        self.give_back();
        if now - self.polled_at >= POLL_INTERVAL {
            self.may_claim = true;
        }
        let is_short = |until: Instant| until > now && until - now < EXTEND_BELOW;
        if !self.is_extending {
            let waiting = self.plan.waiting_mut().map(|one| (one.lease_id, one.leased_until));
            let running = self.running.values().map(|one| (one.delivery.lease_id, one.leased_until));
            let short: Vec<i64> = waiting.chain(running).filter(|(_, until)| is_short(*until)).map(|(id, _)| id).take(1_000).collect();
            if !short.is_empty() {
                self.is_extending = self.desks.extensions.send(short).is_ok();
            }
        }
    }

    fn give_back(&mut self) {
        for (delivery, due_in) in self.plan.give_back(Instant::now()) {
            self.release(delivery, due_in);
        }
    }

    fn release(&mut self, delivery: Delivery, due_in: Duration) {
        self.settle(delivery.lease_id, delivery.client, "unknown", Settled::Released(due_in));
    }

    fn settle(&mut self, lease_id: i64, client: ClientKey, channel: &'static str, result: Settled) {
        self.settling += 1;
        let _ = self.desks.settlements.send(Settlement { lease_id, client, channel, result });
    }

    fn end(&mut self, joined: Result<(Id, (&'static str, Ending)), JoinError>) {
        let (id, channel, ending) = match joined {
            Ok((id, (channel, ending))) => (id, channel, ending),
            Err(error) if error.is_cancelled() => return,
            Err(error) => (error.id(), "unknown", Ending::Failed(Failed::again("the sender failed inside; its log says where"))),
        };
        let Some(Running { delivery, began, .. }) = self.running.remove(&id) else { return };
        let now = Instant::now();
        self.metrics.attempt_duration.with_label_values(&[channel]).observe((now - began).as_secs_f64());
        let how = match &ending {
            Ending::Delivered => Taken::Well,
            Ending::Failed(failed) if failed.is_overloaded => Taken::TooMuch(failed.retry_after.unwrap_or_default()),
            Ending::Failed(_) => Taken::Badly,
        };
        self.plan.end(&delivery.client, how, now);
        let result = match ending {
            Ending::Delivered => {
                if delivery.attempt == 1 {
                    let delay = sqlx::types::time::OffsetDateTime::now_utc() - delivery.received_at;
                    self.metrics.delivery_delay.observe(delay.as_seconds_f64().max(0.0));
                }
                Settled::Delivered
            }
            Ending::Failed(failed) => {
                delivery.tell_failure(channel, &failed);
                Settled::Failed(failed)
            }
        };
        self.settle(delivery.lease_id, delivery.client.clone(), channel, result);
    }

    /// Ends what is under way and gives it back: the receiver may have it, and gets it again. How many these were.
    fn cut_off(&mut self) -> usize {
        let running: Vec<Running> = self.running.drain().map(|(_, running)| running).collect();
        for one in &running {
            one.abort.abort();
            self.settle(one.delivery.lease_id, one.delivery.client.clone(), "unknown", Settled::Released(Duration::ZERO));
        }
        running.len()
    }

    fn measure(&self) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.in_flight.set(number(self.running.len()));
        self.metrics.waiting.set(number(self.plan.waiting()));
        self.metrics.clients_slowed.set(number(self.plan.slowed()));
    }
}
