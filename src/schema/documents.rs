//! A tenant's JSON files, and where the references among them lead: by the file's own place, by the names that files and the schemas in
//! them give themselves with `$id`, or to the schema of a draft. Nothing else is ever looked for.

use std::collections::{BTreeMap, HashMap};

use jsonschema::Draft;
use serde_json::Value;
use url::Url;

use super::BASE;
use super::drafts::{DRAFTS, draft_path};
use super::keywords::ignores_siblings;
use super::location::{Location, Locations};
use super::number::inexact;
use super::path::{decoded, resolve};
use crate::json::Node;

/// A tenant's files by their paths.
#[derive(Debug, Default)]
pub struct Documents {
    files: BTreeMap<String, Option<Document>>,
    /// Where the schema with a name is: file and pointer.
    names: HashMap<String, Vec<Target>>,
}

/// A file.
#[derive(Debug)]
pub struct Document {
    pub(super) value: Value,
    /// Numbers that are others once they are doubles: where, and as written.
    pub(super) inexact: Vec<(String, String)>,
    /// The file itself, and the schemas in it that have a name of their own.
    resources: Vec<Resource>,
}

/// What `$id` makes of a schema: what the references in it count from.
#[derive(Debug)]
struct Resource {
    pointer: String,
    /// By its place first, then by the names that it gives itself.
    bases: Vec<Url>,
    anchors: HashMap<String, String>,
}

/// A schema: its file and the JSON pointer to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub file: String,
    pub pointer: String,
    /// The pointer to what it has its name from.
    pub resource: String,
}

impl Document {
    /// A file with the path that it has from the tenant's directory; `value` and `node` are the same text.
    pub fn new(path: &str, value: Value, node: &Node<'_>) -> Self {
        Self::of_value(path, value, inexact(node))
    }

    pub(super) fn of_value(path: &str, value: Value, inexact: Vec<(String, String)>) -> Self {
        let mut locations = Locations::default();
        locations.add_file(path, &value);
        let place = Url::parse(&format!("{BASE}{path}"));
        let mut resources = vec![Resource { pointer: String::new(), bases: place.into_iter().collect(), anchors: HashMap::new() }];
        for location in locations.all() {
            add_names(&mut resources, location);
        }
        Self { value, inexact, resources }
    }

    /// What a schema in the file has its names from.
    fn resource_of(&self, pointer: &str) -> &Resource {
        resource_of(&self.resources, pointer)
    }

    /// Whether a schema in the file has a name of its own.
    pub(super) fn is_named(&self, pointer: &str) -> bool {
        self.resources.iter().skip(1).any(|resource| resource.pointer == pointer)
    }

    /// Whether a schema belongs to the file as a whole, and to nothing in it that has a name of its own.
    pub(super) fn is_of_file(&self, pointer: &str) -> bool {
        self.resource_of(pointer).pointer.is_empty()
    }
}

