use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Connection, PgConnection, Postgres, Transaction};

use super::declaration::{ClientDeclaration, Declaration, EventTypeDeclaration, SchemaDeclaration, SubscriptionDeclaration};
use crate::audit::Audit;

mod report;
mod undeclared;

pub use report::{ChangedVersion, Item, PublicationError, Report, TenantReport};
pub use undeclared::Undeclared;

/// How many schemas are sent in one statement: with all that they refer to they can be large.
const SCHEMAS_PER_STATEMENT: usize = 100;

/// Publishes a declaration as a new generation, in one transaction and never beside another `apply`. What it names is active afterwards;
/// what it does not name stays or is deactivated, and is never deleted.
///
/// # Errors
/// [`PublicationError`]; nothing was changed then, except that after a lost commit nobody knows.
pub async fn apply(
    connection: &mut PgConnection,
    declaration: &Declaration,
    undeclared: Undeclared<'_>,
    audit: &Audit,
) -> Result<Report, PublicationError> {
    let mut transaction = connection.begin().await?;
    sqlx::query_file!("src/catalog/publication/lock.sql").fetch_one(&mut *transaction).await?;
    let published = published_schemas(&mut transaction, declaration).await?;
    if !published.changed.is_empty() {
        transaction.rollback().await?;
        return Err(PublicationError::PublishedVersionsChanged(published.changed));
    }
    let written = [
        ("tenant", write_tenants(&mut transaction, declaration).await?),
        ("event_type", write_event_types(&mut transaction, declaration).await?),
        ("schema", write_schemas(&mut transaction, declaration, &published.active).await?),
        ("client", write_clients(&mut transaction, declaration).await?),
        ("subscription", write_subscriptions(&mut transaction, declaration).await?),
        ("queue", write_queues(&mut transaction, declaration).await?),
    ];
    let found = undeclared::settle(&mut transaction, declaration, undeclared).await?;
    let generation = sqlx::query_file!("src/catalog/publication/generation.sql").fetch_one(&mut *transaction).await?.generation;
    let report = Report::new(generation, declaration, written, found);
    audit.record(&mut transaction, &report.counts(), true).await?;
    transaction.commit().await.map_err(PublicationError::of_commit)?;
    Ok(report)
}

/// A row that was not as declared and is now.
struct Written {
    tenant_id: String,
    name: String,
    is_new: bool,
}

/// Tenant, event type and version.
type Key = (String, String, i32);

/// What is known of the declared versions from earlier.
struct Published {
    active: BTreeSet<Key>,
    changed: Vec<ChangedVersion>,
}

fn schemas(declaration: &Declaration) -> impl Iterator<Item = (Key, &SchemaDeclaration)> {
    event_types(declaration).flat_map(|(tenant_id, event_type)| {
        let key = move |schema: &SchemaDeclaration| (tenant_id.to_owned(), event_type.event_type.clone(), schema.schema_version);
        event_type.schemas.iter().map(move |schema| (key(schema), schema))
    })
}

fn event_types(declaration: &Declaration) -> impl Iterator<Item = (&str, &EventTypeDeclaration)> {
    let of_tenants = declaration.tenants.iter();
    of_tenants.flat_map(|tenant| tenant.event_types.iter().map(|event_type| (tenant.tenant_id.as_str(), event_type)))
}

fn clients(declaration: &Declaration) -> impl Iterator<Item = (&str, &ClientDeclaration)> {
    let of_tenants = declaration.tenants.iter();
    of_tenants.flat_map(|tenant| tenant.clients.iter().map(|client| (tenant.tenant_id.as_str(), client)))
}

fn subscriptions(declaration: &Declaration) -> impl Iterator<Item = (&str, &SubscriptionDeclaration)> {
    let of_tenants = declaration.tenants.iter();
    of_tenants.flat_map(|tenant| tenant.subscriptions.iter().map(|subscription| (tenant.tenant_id.as_str(), subscription)))
}

/// Which of the versions that it declares are published with something else.
///
/// # Errors
/// When Postgres does not answer.
pub async fn changed_versions(connection: &mut PgConnection, declaration: &Declaration) -> Result<Vec<ChangedVersion>, sqlx::Error> {
    Ok(published_schemas(connection, declaration).await?.changed)
}

async fn published_schemas(connection: &mut PgConnection, declaration: &Declaration) -> Result<Published, sqlx::Error> {
    let declared: BTreeMap<Key, &SchemaDeclaration> = schemas(declaration).collect();
    let (mut tenant_ids, mut types, mut versions, mut digests) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((tenant_id, event_type, version), schema) in &declared {
        tenant_ids.push(tenant_id.clone());
        types.push(event_type.clone());
        versions.push(*version);
        digests.push(schema.digest.to_vec());
    }
    let rows = sqlx::query_file!("src/catalog/publication/published_schemas.sql", &tenant_ids, &types, &versions, &digests)
        .fetch_all(connection)
        .await?;
    let mut published = Published { active: BTreeSet::new(), changed: Vec::new() };
    for row in rows {
        let key = (row.tenant_id, row.event_type, row.schema_version);
        match row.different_bundle {
            Some(published_bundle) => {
                let declared_bundle = declared.get(&key).map_or("", |schema| &schema.bundle);
                published.changed.push(ChangedVersion::new(key, &published_bundle, declared_bundle));
            }
            None if row.active => {
                published.active.insert(key);
            }
            None => {}
        }
    }
    published.changed.sort();
    Ok(published)
}

