//! Payloads validated by schemas; what is refused before that is in `admission`.

mod admission;
mod expressions;
mod github;
mod names;
mod official_suite;
mod suite;

use serde_json::{Map, Value, json};

use super::*;
use crate::event::{VIOLATIONS_MAX, Violation};
use crate::json::read;

const ROOT: &str = "order.created/2.json";

/// A tenant's files, as they would be read.
fn documents(files: &[(&str, String)]) -> Documents {
    let parsed = files.iter().map(|(path, text)| {
        let node = read(text.as_bytes()).unwrap_or_else(|defect| panic!("{path}: {defect}"));
        (path.to_string(), Some(Document::new(path, serde_json::from_str(text).expect("JSON"), &node)))
    });
    Documents::new(parsed.collect())
}

/// Collects `schema` as version 2 of `order.created`, with other files beside it.
fn collect(schema: &Value, others: &[(&str, Value)]) -> Result<Bundle, Vec<String>> {
    let mut files: Vec<_> = others.iter().map(|(path, file)| (*path, file.to_string())).collect();
    files.push((ROOT, schema.to_string()));
    Bundle::collect(ROOT, &documents(&files))
}

fn compile(schema: &Value, others: &[(&str, Value)]) -> Compiled {
    let bundle = collect(schema, others).unwrap_or_else(|errors| panic!("{errors:?}"));
    admit(&bundle).unwrap_or_else(|errors| panic!("{errors:?}")).compiled
}

fn violations(schema: &Compiled, payload: &str) -> Vec<Violation> {
    let node = read(payload.as_bytes()).expect(payload);
    let violations = schema.violations(&node);
    assert_eq!(schema.is_valid(&node), violations.is_empty(), "{payload}: {violations:?}");
    violations
}

fn check(schema: &Value, payload: &str, is_valid: bool) {
    let violations = violations(&compile(schema, &[]), payload);
    assert_eq!(violations.is_empty(), is_valid, "{payload} by {schema}: {violations:?}");
}

/// One violation: keyword, instance location, schema location, expected, found.
fn check_violation(schema: &Value, payload: &str, expect: [&str; 5]) {
    let violations = violations(&compile(schema, &[]), payload);
    let [keyword, instance_location, schema_location, expected, found] = expect.map(str::to_owned);
    assert_eq!(violations, [Violation { keyword, instance_location, schema_location, expected, found }]);
}

