//! What each tenant brings, counted here and added to the database now and then, so that whoever asks how a tenant is need not count its
//! events. What a process has counted and not yet added when it is killed is lost: these are figures for people, nothing depends on them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smol_str::SmolStr;
use tokio::time::Instant;

use crate::event::TenantId;
use crate::fault;
use crate::metrics::Outcome;
use crate::settings::Database;
use crate::snapshot::Snapshot;
use crate::store::{Activity, ActivityCounts, Session, Settled, add_activity};

/// How often they are added at most.
const INTERVAL: Duration = Duration::from_secs(5);

/// What each row adds to that, so that rows take no more of Postgres than where they are few: 5,000 are written in 80 ms, twice a minute.
const PAUSE_PER_ROW: Duration = Duration::from_millis(5);

/// A database that takes longer is left alone; at the end of the process nobody is to wait for it.
const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));

/// What the writers and the rates count, and the task that adds it.
#[derive(Debug, Default)]
pub struct Activities {
    by_tenant: Mutex<HashMap<TenantId, HashMap<SmolStr, Recent>>>,
}

#[derive(Debug)]
struct Recent {
    counts: ActivityCounts,
    last_at: Instant,
}

impl Activities {
    fn by_tenant(&self) -> MutexGuard<'_, HashMap<TenantId, HashMap<SmolStr, Recent>>> {
        // A panic elsewhere leaves the counts whole.
        self.by_tenant.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what is settled, by tenants and types of the catalog: what events may name beside those has no bound.
    pub fn count<T>(&self, settled: &[Settled<T>], snapshot: &Snapshot) {
        let now = Instant::now();
        let mut by_tenant = self.by_tenant();
        for event in settled {
            let Some(tenant) = event.tenant_id().and_then(|tenant_id| snapshot.tenant(tenant_id.as_str())) else { continue };
            let event_type = event.event_type().filter(|name| tenant.event_type(name).is_some()).unwrap_or_default();
            let counts = recent(&mut by_tenant, &tenant.tenant_id, event_type, now);
            match event.outcome() {
                Outcome::Stored => counts.stored += 1,
                Outcome::Duplicate => counts.duplicate += 1,
                Outcome::Rejected => counts.rejected += 1,
                // Nothing that is settled is one of these.
                Outcome::Deferred | Outcome::Released => {}
            }
        }
    }

    /// Counts an event that is over its tenant's rate.
    pub fn count_over_rate(&self, tenant_id: &TenantId) {
        recent(&mut self.by_tenant(), tenant_id, "", Instant::now()).over_rate += 1;
    }

    /// Adds what was counted, as long as the process runs.
    pub async fn run(self: Arc<Self>, database: Database) {
        let interval = fault::shortened("activity_interval", INTERVAL);
        // Kept, as others are: one that is given back would be taken by whoever uses up the server's connections.
        let mut session = Session::new(database);
        let mut rows = 0;
        loop {
            tokio::time::sleep(interval + PAUSE_PER_ROW * rows).await;
            rows = self.add(&mut session, TIMEOUTS.0).await;
        }
    }

    /// Adds what was counted last, before the process ends.
    pub async fn add_last(&self, database: &Database) {
        self.add(&mut Session::new(database.clone()), TIMEOUTS.1).await;
    }

    /// Adds what was counted. Where that fails it is forgotten: whether it was added is not known, and what
    /// is told twice misleads more than what is missing. Gives how many rows there were.
    async fn add(&self, session: &mut Session, timeout: Duration) -> u32 {
        let counted = std::mem::take(&mut *self.by_tenant());
        let of_tenant = |(tenant_id, by_type): (TenantId, HashMap<SmolStr, Recent>)| {
            by_type.into_iter().map(move |(event_type, Recent { counts, last_at })| Activity {
                tenant_id: tenant_id.as_str().to_owned(),
                event_type: event_type.into(),
                age: last_at.elapsed(),
                counts,
            })
        };
        let activity: Vec<Activity> = counted.into_iter().flat_map(of_tenant).collect();
        if activity.is_empty() {
            return 0;
        }
        let rows = u32::try_from(activity.len()).unwrap_or(u32::MAX);
        if let Err(error) = add_activity(session, timeout, activity).await {
            tracing::debug!(%error, "what tenants brought lately was not added to tenant_activity");
        }
        rows
    }
}

fn recent<'a>(
    by_tenant: &'a mut HashMap<TenantId, HashMap<SmolStr, Recent>>,
    tenant_id: &TenantId,
    event_type: &str,
    now: Instant,
) -> &'a mut ActivityCounts {
    let by_type = by_tenant.entry(tenant_id.clone()).or_default();
    let recent = by_type.entry(event_type.into()).or_insert_with(|| Recent { counts: ActivityCounts::default(), last_at: now });
    recent.last_at = now;
    &mut recent.counts
}
