//! What there is in a tenant's directory, before any file is opened.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::event_type_file;
use crate::catalog::examples::{self, Example};
use crate::catalog::files::{Entry, Files};
use crate::event::is_event_type;

/// What there is in a tenant's directory, by name.
#[derive(Default)]
pub(super) struct Listing {
    /// Shared definitions, as paths from the tenant's directory.
    pub(super) common: Vec<String>,
    /// By the event type's name.
    pub(super) event_types: BTreeMap<String, EventTypeListing>,
    pub(super) has_tenant_file: bool,
}

#[derive(Default)]
pub(super) struct EventTypeListing {
    /// Its own name.
    pub(super) directory: String,
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
                (_, true) => listing.add_event_type(files, &entry),
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

    fn add_event_type(&mut self, files: &mut Files<'_>, entry: &Entry) {
        let (declared, event_type) = EventTypeListing::of(files, entry);
        let Some(name) = declared.or_else(|| is_event_type(&entry.name).then(|| entry.name.clone())) else {
            let advice = "is not an event type's name: 1-128 printable ASCII characters; rename it";
            return files.refuse(&entry.path, advice);
        };
        match self.event_types.entry(name) {
            MapEntry::Vacant(vacant) => _ = vacant.insert(event_type),
            MapEntry::Occupied(occupied) => {
                let (name, other) = (occupied.key(), &occupied.get().directory);
                files.refuse(&entry.path, format!("declares the event type {name:?}, as {other:?} does; declare it in one directory"));
            }
        }
    }

    pub(super) fn schema_files(&self) -> usize {
        self.common.len() + self.event_types.values().map(|event_type| event_type.versions.len()).sum::<usize>()
    }

    /// Paths of all schemas and shared definitions, from the tenant's directory.
    pub(super) fn documents(&self) -> impl Iterator<Item = String> {
        let of_type = |listing: &EventTypeListing| listing.versions.iter().map(|version| listing.schema_path(*version)).collect::<Vec<_>>();
        let schemas = self.event_types.values().flat_map(of_type);
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
    /// What is in the directory, and the name that a file in it gives to the event type.
    fn of(files: &mut Files<'_>, directory: &Entry) -> (Option<String>, Self) {
        let mut listing = Self { directory: directory.name.clone(), ..Self::default() };
        let mut declared = None;
        for entry in files.entries(&directory.path) {
            match (entry.name.as_str(), entry.is_directory) {
                ("examples", true) => listing.examples = examples::list(files, &entry.path),
                ("event_type.toml", false) => declared = event_type_file::read(files, &entry.path),
                (name, false) if version_of(name).is_some() => listing.versions.extend(version_of(name)),
                _ => files.refuse(
                    &entry.path,
                    "has no place here; an event type's directory holds its versions 1.json, 2.json ... (a number without leading zeros), examples/ and event_type.toml",
                ),
            }
        }
        if listing.versions.is_empty() {
            files.refuse(&directory.path, "has no version of a schema; add 1.json, or take the directory out");
        }
        (declared, listing)
    }

    /// The path of a version, from the tenant's directory.
    pub(super) fn schema_path(&self, version: i32) -> String {
        format!("{}/{version}.json", self.directory)
    }
}

/// The version that a file's name stands for.
fn version_of(file_name: &str) -> Option<i32> {
    let version = file_name.strip_suffix(".json")?.parse().ok().filter(|version| *version >= 1)?;
    (format!("{version}.json") == file_name).then_some(version)
}
