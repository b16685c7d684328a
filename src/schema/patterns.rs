//! Regular expressions: only such as a linear engine takes, and weighed, since linear is not yet fast.

use jsonschema::PatternOptions;
use jsonschema::Regex;
use serde_json::{Value, json};

use super::Bundle;
use super::keywords::{Place, add_places, draft_of};

/// How large a regular expression may become when it is compiled, and its cache when it is used.
const BYTES_MAX: usize = 256 * 1024;

/// Up to this size it looks at a megabyte of the worst text in about a quarter of a second.
const LIGHT_BYTES_MAX: usize = 16 * 1024;

/// The engine for every schema.
pub(super) fn engine() -> PatternOptions<Regex> {
    PatternOptions::regex().size_limit(BYTES_MAX).dfa_size_limit(BYTES_MAX)
}

/// The regular expressions of a schema, apart from those of the schemas in it.
pub(super) fn patterns<'a>(place: &Place<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let of_names = place.get("patternProperties").and_then(Value::as_object);
    let of_text = place.get("pattern").and_then(Value::as_str);
    of_names.into_iter().flat_map(|patterns| patterns.keys()).map(String::as_str).chain(of_text)
}

/// Whether the engine takes a regular expression.
pub(super) fn is_taken(pattern: &str) -> bool {
    compiles(pattern, engine())
}

/// How many steps each 64 bytes of a payload's text count, given what the bundle's regular expressions may do with them.
pub(super) fn text_weight(bundle: &Bundle) -> usize {
    let mut places = Vec::new();
    for (path, file) in bundle.files() {
        add_places(&mut places, path, draft_of(file).unwrap_or_default(), file);
    }
    let is_light = |pattern| compiles(pattern, engine().size_limit(LIGHT_BYTES_MAX));
    let weights = places.iter().flat_map(patterns).map(|pattern| if is_light(pattern) { 64 } else { 1024 });
    weights.max().unwrap_or(1)
}

fn compiles(pattern: &str, engine: PatternOptions<Regex>) -> bool {
    jsonschema::options().with_pattern_options(engine).build(&json!({ "pattern": pattern })).is_ok()
}
