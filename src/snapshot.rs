//! The catalog as it runs: read from Postgres as a whole, swapped as a whole, so that each event is validated by one recorded generation.

mod compiled;
mod follow;
mod orphans;
mod overlay;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};

use crate::catalog::declaration::{Declaration, Rate, matches};
use crate::event::{ClientId, TenantId};
use crate::metrics::{NO_TENANT, OTHER_TENANTS, is_reserved};
use crate::settings::{Format, QueueSetting};
pub use compiled::{CompiledSchemas, Schema};
pub use follow::{Catalog, CatalogFollower};
pub use orphans::Orphans;

/// Everything that tenants have declared, as of one generation. What is inactive is not in it.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The number of the `catalog apply` that it shows; 0: none yet.
    pub generation: i64,
    /// The queues that it names.
    pub queues: Vec<QueueSetting>,
    /// What it declares and nothing can use.
    pub orphans: Orphans,
    tenants: HashMap<TenantId, Arc<Tenant>>,
    schemas_by_digest: HashMap<Vec<u8>, Arc<Schema>>,
    room: Arc<CompiledSchemas>,
}

/// A tenant and what it has declared.
#[derive(Debug)]
pub struct Tenant {
    /// Its name.
    pub tenant_id: TenantId,
    /// What metrics call it: its name, or `other`.
    pub label: TenantId,
    /// How many events it may bring; none: as many as it does.
    pub rate: Option<Rate>,
    allowed_senders: BTreeSet<String>,
    event_types: HashMap<String, EventType>,
    clients: BTreeSet<ClientId>,
}

/// An event type of a tenant.
#[derive(Debug)]
pub struct EventType {
    default_version: Option<i32>,
    versions: BTreeMap<i32, Arc<Schema>>,
    /// The clients that get an event of this type which names none.
    pub subscribers: Arc<Vec<ClientId>>,
}

impl EventType {
    /// The schema of a version, or of the default one, with its number.
    pub fn version(&self, named: Option<i64>) -> Option<(i32, &Arc<Schema>)> {
        let newest = || self.versions.keys().next_back().copied();
        let version = match named {
            Some(version) => i32::try_from(version).ok()?,
            None => self.default_version.or_else(newest)?,
        };
        self.versions.get(&version).map(|schema| (version, schema))
    }
}

impl Tenant {
    /// An active event type by its name.
    pub fn event_type(&self, name: &str) -> Option<&EventType> {
        self.event_types.get(name)
    }

    /// An active client by its name.
    pub fn client(&self, name: &str) -> Option<&ClientId> {
        self.clients.get(name)
    }

    /// Whether an AWS principal may write for the tenant on a shared queue. A role's sender id carries a session name behind a colon,
    /// another one each time, so the role is recognised by what stands before it.
    pub fn allows(&self, sender_id: &str) -> bool {
        self.allowed_senders.contains(sender_id.split(':').next().unwrap_or_default())
    }
}

impl Snapshot {
    /// One that nothing was read for yet, with room for compiled schemas.
    fn empty(room: CompiledSchemas) -> Self {
        Self { room: Arc::new(room), ..Self::default() }
    }

    /// An active tenant by its name.
    pub fn tenant(&self, name: &str) -> Option<&Arc<Tenant>> {
        self.tenants.get(name)
    }

    /// What metrics call a tenant: labels come from the catalog only.
    pub fn label(&self, tenant_id: Option<&TenantId>) -> &str {
        match tenant_id {
            None => NO_TENANT,
            Some(tenant_id) => self.tenants.get(tenant_id).map_or(OTHER_TENANTS, |tenant| tenant.label.as_str()),
        }
    }

    /// The labels that are one tenant's own, in their order.
    pub fn tenant_labels(&self) -> Vec<&str> {
        let mut labels: Vec<&str> = self.tenants.values().map(|tenant| tenant.label.as_str()).filter(|label| !is_reserved(label)).collect();
        labels.sort_unstable();
        labels
    }

