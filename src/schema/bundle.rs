//! A schema version with every file that it refers to.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Documents;
use super::collection::Collection;
use super::path::is_path;
use crate::json::{canonical, read};

/// How many files a schema version may consist of.
pub const FILES_MAX: usize = 64;

/// How many bytes they may have together, written without white space.
pub const BUNDLE_BYTES_MAX: usize = 1024 * 1024;

/// A schema version and all it refers to: what is published, and what its digest identifies. Paths are relative to the tenant's directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    pub(super) root: String,
    pub(super) files: BTreeMap<String, Value>,
}

/// A bundle as it is written, before its paths are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    root: String,
    files: BTreeMap<String, Value>,
}

impl Bundle {
    /// Takes a file and, by its references, whatever it needs. References by name, and others that the path and pointer of what they lead
    /// to do not spell, are spelled so in the bundle; all else is as it was written.
    ///
    /// # Errors
    /// A sentence for each file or reference that is refused.
    pub fn collect(root: &str, documents: &Documents) -> Result<Self, Vec<String>> {
        if !is_path(root) {
            return Err(vec![format!(
                "{root}: a schema's path may only have letters, digits and -._~$@+=, between its slashes; rename it \
                 (an event type's name may be another than its directory's: event_type.toml)."
            )]);
        }
        Collection::of(root, documents).finish(root)
    }

    /// The path of the schema itself.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Every file with its path, without the `$id` at its root.
    pub fn files(&self) -> &BTreeMap<String, Value> {
        &self.files
    }

    /// What identifies the version: SHA-256 of its canonical text, so that formatting is free.
    pub fn digest(&self) -> [u8; 32] {
        let text = self.to_json();
        // Whatever a bundle holds has passed the reader; the text itself would still be a digest that says the truth.
        let canonical = read(text.as_bytes()).map(|node| canonical(&node));
        Sha256::digest(canonical.as_ref().unwrap_or(&text)).into()
    }

    /// The bundle as one JSON text: `{"root": ..., "files": {...}}`.
    pub fn to_json(&self) -> String {
        json!({ "root": self.root, "files": self.files }).to_string()
    }

    /// Reads what [`Bundle::to_json`] wrote.
    ///
    /// # Errors
    /// A sentence, where it did not.
    pub fn from_json(text: &str) -> Result<Self, String> {
        read(text.as_bytes()).map_err(|defect| format!("The schema's bundle cannot be read: {defect}."))?;
        let Written { root, files } =
            serde_json::from_str(text).map_err(|error| format!("The schema's bundle cannot be read: {error}."))?;
        if files.contains_key(&root) && files.keys().all(|path| is_path(path)) {
            return Ok(Self { root, files });
        }
        Err(format!("The schema's bundle lacks its root {root}, or a path in it is malformed."))
    }
}
