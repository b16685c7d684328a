use std::collections::BTreeSet;
use std::path::Path;

use super::declaration::{Declaration, EventTypeDeclaration, SchemaDeclaration, SubscriptionDeclaration, TenantDeclaration, matches};
use super::examples;
pub use super::files::Problem;
use super::files::{Files, SCHEMA_BYTES_MAX};
use super::queues_file;
use super::tenant_file::{self, TenantFile};
use crate::event::{TenantId, is_name};
use crate::metrics::is_reserved;
use crate::schema::{self, Admitted, Bundle, Compiled, Document, Documents};
use listing::{EventTypeListing, Listing};

mod listing;
#[cfg(test)]
mod tests;

/// How many schema files, shared ones included, a catalog may hold.
const SCHEMA_FILES_MAX: usize = 10_000;

/// How many clients may get an event that names none: each is a row in its transaction.
const SUBSCRIBERS_MAX: usize = 1_000;

/// Reads a catalog directory, admits every schema and proves every example. What is no problem but may not have been meant is among the
/// declaration's warnings.
///
/// # Errors
/// All that is wrong anywhere in the directory, sorted by file.
pub fn read(directory: &Path) -> Result<Declaration, Vec<Problem>> {
    let mut files = Files::new(directory);
    let mut schema_files = 0;
    let (mut tenants, mut queues) = (Vec::new(), Vec::new());
    let entries = files.entries("");
    let is_empty = entries.is_empty();
    for entry in entries {
        if entry.name == "queues.toml" {
            queues = queues_file::read(&mut files, &entry.path);
        } else if !entry.is_directory {
            files.refuse(&entry.path, "has no place here; a catalog holds one directory for each tenant");
        } else if !is_name(&entry.name) {
            files.refuse(
                &entry.path,
                "is not a tenant's name: 1-100 of a-z, 0-9, dot, underscore and hyphen, the first a letter or digit; rename it",
            );
        } else if is_reserved(&entry.name) {
            files.refuse(
                &entry.path,
                "is what metrics call tenants that have no label of their own, so no tenant can be called so; rename it",
            );
        } else {
            let listing = Listing::of(&mut files, &entry.name);
            schema_files += listing.schema_files();
            if schema_files > SCHEMA_FILES_MAX {
                files
                    .refuse("", format!("holds more than {SCHEMA_FILES_MAX} schema files, which is the limit; is it the right directory?"));
                break;
            }
            tenants.push(read_tenant(&mut files, &entry.name, &listing));
        }
    }
    let ((tenants, queues), warnings) = files.finish((tenants, queues))?;
    if is_empty {
        let message = "holds no tenant; give the directory that holds the tenants' directories, such as `schemas`".to_owned();
        return Err(vec![Problem { file: directory.display().to_string(), message }]);
    }
    Ok(Declaration { tenants, queues, warnings })
}

/// The directory within a tenant's in which an event type is declared, whatever else may be wrong there.
pub fn find_event_type(catalog: &Path, tenant: &str, event_type: &str) -> Option<String> {
    let mut files = Files::new(catalog);
    let mut listing = Listing::of(&mut files, tenant);
    listing.event_types.remove(event_type).map(|listing| listing.directory)
}

fn read_tenant(files: &mut Files<'_>, tenant: &str, listing: &Listing) -> TenantDeclaration {
    let tenant_file = listing.has_tenant_file.then(|| read_tenant_file(files, tenant, listing)).flatten();
    let documents = read_documents(files, tenant, listing);
    let event_types = listing
        .event_types
        .iter()
        .map(|(name, event_type)| read_event_type(files, tenant, name, event_type, tenant_file.as_ref(), &documents))
        .collect();
    let TenantFile { name, allowed_senders, rate, clients, subscriptions, .. } = tenant_file.unwrap_or_default();
    check_subscribers(files, tenant, listing, &subscriptions);
    TenantDeclaration {
        tenant_id: TenantId::new(tenant),
        name: name.unwrap_or_else(|| tenant.to_owned()),
        allowed_senders,
        rate,
        event_types,
        clients,
        subscriptions,
    }
}

fn check_subscribers(files: &mut Files<'_>, tenant: &str, listing: &Listing, subscriptions: &[SubscriptionDeclaration]) {
    for event_type in listing.event_types.keys() {
        let subscribed = subscriptions.iter().filter(|subscription| matches(&subscription.event_pattern, event_type));
        let subscribers = subscribed.map(|subscription| &subscription.client_id).collect::<BTreeSet<_>>().len();
        if subscribers > SUBSCRIBERS_MAX {
            let problem = format!(
                "subscriptions: {subscribers} clients get {event_type:?}, and {SUBSCRIBERS_MAX} is the limit; deliver to one client that passes it on"
            );
            files.refuse(&format!("{tenant}/tenant.toml"), problem);
        }
    }
}

