//! A delivery that was claimed.

use std::sync::Arc;

use sqlx::types::time::OffsetDateTime;
use tokio::time::Instant;

use super::outcome::Failed;

/// A tenant's client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ClientKey {
    pub(super) tenant_id: Arc<str>,
    pub(super) client_id: Arc<str>,
}

/// A delivery with all that a claim says of it. It is never printed as a whole.
pub(super) struct Delivery {
    pub(super) lease_id: i64,
    pub(super) client: ClientKey,
    /// The client's settings, as JSON.
    pub(super) settings: String,
    pub(super) source: String,
    pub(super) event_id: String,
    pub(super) webhook_id: String,
    pub(super) event_type: String,
    pub(super) schema_version: i32,
    pub(super) subject: Option<String>,
    pub(super) occurred_at: Option<OffsetDateTime>,
    pub(super) received_at: OffsetDateTime,
    /// As it was sent.
    pub(super) payload: String,
    pub(super) attributes: String,
    pub(super) attempt: i32,
    /// Until when it is surely ours: counted from before the claim was asked for.
    pub(super) leased_until: Instant,
}

impl Delivery {
    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.payload.len() + self.attributes.len() + self.settings.len()
    }
    /// A line for each attempt that failed; what it says of the event is where to find it.
    pub(super) fn tell_failure(&self, channel: &str, failed: &Failed) {
        let (tenant, client) = (&*self.client.tenant_id, &*self.client.client_id);
        let (webhook_id, attempt, error) = (&self.webhook_id, self.attempt, &failed.sentence);
        if failed.is_permanent {
            tracing::warn!(tenant, client, webhook_id, attempt, channel, problem = error, "dead: trying again would not help");
        } else {
            tracing::info!(tenant, client, webhook_id, attempt, channel, problem = error, "not delivered");
        }
    }
}
