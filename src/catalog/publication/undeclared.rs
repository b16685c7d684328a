//! What the database has and the files have not.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::{clients, event_types, schemas, subscriptions};
use crate::catalog::declaration::Declaration;

/// What becomes of what is active though the files do not declare it.
#[derive(Debug, Clone, Copy)]
pub enum Undeclared<'a> {
    /// It stays active.
    Stays,
    /// It is deactivated; a tenant that has stored an event within seven days only where it is named here.
    Pruned(&'a [String]),
}

/// A row that is active though the files do not declare it.
pub(super) struct Row {
    pub(super) kind: String,
    pub(super) tenant_id: String,
    key: String,
    version: i32,
    event_pattern: String,
    pub(super) name: String,
}

/// What there is, after what was to be done with it.
#[derive(Default)]
pub(super) struct Found {
    /// Inactive now.
    pub(super) pruned: Vec<Row>,
    /// As active as before.
    pub(super) active: Vec<Row>,
    /// The tenants that were not pruned because they have stored lately.
    pub(super) stored_lately: BTreeSet<String>,
}

/// Finds what the files do not declare, and deactivates it where that is wanted.
pub(super) async fn settle(
    connection: &mut PgConnection,
    declaration: &Declaration,
    undeclared: Undeclared<'_>,
) -> Result<Found, sqlx::Error> {
    let rows = find(connection, declaration).await?;
    let Undeclared::Pruned(named) = undeclared else { return Ok(Found { active: rows, ..Found::default() }) };
    let unnamed = rows.iter().filter(|row| row.kind == "tenant" && !named.contains(&row.tenant_id));
    let unnamed: Vec<String> = unnamed.map(|row| row.tenant_id.clone()).collect();
    let stored_lately = sqlx::query_file_scalar!("src/catalog/publication/stored_lately.sql", &unnamed).fetch_all(&mut *connection).await?;
    let stored_lately: BTreeSet<String> = stored_lately.into_iter().collect();
    let (active, pruned): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(|row| stored_lately.contains(&row.tenant_id));
    prune(connection, &pruned).await?;
    Ok(Found { pruned, active, stored_lately })
}

async fn find(connection: &mut PgConnection, declaration: &Declaration) -> Result<Vec<Row>, sqlx::Error> {
    let tenants: Vec<_> = declaration.tenants.iter().map(|tenant| tenant.tenant_id.to_string()).collect();
    let (types_tenants, types): (Vec<_>, Vec<_>) =
        event_types(declaration).map(|(tenant_id, event_type)| (tenant_id.to_owned(), event_type.event_type.clone())).unzip();
    let (mut schemas_tenants, mut schemas_types, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    for ((tenant_id, event_type, version), _) in schemas(declaration) {
        schemas_tenants.push(tenant_id);
        schemas_types.push(event_type);
        versions.push(version);
    }
    let (clients_tenants, client_ids): (Vec<_>, Vec<_>) =
        clients(declaration).map(|(tenant_id, client)| (tenant_id.to_owned(), client.client_id.to_string())).unzip();
    let (mut subscriptions_tenants, mut subscribers, mut patterns) = (Vec::new(), Vec::new(), Vec::new());
    for (tenant_id, subscription) in subscriptions(declaration) {
        subscriptions_tenants.push(tenant_id.to_owned());
        subscribers.push(subscription.client_id.to_string());
        patterns.push(subscription.event_pattern.clone());
    }
    sqlx::query_file_as!(
        Row,
        "src/catalog/publication/undeclared.sql",
        &tenants,
        &types_tenants,
        &types,
        &schemas_tenants,
        &schemas_types,
        &versions,
        &clients_tenants,
        &client_ids,
        &subscriptions_tenants,
        &subscribers,
        &patterns,
        &declaration.queues.iter().map(|queue| queue.name.clone()).collect::<Vec<_>>(),
    )
    .fetch_all(connection)
    .await
}

async fn prune(connection: &mut PgConnection, rows: &[Row]) -> Result<(), sqlx::Error> {
    let column = |value: fn(&Row) -> &String| rows.iter().map(|row| value(row).clone()).collect::<Vec<_>>();
    sqlx::query_file!(
        "src/catalog/publication/prune.sql",
        &column(|row| &row.kind),
        &column(|row| &row.tenant_id),
        &column(|row| &row.key),
        &rows.iter().map(|row| row.version).collect::<Vec<_>>(),
        &column(|row| &row.event_pattern),
    )
    .execute(connection)
    .await?;
    Ok(())
}
