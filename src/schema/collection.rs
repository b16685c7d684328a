//! How a schema version becomes whole: each reference is followed, and spelled by path and pointer where it was not, so that who checks the
//! bundle and who validates by it find the same by the same text.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Draft;
use serde_json::{Value, json};

use super::bundle::{BUNDLE_BYTES_MAX, Bundle, FILES_MAX};
use super::documents::{Document, Documents, Target};
use super::keywords::{compares, draft_of, escape, ignores_siblings};
use super::location::{Location, Locations};
use super::path::{encoded, relative, resolve};
use crate::json::read;

/// What a fragment may have beside letters and digits without being spelled anew.
const PLAIN: &[u8] = b"-._~!$&'()*+,;=:@/?";

/// The pointer to a schema, a keyword, and what its text is in the bundle; nothing where it has no place there.
type Edit = (String, &'static str, Option<String>);

/// What was found so far.
pub(super) struct Collection<'d> {
    documents: &'d Documents,
    files: BTreeMap<&'d str, &'d Document>,
    locations: Locations<'d>,
    /// By file.
    edits: BTreeMap<&'d str, Vec<Edit>>,
    bytes: usize,
    errors: Vec<String>,
}

impl<'d> Collection<'d> {
    pub fn of(root: &str, documents: &'d Documents) -> Self {
        let mut collection = Self {
            documents,
            files: BTreeMap::new(),
            locations: Locations::default(),
            edits: BTreeMap::new(),
            bytes: 0,
            errors: Vec::new(),
        };
        collection.add_file(root);
        let mut next = 0;
        while next < collection.locations.all().len() && collection.is_within_limits() {
            collection.follow(next);
            next += 1;
        }
        if !collection.is_within_limits() {
            collection.errors.push(format!(
                "{root}: has, with all files that it refers to directly or through others, more than {FILES_MAX} files or 1 MiB; \
                 describe less."
            ));
        }
        collection
    }

    pub fn finish(mut self, root: &str) -> Result<Bundle, Vec<String>> {
        self.check_numbers();
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let mut files = BTreeMap::new();
        for (path, document) in self.files {
            let mut file = document.value.clone();
            for (pointer, keyword, text) in self.edits.remove(path).unwrap_or_default() {
                let Some(schema) = file.pointer_mut(&pointer).and_then(Value::as_object_mut) else { continue };
                match text {
                    Some(text) => _ = schema.insert(keyword.to_owned(), Value::String(text)),
                    None => _ = schema.remove(keyword),
                }
            }
            files.insert(path.to_owned(), file);
        }
        Ok(Bundle { root: root.to_owned(), files })
    }

    fn is_within_limits(&self) -> bool {
        self.files.len() <= FILES_MAX && self.bytes <= BUNDLE_BYTES_MAX
    }

    fn add_file(&mut self, path: &str) {
        let (path, document) = match self.documents.get(path).and_then(|found| readable(path, &found.1.value).map(|()| found)) {
            Ok(found) => found,
            Err(error) => return self.errors.push(error),
        };
        self.bytes += document.value.to_string().len();
        self.files.insert(path, document);
        self.locations.add_file(path, &document.value);
        // A file's own name for itself says nothing that its path does not, and would change what its references mean.
        let is_draft_4 = draft_of(&document.value) == Some(Draft::Draft4);
        let names = ["$id", "id"].into_iter().take(if is_draft_4 { 2 } else { 1 });
        self.edits.entry(path).or_default().extend(names.map(|keyword| (String::new(), keyword, None)));
    }