/// The innermost of the schemas with names that a pointer leads into.
fn resource_of<'r>(resources: &'r [Resource], pointer: &str) -> &'r Resource {
    let leads_into = |resource: &&Resource| {
        let rest = pointer.strip_prefix(&resource.pointer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    // The file itself is among them.
    resources.iter().filter(leads_into).max_by_key(|resource| resource.pointer.len()).unwrap_or(&resources[0])
}

/// Notes the names that a schema gives itself.
fn add_names(resources: &mut Vec<Resource>, location: &Location<'_>) {
    let is_root = location.pointer.is_empty();
    let keywords: &[&str] = match location.draft {
        Draft::Draft4 if is_root => &["id", "$id"],
        Draft::Draft4 => &["id"],
        _ => &["$id"],
    };
    let ids = keywords.iter().filter_map(|keyword| location.get(keyword)?.as_str());
    for id in ids.filter(|_| is_root || !ignores_siblings(location.draft, location.schema)) {
        let (uri, anchor) = id.split_once('#').unwrap_or((id, ""));
        let bases: Vec<Url> = resource_of(resources, &location.pointer).bases.iter().filter_map(|base| base.join(uri).ok()).collect();
        match resources.iter_mut().find(|resource| resource.pointer == location.pointer) {
            _ if uri.is_empty() => {}
            Some(resource) => resource.bases.extend(bases),
            None => resources.push(Resource { pointer: location.pointer.clone(), bases, anchors: HashMap::new() }),
        }
        if location.draft <= Draft::Draft7 && !anchor.is_empty() {
            add_anchor(resources, location, anchor);
        }
    }
    if location.draft >= Draft::Draft201909 {
        for keyword in ["$anchor", "$dynamicAnchor"] {
            location.get(keyword).and_then(Value::as_str).into_iter().for_each(|name| add_anchor(resources, location, name));
        }
    }
}

fn add_anchor(resources: &mut [Resource], location: &Location<'_>, name: &str) {
    let pointer = resource_of(resources, &location.pointer).pointer.clone();
    if let Some(resource) = resources.iter_mut().find(|resource| resource.pointer == pointer) {
        resource.anchors.insert(name.to_owned(), location.pointer.clone());
    }
}

impl Documents {
    /// A tenant's files by their paths; nothing where one cannot be read.
    pub fn new(files: BTreeMap<String, Option<Document>>) -> Self {
        let mut names: HashMap<String, Vec<Target>> = HashMap::new();
        for (path, document) in &files {
            for resource in document.iter().flat_map(|document| &document.resources) {
                // A file's place is no name: its path is looked up first.
                let own = resource.bases.iter().skip(usize::from(resource.pointer.is_empty()));
                for base in own {
                    let targets = names.entry(without_fragment(base)).or_default();
                    let target = Target { file: path.clone(), pointer: resource.pointer.clone(), resource: resource.pointer.clone() };
                    if !targets.contains(&target) {
                        targets.push(target);
                    }
                }
            }
        }
        Self { files, names }
    }

    /// Whether there is such a file, and whether it could be read.
    pub fn is_read(&self, path: &str) -> Option<bool> {
        self.files.get(path).map(Option::is_some)
    }

    /// A file of the tenant's, or the schema of a draft.
    ///
    /// # Errors
    /// A sentence, where there is none or it cannot be read.
    pub(super) fn get(&self, path: &str) -> Result<(&str, &Document), String> {
        match self.files.get_key_value(path) {
            Some((path, Some(document))) => Ok((path, document)),
            Some((_, None)) => Err(format!("{path}: has a problem of its own")),
            None => DRAFTS.get_key_value(path).map(|(path, document)| (path.as_str(), document)).ok_or_else(|| {
                format!("{path}: is referred to, but there is no such file in the tenant's directory; add it, or mend the reference")
            }),
        }
    }

    /// Where a reference in a schema leads.
    ///
    /// # Errors
    /// A sentence, where it leads nowhere.
    pub(super) fn resolve(&self, location: &Location<'_>, keyword: &str, reference: &str) -> Result<Target, String> {
        let refused = |what: String| format!("{location}/{keyword}: {what}");
        let (uri, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let (_, document) = self.get(location.file)?;
        let own = document.resource_of(&location.pointer);
        let (path, resource) = if uri.is_empty() {
            (location.file.to_owned(), &own.pointer)
        } else {
            let Target { file, pointer, .. } = self.find(location.file, document, own, uri).map_err(|error| match error {
                Missing::Place(what) => refused(what),
                Missing::File(sentence) => sentence,
            })?;
            let (_, document) = self.get(&file)?;
            let resource = &document.resource_of(&pointer).pointer;
            (file, resource)
        };
        let (_, document) = self.get(&path)?;
        let pointer = decoded(fragment).and_then(|fragment| document.at(resource, &fragment));
        let pointer = pointer.ok_or_else(|| {
            let definitions = if location.draft <= Draft::Draft7 { "definitions" } else { "$defs" };
            refused(format!("`{reference}` leads to no schema; point it at a file, at a name under `{definitions}`, or at an anchor."))
        })?;
        Ok(Target { file: path, pointer, resource: resource.clone() })
    }

    /// The file, or the schema in one, that a reference names before its fragment.
    fn find(&self, file: &str, document: &Document, own: &Resource, uri: &str) -> Result<Target, Missing> {
        let uris: Vec<Url> = own.bases.iter().filter_map(|base| base.join(uri).ok()).collect();
        // What the file itself holds under a name is meant by that name in it.
        let embedded = document.resources.iter().skip(1).find(|resource| uris.iter().any(|uri| resource.bases.contains(uri)));
        if let Some(Resource { pointer, .. }) = embedded {
            return Ok(Target { file: file.to_owned(), pointer: pointer.clone(), resource: pointer.clone() });
        }
        // A name never changes what a path has meant.
        let by_place = resolve(file, uri);
        let of_file = |file: &str| Target { file: file.to_owned(), pointer: String::new(), resource: String::new() };
        let path = if own.pointer.is_empty() {
            by_place.as_ref().ok().map(|(path, _)| path.clone())
        } else {
            uris.iter().find_map(|uri| uri.as_str().strip_prefix(BASE)).map(str::to_owned)
        };
        if let Some(path) = path.filter(|path| self.get(path).is_ok()) {
            return Ok(of_file(&path));
        }
        let mut named = uris.iter().filter_map(|uri| self.names.get(&without_fragment(uri))).flatten();
        if let Some(first) = named.clone().find(|target| target.file == file).or_else(|| named.next()) {
            return match named.find(|other| first.file != file && *other != first) {
                None => Ok(first.clone()),
                Some(other) => Err(Missing::Place(format!(
                    "`{uri}` is what both {} and {} call themselves by `$id`; refer to one of them by its path.",
                    first.file, other.file
                ))),
            };
        }
        let of_draft = uris.iter().filter_map(|uri| draft_path(uri.as_str())).find(|path| DRAFTS.contains_key(path));
        match (of_draft, by_place) {
            (Some(path), _) => Ok(of_file(&path)),
            // In a file without a name of its own the path is what counts; it may be that of a file with a problem.
            (None, Ok((path, _))) => self.get(&path).map(|_| of_file(&path)).map_err(Missing::File),
            (None, Err(what)) => Err(Missing::Place(what)),
        }
    }
}

/// Why a reference leads to no file.
enum Missing {
    /// What is wrong with its text.
    Place(String),
    /// The sentence about a file that is not there.
    File(String),
}

impl Document {
    /// The pointer to what a fragment names within a schema that has a name.
    fn at(&self, resource: &str, fragment: &str) -> Option<String> {
        if !fragment.is_empty() && !fragment.starts_with('/') {
            return resource_of(&self.resources, resource).anchors.get(fragment).cloned();
        }
        let pointer = format!("{resource}{fragment}");
        self.value.pointer(&pointer).filter(|schema| schema.is_object() || schema.is_boolean()).map(|_| pointer)
    }
}

/// By this names are compared.
fn without_fragment(uri: &Url) -> String {
    let mut uri = uri.clone();
    uri.set_fragment(None);
    uri.into()
}
