//! What became of deliveries, told to Postgres: in batches, whatever is there at once, and again until it answers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::claimed::ClientKey;
use super::outcome::Failed;
use super::session::{Failures, Session};
use crate::backoff::Backoff;
use crate::database;
use crate::health::Readiness;
use crate::metrics::SenderMetrics;

/// As many as one call of a function takes.
const BATCH_MAX: usize = 1_000;

/// A client that has only failed for so long is disabled.
const FAILING_TIME_MAX: Duration = Duration::from_hours(5 * 24);

/// How often it is told that a client fails, and that it takes what it gets.
const REPORT_INTERVALS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));

/// Of how many clients it is remembered what was told last.
const CLIENTS_KEPT_MAX: usize = 100_000;

/// What is to be told of one lease.
pub(super) struct Settlement {
    pub(super) lease_id: i64,
    pub(super) client: ClientKey,
    pub(super) channel: &'static str,
    pub(super) result: Settled,
}

/// What became of it.
pub(super) enum Settled {
    Delivered,
    Failed(Failed),
    /// Not tried: to be claimed after so long.
    Released(Duration),
}

/// Tells Postgres.
pub(super) struct Settler {
    session: Session,
    reports: HashMap<ClientKey, (bool, Instant)>,
    metrics: Arc<SenderMetrics>,
    readiness: Arc<Readiness>,
}

impl Settler {
    pub(super) fn new(session: Session, metrics: Arc<SenderMetrics>, readiness: Arc<Readiness>) -> Self {
        Self { session, reports: HashMap::new(), metrics, readiness }
    }

    /// Goes on until nobody has anything to tell any more; says after each batch how many it was.
    pub(super) async fn run(mut self, mut settlements: mpsc::UnboundedReceiver<Settlement>, told: mpsc::UnboundedSender<usize>) {
        let mut batch = Vec::new();
        while settlements.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let mut backoff = Backoff::default();
            while let Err(error) = self.settle(&mut batch).await {
                self.readiness.set("database", Err(database::describe(&error)));
                self.metrics.database_up.set(0);
                tokio::time::sleep(backoff.pause()).await;
            }
            let count = batch.len();
            batch.clear();
            if told.send(count).is_err() {
                break;
            }
        }
        self.session.close().await;
    }

    /// May be called again with the same batch: what was told already holds no lease any more, and what is told twice changes nothing.
    async fn settle(&mut self, batch: &mut [Settlement]) -> Result<(), sqlx::Error> {
        self.report(batch).await?;
        let delivered: Vec<&Settlement> = batch.iter().filter(|one| matches!(one.result, Settled::Delivered)).collect();
        if !delivered.is_empty() {
            let ids: Vec<i64> = delivered.iter().map(|one| one.lease_id).collect();
            let kept = self.session.complete(&ids).await?;
            self.count(&delivered, &kept, |_| "delivered");
        }
        let failed: Vec<&Settlement> = batch.iter().filter(|one| matches!(one.result, Settled::Failed(_))).collect();
        if !failed.is_empty() {
            let kept = self.session.fail(&failures(&failed)).await?;
            let outcome = |one: &Settlement| if is_permanent(one) { "dead" } else { "failed" };
            self.count(&failed, &kept, outcome);
        }
        let mut released: BTreeMap<Duration, Vec<&Settlement>> = BTreeMap::new();
        for one in batch.iter() {
            if let Settled::Released(due_in) = one.result {
                // In as few calls as there are seconds.
                released.entry(Duration::from_secs(due_in.as_secs())).or_default().push(one);
            }
        }
        for (due_in, ones) in released {
            let ids: Vec<i64> = ones.iter().map(|one| one.lease_id).collect();
            let kept = self.session.release(&ids, due_in).await?;
            self.count(&ones, &kept, |_| "released");
        }
        Ok(())
    }

    fn count(&self, ones: &[&Settlement], kept: &[i64], outcome: impl Fn(&Settlement) -> &'static str) {
        let kept: std::collections::HashSet<i64> = kept.iter().copied().collect();
        for one in ones {
            let outcome = if kept.contains(&one.lease_id) { outcome(one) } else { "lease_lost" };
            self.metrics.deliveries.with_label_values(&[one.channel, outcome]).inc();
        }
    }

    /// Tells of clients whose receivers fail or take again, while the leases hold; disables those that are gone, or have failed for too long.
    async fn report(&mut self, batch: &[Settlement]) -> Result<(), sqlx::Error> {
        for one in batch {
            let has_failed = match &one.result {
                Settled::Delivered => false,
                Settled::Failed(failed) if failed.is_gone => {
                    self.disable(one, "gone", "the receiver answered 410 (Gone)").await?;
                    true
                }
                Settled::Failed(_) => true,
                Settled::Released(_) => continue,
            };
            let now = Instant::now();
            let interval = if has_failed { REPORT_INTERVALS.0 } else { REPORT_INTERVALS.1 };
            let is_news = self.reports.get(&one.client).is_none_or(|(before, at)| *before != has_failed || now - *at >= interval);
            if !is_news {
                continue;
            }
            let failing = self.session.report(one.lease_id, has_failed).await?;
            if self.reports.len() >= CLIENTS_KEPT_MAX {
                self.reports.clear();
            }
            self.reports.insert(one.client.clone(), (has_failed, now));
            if failing.is_some_and(|failing| failing >= FAILING_TIME_MAX) {
                self.disable(one, "failing", "nothing has been delivered for five days, every attempt has failed").await?;
            }
        }
        Ok(())
    }

    async fn disable(&mut self, one: &Settlement, reason: &str, sentence: &str) -> Result<(), sqlx::Error> {
        if self.session.disable(one.lease_id, sentence).await? {
            self.metrics.clients_disabled.with_label_values(&[reason]).inc();
            let (tenant, client) = (&*one.client.tenant_id, &*one.client.client_id);
            let advice = "mend it, then `processor client resume`";
            tracing::warn!(tenant, client, problem = sentence, advice, "client disabled: its deliveries wait");
        }
        Ok(())
    }
}

fn is_permanent(one: &Settlement) -> bool {
    matches!(&one.result, Settled::Failed(failed) if failed.is_permanent)
}

fn failures(failed: &[&Settlement]) -> Failures {
    let mut failures = Failures::default();
    for one in failed {
        let Settled::Failed(failed) = &one.result else { continue };
        failures.lease_ids.push(one.lease_id);
        failures.errors.push(failed.sentence.clone());
        failures.retry_after.push(failed.retry_after.map(|wait| wait.as_secs_f64()));
        failures.permanent.push(failed.is_permanent);
    }
    failures
}
