//! `tenant.toml`: its fields, and what is said of it as a whole.

mod checks;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::declaration::{ClientDeclaration, Rate, SubscriptionDeclaration};
use super::files::line_and_column;
use checks::Checks;

/// What a tenant's file says, checked.
#[derive(Debug, Default)]
pub(super) struct TenantFile {
    pub(super) name: Option<String>,
    pub(super) allowed_senders: Vec<String>,
    pub(super) rate: Option<Rate>,
    /// By event type, where the file names one.
    pub(super) default_versions: BTreeMap<String, i32>,
    pub(super) clients: Vec<ClientDeclaration>,
    pub(super) subscriptions: Vec<SubscriptionDeclaration>,
}

/// Each event type that the tenant's directory holds, with its own directory and its versions.
pub(super) type Versions = BTreeMap<String, (String, BTreeSet<i32>)>;

#[derive(Deserialize)]
struct TenantFields {
    name: Option<String>,
    #[serde(default)]
    allowed_senders: Vec<String>,
    rate_limit: Option<toml::Value>,
    rate_burst: Option<toml::Value>,
    #[serde(default)]
    event_types: BTreeMap<String, EventTypeFields>,
    #[serde(default)]
    clients: BTreeMap<String, ClientFields>,
    #[serde(default)]
    subscriptions: Vec<SubscriptionFields>,
    #[serde(flatten)]
    others: toml::Table,
}

#[derive(Deserialize)]
struct EventTypeFields {
    default_version: Option<i64>,
    #[serde(flatten)]
    others: toml::Table,
}

#[derive(Deserialize)]
struct ClientFields {
    name: Option<String>,
    retry: Option<RetryFields>,
    #[serde(default)]
    settings: toml::Table,
    #[serde(flatten)]
    others: toml::Table,
}

#[derive(Deserialize)]
struct RetryFields {
    initial: Option<String>,
    factor: Option<f64>,
    cap: Option<String>,
    attempts: Option<i64>,
    schedule: Option<Vec<String>>,
    #[serde(flatten)]
    others: toml::Table,
}

#[derive(Deserialize)]
struct SubscriptionFields {
    client: String,
    events: Vec<String>,
    #[serde(flatten)]
    others: toml::Table,
}

/// Reads a tenant's file and holds it against the event types that its directory has.
///
/// # Errors
/// All that is wrong with it, each as a sentence that begins with the place.
pub(super) fn parse(text: &str, versions: &Versions) -> Result<TenantFile, Vec<String>> {
    let fields: TenantFields = toml::from_str(text).map_err(|error| {
        let location = error.span().map_or_else(String::new, |span| line_and_column(text.as_bytes(), span.start) + ": ");
        vec![format!("is not a tenant's file: {location}{}", error.message().replace('\n', "; "))]
    })?;
    let mut checks = Checks::new(versions);
    let known = ["name", "allowed_senders", "rate_limit", "rate_burst", "event_types", "clients", "subscriptions"];
    checks.others("", &fields.others, &known, &["compatibility"]);
    checks.label("name", fields.name.as_deref());
    checks.allowed_senders(&fields.allowed_senders);
    let subscriptions = checks.subscriptions(&fields.subscriptions, &fields.clients);
    let file = TenantFile {
        name: fields.name,
        allowed_senders: fields.allowed_senders,
        rate: checks.rate(fields.rate_limit.as_ref(), fields.rate_burst.as_ref()),
        default_versions: checks.default_versions(&fields.event_types),
        clients: fields.clients.into_iter().map(|(name, client)| checks.client(&name, client)).collect(),
        subscriptions,
    };
    checks.finish(file)
}
