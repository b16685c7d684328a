//! What came of an `apply`, for people and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::{Key, Written};
use crate::catalog::declaration::{Declaration, TenantDeclaration};
use crate::database::describe;
use crate::schema::Bundle;

/// What an `apply` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The number of the generation that it made.
    pub generation: i64,
    /// What became of each declared tenant.
    pub tenants: Vec<TenantReport>,
}

/// What an `apply` did for one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantReport {
    /// The tenant.
    pub tenant_id: String,
    /// What was new.
    pub added: Vec<Item>,
    /// What was different before, or inactive.
    pub changed: Vec<Item>,
    /// How many declared things were as declared already.
    pub unchanged: usize,
}

/// One declared thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// `tenant`, `event_type`, `schema`, `client` or `subscription`.
    pub kind: &'static str,
    /// Its name within the tenant.
    pub name: String,
}

impl Report {
    pub(super) fn new(generation: i64, declaration: &Declaration, written: [(&'static str, Vec<Written>); 5]) -> Self {
        let mut by_tenant: BTreeMap<String, (Vec<Item>, Vec<Item>)> = BTreeMap::new();
        for (kind, mut rows) in written {
            rows.sort_unstable_by(|left, right| left.name.cmp(&right.name));
            for Written { tenant_id, name, is_new } in rows {
                let (added, changed) = by_tenant.entry(tenant_id).or_default();
                if is_new { added } else { changed }.push(Item { kind, name });
            }
        }
        let of_tenant = |tenant: &TenantDeclaration| {
            let (added, changed) = by_tenant.remove(tenant.tenant_id.as_str()).unwrap_or_default();
            let schemas: usize = tenant.event_types.iter().map(|event_type| event_type.schemas.len()).sum();
            let declared = 1 + tenant.event_types.len() + schemas + tenant.clients.len() + tenant.subscriptions.len();
            let unchanged = declared - added.len() - changed.len();
            TenantReport { tenant_id: tenant.tenant_id.to_string(), added, changed, unchanged }
        };
        Self { generation, tenants: declaration.tenants.iter().map(of_tenant).collect() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "catalog generation {}", self.generation)?;
        for tenant in &self.tenants {
            let TenantReport { tenant_id, added, changed, unchanged } = tenant;
            write!(formatter, "\n  {tenant_id}: {} added, {} changed, {unchanged} unchanged", added.len(), changed.len())?;
            for item in added {
                write!(formatter, "\n    + {item}")?;
            }
            for item in changed {
                write!(formatter, "\n    ~ {item}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Item {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind.replace('_', " "), self.name)
    }
}

/// Why a declaration was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublicationError {
    /// Versions were declared with another schema than they were published with. For the author of the files.
    #[error("failed to publish the catalog, nothing was changed:{}", lines(.0))]
    PublishedVersionsChanged(Vec<ChangedVersion>),
    /// The database refused or was away. For the operator.
    #[error("failed to publish the catalog, nothing was changed: the database {}", describe(.0))]
    Database(#[from] sqlx::Error),
    /// The connection was lost while the transaction was being committed. For the operator.
    #[error(
        "failed to learn whether the catalog was published, for at the commit the database {}; apply it again, which is safe", describe(.0)
    )]
    CommitUnknown(#[source] sqlx::Error),
}

impl PublicationError {
    /// A server that answers a commit with an error has rolled back; from one that does not answer nothing is known.
    pub(super) fn of_commit(error: sqlx::Error) -> Self {
        if error.as_database_error().is_some() { Self::Database(error) } else { Self::CommitUnknown(error) }
    }
}

/// A published version whose declaration is another one now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ChangedVersion {
    /// The tenant.
    pub tenant_id: String,
    /// The event type.
    pub event_type: String,
    /// The version.
    pub schema_version: i32,
    /// Its own file, as it is declared now.
    pub file: String,
    /// The files that differ, as paths from the tenant's directory.
    pub files: Vec<String>,
}

impl ChangedVersion {
    pub(super) fn new((tenant_id, event_type, schema_version): Key, published: &str, declared: &str) -> Self {
        let file = Bundle::from_json(declared).map_or_else(|_| event_type.clone(), |bundle| bundle.root().to_owned());
        let (published, declared) = (files(published), files(declared));
        let paths: BTreeSet<_> = published.keys().chain(declared.keys()).collect();
        let differing = paths.into_iter().filter(|path| published.get(*path) != declared.get(*path)).cloned().collect();
        Self { tenant_id, event_type, schema_version, file, files: differing }
    }
}

impl fmt::Display for ChangedVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tenant_id, file, files, .. } = self;
        write!(
            formatter,
            "{tenant_id}/{file} is published and cannot change any more, but differs now in {}; \
             restore what was published, and declare the change as a new version",
            files.join(", "),
        )
    }
}

/// The files of a bundle by their paths.
fn files(bundle: &str) -> BTreeMap<String, Value> {
    Bundle::from_json(bundle).map(|bundle| bundle.files().clone()).unwrap_or_default()
}

fn lines(versions: &[ChangedVersion]) -> String {
    versions.iter().flat_map(|version| ["\n  ".to_owned(), version.to_string()]).collect()
}
