use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::files::Problem;
use crate::event::{ClientId, TenantId};
use crate::settings::QueueSetting;

/// All that a catalog directory declares. Everything in it has been checked; all lists are sorted by their names.
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    /// The tenants.
    pub tenants: Vec<TenantDeclaration>,
    /// The queues that are polled beside those of QUEUES.
    pub queues: Vec<QueueSetting>,
    /// What is no problem, but may not have been meant: what the drafts say to ignore.
    pub warnings: Vec<Problem>,
}

/// A tenant and all that is its own.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantDeclaration {
    /// The name of its directory.
    pub tenant_id: TenantId,
    /// Its name for people; the id where the file gives none.
    pub name: String,
    /// Unique ids of IAM users and roles that may write for it on a shared queue.
    pub allowed_senders: Vec<String>,
    /// How many events it may bring; none: as many as it does.
    pub rate: Option<Rate>,
    /// What kinds of events it has.
    pub event_types: Vec<EventTypeDeclaration>,
    /// Who receives its events.
    pub clients: Vec<ClientDeclaration>,
    /// Which events, of those that name no client, go to whom.
    pub subscriptions: Vec<SubscriptionDeclaration>,
}

/// How many events a tenant may bring.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// A second.
    pub limit: f64,
    /// At once.
    pub burst: u32,
}

/// An event type with its versions.
#[derive(Debug, Clone, PartialEq)]
pub struct EventTypeDeclaration {
    /// Its name.
    pub event_type: String,
    /// The name of its directory, most often the same.
    pub directory: String,
    /// The version of events that name none, where it is not the newest.
    pub default_version: Option<i32>,
    /// Its versions; at least one.
    pub schemas: Vec<SchemaDeclaration>,
    /// How many example payloads were proven against it.
    pub examples: usize,
}

/// One version of an event type's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaDeclaration {
    /// The version's number, from 1.
    pub schema_version: i32,
    /// The schema with every file that it refers to, as JSON.
    pub bundle: String,
    /// What identifies the bundle, however its files are formatted.
    pub digest: [u8; 32],
}

/// One of the tenant's recipients.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientDeclaration {
    /// Its id.
    pub client_id: ClientId,
    /// Its name for people; the id where the file gives none.
    pub name: String,
    /// How deliveries to it are repeated.
    pub retry: Option<Retry>,
    /// What the sender needs to know of it; opaque here.
    pub settings: Map<String, Value>,
}

/// How a delivery is repeated; what is absent has the defaults of `delivery_wait`, which reads this.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Retry {
    /// The first pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_ms: Option<i64>,
    /// By how much each pause is longer than the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// The longest pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap_ms: Option<i64>,
    /// How many tries there are, the first included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// The pauses themselves, in place of all that: one try more than there are pauses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule_ms: Option<Vec<i64>>,
}

/// A client's wish for a type, or for several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubscriptionDeclaration {
    /// Who gets the events.
    pub client_id: ClientId,
    /// An event type's name, `prefix.*` or `*`.
    pub event_pattern: String,
}

/// How much a declaration holds. Its Display is what `catalog check` says of a good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Number of tenants.
    pub tenants: usize,
    /// Number of event types, over all tenants.
    pub event_types: usize,
    /// Number of schema versions.
    pub schemas: usize,
    /// Number of example payloads, all of them proven.
    pub examples: usize,
    /// Number of clients.
    pub clients: usize,
    /// Number of subscriptions, each pattern of a client counted.
    pub subscriptions: usize,
}

impl Declaration {
    /// How much it holds.
    pub fn summary(&self) -> Summary {
        let event_types = || self.tenants.iter().flat_map(|tenant| &tenant.event_types);
        Summary {
            tenants: self.tenants.len(),
            event_types: event_types().count(),
            schemas: event_types().map(|event_type| event_type.schemas.len()).sum(),
            examples: event_types().map(|event_type| event_type.examples).sum(),
            clients: self.tenants.iter().map(|tenant| tenant.clients.len()).sum(),
            subscriptions: self.tenants.iter().map(|tenant| tenant.subscriptions.len()).sum(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        write!(
            formatter,
            "{}, {}, {}, {}, {}, {}",
            counted(self.tenants, "tenant"),
            counted(self.event_types, "event type"),
            counted(self.schemas, "schema"),
            counted(self.examples, "example"),
            counted(self.clients, "client"),
            counted(self.subscriptions, "subscription"),
        )
    }
}

/// Whether a subscription's pattern names an event type: exactly, by `prefix.*` (not `prefix` itself), or by `*`.
pub fn matches(pattern: &str, event_type: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(prefix) if prefix.ends_with('.') => event_type.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
        _ => pattern == event_type,
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_names_a_type_exactly_or_by_prefix_or_all() {
        for (pattern, event_type, expected) in [
            ("order.created", "order.created", true),
            ("order.created", "order.created.eu", false),
            ("order.*", "order.created", true),
            ("order.*", "order", false),
            ("order.*", "order.", false),
            ("order.*", "orders.created", false),
            ("*", "anything", true),
            ("ord*", "order", false),
        ] {
            assert_eq!(matches(pattern, event_type), expected, "{pattern} {event_type}");
        }
    }
}
