//! The schemas of a bundle's files, each with its place.

use std::collections::HashMap;

use jsonschema::Draft;
use serde_json::Value;

use super::Bundle;
use super::keywords::{Applies, draft_of, ignores_siblings, subschemas};
use super::path::{decoded, encoded, resolve};

/// A schema within a file.
pub(super) struct Location<'a> {
    /// The file's path.
    pub file: &'a str,
    /// JSON pointer to the schema in its file.
    pub pointer: String,
    /// The file's draft.
    pub draft: Draft,
    /// The schema: an object, true or false, or something that is none.
    pub schema: &'a Value,
    /// How many schemas it stands in.
    pub nesting: usize,
    /// Whether it stands where its draft expects no schema: it is one because a reference leads to it.
    pub is_apart: bool,
    /// How much of the pointer leads to the innermost schema with a name of its own; 0: it belongs to the file as a whole.
    pub resource: usize,
    /// The schemas directly in it: their places in the list that this one is in.
    pub children: Vec<(Applies, usize)>,
}

impl<'a> Location<'a> {
    fn of_file(path: &'a str, file: &Value, pointer: String, schema: &'a Value) -> Self {
        let draft = draft_of(file).unwrap_or_default();
        Self { file: path, pointer, draft, schema, nesting: 0, is_apart: false, resource: 0, children: Vec::new() }
    }

    /// The schema's keywords; none where it is `true` or `false`.
    pub fn keywords(&self) -> impl Iterator<Item = (&'a str, &'a Value)> + use<'a> {
        self.schema.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
    }

    /// A keyword's value.
    pub fn get(&self, keyword: &str) -> Option<&'a Value> {
        self.schema.get(keyword)
    }
}

impl std::fmt::Display for Location<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}#{}", self.file, self.pointer)
    }
}

/// All schemas of some files: those where a file's draft has schemas, and those that references lead to.
#[derive(Default)]
pub(super) struct Locations<'a> {
    all: Vec<Location<'a>>,
    by_place: HashMap<(&'a str, String), usize>,
    anchors: HashMap<(&'a str, &'a str), usize>,
}

impl<'a> Locations<'a> {
    /// The schemas of a bundle.
    pub fn of(bundle: &'a Bundle) -> Self {
        let mut locations = Self::default();
        for (path, file) in bundle.files() {
            locations.add_file(path, file);
        }
        let mut next = 0;
        while let Some(location) = locations.all.get(next) {
            next += 1;
            let Some((target, fragment)) = location.get("$ref").and_then(|text| resolve(location.file, text.as_str()?).ok()) else {
                continue;
            };
            let (Some((path, file)), Some(pointer)) = (bundle.files().get_key_value(&target), decoded(fragment)) else { continue };
            locations.find(path, file, &pointer);
        }
        locations
    }

    /// Adds the schemas of a file, the file's own first.
    pub fn add_file(&mut self, path: &'a str, file: &'a Value) {
        self.add(Location::of_file(path, file, String::new(), file));
    }

    /// The schema at a pointer into a file; added, with those in it, where no draft would look for it.
    pub fn find(&mut self, path: &'a str, file: &'a Value, pointer: &str) -> Option<usize> {
        if let Some(number) = self.by_place.get(&(path, pointer.to_owned())) {
            return Some(*number);
        }
        let schema = file.pointer(pointer).filter(|schema| schema.is_object() || schema.is_boolean())?;
        Some(self.add(Location { is_apart: true, ..Location::of_file(path, file, pointer.to_owned(), schema) }))
    }

    /// Where the text of a `$ref` leads, by the path that it spells.
    pub fn target(&self, location: &Location<'_>) -> Option<usize> {
        let (file, fragment) = resolve(location.file, location.get("$ref")?.as_str()?).ok()?;
        self.at(&file, fragment)
    }

    /// The schema that the one at a place belongs to: the innermost with a name of its own, or the file's.
    pub fn resource(&self, location: &Location<'_>) -> Option<usize> {
        self.at(location.file, &encoded(&location.pointer[..location.resource]))
    }

    /// The schema that a fragment names in a file.
    pub fn at(&self, file: &str, fragment: &str) -> Option<usize> {
        let fragment = decoded(fragment)?;
        self.by_place.get(&(file, fragment.clone())).or_else(|| self.anchors.get(&(file, &fragment))).copied()
    }

    /// All of them; each before those in it.
    pub fn all(&self) -> &[Location<'a>] {
        &self.all
    }

    fn add(&mut self, location: Location<'a>) -> usize {
        let Location { file, draft, schema, nesting, is_apart, resource, .. } = location;
        let place = (file, location.pointer.clone());
        if let Some(number) = self.by_place.get(&place) {
            return *number;
        }
        let number = self.all.len();
        let parts = schema.as_object().map(|keywords| subschemas(draft, &location.pointer, keywords)).unwrap_or_default();
        self.by_place.insert(place, number);
        let names = ["$anchor", "$dynamicAnchor"].into_iter().filter(|_| resource == 0 && draft >= Draft::Draft201909);
        self.anchors.extend(names.filter_map(|keyword| Some(((file, schema.get(keyword)?.as_str()?), number))));
        self.all.push(location);
        for (applies, pointer, schema) in parts {
            let resource = if !is_apart && has_name(draft, schema) { pointer.len() } else { resource };
            let nesting = nesting + 1;
            let child = self.add(Location { file, pointer, draft, schema, nesting, is_apart, resource, children: Vec::new() });
            self.all[number].children.push((applies, child));
        }
        number
    }
}

/// Whether a schema in a file gives itself a name.
fn has_name(draft: Draft, schema: &Value) -> bool {
    let id = schema.get(if draft == Draft::Draft4 { "id" } else { "$id" }).and_then(Value::as_str);
    id.is_some_and(|id| !id.starts_with('#')) && !ignores_siblings(draft, schema)
}