async fn write_tenants(transaction: &mut Transaction<'_, Postgres>, declaration: &Declaration) -> Result<Vec<Written>, sqlx::Error> {
    let (mut tenant_ids, mut names, mut allowed_senders) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rate_limits, mut rate_bursts) = (Vec::new(), Vec::new());
    for tenant in &declaration.tenants {
        tenant_ids.push(tenant.tenant_id.to_string());
        names.push(tenant.name.clone());
        allowed_senders.push(serde_json::json!(tenant.allowed_senders).to_string());
        rate_limits.push(tenant.rate.map(|rate| rate.limit));
        rate_bursts.push(tenant.rate.and_then(|rate| i32::try_from(rate.burst).ok()));
    }
    let limits = (&rate_limits as &[_], &rate_bursts as &[_]);
    sqlx::query_file_as!(
        Written,
        "src/catalog/publication/tenants.sql",
        &tenant_ids,
        &names,
        &allowed_senders,
        limits.0 as _,
        limits.1 as _
    )
    .fetch_all(&mut **transaction)
    .await
}

async fn write_event_types(transaction: &mut Transaction<'_, Postgres>, declaration: &Declaration) -> Result<Vec<Written>, sqlx::Error> {
    let (mut tenant_ids, mut names, mut defaults) = (Vec::new(), Vec::new(), Vec::new());
    for (tenant_id, event_type) in event_types(declaration) {
        tenant_ids.push(tenant_id.to_owned());
        names.push(event_type.event_type.clone());
        defaults.push(event_type.default_version);
    }
    sqlx::query_file_as!(Written, "src/catalog/publication/event_types.sql", &tenant_ids, &names, &defaults as _)
        .fetch_all(&mut **transaction)
        .await
}

async fn write_schemas(
    transaction: &mut Transaction<'_, Postgres>,
    declaration: &Declaration,
    already_active: &BTreeSet<Key>,
) -> Result<Vec<Written>, sqlx::Error> {
    let to_write: Vec<_> = schemas(declaration).filter(|(key, _)| !already_active.contains(key)).collect();
    let mut written = Vec::new();
    for chunk in to_write.chunks(SCHEMAS_PER_STATEMENT) {
        let (mut tenant_ids, mut types, mut versions) = (Vec::new(), Vec::new(), Vec::new());
        let (mut bundles, mut digests) = (Vec::new(), Vec::new());
        for ((tenant_id, event_type, version), schema) in chunk {
            tenant_ids.push(tenant_id.clone());
            types.push(event_type.clone());
            versions.push(*version);
            bundles.push(schema.bundle.clone());
            digests.push(schema.digest.to_vec());
        }
        let query =
            sqlx::query_file_as!(Written, "src/catalog/publication/schemas.sql", &tenant_ids, &types, &versions, &bundles, &digests);
        written.extend(query.fetch_all(&mut **transaction).await?);
    }
    Ok(written)
}

async fn write_clients(transaction: &mut Transaction<'_, Postgres>, declaration: &Declaration) -> Result<Vec<Written>, sqlx::Error> {
    let (mut tenant_ids, mut client_ids, mut names) = (Vec::new(), Vec::new(), Vec::new());
    let (mut retries, mut settings) = (Vec::new(), Vec::new());
    for (tenant_id, client) in clients(declaration) {
        tenant_ids.push(tenant_id.to_owned());
        client_ids.push(client.client_id.to_string());
        names.push(client.name.clone());
        retries.push(client.retry.as_ref().map(|retry| serde_json::json!(retry).to_string()));
        settings.push(serde_json::json!(client.settings).to_string());
    }
    sqlx::query_file_as!(Written, "src/catalog/publication/clients.sql", &tenant_ids, &client_ids, &names, &retries as _, &settings)
        .fetch_all(&mut **transaction)
        .await
}

async fn write_queues(transaction: &mut Transaction<'_, Postgres>, declaration: &Declaration) -> Result<Vec<Written>, sqlx::Error> {
    let queues = &declaration.queues;
    sqlx::query_file_as!(
        Written,
        "src/catalog/publication/queues.sql",
        &queues.iter().map(|queue| queue.name.clone()).collect::<Vec<_>>(),
        &queues.iter().map(|queue| queue.url.clone()).collect::<Vec<_>>() as _,
        &queues.iter().map(|queue| queue.tenant.as_ref().map(ToString::to_string)).collect::<Vec<_>>() as _,
        &queues.iter().map(|queue| queue.format.as_str().to_owned()).collect::<Vec<_>>(),
        &queues.iter().map(|queue| queue.trusts_any_sender).collect::<Vec<_>>(),
    )
    .fetch_all(&mut **transaction)
    .await
}

async fn write_subscriptions(transaction: &mut Transaction<'_, Postgres>, declaration: &Declaration) -> Result<Vec<Written>, sqlx::Error> {
    let (mut tenant_ids, mut client_ids, mut patterns) = (Vec::new(), Vec::new(), Vec::new());
    for (tenant_id, subscription) in subscriptions(declaration) {
        tenant_ids.push(tenant_id.to_owned());
        client_ids.push(subscription.client_id.to_string());
        patterns.push(subscription.event_pattern.clone());
    }
    sqlx::query_file_as!(Written, "src/catalog/publication/subscriptions.sql", &tenant_ids, &client_ids, &patterns)
        .fetch_all(&mut **transaction)
        .await
}
