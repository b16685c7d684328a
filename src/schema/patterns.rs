//! Regular expressions: only such as a linear engine takes, and weighed, since linear is not yet fast.

use jsonschema::PatternOptions;
use jsonschema::Regex;
use regex_syntax::ast::ErrorKind;
use serde_json::{Value, json};

use super::ecma::translate;
use super::location::Location;

/// How large a regular expression may become when it is compiled, and its cache when it is used.
pub(super) const BYTES_MAX: usize = 256 * 1024;

/// Up to this size an expression is light.
pub(super) const LIGHT_BYTES_MAX: usize = 16 * 1024;

/// Up to this size it is tried when it was not taken, to tell what is too large from what is wrong.
const TRIED_BYTES_MAX: usize = 8 * 1024 * 1024;

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
    let read = regex_syntax::parse(&translate(pattern));
    let (what, location) = match read {
        // It is well-formed, and larger still.
        Ok(_) => return Some(too_large.to_owned()),
        Err(regex_syntax::Error::Parse(error)) if *error.kind() == ErrorKind::UnsupportedLookAround => {
            let sentence = "it has lookaround, for which no engine answers in linear time; write what must and must not be there as several \
                            `pattern`s in an `allOf`, or within `not`";
            return Some(sentence.to_owned());
        }
        Err(regex_syntax::Error::Parse(error)) if is_back_reference(error.kind(), &error.pattern()[error.span().start.offset..]) => {
            let sentence = "it has a back-reference, for which no engine answers in linear time; write out what it may refer to, or leave \
                            the comparison to those who read the event";
            return Some(sentence.to_owned());
        }
        Err(regex_syntax::Error::Parse(error)) => (error.kind().to_string(), error.span().start.column),
        Err(regex_syntax::Error::Translate(error)) => (error.kind().to_string(), error.span().start.column),
        Err(_) => ("it cannot be read".to_owned(), 1),
    };
    Some(format!("it is not well-formed: {what} (character {location}); correct it"))
}

/// Whether what cannot be read, from its place on, refers to what a group has matched.
fn is_back_reference(kind: &ErrorKind, rest: &str) -> bool {
    // A zero is a character by its number, as the parser sees it.
    (*kind == ErrorKind::UnsupportedBackreference && !rest.starts_with("\\0")) || rest.starts_with("\\k<")
}

/// Whether an expression stays below a size.
pub(super) fn compiles_within(pattern: &str, bytes_max: usize) -> bool {
    compiles(pattern, engine().size_limit(bytes_max))
}

fn compiles(pattern: &str, engine: PatternOptions<Regex>) -> bool {
    jsonschema::options().with_pattern_options(engine).build(&json!({ "pattern": translate(pattern) })).is_ok()
}

/// Whether ECMA 262 has such an expression; the engine knows more.
pub(super) fn is_of_ecma(pattern: &str) -> bool {
    let formats = jsonschema::options().should_validate_formats(true).build(&json!({ "format": "regex" }));
    formats.is_ok_and(|format| format.is_valid(&Value::from(pattern)))
}
