//! A bundle as the validator gets it: without what its drafts ignore and the validator would not, and with names' expressions in the engine's
//! words.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::Bundle;
use super::ecma::translate;
use super::keywords::is_outlived;
use super::location::Locations;
use super::matching::{EXPRESSIONS_BYTES_MAX, NameWeight, TOO_MUCH};

/// What is compiled.
pub(super) struct Prepared {
    pub files: BTreeMap<String, Value>,
    /// Expressions as they were written, by how the engine has them, where that differs.
    pub renamed: HashMap<String, String>,
    /// How much names count while it is only asked whether a payload conforms, and how much while it is searched for what is wrong.
    pub names: [NameWeight; 2],
}

/// The expressions for names, each weighed once, wherever it stands: that takes as long as compiling it.
#[derive(Default)]
struct NameWeights {
    by_pattern: HashMap<String, NameWeight>,
    /// How large they are together.
    size: usize,
}

impl NameWeights {
    fn of(&mut self, pattern: &str) -> Result<NameWeight, String> {
        if let Some(weight) = self.by_pattern.get(pattern) {
            return Ok(*weight);
        }
        let weight = NameWeight::of(pattern).ok_or_else(|| format!("`{pattern}` is no regular expression that is taken"))?;
        self.size += weight.size();
        if self.size > EXPRESSIONS_BYTES_MAX {
            return Err(TOO_MUCH.to_owned());
        }
        self.by_pattern.insert(pattern.to_owned(), weight);
        Ok(weight)
    }
}

impl Prepared {
    /// # Errors
    /// What is wrong with an expression for names, where one is not taken.
    pub fn of(bundle: &Bundle) -> Result<Self, String> {
        let mut weights = NameWeights::default();
        let mut prepared = Self { files: bundle.files().clone(), renamed: HashMap::new(), names: [NameWeight::LIGHT; 2] };
        let locations = Locations::of(bundle);
        let has_unevaluated = locations.all().iter().any(|location| location.get("unevaluatedProperties").is_some());
        // Those within others first: a pointer with an expression in it leads nowhere once that is another.
        for location in locations.all().iter().rev() {
            let file = prepared.files.get_mut(location.file);
            let Some(schema) = file.and_then(|file| file.pointer_mut(&location.pointer)).and_then(Value::as_object_mut) else { continue };
            schema.retain(|name, _| !is_outlived(location.draft, name));
            let is_at_once = has_unevaluated || schema.contains_key("additionalProperties");
            if let Some(Value::Object(of_names)) = schema.get_mut("patternProperties") {
                let (mut all, mut each) = (NameWeight::LIGHT, NameWeight::LIGHT);
                for pattern in of_names.keys() {
                    let weight = weights.of(pattern)?;
                    (all, each) = (all.plus(weight), each.max(NameWeight::LIGHT.plus(weight)));
                }
                // The validator goes through the names once for each expression, or once for all of them.
                prepared.names = [prepared.names[0].max(if is_at_once { all } else { each }), prepared.names[1].max(all)];
                rename(of_names, &mut prepared.renamed);
            }
        }
        Ok(prepared)
    }
}

fn rename(of_names: &mut Map<String, Value>, renamed: &mut HashMap<String, String>) {
    let changed = of_names.keys().map(|pattern| (pattern.clone(), translate(pattern)));
    let changed: Vec<_> = changed.filter(|(pattern, translated)| pattern != translated && !of_names.contains_key(translated)).collect();
    for (pattern, translated) in changed {
        of_names.remove(&pattern).map(|schema| of_names.insert(translated.clone(), schema));
        renamed.insert(translated, pattern);
    }
}
