//! The hazards: schemas with an event each.

use serde_json::{Map, Value, json};

use crate::poison::chain;

/// A schema with an event that triggers it.
pub struct Hazard {
    /// Of its event type, too.
    pub name: &'static str,
    pub schema: String,
    pub payload: String,
    /// What has to become of the event: `stored`, the reason of its dead letter, or why it waits, which is among what `/readyz` says.
    pub end: &'static str,
}

/// How many bytes a payload has for which the body has a little less than 1 MiB.
const LARGE: usize = (1 << 20) - 1024;

/// On a text without order its automaton meets a new state at nearly every character.
const HEAVY: &str = "[ab]*a[ab]{1900}c";

fn hazard(end: &'static str, name: &'static str, schema: &impl ToString, payload: impl Into<String>) -> Hazard {
    Hazard { name, schema: schema.to_string(), payload: payload.into(), end }
}

/// A text without order.
fn disorder(bytes: usize) -> String {
    let states = std::iter::successors(Some(1_u64), |state| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1)));
    states.map(|state| if state >> 60 & 1 == 0 { 'a' } else { 'b' }).take(bytes).collect()
}

/// As many of the items as so many bytes hold.
fn array(items: impl Iterator<Item = String>, bytes: usize) -> String {
    let mut length = 1;
    let has_room = |item: &String| {
        length += item.len() + 1;
        length <= bytes
    };
    format!("[{}]", items.take_while(has_room).collect::<Vec<_>>().join(","))
}

/// Empty arrays and arrays of one, by the bits of a number.
fn nested_arrays(number: u32) -> String {
    let arrays: Vec<_> = (0..15).map(|bit| if number >> bit & 1 == 0 { "[]" } else { "[[]]" }).collect();
    format!("[{}]", arrays.join(","))
}

