//! The sender: what it makes of receivers of every kind, whom it may reach, and what is left when it is killed.

mod addresses;
mod channels;
mod chaos;
mod drain;
mod founding;
mod outcomes;
pub mod receiver;
mod share;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::stack::{Database, eventually};

/// Webhook secrets of tenant `t`, the old one and the new one.
const SECRETS: [&str; 2] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_bmV2ZXIgdG8gYmUgc2VlbiBieSBhbnlib2R5IQ=="];

/// A database with tenant `t`.
pub struct Deliveries {
    pub database: Database,
}

impl Deliveries {
    pub async fn create() -> Self {
        let deliveries = Self { database: Database::create().await };
        deliveries.tenant("t").await;
        deliveries
    }

    pub async fn tenant(&self, tenant: &str) {
        let statements = format!(
            "insert into tenant (tenant_id, name) values ('{tenant}', 't');
             insert into event_type (tenant_id, event_type) values ('{tenant}', 'note.sent');
             insert into event_schema (tenant_id, event_type, schema_version, bundle, digest) values ('{tenant}', 'note.sent', 1, '{{}}', sha256(''))"
        );
        self.database.execute(&statements).await;
    }

    /// A client, whose deliveries are tried five times, a second apart.
    pub async fn client(&self, tenant: &str, client: &str, settings: &Value) {
        let statement = format!(
            "insert into client (tenant_id, client_id, name, retry, settings)
             values ('{tenant}', '{client}', 'c', '{{\"schedule_ms\": [1000, 1000, 1000, 1000]}}', $settings${settings}$settings$)"
        );
        self.database.execute(&statement).await;
    }

    /// So many events for a client, numbered from 0, and a notification.
    pub async fn events(&self, tenant: &str, client: &str, payload: &Value, count: usize) {
        let statements = format!(
            "insert into message (
                 tenant_id, source, event_id, event_type, schema_version, client_id, payload, payload_hash, queue, sqs_message_id,
                 catalog_generation
             )
             select '{tenant}', 'web', '{client}-' || n, 'note.sent', 1, '{client}', $payload${payload}$payload$, sha256(''), 'q', '{client}-' || n, 1
             from generate_series(0, {count} - 1) n;
             insert into delivery (tenant_id, source, event_id, client_id)
             select '{tenant}', 'web', '{client}-' || n, '{client}' from generate_series(0, {count} - 1) n;
             notify delivery_ready"
        );
        self.database.execute(&statements).await;
    }

    /// The environment of a sender that reaches this machine.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let secrets =
            serde_json::json!({ "t": { "OLD": SECRETS[0], "NEW": SECRETS[1], "TOKEN": "canary-token" }, "u": { "KEY": "canary-other" } });
        [
            ("DATABASE_URL", self.database.url.as_str()),
            ("LISTEN_ADDRESS", "127.0.0.1:0"),
            ("LOG_FORMAT", "json"),
            ("SENDER_ALLOWED_NETWORKS", "127.0.0.0/8"),
            ("SENDER_SECRETS", &secrets.to_string()),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into()
    }

    pub async fn sender(&self, settings: &[(&'static str, &str)]) -> Daemon {
        let mut environment = self.environment();
        environment.retain(|(name, _)| settings.iter().all(|(other, _)| name != other));
        environment.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Daemon::start_sender(environment).await
    }

    /// What the log says of a client's first event.
    pub async fn story(&self, client: &str) -> Vec<String> {
        let query = format!(
            "select attempt, outcome, error from delivery_log where client_id = '{client}' and event_id = '{client}-0' order by id"
        );
        self.database.rows(&query).await
    }

    /// Waits until the log's first entry of a client's first event is there.
    pub async fn first(&self, client: &str) -> String {
        eventually(&format!("an attempt at {client}"), async || self.story(client).await.into_iter().next()).await
    }

    /// Waits until nothing waits any more.
    pub async fn at_rest(&self) {
        eventually("nothing waits", async || (self.database.count("select count(*) from delivery").await == 0).then_some(())).await;
    }
}