fn read_event_type(
    files: &mut Files<'_>,
    tenant: &str,
    name: &str,
    listing: &EventTypeListing,
    tenant_file: Option<&TenantFile>,
    documents: &Documents,
) -> EventTypeDeclaration {
    let default_version = tenant_file.and_then(|file| file.default_versions.get(name)).copied();
    let proving = default_version.or(listing.versions.last().copied());
    let mut schemas = Vec::new();
    for version in &listing.versions {
        let path = listing.schema_path(*version);
        let Some((bundle, compiled)) = admit_schema(files, tenant, &path, documents) else {
            continue;
        };
        schemas.push(SchemaDeclaration { schema_version: *version, bundle: bundle.to_json(), digest: bundle.digest() });
        // Without the tenant's file it is not known which version the examples are meant for.
        if proving == Some(*version) && tenant_file.is_some() {
            examples::prove(files, &listing.examples, &compiled, &path);
        }
    }
    let (event_type, directory, examples) = (name.to_owned(), listing.directory.clone(), listing.examples.len());
    EventTypeDeclaration { event_type, directory, default_version, schemas, examples }
}

fn read_tenant_file(files: &mut Files<'_>, tenant: &str, listing: &Listing) -> Option<TenantFile> {
    let path = format!("{tenant}/tenant.toml");
    let Ok(text) = String::from_utf8(files.bytes(&path, SCHEMA_BYTES_MAX)?) else {
        files.refuse(&path, "is not UTF-8; save it as UTF-8");
        return None;
    };
    let declared = |event_type: &EventTypeListing| (event_type.directory.clone(), event_type.versions.clone());
    let versions = listing.event_types.iter().map(|(name, event_type)| (name.clone(), declared(event_type))).collect();
    match tenant_file::parse(&text, &versions) {
        Ok(tenant_file) => Some(tenant_file),
        Err(sentences) => {
            for sentence in sentences {
                files.refuse(&path, sentence);
            }
            None
        }
    }
}

fn read_documents(files: &mut Files<'_>, tenant: &str, listing: &Listing) -> Documents {
    Documents::new(listing.documents().map(|path| (path.clone(), read_document(files, tenant, &path))).collect())
}

fn read_document(files: &mut Files<'_>, tenant: &str, path: &str) -> Option<Document> {
    let file = format!("{tenant}/{path}");
    let bytes = files.bytes(&file, SCHEMA_BYTES_MAX)?;
    let node = files.json(&file, &bytes)?;
    let value = serde_json::from_slice(&bytes);
    let value = value.map_err(|error| files.refuse(&file, format!("is not JSON that can be used: {error}"))).ok()?;
    Some(Document::new(path, value, &node))
}

/// A schema with all that it refers to, and compiled, where it can be admitted.
fn admit_schema(files: &mut Files<'_>, tenant: &str, path: &str, documents: &Documents) -> Option<(Bundle, Compiled)> {
    let admitted = Bundle::collect(path, documents).and_then(|bundle| schema::admit(&bundle).map(|admitted| (bundle, admitted)));
    match admitted {
        Ok((bundle, Admitted { compiled, warnings })) => {
            for warning in warnings {
                let (path, rest) = split(&warning);
                files.warn(&format!("{tenant}/{path}"), rest);
            }
            Some((bundle, compiled))
        }
        Err(sentences) => {
            for sentence in sentences {
                refuse_schema(files, tenant, path, &sentence, documents);
            }
            None
        }
    }
}

/// The file that a sentence begins with, and the rest.
fn split(sentence: &str) -> (&str, &str) {
    let sentence = sentence.trim_end_matches('.');
    let (path, rest) = sentence.split_at(sentence.find(['#', ':']).unwrap_or(0));
    (path, rest.trim_start_matches(": "))
}

/// Notes what is wrong with a schema at the file that the sentence begins with, so that what many refer to is told once.
fn refuse_schema(files: &mut Files<'_>, tenant: &str, root: &str, sentence: &str, documents: &Documents) {
    let (path, rest) = split(sentence);
    match documents.is_read(path) {
        Some(true) => files.refuse(&format!("{tenant}/{path}"), rest),
        // The file itself has been refused; what refers to it is not to blame.
        Some(false) => {}
        None => files.refuse(&format!("{tenant}/{root}"), sentence.trim_end_matches('.')),
    }
}
