//! Regular expressions: only such as a linear engine takes, and weighed, since linear is not yet fast.

use jsonschema::PatternOptions;
use jsonschema::Regex;
use regex_syntax::ast::ErrorKind;
use serde_json::{Value, json};

use super::Bundle;
use super::keywords::{Location, add_locations, draft_of};

/// How large a regular expression may become when it is compiled, and its cache when it is used.
const BYTES_MAX: usize = 256 * 1024;

/// Up to this size it is tried when it was not taken, to tell what is too large from what is wrong.
const TRIED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Up to this size it looks at a megabyte of the worst text in about a quarter of a second.
const LIGHT_BYTES_MAX: usize = 16 * 1024;

/// The engine for every schema.
pub(super) fn engine() -> PatternOptions<Regex> {
    PatternOptions::regex().size_limit(BYTES_MAX).dfa_size_limit(BYTES_MAX)
}

/// The regular expressions of a schema, apart from those of the schemas in it.
pub(super) fn patterns<'a>(location: &Location<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    let of_names = location.get("patternProperties").and_then(Value::as_object);
    let of_text = location.get("pattern").and_then(Value::as_str);
    of_names.into_iter().flat_map(|patterns| patterns.keys()).map(String::as_str).chain(of_text)
}

/// Why the engine does not take a regular expression, and what to do about it; nothing where it does.
pub(super) fn refusal(pattern: &str) -> Option<String> {
    if compiles(pattern, engine()) {
        return None;
    }
    let too_large = "it grows beyond 256 KiB when it is compiled; lower the numbers in its braces, or limit the text by `maxLength`";
    if compiles(pattern, engine().size_limit(TRIED_BYTES_MAX).dfa_size_limit(TRIED_BYTES_MAX)) {
        return Some(too_large.to_owned());
    }
    let (what, location) = match regex_syntax::parse(pattern) {
        // It is well-formed, and larger still.
        Ok(_) => return Some(too_large.to_owned()),
        Err(regex_syntax::Error::Parse(error)) if is_beyond_linear(error.kind(), &pattern[error.span().start.offset..]) => {
            let sentence = "it has lookaround or a back-reference, for which no engine answers in linear time; write it without them, \
                            perhaps as several `pattern`s in an `allOf`, or within `not`";
            return Some(sentence.to_owned());
        }
        Err(regex_syntax::Error::Parse(error)) => (error.kind().to_string(), error.span().start.column),
        Err(regex_syntax::Error::Translate(error)) => (error.kind().to_string(), error.span().start.column),
        Err(_) => ("it cannot be read".to_owned(), 1),
    };
    Some(format!("it is not well-formed: {what} (character {location}); correct it"))
}

/// Whether what cannot be read, from its place on, is what other engines take and need more than linear time for.
fn is_beyond_linear(kind: &ErrorKind, rest: &str) -> bool {
    match kind {
        ErrorKind::UnsupportedLookAround => true,
        // A zero is a character by its number, as the parser sees it.
        ErrorKind::UnsupportedBackreference => !rest.starts_with("\\0"),
        _ => rest.starts_with("\\k<"),
    }
}

/// How many steps each 64 bytes of a payload's text count, given what the bundle's regular expressions may do with them.
pub(super) fn text_weight(bundle: &Bundle) -> usize {
    let mut locations = Vec::new();
    for (path, file) in bundle.files() {
        add_locations(&mut locations, path, draft_of(file).unwrap_or_default(), file);
    }
    let is_light = |pattern| compiles(pattern, engine().size_limit(LIGHT_BYTES_MAX));
    let weights = locations.iter().flat_map(patterns).map(|pattern| if is_light(pattern) { 64 } else { 1024 });
    weights.max().unwrap_or(1)
}

fn compiles(pattern: &str, engine: PatternOptions<Regex>) -> bool {
    jsonschema::options().with_pattern_options(engine).build(&json!({ "pattern": pattern })).is_ok()
}