#[test]
fn references_are_followed_from_the_place_of_their_file() {
    let money = json!({"$id": "https://example.com/money", "$defs": {"amount": {"$ref": "amount.json"}}});
    let others = [("common/money.json", money), ("common/amount.json", json!({"type": "integer", "minimum": 0}))];
    let schema = compile(&json!({"properties": {"total": {"$ref": "../common/money.json#/$defs/amount"}}}), &others);
    let [violation] = violations(&schema, r#"{"total": -1}"#).try_into().expect("one violation");
    assert_eq!(violation.schema_location, "common/amount.json#/minimum");
    assert_eq!(violation.instance_location, "/total");
    assert!(violations(&schema, r#"{"total": 3}"#).is_empty());
}

#[test]
fn an_anchor_is_a_place_to_refer_to() {
    check(&json!({"$ref": "#positive", "$defs": {"p": {"$anchor": "positive", "minimum": 1}}}), "0", false);
}

#[test]
fn the_digest_is_that_of_the_meaning() {
    let digest = |text: &str| collect(&serde_json::from_str(text).expect(text), &[]).expect(text).digest();
    let first = digest(r#"{"type": "object", "maxProperties": 1}"#);
    assert_eq!(first, digest(r#" { "$id": "https://example.com", "maxProperties": 1.0, "\u0074ype": "object" } "#));
    assert_ne!(first, digest(r#"{"type": "object", "maxProperties": 2}"#));
    let bundle = collect(&json!({"$ref": "a.json"}), &[("order.created/a.json", json!(true))]).expect("a bundle");
    assert_eq!(Bundle::from_json(&bundle.to_json()), Ok(bundle));
}

#[test]
fn recursion_through_parts_of_a_value_is_cheap_however_deep_and_whatever_is_wrong() {
    let tree = json!({"properties": {"a": {"$ref": "#"}}, "additionalProperties": false});
    check(&tree, &nested(64, ""), true);
    check(&tree, &nested(64, r#""b":1"#), false);
    // Each level doubles: the validator remembers results while it validates, but not while it collects errors.
    let doubling = json!({"anyOf": [
        {"properties": {"a": {"$ref": "#"}}, "required": ["x"]},
        {"properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    ]});
    let [violation] = violations(&compile(&doubling, &[]), &nested(60, r#""z":1"#)).try_into().expect("one violation");
    assert_eq!((violation.keyword.as_str(), violation.instance_location.as_str()), ("schema", ""));
}

#[test]
fn the_longest_chains_fit_a_small_stack() {
    for (applicator, other) in [("allOf", json!(true)), ("anyOf", json!({"minProperties": 9})), ("oneOf", json!(false))] {
        // Each link takes two of the 16 places that may lead to each other.
        let mut links: Map<_, _> =
            (0..7).map(|index| (index.to_string(), json!({applicator: [{"$ref": format!("#/$defs/{}", index + 1)}, other]}))).collect();
        links.insert("7".to_owned(), json!({"properties": {"a": {"$ref": "#"}}, "maxProperties": 1}));
        let schema = json!({"$ref": "#/$defs/0", "$defs": links});
        check(&schema, &nested(64, ""), true);
        check(&schema, &nested(64, r#""b":1,"c":1"#), false);
    }
}

/// Objects in objects, `depth` levels, the innermost with these members.
fn nested(depth: usize, members: &str) -> String {
    format!("{}{{{members}}}{}", "{\"a\":".repeat(depth - 1), "}".repeat(depth - 1))
}

/// A text without order.
fn disorder(bytes: usize) -> String {
    let states = std::iter::successors(Some(1_u64), |state| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1)));
    states.map(|state| if state >> 60 & 1 == 0 { 'a' } else { 'b' }).take(bytes).collect()
}

fn check_out_of_steps(schema: &Compiled, payload: &str) {
    let [violation] = violations(schema, payload).try_into().expect("one violation");
    assert_eq!(violation.keyword, BUDGET);
}

#[test]
fn a_payload_that_takes_too_many_steps_is_not_valid() {
    // Nearly every character of the text is a state that the automaton has not met.
    let heavy = "[ab]*a[ab]{1900}c";
    check_out_of_steps(&compile(&json!({"pattern": heavy}), &[]), &format!("\"{}\"", disorder(20_000)));
    check(&json!({"pattern": heavy}), "\"ab\"", false);
    // One look at the name would take too long to be begun.
    let name = "a".repeat(200_000);
    for schema in [json!({"patternProperties": {heavy: true}}), json!({"patternProperties": {heavy: true}, "additionalProperties": false})]
    {
        check_out_of_steps(&compile(&schema, &[]), &format!("{{\"{name}\": 1}}"));
    }
    check(&json!({"patternProperties": {heavy: false}}), "{\"ab\": 1}", true);
    // As it could only be published past admission: each look is short, but there are too many.
    let many =
        json!({"allOf": (0..300).map(|index| json!({"patternProperties": {format!("[ab]{{{index}}}c"): true}})).collect::<Vec<_>>()});
    let schema = Compiled::compile(&collect(&many, &[]).expect("a bundle")).expect("a schema");
    check_out_of_steps(&schema, &format!("{{\"{}\": 1}}", "a".repeat(1_000_000)));
}

#[test]
fn long_texts_and_many_items_are_validated_under_what_is_harmless() {
    let patterns = [
        r"^\p{L}+$",
        r"^[\p{L}\p{N} ]*$",
        r"\p{Lu}?\p{Ll}+$",
        r"^(\p{L}+ ?)+$",
        r"^[^\p{C}]+$",
        r"^\P{Nd}*$",
        r"^(\p{L}|\p{M}|['’-])+$",
        r"^\S+$",
        r"\p{Script=Latin}",
        r"^\p{Alphabetic}{1,}$",
    ];
    let all =
        json!({"type": "string", "minLength": 1, "allOf": patterns.iter().map(|pattern| json!({"pattern": pattern})).collect::<Vec<_>>()});
    check(&all, &format!("\"{}\"", "aéßçñ".repeat(1024 * 1024 / 9)), true);
    check(&json!({"pattern": patterns[0]}), &format!("\"{}\"", "é".repeat(867_000 / 2)), true);
    check(&json!({"items": all}), &format!("[{}\"é\"]", "\"éàü\", ".repeat(20_000)), true);
    let items: Vec<_> = (0..100_000).map(|index| index.to_string()).collect();
    check(&json!({"uniqueItems": true}), &format!("[{}]", items.join(",")), true);
    check(&json!({"uniqueItems": true}), &format!("[{},7]", items.join(",")), false);
    // Names are short as a rule.
    let names = json!({"patternProperties": (0..20).map(|index| (format!(r"^\p{{L}}+{index}$"), json!(true))).collect::<Map<_, _>>()});
    let members: Vec<_> = (0..10_000).map(|index| format!("\"name{index}\":1")).collect();
    check(&names, &format!("{{{}}}", members.join(",")), true);
}

#[test]
fn a_payload_may_take_the_more_steps_the_larger_it_is() {
    let many = json!({"items": {"allOf": vec![json!({"maximum": 1}); 30]}});
    check(&many, &format!("[{}1]", "1,".repeat(100_000)), true);
    // As it could only be published past admission: twice as many steps with each link.
    let links: Map<_, _> = (0..30).map(|index| (index.to_string(), json!({"allOf": vec![link(index + 1); 2]}))).collect();
    let doubling = json!({"$ref": "#/$defs/0", "$defs": links});
    let schema = Compiled::compile(&collect(&doubling, &[]).expect("a bundle")).expect("a schema");
    let [violation] = violations(&schema, r#"{"a": 1}"#).try_into().expect("one violation");
    assert_eq!(violation.keyword, BUDGET);
}

fn link(index: usize) -> Value {
    if index == 30 { json!({"minProperties": 1}) } else { json!({"$ref": format!("#/$defs/{index}")}) }
}

#[test]
fn numbers_are_validated_by_their_text() {
    for (schema, number, is_valid) in [
        (json!({"type": "integer"}), "1e30", true),
        (json!({"type": "integer"}), "1.50e1", true),
        (json!({"type": "integer"}), "10e-1", true),
        (json!({"type": "integer"}), "0e-9", true),
        (json!({"type": "integer"}), "9007199254740993.5", false),
        (json!({"type": "integer"}), "1e-1", false),
        (json!({"type": "integer", "$schema": "http://json-schema.org/draft-04/schema#"}), "1.0", false),
        (json!({"maximum": 9_007_199_254_740_992_u64}), "9007199254740993", false),
        (json!({"const": 18_446_744_073_709_551_615_u64}), "18446744073709551615", true),
        (json!({"const": 9_007_199_254_740_993_u64}), "9007199254740992", false),
        (json!({"enum": [[9_007_199_254_740_993_u64]]}), "[9007199254740993.0]", true),
        (json!({"enum": [[9_007_199_254_740_993_u64]]}), "[9007199254740992]", false),
        (json!({"enum": [{"a": 0.1}]}), r#"{"a": 1e-1}"#, true),
        (json!({"multipleOf": 0.01}), "0.07", true),
        (json!({"multipleOf": 0.01}), "0.075", false),
        (json!({"uniqueItems": true, "maxItems": 9}), "[9007199254740993, 9007199254740992]", true),
        (json!({"uniqueItems": true, "maxItems": 9}), "[1, 1.0]", false),
        (json!({"uniqueItems": true, "maxItems": 9}), r#"[{"a": 1, "b": 2}, {"b": 2e0, "a": 1}]"#, false),
    ] {
        check(&schema, number, is_valid);
    }
}

#[test]
fn objects_with_many_members_are_looked_into_by_index() {
    let names: Vec<_> = (0..100).map(|index| format!("k{index}")).collect();
    let members: Vec<_> = (0..2_000).map(|index| format!("\"k{index}\":{index}")).collect();
    let payload = format!("{{{}}}", members.join(","));
    let properties = |schema: Value| names.iter().map(|name| (name.clone(), schema.clone())).collect::<Map<_, _>>();
    check(&json!({"required": names, "properties": properties(json!({"type": "integer"}))}), &payload, true);
    check(&json!({"properties": properties(json!({"maximum": 98}))}), &payload, false);
    check(&json!({"required": names.iter().map(|name| format!("{name}x")).collect::<Vec<_>>()}), &payload, false);
}

#[test]
fn a_violation_says_where_and_what_was_expected_but_no_value() {
    let at = |pointer: &str| format!("{ROOT}#{pointer}");
    let total = json!({"properties": {"total": {"minimum": 0}}});
    check_violation(&total, r#"{"total": -7}"#, ["minimum", "/total", &at("/properties/total/minimum"), "at least 0", "number"]);
    check_violation(&json!({"required": ["total"]}), "{}", ["required", "", &at("/required"), "property `total`", "object"]);
    let closed = json!({"additionalProperties": false});
    check_violation(
        &closed,
        r#"{"s3cret": 1}"#,
        ["additionalProperties", "", &at("/additionalProperties"), "no other properties", "object"],
    );
    check_violation(&json!({"items": {"type": "string"}}), "[null]", ["type", "/0", &at("/items/type"), "a string", "null"]);
    let types = json!({"type": ["string", "null"]});
    check_violation(&types, "[]", ["type", "", &at("/type"), "one of the types null, string", "array"]);
    check_violation(&json!({"enum": ["a", 1]}), "true", ["enum", "", &at("/enum"), r#"one of "a", 1"#, "boolean"]);
    let time = json!({"properties": {"a b/c": {"format": "date-time"}}});
    check_violation(&time, r#"{"a b/c": "s3cret"}"#, ["format", "/a b~1c", &at("/properties/a b~1c/format"), "format date-time", "string"]);
    let any = json!({"anyOf": [{"type": "string"}, {"minimum": 5}]});
    check_violation(&any, "3", ["anyOf", "", &at("/anyOf"), "a value that at least one of the alternatives allows", "number"]);
    check_violation(
        &json!({"properties": {"a": false}}),
        r#"{"a": 1}"#,
        ["falseSchema", "/a", &at("/properties/a"), "no value here", "number"],
    );
    // A property may be called like a keyword.
    for name in ["additionalProperties", "unevaluatedItems", "properties", "items"] {
        let (location, pointer) = (at(&format!("/properties/{name}")), format!("/{name}"));
        let expect = ["falseSchema", &pointer, &location, "no value here", "number"];
        check_violation(&json!({"properties": {name: false}}), &format!("{{{name:?}: 1}}"), expect);
    }
    let nested = json!({"properties": {"properties": {"additionalProperties": false}}});
    let expect = ["/properties", &at("/properties/properties/additionalProperties"), "no other properties", "object"];
    check_violation(&nested, r#"{"properties": {"a": 1}}"#, ["additionalProperties", expect[0], expect[1], expect[2], expect[3]]);
    let names = json!({"propertyNames": {"maxLength": 3}});
    let expected = "property names that `propertyNames` allows";
    check_violation(&names, r#"{"s3cret": 1}"#, ["propertyNames", "", &at("/propertyNames"), expected, "object"]);
}

#[test]
fn a_payloads_time_has_the_separators_of_rfc_3339_as_an_envelopes_has() {
    for (separator, is_valid) in [("T", true), ("t", true), (" ", false), ("x", false), ("_", false), ("\\n", false)] {
        check(&json!({"format": "date-time"}), &format!("\"2026-11-30{separator}12:00:00Z\""), is_valid);
    }
}

#[test]
fn violations_are_few_and_short() {
    let schema = compile(&json!({"additionalProperties": {"type": "null"}}), &[]);
    let members = |count: usize, length: usize| (0..count).map(|index| format!("\"{index}{}\":1", "ü".repeat(length))).collect::<Vec<_>>();
    assert_eq!(violations(&schema, &format!("{{{}}}", members(20, 1).join(","))).len(), VIOLATIONS_MAX);
    assert_eq!(violations(&schema, &format!("{{{}}}", members(6_000, 1).join(","))).len(), 1);
    let long = violations(&schema, &format!("{{{}}}", members(20, 700).join(",")));
    assert!(long.len() > 1 && serde_json::to_string(&long).is_ok_and(|text| text.len() <= 4 * 1024));
    assert!(long.iter().all(|violation| violation.instance_location.len() <= 512));
}