fn deep(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

/// Definitions that refer to each other in a row: `link` makes one out of the reference to the next.
fn links(count: usize, link: impl Fn(Value) -> Value, last: Value) -> Value {
    let name = |index: usize| format!("#/$defs/{index}");
    let links = (0..count).map(|index| (index.to_string(), link(json!({"$ref": name(index + 1)}))));
    let definitions: Map<_, _> = links.chain([(count.to_string(), last)]).collect();
    json!({"$ref": name(0), "$defs": definitions})
}

/// An object of so many patterns for names.
fn of_names(patterns: impl Iterator<Item = String>) -> Value {
    json!({"patternProperties": patterns.map(|pattern| (pattern, json!(true))).collect::<Map<_, _>>()})
}

fn all_of(schemas: impl Iterator<Item = Value>) -> Value {
    json!({"allOf": schemas.collect::<Vec<_>>()})
}

pub fn without_bound() -> Vec<Hazard> {
    let late = "validation_timeout";
    let twice = |next: Value| json!({"allOf": [next, next], "unevaluatedProperties": false});
    let text = || r#"{"type": "string"}"#;
    let zeros = array((0..).map(|_| "0".to_owned()), 200_000);
    let array_of_itself = r##"{"type": "array", "items": {"$ref": "#/$defs/d12000"}}"##;
    let names = all_of((0..300).map(|length| of_names([format!("[ab]{{{length}}}c")].into_iter())));
    let repeated = array((1_u64 << 53..).map(|number| number.to_string()), LARGE - 20).replace(']', ",9007199254740993]");
    vec![
        hazard(late, "doubling-unevaluated", &links(10, twice, json!({"properties": {"a": true}})), r#"{"a": 1}"#),
        hazard(late, "doubling-20", &chain(20, 2, text()), "\"a\""),
        hazard(late, "doubling-28", &chain(28, 2, text()), "\"a\""),
        // The larger a payload, the more steps it may take.
        hazard(late, "doubling-28-large", &chain(28, 2, r#"{"type": "array"}"#), zeros),
        hazard(late, "deep-in-chain", &chain(12_000, 1, array_of_itself), deep(60)),
        hazard(late, "long-name", &names, format!(r#"{{"{}": 1}}"#, "a".repeat(1_000_000))),
        hazard("too_deep", "deep", &true, deep(10_000)),
        hazard("schema_violation", "integers-one-twice", &json!({"uniqueItems": true}), repeated),
    ]
}

pub fn long_text() -> Hazard {
    hazard("validation_timeout", "long-text", &json!({"pattern": HEAVY}), format!("\"{}\"", disorder(30_000)))
}

/// The engine that reads short texts counts few steps for them, whatever they take.
pub fn short_texts() -> Hazard {
    let text = disorder(LARGE);
    let texts = (0..text.len() / 510).map(|index| format!("\"{}\"", &text[index * 510..][..510]));
    let schema = json!({"items": {"not": {"pattern": "[ab]*a[ab]{250}[^ab]"}}});
    hazard("validation_timeout", "short-texts", &schema, array(texts, LARGE))
}

/// Ordinary expressions with classes of Unicode.
const HARMLESS: [&str; 10] = [
    r"^\p{L}",
    r"^[\p{L}\p{N} ]*$",
    r"\p{Lu}\p{Ll}*",
    r"\p{Ll}*\p{Lu}?$",
    r"^(\p{L}+ ?)+$",
    r"^[^\p{C}]+$",
    r"^(\p{L}|\p{M}|['’-])+$",
    r"^\S+$",
    r"\p{Script=Latin}",
    r"^\p{Alphabetic}{1,}$",
];

pub fn within_bounds() -> Vec<Hazard> {
    let unique = || json!({"uniqueItems": true});
    let text = format!("\"{}É\"", "aéßçñ".repeat(LARGE / 9 - 1));
    let of_each = (0..4_000).map(|index| (format!("p{index}"), of_names([r"\p{L}{5}".to_owned()].into_iter())));
    vec![
        hazard("stored", "arrays", &unique(), array((0..).map(nested_arrays), 948_000)),
        hazard("stored", "integers", &unique(), array((1_u64 << 53..).map(|number| number.to_string()), 948_000)),
        hazard("stored", "items", &unique(), array((0..100_000).map(|number| number.to_string()), LARGE)),
        hazard("stored", "text", &all_of(HARMLESS.iter().map(|pattern| json!({"pattern": pattern}))), text),
        hazard("stored", "chain", &links(20_000, |next| next, json!(true)), "1"),
        hazard("stored", "one-expression-often", &json!({"properties": of_each.collect::<Map<_, _>>()}), r#"{"p7": {"a": 1}}"#),
    ]
}

pub fn uncompilable() -> Vec<Hazard> {
    let (not_taken, too_large) = ("is no regular expression that is taken", "its regular expressions are too many and too large");
    let of_text = |pattern: &str| json!({"pattern": pattern});
    let text = format!("\"{}b\"", "a".repeat(100_000));
    let bomb = |index: usize| format!(r"\p{{L}}{{{}}}", 500 + index);
    // Each is taken by itself.
    let large = |index: usize| format!("[ab]{{1900}}c{{{index}}}");
    let nested = format!("{}true{}", r#"{"not":"#.repeat(5_000), "}".repeat(5_000));
    vec![
        hazard(not_taken, "lookaround", &of_text("(?=a)(a+)+$"), text.as_str()),
        hazard(not_taken, "back-reference", &of_text(r"^(?:(a)|(a))*\1b$"), text.as_str()),
        hazard(not_taken, "bomb", &of_text(r"\p{L}{500}"), "\"a\""),
        hazard(not_taken, "bombs-for-names", &of_names((0..300).map(bomb)), r#"{"a": 1}"#),
        hazard(too_large, "large-expressions", &all_of((0..2_000).map(|index| of_text(&large(index)))), "\"a\""),
        hazard(too_large, "large-expressions-for-names", &of_names((0..2_000).map(large)), r#"{"a": 1}"#),
        hazard("more than 64 levels of nesting", "deep-schema", &nested, "1"),
        hazard("more than 2 MiB", "long-chain", &links(100_000, |next| next, json!(true)), "1"),
    ]
}