    /// Reads the catalog in one transaction. What `previous` has already compiled is kept, and its room.
    ///
    /// # Errors
    /// When Postgres does not answer or its tables are not what this build expects.
    pub async fn load(connection: &mut PgConnection, previous: Option<&Self>, tenant_labels_max: usize) -> Result<Self, sqlx::Error> {
        Self::load_beside(connection, previous, None, tenant_labels_max).await
    }

    /// Reads the catalog as it would be if these files were applied. Nothing is written.
    ///
    /// # Errors
    /// As above.
    pub async fn load_overlaid(connection: &mut PgConnection, declaration: &Declaration) -> Result<Self, sqlx::Error> {
        Self::load_beside(connection, None, Some(declaration), 0).await
    }

    async fn load_beside(
        connection: &mut PgConnection,
        previous: Option<&Self>,
        declaration: Option<&Declaration>,
        tenant_labels_max: usize,
    ) -> Result<Self, sqlx::Error> {
        let mut transaction = connection.begin_with("begin isolation level repeatable read read only").await?;
        let generation = sqlx::query_file_scalar!("src/snapshot/load_generation.sql").fetch_one(&mut *transaction).await?;
        let room = previous.map(|snapshot| Arc::clone(&snapshot.room)).unwrap_or_default();
        let mut loading = Loading { room, ..Loading::default() };
        loading.load_tenants(&mut transaction, tenant_labels_max).await?;
        if let Some(declaration) = declaration {
            loading.overlay_tenants(declaration);
        }
        loading.load_event_types(&mut transaction, previous).await?;
        if let Some(declaration) = declaration {
            loading.overlay_event_types(declaration);
        }
        let mut subscriptions = loading.load_clients(&mut transaction).await?;
        if let Some(declaration) = declaration {
            loading.overlay_clients(declaration, &mut subscriptions);
        }
        let unmatched = loading.subscribe(subscriptions);
        let queues = load_queues(&mut transaction).await?;
        let orphans = Orphans::among(&queues, &loading.tenants, unmatched);
        transaction.commit().await?;
        let tenants = loading.tenants.into_iter().map(|(tenant_id, tenant)| (tenant_id, Arc::new(tenant))).collect();
        Ok(Self { generation, queues, orphans, tenants, schemas_by_digest: loading.schemas_by_digest, room: loading.room })
    }
}

/// A client's wish for events.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Subscription {
    tenant_id: TenantId,
    client_id: ClientId,
    event_pattern: String,
}

/// A snapshot while its parts are put together.
#[derive(Default)]
struct Loading {
    tenants: HashMap<TenantId, Tenant>,
    schemas_by_digest: HashMap<Vec<u8>, Arc<Schema>>,
    room: Arc<CompiledSchemas>,
}

impl Loading {
    async fn load_tenants(&mut self, connection: &mut PgConnection, tenant_labels_max: usize) -> Result<(), sqlx::Error> {
        let rows = sqlx::query_file!("src/snapshot/load_tenants.sql").fetch_all(connection).await?;
        let mut labels_left = tenant_labels_max;
        for row in rows {
            let tenant_id = TenantId::new(&row.tenant_id);
            // One that is called as those without a label are was applied by an older build: it is one of them.
            let has_label = labels_left > 0 && !is_reserved(&row.tenant_id);
            labels_left -= usize::from(has_label);
            let label = if has_label { tenant_id.clone() } else { TenantId::new(OTHER_TENANTS) };
            let tenant = Tenant {
                tenant_id: tenant_id.clone(),
                label,
                rate: rate(row.rate_limit, row.rate_burst),
                allowed_senders: row.allowed_senders.into_iter().collect(),
                event_types: HashMap::new(),
                clients: BTreeSet::new(),
            };
            self.tenants.insert(tenant_id, tenant);
        }
        Ok(())
    }

