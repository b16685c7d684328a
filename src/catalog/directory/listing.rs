//! What there is in a tenant's directory, before any file is opened.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::examples::{self, Example};
use crate::catalog::files::Files;
use crate::event::is_event_type;

/// What there is in a tenant's directory, by name.
#[derive(Default)]
pub(super) struct Listing {
    /// Shared definitions, as paths from the tenant's directory.
    pub(super) common: Vec<String>,
    pub(super) event_types: BTreeMap<String, EventTypeListing>,
    pub(super) has_tenant_file: bool,
}

#[derive(Default)]
pub(super) struct EventTypeListing {
    pub(super) versions: BTreeSet<i32>,
    pub(super) examples: Vec<Example>,
}

impl Listing {
    pub(super) fn of(files: &mut Files<'_>, tenant: &str) -> Self {
        let mut listing = Self::default();
        for entry in files.entries(tenant) {
            match (entry.name.as_str(), entry.is_directory) {
                ("tenant.toml", false) => listing.has_tenant_file = true,
                ("common", true) => listing.common = list_common(files, &entry.path),
                (name, true) if is_event_type(name) => {
                    let event_type = EventTypeListing::of(files, &entry.path);
                    listing.event_types.insert(entry.name, event_type);
                }
                (_, true) => files.refuse(&entry.path, "is not an event type's name: 1-128 printable ASCII characters; rename it"),
                (_, false) => files.refuse(
                    &entry.path,
                    "has no place here; a tenant's directory holds tenant.toml, common/ and a directory for each event type",
                ),
            }
        }
        if !listing.has_tenant_file {
            files.refuse(tenant, "has no tenant.toml; add one (it may be empty), or take the directory out");
        }
        listing
    }

    pub(super) fn schema_files(&self) -> usize {
        self.common.len() + self.event_types.values().map(|event_type| event_type.versions.len()).sum::<usize>()
    }

    /// Paths of all schemas and shared definitions, from the tenant's directory.
    pub(super) fn documents(&self) -> impl Iterator<Item = String> {
        let schemas =
            self.event_types.iter().flat_map(|(name, listing)| listing.versions.iter().map(move |version| schema_path(name, *version)));
        self.common.iter().cloned().chain(schemas)
    }
}

fn list_common(files: &mut Files<'_>, directory: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in files.entries(directory) {
        if entry.is_json_file() {
            paths.push(format!("common/{}", entry.name));
        } else {
            files.refuse(&entry.path, "has no place here; common/ holds shared definitions, as `....json` files");
        }
    }
    paths
}

impl EventTypeListing {
    pub(super) fn of(files: &mut Files<'_>, directory: &str) -> Self {
        let mut listing = Self::default();
        for entry in files.entries(directory) {
            match (entry.name.as_str(), entry.is_directory) {
                ("examples", true) => listing.examples = examples::list(files, &entry.path),
                ("event_type.toml", false) => files.refuse(
                    &entry.path,
                    "is not supported by this build yet; take it out, and use a name that a directory can have",
                ),
                (name, false) if version_of(name).is_some() => listing.versions.extend(version_of(name)),
                _ => files.refuse(
                    &entry.path,
                    "has no place here; an event type's directory holds its versions 1.json, 2.json ... (a number without leading zeros) and examples/",
                ),
            }
        }
        if listing.versions.is_empty() {
            files.refuse(directory, "has no version of a schema; add 1.json, or take the directory out");
        }
        listing
    }
}

/// The version that a file's name stands for.
fn version_of(file_name: &str) -> Option<i32> {
    let version = file_name.strip_suffix(".json")?.parse().ok().filter(|version| *version >= 1)?;
    (format!("{version}.json") == file_name).then_some(version)
}

pub(super) fn schema_path(event_type: &str, version: i32) -> String {
    format!("{event_type}/{version}.json")
}
