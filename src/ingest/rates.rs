//! What a tenant brings beyond its rate goes back to its queue for a while, as long as that loses nothing there. Each process has rates of its
//! own: so many replicas, so many times the rate.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::activity::Activities;
use crate::candidate::Candidate;
use crate::catalog::declaration::Rate;
use crate::event::TenantId;
use crate::metrics::{Metrics, NO_TENANT};
use crate::queue::QueueAttributes;
use crate::snapshot::Tenant;

/// The longest that an event waits before it is looked at again.
const DELAY_MAX: Duration = Duration::from_mins(15);

/// SQS counts in whole seconds, and none would be at once.
const DELAY_MIN: Duration = Duration::from_secs(1);

/// The last receives before SQS moves a message to its dead-letter queue are for storing it.
const RECEIVES_BEFORE_REDRIVE: u64 = 3;

/// What has no tenant is one more party, with a rate of its own: a flood of what nobody can read is stored in the end, not first.
const RATE_WITHOUT_TENANT: Rate = Rate { limit: 500.0, burst: 1_000 };

/// The tenants' rates, and what was deferred for them.
#[derive(Debug)]
pub struct Rates {
    /// A queue's at most, half of them one tenant's: what is deferred counts among the messages that SQS may hold in flight.
    deferred_events_max: i64,
    /// What tenants bring, within their rates and over them.
    pub activities: Arc<Activities>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    limits: HashMap<Party, Limit>,
    queues: HashMap<String, Backlog>,
}

/// A tenant, or all that has none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Party(Option<TenantId>);

#[derive(Debug)]
struct Limit {
    rate: Rate,
    limiter: DefaultDirectRateLimiter,
}

/// What is deferred of one queue.
#[derive(Debug, Default)]
struct Backlog {
    /// What SQS last said is not visible, whoever has it.
    not_visible: i64,
    /// Deferred by this process since.
    since: i64,
    /// When each comes again.
    by_tenant: HashMap<Party, BinaryHeap<Reverse<Instant>>>,
}

impl Backlog {
    /// How many of a tenant's are still away.
    fn deferred(&mut self, party: &Party, now: Instant) -> usize {
        let Some(times) = self.by_tenant.get_mut(party) else { return 0 };
        while times.peek().is_some_and(|Reverse(at)| *at <= now) {
            times.pop();
        }
        times.len()
    }
}

