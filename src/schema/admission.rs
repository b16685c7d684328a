//! What a schema must be before it is published: valid in its draft, understood to the last keyword, and harmless.

use std::collections::BTreeSet;

use jsonschema::Draft;
use serde_json::Value;

use super::bundle::resolve;
use super::expansion::Graph;
use super::keywords::{Location, draft_of, escape, is_annotation, is_known};
use super::patterns::{patterns, refusal};
use super::{Bundle, Compiled, options};

/// How many bytes a file may have, written without white space.
const FILE_BYTES_MAX: usize = 256 * 1024;

/// How many schemas a schema may stand in within its file.
const NESTING_MAX: usize = 16;

/// How many different regular expressions a bundle may have.
const PATTERNS_MAX: usize = 64;

/// How many arrays and objects an `enum` may list: they are compared one by one.
const ENUM_CONTAINERS_MAX: usize = 100;

/// Admits a bundle for publication and compiles it.
///
/// # Errors
/// A sentence for each thing that is wrong: where, what, and what to do about it.
pub fn admit(bundle: &Bundle) -> Result<Compiled, Vec<String>> {
    let mut errors: Vec<_> = bundle.files().iter().filter_map(|(path, file)| file_error(path, file)).collect();
    refuse(&mut errors)?;
    let graph = Graph::of(bundle);
    let mut seen = BTreeSet::new();
    for location in &graph.locations {
        check_keywords(location, &mut errors);
        check_values(location, &mut errors);
        check_patterns(location, &mut seen, &mut errors);
        check_reference(location, &graph, &mut errors);
    }
    if seen.len() > PATTERNS_MAX {
        errors.push(format!(
            "{}: has, with the files it refers to, {} different regular expressions, and {PATTERNS_MAX} is the limit; use formats or \
             plain lengths where they serve.",
            bundle.root(),
            seen.len()
        ));
    }
    refuse(&mut errors)?;
    graph.check().map_err(|error| vec![error])?;
    Compiled::compile(bundle).map_err(|error| vec![error])
}

fn refuse(errors: &mut Vec<String>) -> Result<(), Vec<String>> {
    if errors.is_empty() { Ok(()) } else { Err(std::mem::take(errors)) }
}

fn file_error(path: &str, file: &Value) -> Option<String> {
    if draft_of(file).is_none() {
        return Some(format!(
            "{path}#/$schema: names no known draft; use https://json-schema.org/draft/2020-12/schema, or 2019-09, draft-07, draft-06 or \
             draft-04."
        ));
    }
    if file.to_string().len() > FILE_BYTES_MAX {
        return Some(format!("{path}: has more than 256 KiB; move parts of it to other files and refer to them."));
    }
    let error = jsonschema::meta::validate(file).err()?;
    Some(format!("{path}#{}: is not a schema of its draft: {error}.", error.instance_path()))
}

/// Each keyword is one that its draft knows or that only describes: what is misspelt would otherwise check nothing and say nothing.
fn check_keywords(location: &Location<'_>, errors: &mut Vec<String>) {
    let is_root = location.pointer.is_empty();
    let ignores_siblings = location.draft <= Draft::Draft7 && location.get("$ref").is_some();
    for (name, _) in location.keywords() {
        let what = match name {
            "$id" => "a schema within a file cannot have a name of its own; remove it and refer to the schema by its place",
            "id" if location.draft == Draft::Draft4 => {
                "a schema within a file cannot have a name of its own; remove it and refer to the schema by its place"
            }
            "$schema" if !is_root => "only a whole file has a draft; move the schema to a file of its own",
            "$dynamicRef" | "$dynamicAnchor" | "$recursiveRef" | "$recursiveAnchor" => "is not supported; use `$ref`",
            name if is_annotation(name) => continue,
            name if !is_known(location.draft, name) => {
                "is no keyword of this draft and would check nothing; correct it, or begin it with `x-` if it only describes"
            }
            "$ref" | "definitions" | "$schema" => continue,
            _ if ignores_siblings => "would be ignored beside `$ref` in this draft; put both into an `allOf`",
            _ => continue,
        };
        errors.push(format!("{}#{}/{}: {what}.", location.file, location.pointer, escape(name)));
    }
    if location.nesting > NESTING_MAX {
        errors.push(format!(
            "{}#{}: stands in more than {NESTING_MAX} other schemas; move it to `$defs` and refer to it.",
            location.file, location.pointer
        ));
    }
}

fn check_values(location: &Location<'_>, errors: &mut Vec<String>) {
    let mut refuse = |keyword: &str, what: &str| errors.push(format!("{}#{}/{keyword}: {what}.", location.file, location.pointer));
    if let Some(format) = location.get("format").and_then(Value::as_str)
        && !options(location.draft).is_known_format(location.draft, format)
    {
        refuse(
            "format",
            &format!("`{format}` is no format of this draft and would check nothing; use one that it has, a newer draft, or a `pattern`"),
        );
    }
    if location.get("uniqueItems").and_then(Value::as_bool) == Some(true) && location.get("maxItems").is_none() {
        refuse("uniqueItems", "needs a `maxItems` beside it, since every item is compared with all others; add one");
    }
    let options = location.get("enum").and_then(Value::as_array);
    let containers = options.into_iter().flatten().filter(|option| option.is_object() || option.is_array()).count();
    if containers > ENUM_CONTAINERS_MAX {
        refuse("enum", &format!("lists more than {ENUM_CONTAINERS_MAX} arrays and objects; describe them with `properties` instead"));
    }
}

fn check_patterns<'a>(location: &Location<'a>, seen: &mut BTreeSet<&'a str>, errors: &mut Vec<String>) {
    for pattern in patterns(location) {
        // Each is tried once, and no more of them than are allowed: a refusal may take as long as compiling.
        if !seen.insert(pattern) || seen.len() > PATTERNS_MAX {
            continue;
        }
        if let Some(why) = refusal(pattern) {
            errors.push(format!("{}#{}: the regular expression `{pattern}` is not taken: {why}.", location.file, location.pointer));
        }
    }
}

fn check_reference(location: &Location<'_>, graph: &Graph<'_>, errors: &mut Vec<String>) {
    let Some(reference) = location.get("$ref") else { return };
    let what = match reference.as_str().map(|text| (text, resolve(location.file, text))) {
        None => "is not a text; write the place of a schema.".to_owned(),
        Some((_, Err(what))) => what,
        Some((text, Ok(_))) if graph.target(location).is_none() => {
            format!("`{text}` leads to no schema; point it at a file, at a name under `$defs` or `definitions`, or at an `$anchor`.")
        }
        Some(_) => return,
    };
    errors.push(format!("{}#{}/$ref: {what}", location.file, location.pointer));
}
