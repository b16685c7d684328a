//! What came of an `apply`, for people and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::undeclared::{Found, Row};
use super::{Key, Written};
use crate::catalog::declaration::{Declaration, TenantDeclaration};
use crate::database::describe;
use crate::schema::Bundle;

/// What an `apply` did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The number of the generation that it made.
    pub generation: i64,
    /// What became of each tenant that is declared, or has something active that is not.
    pub tenants: Vec<TenantReport>,
}

/// What an `apply` did for one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct TenantReport {
    /// The tenant; empty for the queues, which are the operator's.
    pub tenant_id: String,
    /// What was new.
    pub added: Vec<Item>,
    /// What was different before, or inactive.
    pub changed: Vec<Item>,
    /// How many declared things were as declared already.
    pub unchanged: usize,
    /// What the files do not declare, and was deactivated.
    pub pruned: Vec<Item>,
    /// What the files do not declare, and is active as before.
    pub undeclared: Vec<Item>,
    /// Whether it was not pruned for the reason that it has stored an event within seven days and was not named.
    pub stored_lately: bool,
}

/// One declared thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// `tenant`, `event_type`, `schema`, `client`, `subscription` or `queue`.
    pub kind: String,
    /// Its name within the tenant.
    pub name: String,
}

impl Report {
    pub(super) fn new(generation: i64, declaration: &Declaration, written: [(&str, Vec<Written>); 6], found: Found) -> Self {
        let mut tenants: BTreeMap<String, TenantReport> = BTreeMap::new();
        for (kind, mut rows) in written {
            rows.sort_unstable_by(|left, right| left.name.cmp(&right.name));
            for Written { tenant_id, name, is_new } in rows {
                let tenant = tenants.entry(tenant_id).or_default();
                let items = if is_new { &mut tenant.added } else { &mut tenant.changed };
                items.push(Item { kind: kind.to_owned(), name });
            }
        }
        for tenant in &declaration.tenants {
            let report = tenants.entry(tenant.tenant_id.to_string()).or_default();
            report.unchanged = count(tenant) - report.added.len() - report.changed.len();
        }
        if !declaration.queues.is_empty() {
            let report = tenants.entry(String::new()).or_default();
            report.unchanged = declaration.queues.len() - report.added.len() - report.changed.len();
        }
        let Found { pruned, active, stored_lately } = found;
        for (rows, is_pruned) in [(pruned, true), (active, false)] {
            for Row { kind, tenant_id, name, .. } in rows {
                let tenant = tenants.entry(tenant_id).or_default();
                let items = if is_pruned { &mut tenant.pruned } else { &mut tenant.undeclared };
                items.push(Item { kind, name });
            }
        }
        for (tenant_id, tenant) in &mut tenants {
            tenant.tenant_id.clone_from(tenant_id);
            tenant.stored_lately = stored_lately.contains(tenant_id);
            tenant.pruned.sort_by(|left, right| left.name.cmp(&right.name));
            tenant.undeclared.sort_by(|left, right| left.name.cmp(&right.name));
        }
        Self { generation, tenants: tenants.into_values().collect() }
    }
}

/// How many things an `apply` has written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReportCounts {
    generation: i64,
    added: usize,
    changed: usize,
    pruned: usize,
}

impl Report {
    /// How many things it has written.
    pub fn counts(&self) -> ReportCounts {
        let sum = |items: fn(&TenantReport) -> &Vec<Item>| self.tenants.iter().map(|tenant| items(tenant).len()).sum();
        ReportCounts {
            generation: self.generation,
            added: sum(|tenant| &tenant.added),
            changed: sum(|tenant| &tenant.changed),
            pruned: sum(|tenant| &tenant.pruned),
        }
    }
}

/// How many things a tenant declares, itself among them.
fn count(tenant: &TenantDeclaration) -> usize {
    let schemas: usize = tenant.event_types.iter().map(|event_type| event_type.schemas.len()).sum();
    1 + tenant.event_types.len() + schemas + tenant.clients.len() + tenant.subscriptions.len()
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "catalog generation {}", self.generation)?;
        for tenant in &self.tenants {
            let TenantReport { tenant_id, added, changed, unchanged, pruned, undeclared, .. } = tenant;
            let whose = if tenant_id.is_empty() { "queues.toml" } else { tenant_id };
            write!(formatter, "\n  {whose}: {} added, {} changed, {unchanged} unchanged", added.len(), changed.len())?;
            if !pruned.is_empty() {
                write!(formatter, ", {} deactivated", pruned.len())?;
            }
            if !undeclared.is_empty() {
                write!(formatter, ", {} active without being in the files", undeclared.len())?;
            }
            for (sign, items) in [("+", added), ("~", changed), ("-", pruned), ("?", undeclared)] {
                for item in items {
                    write!(formatter, "\n    {sign} {item}")?;
                }
            }
        }
        if self.tenants.iter().any(|tenant| !tenant.undeclared.is_empty() && !tenant.stored_lately) {
            write!(formatter, "\nwhat is not in the files (?) stays active; `catalog apply --prune` deactivates it")?;
        }
        for TenantReport { tenant_id, .. } in self.tenants.iter().filter(|tenant| tenant.stored_lately) {
            let sentence =
                "is not in the files, yet has stored an event within seven days and stays active; to deactivate it all the same add";
            write!(formatter, "\n{tenant_id} {sentence} `--tenant {tenant_id}`")?;
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