impl Rates {
    /// Nothing is deferred yet.
    pub fn new(deferred_events_max: usize, metrics: Arc<Metrics>) -> Self {
        let deferred_events_max = i64::try_from(deferred_events_max).unwrap_or(i64::MAX);
        Self { deferred_events_max, activities: Arc::default(), metrics, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long a tenant's event has to wait, or one that has no tenant; none: it goes on, within its rate or because waiting could lose it.
    pub fn defer(&self, tenant: Option<&Tenant>, candidate: &Candidate, queue: &QueueAttributes) -> Option<Duration> {
        let rate = tenant.map_or(Some(RATE_WITHOUT_TENANT), |tenant| tenant.rate)?;
        let party = Party(tenant.map(|tenant| tenant.tenant_id.clone()));
        let mut state = self.state();
        let State { limits, queues } = &mut *state;
        let limit = limits.entry(party.clone()).or_insert_with(|| Limit::new(rate));
        if limit.rate != rate {
            *limit = Limit::new(rate);
        }
        let wait = limit.limiter.check().err()?.wait_time_from(DefaultClock::default().now());
        let label = tenant.map_or(NO_TENANT, |tenant| tenant.label.as_str());
        self.metrics.events_over_rate.with_label_values(&[label]).inc();
        if let Some(tenant) = tenant {
            self.activities.count_over_rate(&tenant.tenant_id);
        }
        let behind = |of_tenant: u32| Duration::try_from_secs_f64(f64::from(of_tenant) / rate.limit).unwrap_or(DELAY_MAX);
        self.put_off_within(queues, party, candidate, queue, |of_tenant| (wait + behind(of_tenant)).clamp(DELAY_MIN, DELAY_MAX))
    }

    /// Whether an event may wait so long for another reason; it counts among those that do.
    pub fn may_put_off(&self, tenant: &Tenant, candidate: &Candidate, queue: &QueueAttributes, delay: Duration) -> bool {
        let mut state = self.state();
        self.put_off_within(&mut state.queues, Party(Some(tenant.tenant_id.clone())), candidate, queue, |_| delay).is_some()
    }

    /// Counts an event among those that wait, unless it could be lost by that or there are too many. The delay depends on how many of its
    /// tenant's are before it.
    fn put_off_within(
        &self,
        queues: &mut HashMap<String, Backlog>,
        party: Party,
        candidate: &Candidate,
        queue: &QueueAttributes,
        delay: impl FnOnce(u32) -> Duration,
    ) -> Option<Duration> {
        if !may_wait(candidate, queue, OffsetDateTime::now_utc()) {
            return None;
        }
        let backlog = queues.entry(candidate.queue.name.clone()).or_default();
        let now = Instant::now();
        let of_tenant = backlog.deferred(&party, now);
        let is_full = backlog.not_visible + backlog.since >= self.deferred_events_max
            || i64::try_from(of_tenant).is_ok_and(|of_tenant| of_tenant >= self.deferred_events_max / 2);
        if is_full {
            return None;
        }
        let delay = delay(u32::try_from(of_tenant).unwrap_or(u32::MAX)).min(delay_max(queue));
        backlog.since += 1;
        backlog.by_tenant.entry(party).or_default().push(Reverse(now + delay));
        Some(delay)
    }

    /// Later messages of a FIFO queue's group wait with one that does: until it comes again, SQS hands out none of them.
    pub fn put_off_with(&self, queue: &str, messages: usize) {
        if let Some(backlog) = self.state().queues.get_mut(queue) {
            backlog.since += i64::try_from(messages).unwrap_or(i64::MAX);
        }
    }

    /// Takes note of how many of a queue's messages SQS says are not visible. Gives whether any are deferred, so that it is worth asking soon.
    pub fn see(&self, queue: &str, not_visible: Option<i64>) -> bool {
        let mut state = self.state();
        let Some(backlog) = state.queues.get_mut(queue) else { return false };
        if let Some(not_visible) = not_visible {
            backlog.not_visible = not_visible;
            backlog.since = 0;
        }
        let now = Instant::now();
        let parties: Vec<Party> = backlog.by_tenant.keys().cloned().collect();
        parties.iter().map(|party| backlog.deferred(party, now)).sum::<usize>() > 0
    }
}

impl Limit {
    fn new(rate: Rate) -> Self {
        let burst = std::num::NonZeroU32::new(rate.burst).unwrap_or(std::num::NonZeroU32::MIN);
        let interval = Duration::try_from_secs_f64(1.0 / rate.limit).unwrap_or(DELAY_MAX);
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(burst)).allow_burst(burst);
        Self { rate, limiter: RateLimiter::direct(quota) }
    }
}

/// The longest that a message of the queue may be away: of a short retention a fourth.
fn delay_max(queue: &QueueAttributes) -> Duration {
    queue.message_retention.map_or(DELAY_MAX, |retention| DELAY_MAX.min(retention / 4))
}

/// Whether a message may go back once more: not before a redrive, not in the second half of its retention, and not where nobody knows of these.
fn may_wait(candidate: &Candidate, queue: &QueueAttributes, now: OffsetDateTime) -> bool {
    let receives = u64::try_from(candidate.receive_count).unwrap_or(u64::MAX);
    let is_before_redrive = queue.has_unreadable_policy || queue.receives_max.is_some_and(|max| receives + RECEIVES_BEFORE_REDRIVE > max);
    let age = candidate.sent_at.and_then(|sent_at| Duration::try_from(now - sent_at).ok());
    let is_old = match (queue.message_retention, age) {
        (Some(retention), Some(age)) => age + delay_max(queue) > retention / 2,
        _ => true,
    };
    !is_before_redrive && !is_old
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::candidate::QueueBinding;
    use crate::settings::parse_queues;

    fn candidate(receive_count: i32, age: Duration) -> Candidate {
        let setting = parse_queues("events").expect("a queue").remove(0);
        let sent_at = Some(OffsetDateTime::now_utc() - age);
        Candidate { sent_at, receive_count, ..Candidate::of_body(QueueBinding::from(&setting), Vec::new()) }
    }

    #[test]
    fn what_could_be_lost_by_waiting_does_not_wait() {
        let hour = Duration::from_hours(1);
        let queue = QueueAttributes { message_retention: Some(4 * hour), receives_max: Some(10), ..QueueAttributes::default() };
        let waits = |receives, age, queue: &QueueAttributes| may_wait(&candidate(receives, age), queue, OffsetDateTime::now_utc());
        assert!(waits(1, Duration::ZERO, &queue) && waits(7, hour, &queue));
        assert!(!waits(8, Duration::ZERO, &queue), "the last three receives are for storing it");
        assert!(!waits(1, 2 * hour, &queue), "half of the retention is over");
        assert!(!waits(1, Duration::ZERO, &QueueAttributes { message_retention: None, ..queue.clone() }));
        assert!(!waits(1, Duration::ZERO, &QueueAttributes { has_unreadable_policy: true, ..queue.clone() }));
        assert!(waits(900, hour, &QueueAttributes { receives_max: None, ..queue }));
    }

    #[test]
    fn what_has_no_tenant_has_a_rate_as_well() {
        let rates = Rates::new(10_000, Arc::new(Metrics::new().expect("metrics")));
        let queue = QueueAttributes { message_retention: Some(Duration::from_hours(96)), ..QueueAttributes::default() };
        let flood = candidate(1, Duration::ZERO);
        let waits: Vec<_> = (0..2_000).map(|_| rates.defer(None, &flood, &queue)).collect();
        let short = QueueAttributes { message_retention: Some(Duration::from_mins(1)), ..QueueAttributes::default() };
        let delay = rates.put_off_within(&mut HashMap::new(), Party(None), &flood, &short, |_| DELAY_MAX);
        assert_eq!(delay, Some(Duration::from_secs(15)), "it comes again before half of a minute is over");
        assert!(waits[..1_000].iter().all(Option::is_none) && waits[1_999].is_some());
        assert!(waits.iter().flatten().all(|delay| (DELAY_MIN..Duration::from_secs(3)).contains(delay)));
        rates.put_off_with("events", 10_000);
        assert_eq!(rates.defer(None, &flood, &queue), None, "as many wait as may");
    }
}