    async fn load_event_types(&mut self, connection: &mut PgConnection, previous: Option<&Snapshot>) -> Result<(), sqlx::Error> {
        for row in sqlx::query_file!("src/snapshot/load_event_types.sql").fetch_all(&mut *connection).await? {
            let Some(tenant) = self.tenants.get_mut(row.tenant_id.as_str()) else {
                continue;
            };
            let event_type = EventType { default_version: row.default_version, versions: BTreeMap::new(), subscribers: Arc::default() };
            tenant.event_types.insert(row.event_type, event_type);
        }
        let known: Vec<Vec<u8>> = previous.iter().flat_map(|snapshot| snapshot.schemas_by_digest.keys().cloned()).collect();
        for row in sqlx::query_file!("src/snapshot/load_schemas.sql", &known).fetch_all(connection).await? {
            let schema = match (row.bundle, previous.and_then(|snapshot| snapshot.schemas_by_digest.get(&row.digest))) {
                (None, Some(schema)) => Arc::clone(schema),
                (bundle, _) => Arc::new(Schema::new(bundle.unwrap_or_default(), Arc::clone(&self.room))),
            };
            let schema = self.schemas_by_digest.entry(row.digest).or_insert(schema);
            let tenant = self.tenants.get_mut(row.tenant_id.as_str());
            if let Some(event_type) = tenant.and_then(|tenant| tenant.event_types.get_mut(&row.event_type)).filter(|_| row.active) {
                event_type.versions.insert(row.schema_version, Arc::clone(schema));
            }
        }
        Ok(())
    }

    async fn load_clients(&mut self, connection: &mut PgConnection) -> Result<Vec<Subscription>, sqlx::Error> {
        for row in sqlx::query_file!("src/snapshot/load_clients.sql").fetch_all(&mut *connection).await? {
            if let Some(tenant) = self.tenants.get_mut(row.tenant_id.as_str()) {
                tenant.clients.insert(ClientId::new(&row.client_id));
            }
        }
        let rows = sqlx::query_file!("src/snapshot/load_subscriptions.sql").fetch_all(connection).await?;
        let subscription = rows.into_iter().map(|row| Subscription {
            tenant_id: TenantId::new(&row.tenant_id),
            client_id: ClientId::new(&row.client_id),
            event_pattern: row.event_pattern,
        });
        Ok(subscription.collect())
    }

    /// Gives each event type its subscribers; several patterns of a client that match make one delivery. Gives how many match no type.
    fn subscribe(&mut self, mut subscriptions: Vec<Subscription>) -> usize {
        let mut unmatched = 0;
        subscriptions.sort();
        for Subscription { tenant_id, client_id, event_pattern } in &subscriptions {
            let Some(tenant) = self.tenants.get_mut(tenant_id) else {
                continue;
            };
            let mut is_matched = false;
            for (_, event_type) in tenant.event_types.iter_mut().filter(|(name, _)| matches(event_pattern, name)) {
                is_matched = true;
                if event_type.subscribers.last() != Some(client_id) {
                    Arc::make_mut(&mut event_type.subscribers).push(client_id.clone());
                }
            }
            unmatched += usize::from(!is_matched);
        }
        unmatched
    }
}

async fn load_queues(connection: &mut PgConnection) -> Result<Vec<QueueSetting>, sqlx::Error> {
    let rows = sqlx::query_file!("src/snapshot/load_queues.sql").fetch_all(connection).await?;
    let settings = rows.into_iter().filter_map(|row| {
        // One that a newer build has published in a format of its own is for that one to poll.
        let format = Format::ALL.into_iter().find(|format| format.as_str() == row.format)?;
        let tenant = row.tenant_id.as_deref().map(TenantId::new);
        Some(QueueSetting { name: row.name, url: row.url, tenant, trusts_any_sender: row.trusts_any_sender, format })
    });
    Ok(settings.collect())
}

fn rate(limit: Option<f64>, burst: Option<i32>) -> Option<Rate> {
    let burst = burst.and_then(|burst| u32::try_from(burst).ok()).unwrap_or(1).max(1);
    limit.filter(|limit| limit.is_finite() && *limit > 0.0).map(|limit| Rate { limit, burst })
}
