//! Clients and tenants: how they are, and whether deliveries go to them, for the people who stop and resume that. It is none of the catalog's: files do not say it, and
//! applying them leaves it.

mod tenant;

use std::fmt;

use serde::Serialize;
use sqlx::{Connection as _, PgConnection};

use crate::audit::Audit;
use crate::output::Escaped;
pub use tenant::{TENANTS_HEAD, Tenant, list_tenants};

/// A client in a list.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the columns' names, which --json prints")]
pub struct Client {
    tenant_id: String,
    client_id: String,
    name: String,
    is_declared: bool,
    state: String,
    state_reason: Option<String>,
    tenant_state: String,
    waiting: i64,
}

/// The head of a list of [`Client`]s.
pub const CLIENTS_HEAD: &str = "tenant          client          state                waiting  name                      why";

impl fmt::Display for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.is_declared, self.tenant_state.as_str()) {
            (false, _) => format!("{}, pruned", self.state),
            (true, "active") => self.state.clone(),
            (true, state) => format!("{}, tenant {state}", self.state),
        };
        let why = self.state_reason.as_deref().unwrap_or("-");
        let (name, why) = (Escaped(&self.name), Escaped(why));
        write!(formatter, "{:<14}  {:<14}  {state:<19}  {:>8}  {name:<24}  {why}", self.tenant_id, self.client_id, self.waiting)
    }
}

/// Lists clients, of one tenant or of all.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list_clients(connection: &mut PgConnection, tenant_id: Option<&str>) -> Result<Vec<Client>, sqlx::Error> {
    sqlx::query_file_as!(Client, "src/client/list_clients.sql", tenant_id).fetch_all(connection).await
}

/// Whether deliveries go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// They do.
    Active,
    /// They wait until somebody resumes it.
    Paused,
    /// They wait, for the receiver said that it is gone; of clients only.
    Disabled,
}

impl State {
    /// As the tables say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

/// Who is to be in another state.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Which tenant, or whose client.
    pub tenant_id: String,
    /// Which client; none: the tenant as a whole.
    pub client_id: Option<String>,
}

/// Brings a client or a tenant into a state, for a reason. Gives the state from before; none where there is nobody of that name. What is in
/// that state already has its reason from now on.
///
/// # Errors
/// When Postgres does not answer.
pub async fn set_state(
    connection: &mut PgConnection,
    subject: &Subject,
    state: State,
    reason: Option<&str>,
    audit: &Audit,
) -> Result<Option<String>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let Subject { tenant_id, client_id } = subject;
    let before = match client_id {
        Some(client_id) => {
            sqlx::query_file_scalar!("src/client/set_client_state.sql", tenant_id, client_id, state.as_str(), reason)
                .fetch_optional(&mut *transaction)
                .await?
        }
        None => {
            sqlx::query_file_scalar!("src/client/set_tenant_state.sql", tenant_id, state.as_str(), reason)
                .fetch_optional(&mut *transaction)
                .await?
        }
    };
    if before.is_some() {
        let kind = if client_id.is_some() { "clients" } else { "tenants" };
        audit.record(&mut transaction, &std::collections::BTreeMap::from([(kind, 1)]), true).await?;
    }
    transaction.commit().await?;
    Ok(before)
}