    /// Takes note of what a schema calls itself and of what it refers to.
    fn follow(&mut self, number: usize) {
        let location = &self.locations.all()[number];
        let Some(document) = self.files.get(location.file).copied() else { return };
        let mut edits: Vec<_> = name(location, document).into_iter().collect();
        let mut targets = Vec::new();
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            let is_known = super::keywords::is_known(location.draft, keyword);
            let Some(reference) = location.get(keyword).filter(|_| is_known) else { continue };
            let Some(reference) = reference.as_str() else {
                self.errors.push(format!("{location}/{keyword}: is not a text; write the place of a schema."));
                continue;
            };
            match self.documents.resolve(location, keyword, reference) {
                Ok(target) => targets.push((keyword, reference, target)),
                Err(sentence) => self.errors.push(sentence),
            }
        }
        let (file, pointer) = (location.file, location.pointer.clone());
        for (keyword, reference, target) in targets {
            if !self.files.contains_key(target.file.as_str()) {
                self.add_file(&target.file);
            }
            let Some((path, target_document)) = self.files.get_key_value(target.file.as_str()) else { continue };
            self.locations.find(path, &target_document.value, &target.pointer);
            let location = &self.locations.all()[number];
            edits.extend(self.spelled(location, document, keyword, reference, &target).map(|text| (pointer.clone(), keyword, Some(text))));
        }
        self.edits.entry(file).or_default().extend(edits);
    }

    /// How a reference is spelled in the bundle, where it is not as it was written.
    fn spelled(&self, location: &Location<'_>, document: &Document, keyword: &str, reference: &str, target: &Target) -> Option<String> {
        let (uri, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let is_by_anchor = !fragment.is_empty() && !fragment.starts_with('/');
        if keyword == "$recursiveRef" || (keyword == "$dynamicRef" && is_by_anchor && uri.is_empty()) {
            return None;
        }
        let path = relative(location.file, &target.file);
        if keyword == "$dynamicRef" && is_by_anchor {
            return Some(format!("{path}{}#{fragment}", query(&target.resource)));
        }
        let is_plain = !uri.contains('%') && fragment.bytes().all(|byte| byte.is_ascii_alphanumeric() || PLAIN.contains(&byte));
        let leads_there = |(file, fragment): (String, &str)| {
            let number = self.locations.at(&file, fragment);
            number
                .map(|number| &self.locations.all()[number])
                .is_some_and(|found| found.file == target.file && found.pointer == target.pointer)
        };
        let is_by_place = is_plain && document.is_of_file(&location.pointer) && resolve(location.file, reference).is_ok_and(leads_there);
        let fragment = if target.pointer.is_empty() { String::new() } else { format!("#{}", encoded(&target.pointer)) };
        (!is_by_place).then(|| format!("{path}{fragment}"))
    }

    /// Refuses numbers that payloads would be compared with as others than they are.
    fn check_numbers(&mut self) {
        let inexact = self.files.iter().filter(|(_, document)| !document.inexact.is_empty());
        let files: BTreeMap<_, BTreeSet<_>> = inexact.map(|(path, document)| (*path, document.inexact.iter().collect())).collect();
        for location in self.locations.all() {
            let Some(inexact) = files.get(location.file) else { continue };
            for (keyword, _) in location.keywords().filter(|(keyword, _)| compares(keyword)) {
                let place = format!("{}/{}", location.pointer, escape(keyword));
                let within = |pointer: &str| pointer.strip_prefix(&place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                for (pointer, number) in inexact.iter().filter(|(pointer, _)| within(pointer)) {
                    self.errors.push(format!(
                        "{}#{pointer}: the number {number} has another value as a double, as which it would be compared; use one that a \
                         double holds, or describe it as text.",
                        location.file
                    ));
                }
            }
        }
    }
}

/// What a schema's name for itself is in the bundle: one that tells its place, and that no other file has.
fn name(location: &Location<'_>, document: &Document) -> Option<Edit> {
    let keyword = if location.draft == Draft::Draft4 { "id" } else { "$id" };
    location.get(keyword).and_then(Value::as_str).filter(|_| !location.pointer.is_empty())?;
    let counts = document.is_named(&location.pointer) && !location.is_apart && !ignores_siblings(location.draft, location.schema);
    let own_path = location.file.rsplit('/').next().unwrap_or_default();
    Some((location.pointer.clone(), keyword, counts.then(|| format!("{own_path}{}", query(&location.pointer)))))
}

/// What is added to a file's path for a schema in it that has a name of its own.
fn query(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!("?{}", encoded(pointer)) }
}

/// A file as it is, where our own reader takes it, alone in a bundle: neither too deep nor with text that Postgres cannot hold.
fn readable(path: &str, file: &Value) -> Result<(), String> {
    let alone = json!({ "root": path, "files": { path: file } }).to_string();
    read(alone.as_bytes()).map(|_| ()).map_err(|defect| format!("{path}: has {}; take it out.", defect.kind))
}
