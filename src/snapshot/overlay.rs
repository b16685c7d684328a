//! The catalog as it would run if files were applied that are not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{EventType, Loading, Schema, Subscription, Tenant};
use crate::catalog::declaration::Declaration;

impl Loading {
    /// The tenants that `apply` would make, or make active again.
    pub(super) fn overlay_tenants(&mut self, declaration: &Declaration) {
        for declared in &declaration.tenants {
            let tenant_id = declared.tenant_id.clone();
            let tenant = self.tenants.entry(tenant_id.clone()).or_insert_with(|| Tenant {
                label: tenant_id.clone(),
                tenant_id,
                rate: None,
                allowed_senders: BTreeSet::new(),
                event_types: HashMap::new(),
                clients: BTreeSet::new(),
            });
            tenant.rate = declared.rate;
            tenant.allowed_senders = declared.allowed_senders.iter().cloned().collect();
        }
    }

    /// Their event types and versions. A version that is published already is the same there.
    pub(super) fn overlay_event_types(&mut self, declaration: &Declaration) {
        for declared in &declaration.tenants {
            let Some(tenant) = self.tenants.get_mut(&declared.tenant_id) else { continue };
            for declared in &declared.event_types {
                let event_type = tenant.event_types.entry(declared.event_type.clone()).or_insert_with(|| EventType {
                    default_version: None,
                    versions: BTreeMap::new(),
                    subscribers: Arc::default(),
                });
                event_type.default_version = declared.default_version;
                for version in &declared.schemas {
                    let schema = self.schemas_by_digest.entry(version.digest.to_vec());
                    let schema = schema.or_insert_with(|| Arc::new(Schema::new(version.bundle.clone(), Arc::clone(&self.room))));
                    event_type.versions.insert(version.schema_version, Arc::clone(schema));
                }
            }
        }
    }

    /// Their clients, and who subscribes to what beside those that do already.
    pub(super) fn overlay_clients(&mut self, declaration: &Declaration, subscriptions: &mut Vec<Subscription>) {
        for declared in &declaration.tenants {
            let Some(tenant) = self.tenants.get_mut(&declared.tenant_id) else { continue };
            tenant.clients.extend(declared.clients.iter().map(|client| client.client_id.clone()));
            let of_tenant = declared.subscriptions.iter();
            subscriptions.extend(of_tenant.map(|declared_one| Subscription {
                tenant_id: declared.tenant_id.clone(),
                client_id: declared_one.client_id.clone(),
                event_pattern: declared_one.event_pattern.clone(),
            }));
        }
    }
}
