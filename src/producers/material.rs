//! What events are made of: the examples of a catalog directory, and the payloads of a directory of one's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::template::Template;
use crate::catalog::declaration::{Declaration, EventTypeDeclaration, TenantDeclaration};
use crate::schema::{Bundle, Compiled};

/// An event type and what its events are made of.
#[derive(Debug, Clone)]
pub struct EventKind {
    /// Whose.
    pub tenant_id: String,
    /// Its name.
    pub event_type: String,
    /// The version that counts for events that name none.
    pub schema_version: i32,
    /// Its schema.
    pub schema: Arc<Compiled>,
    /// Who may be named as recipient.
    pub clients: Vec<String>,
    /// Examples that keep the schema.
    pub valid: Vec<Template>,
    /// Examples that break it.
    pub invalid: Vec<Template>,
}

/// Takes the examples of a catalog; only of these tenants and event types, where some are named. Payloads are to have a size.
///
/// # Errors
/// A sentence that says what is missing.
pub fn of_catalog(
    directory: &Path,
    declaration: &Declaration,
    tenants: &[String],
    types: &[String],
    size: usize,
) -> Result<Vec<EventKind>, String> {
    let is_declared = |name: &String| declaration.tenants.iter().any(|tenant| tenant.tenant_id.as_str() == name);
    if let Some(stranger) = tenants.iter().find(|name| !is_declared(name)) {
        return Err(format!("{} has no tenant {stranger:?}; name one that it has", directory.display()));
    }
    let chosen = declaration.tenants.iter().filter(|tenant| is_chosen(tenants, tenant.tenant_id.as_str()));
    let mut kinds = Vec::new();
    for tenant in chosen {
        for event_type in tenant.event_types.iter().filter(|event_type| is_chosen(types, &event_type.event_type)) {
            kinds.push(kind(directory, tenant, event_type, size)?);
        }
    }
    if let Some(stranger) = types.iter().find(|name| !kinds.iter().any(|kind| kind.event_type == **name)) {
        return Err(format!("no tenant that is sent for has an event type {stranger:?}; name one that it has"));
    }
    Ok(kinds)
}

fn is_chosen(names: &[String], name: &str) -> bool {
    names.is_empty() || names.iter().any(|chosen| chosen == name)
}

fn kind(directory: &Path, tenant: &TenantDeclaration, event_type: &EventTypeDeclaration, size: usize) -> Result<EventKind, String> {
    let schemas = &event_type.schemas;
    let counts = |version: i32| event_type.default_version.is_none_or(|default| default == version);
    let published = schemas.iter().rfind(|schema| counts(schema.schema_version));
    let published = published.ok_or_else(|| format!("{} has no schema", event_type.event_type))?;
    let schema = Bundle::from_json(&published.bundle).and_then(|bundle| Compiled::compile(&bundle))?;
    let examples = directory.join(tenant.tenant_id.as_str()).join(&event_type.directory).join("examples");
    let templates = |part: &str, is_valid: bool, size: usize| -> Result<Vec<Template>, String> {
        let texts = if examples.join(part).is_dir() { files(&examples.join(part))? } else { Vec::new() };
        Ok(texts.iter().map(|text| Template::of_example(text, &schema, is_valid, size)).collect())
    };
    Ok(EventKind {
        tenant_id: tenant.tenant_id.to_string(),
        event_type: event_type.event_type.clone(),
        schema_version: published.schema_version,
        clients: tenant.clients.iter().map(|client| client.client_id.to_string()).collect(),
        valid: templates("valid", true, size)?,
        invalid: templates("invalid", false, 0)?,
        schema: Arc::new(schema),
    })
}

/// The texts of the files below a directory, in the order of their names.
///
/// # Errors
/// A sentence that names a file that cannot be read or is no text.
pub fn files(directory: &Path) -> Result<Vec<String>, String> {
    let refuse = |path: &Path, problem: &dyn std::fmt::Display| format!("{} cannot be sent: {problem}", path.display());
    let mut texts = Vec::new();
    let entries = std::fs::read_dir(directory).map_err(|error| refuse(directory, &error))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            texts.extend(files(&path)?);
            continue;
        }
        let bytes = std::fs::read(&path).map_err(|error| refuse(&path, &error))?;
        texts.push(String::from_utf8(bytes).map_err(|_| refuse(&path, &"it is not UTF-8, and SQS carries text only"))?);
    }
    Ok(texts)
}
