//! A schema version with every file that it refers to, found by the text of its references alone.

use std::collections::BTreeMap;

use jsonschema::Draft;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::keywords::{add_locations, draft_of};
use crate::json::{canonical, read};

/// How many files a schema version may consist of.
pub const FILES_MAX: usize = 64;

/// How many bytes they may have together, written without white space.
pub const BUNDLE_BYTES_MAX: usize = 1024 * 1024;

/// A schema version and all it refers to: what is published, and what its digest identifies. Paths are relative to the tenant's directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    root: String,
    files: BTreeMap<String, Value>,
}

/// A bundle as it is written, before its paths are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    root: String,
    files: BTreeMap<String, Value>,
}

impl Bundle {
    /// Loads a file and, by its relative `$ref`s, whatever it needs. What `load` is asked for never lies outside the tenant's directory.
    ///
    /// # Errors
    /// A sentence for each file or reference that is refused.
    pub fn collect(root: &str, load: &mut dyn FnMut(&str) -> Result<Value, String>) -> Result<Self, Vec<String>> {
        if !is_path(root) {
            return Err(vec![format!(
                "{root}: a schema's path may only have letters, digits and -._~$@+=, between its slashes; rename it \
                 (an event type's name may be another than its directory's: event_type.toml)."
            )]);
        }
        let mut bundle = Self { root: root.to_owned(), files: BTreeMap::new() };
        let (mut errors, mut bytes, mut wanted) = (Vec::new(), 0, vec![root.to_owned()]);
        while let Some(path) = wanted.pop() {
            if bundle.files.contains_key(&path) {
                continue;
            }
            let file = match load(&path).map(without_id).and_then(|file| readable(&path, file)) {
                Ok(file) => file,
                Err(error) => {
                    errors.push(format!("{path}: {error}"));
                    continue;
                }
            };
            bytes += file.to_string().len();
            if bundle.files.len() == FILES_MAX || bytes > BUNDLE_BYTES_MAX {
                errors.push(format!(
                    "{root}: has, with all files that it refers to directly or through others, more than {FILES_MAX} files or 1 MiB; \
                     describe less."
                ));
                break;
            }
            let (targets, refused): (Vec<_>, Vec<_>) = references(&path, &file).into_iter().partition(Result::is_ok);
            wanted.extend(targets.into_iter().flatten());
            errors.extend(refused.into_iter().filter_map(Result::err));
            bundle.files.insert(path, file);
        }
        if errors.is_empty() { Ok(bundle) } else { Err(errors) }
    }

    /// The path of the schema itself.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Every file with its path, without the `$id` at its root.
    pub fn files(&self) -> &BTreeMap<String, Value> {
        &self.files
    }

    /// The schema itself.
    pub(super) fn schema(&self) -> &Value {
        // Both ways to make a bundle see to it that the root is among the files.
        &self.files[&self.root]
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

/// A file's own name for itself says nothing that its path does not, and would change what its references mean.
fn without_id(mut file: Value) -> Value {
    let is_draft_4 = draft_of(&file) == Some(Draft::Draft4);
    if let Some(keywords) = file.as_object_mut() {
        keywords.remove("$id");
        if is_draft_4 {
            keywords.remove("id");
        }
    }
    file
}

/// A file as it is, where our own reader takes it, alone in a bundle: neither too deep nor with text that Postgres cannot hold.
fn readable(path: &str, file: Value) -> Result<Value, String> {
    let alone = json!({ "root": path, "files": { path: &file } }).to_string();
    read(alone.as_bytes()).map_err(|defect| format!("has {}; take it out.", defect.kind))?;
    Ok(file)
}

/// The files that a file refers to, or why one of them is refused.
fn references(path: &str, file: &Value) -> Vec<Result<String, String>> {
    let mut locations = Vec::new();
    add_locations(&mut locations, path, draft_of(file).unwrap_or_default(), file);
    let texts = locations.iter().filter_map(|location| Some((&location.pointer, location.get("$ref")?.as_str()?)));
    texts
        .map(|(pointer, text)| {
            let resolved = resolve(path, text).map(|(target, _)| target);
            resolved.map_err(|error| format!("{path}#{pointer}/$ref: {error}"))
        })
        .collect()
}

/// Where a reference in a file points: the target's path and the fragment in it.
///
/// By the text, not by the rules for URIs, which clamp `..` at the root and so turn a climb into another tenant's directory into a path
/// that seems to lie in this one.
pub(super) fn resolve<'r>(file: &str, reference: &'r str) -> Result<(String, &'r str), String> {
    let (path, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    let refused =
        |why: &str| Err(format!("`{reference}` {why}; refer to a file of the same tenant, such as `../common/money.json#/$defs/price`."));
    if reference.contains('%') {
        return refused("is percent-encoded");
    }
    if reference.contains('\\') {
        return refused("has a backslash");
    }
    if path.starts_with("//") || path.contains(':') {
        return refused("names a scheme or a host, and nothing is ever fetched");
    }
    if path.starts_with('/') {
        return refused("is an absolute path");
    }
    if !fragment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte)) {
        return refused("has a character that a reference may not have");
    }
    if path.is_empty() {
        return Ok((file.to_owned(), fragment));
    }
    let mut segments: Vec<&str> = file.split('/').collect();
    segments.pop();
    for segment in path.split('/') {
        match segment {
            ".." if segments.pop().is_none() => return refused("leads out of the tenant's directory"),
            "." | ".." => {}
            _ => segments.push(segment),
        }
    }
    let target = segments.join("/");
    if !is_path(&target) {
        return refused("is not the path of a file, made of letters, digits and -._~$@+=,");
    }
    Ok((target, fragment))
}

/// Whether a text is a relative path that means the same to a file system and in a URI.
fn is_path(path: &str) -> bool {
    path.split('/').all(|segment| {
        !matches!(segment, "" | "." | "..") && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~$@+=,".contains(&byte))
    })
}
