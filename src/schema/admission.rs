//! What a schema must be before it is published: valid in its draft, and harmless. What its draft ignores is told.

use std::collections::BTreeSet;

use jsonschema::Draft;
use serde_json::Value;

use super::drafts::is_of_draft;
use super::expansion::Graph;
use super::keywords::{draft_of, escape, ignores_siblings, is_annotation, is_known};
use super::location::Location;
use super::patterns::{is_of_ecma, patterns, refusal};
use super::{Bundle, Compiled, options};

/// How many bytes a file may have, written without white space.
const FILE_BYTES_MAX: usize = 256 * 1024;

/// How many schemas a schema may stand in within its file.
const NESTING_MAX: usize = 16;

/// How many different regular expressions a bundle may have.
const PATTERNS_MAX: usize = 64;

/// How many arrays and objects an `enum` may list: they are compared one by one.
const ENUM_CONTAINERS_MAX: usize = 100;

/// A bundle that may be published.
pub struct Admitted {
    /// Ready to validate.
    pub compiled: Compiled,
    /// What its drafts say to ignore, and who wrote it may not have meant: a sentence each.
    pub warnings: Vec<String>,
}

/// Admits a bundle for publication and compiles it.
///
/// # Errors
/// A sentence for each thing that could harm or cannot be honoured as written: where, what, and what to do about it.
pub fn admit(bundle: &Bundle) -> Result<Admitted, Vec<String>> {
    let mut errors: Vec<_> = bundle.files().iter().filter_map(|(path, file)| file_error(path, file)).collect();
    refuse(&mut errors)?;
    let graph = Graph::of(bundle);
    let (mut seen, mut warnings) = (BTreeSet::new(), Vec::new());
    for location in graph.locations.all().iter().filter(|location| !is_of_draft(location.file)) {
        check_place(location, &mut errors);
        check_keywords(location, &mut warnings);
        check_values(location, &mut errors);
        check_patterns(location, &mut seen, &mut errors, &mut warnings);
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
    let compiled = Compiled::compile(bundle).map_err(|error| vec![error])?;
    Ok(Admitted { compiled, warnings })
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

/// A schema in a file is of its draft, and not too deep in it.
fn check_place(location: &Location<'_>, errors: &mut Vec<String>) {
    if !location.pointer.is_empty() && location.get("$schema").is_some() && draft_of(location.schema) != Some(location.draft) {
        errors.push(format!("{location}/$schema: is another draft than its file's, which is not supported; move it to a file of its own."));
    }
    if location.nesting > NESTING_MAX {
        errors.push(format!("{location}: stands in more than {NESTING_MAX} other schemas; move it to `$defs` and refer to it."));
    }
}

/// What its draft says to ignore: a keyword that is misspelt checks nothing and says nothing.
fn check_keywords(location: &Location<'_>, warnings: &mut Vec<String>) {
    let ignores_siblings = ignores_siblings(location.draft, location.schema);
    for (name, value) in location.keywords().filter(|(name, _)| !is_annotation(name)) {
        let what = match name {
            "$defs" if location.draft <= Draft::Draft7 => {
                "is called `definitions` in this draft; what it holds is a schema only where a reference leads to it".to_owned()
            }
            _ if !is_known(location.draft, name) => {
                "is no keyword of this draft and checks nothing; correct it, or begin it with `x-` if it only describes".to_owned()
            }
            "$ref" | "definitions" | "$schema" => continue,
            _ if ignores_siblings => "is ignored beside `$ref` in this draft; put both into an `allOf`".to_owned(),
            "format" => match value.as_str().filter(|format| !options(location.draft).is_known_format(location.draft, format)) {
                Some(format) => {
                    format!("`{format}` is no format of this draft and checks nothing; use one that it has, a newer draft, or a `pattern`")
                }
                None => continue,
            },
            _ => continue,
        };
        warnings.push(format!("{location}/{}: {what}.", escape(name)));
    }
}

fn check_values(location: &Location<'_>, errors: &mut Vec<String>) {
    let options = location.get("enum").and_then(Value::as_array);
    let containers = options.into_iter().flatten().filter(|option| option.is_object() || option.is_array()).count();
    if containers > ENUM_CONTAINERS_MAX {
        errors.push(format!(
            "{location}/enum: lists more than {ENUM_CONTAINERS_MAX} arrays and objects; describe them with `properties` instead."
        ));
    }
}

fn check_patterns<'a>(location: &Location<'a>, seen: &mut BTreeSet<&'a str>, errors: &mut Vec<String>, warnings: &mut Vec<String>) {
    for pattern in patterns(location) {
        // Each is tried once, and no more of them than are allowed: a refusal may take as long as compiling.
        if !seen.insert(pattern) || seen.len() > PATTERNS_MAX {
            continue;
        }
        if !is_of_ecma(pattern) {
            warnings.push(format!(
                "{location}: the regular expression `{pattern}` is none of ECMA 262; write it so that every tool reads it as one."
            ));
        }
        if let Some(why) = refusal(pattern) {
            errors.push(format!("{location}: the regular expression `{pattern}` is not taken: {why}."));
        }
    }
}
