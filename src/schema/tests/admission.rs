//! What is refused, and what is not.

use std::net::TcpListener;

use serde_json::{Map, Value, json};

use super::super::{Bundle, Compiled, admit};
use super::{ROOT, check, collect};

/// Collects and admits a schema; it is refused by exactly one sentence, which has all of `parts`.
fn refused(schema: &Value, parts: &[&str]) {
    let result = collect(schema, &[]).and_then(|bundle| admit(&bundle).map(|_| ()));
    let errors = result.expect_err(&schema.to_string());
    assert_eq!(errors.len(), 1, "{errors:?}");
    for part in parts {
        assert!(errors[0].contains(part), "{part} is not in: {}", errors[0]);
    }
    assert!(errors[0].starts_with(ROOT) && errors[0].ends_with('.'), "{}", errors[0]);
}

#[test]
fn a_reference_that_leaves_the_tenants_directory_is_refused_by_its_text() {
    for (reference, why) in [
        ("http://example.com/a.json", "nothing is ever fetched"),
        ("file:///etc/passwd", "nothing is ever fetched"),
        ("//example.com/a.json", "nothing is ever fetched"),
        ("urn:a:b", "nothing is ever fetched"),
        ("/common/a.json", "absolute path"),
        ("../../common/a.json", "out of the tenant's directory"),
        ("../../../b/x.json", "out of the tenant's directory"),
        ("a/../../../x.json", "out of the tenant's directory"),
        ("%2e%2e/%2e%2e/x.json", "out of the tenant's directory"),
        ("..\\..\\x.json", "backslash"),
        ("a//b.json", "not the path of a file"),
        ("a.json?b", "not the path of a file"),
        ("..", "not the path of a file"),
    ] {
        refused(&json!({"properties": {"a": {"$ref": reference}}}), &["#/properties/a/$ref", reference, why]);
    }
}

#[test]
fn nothing_is_ever_fetched() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("supported");
    let url = format!("http://{}/schema.json", listener.local_addr().expect("bound"));
    refused(&json!({"$ref": url}), &["nothing is ever fetched"]);
    refused(&json!({"$schema": url}), &["names no known draft"]);
    // Not even where the text was never looked at, as in a bundle from a database that somebody else wrote to.
    let bundle = json!({"root": "a/1.json", "files": {"a/1.json": {"$ref": url}}}).to_string();
    assert!(Compiled::compile(&Bundle::from_json(&bundle).expect("a bundle")).is_err());
    assert!(listener.accept().is_err(), "somebody connected");
}

#[test]
fn a_bundle_has_at_most_64_files_and_one_mebibyte() {
    let refer = |count: usize| json!({"anyOf": (0..count).map(|index| json!({"$ref": format!("{index}.json")})).collect::<Vec<_>>()});
    let load = |count: usize, file: &Value| {
        let names: Vec<_> = (0..count).map(|index| format!("order.created/{index}.json")).collect();
        let others: Vec<_> = names.iter().filter(|name| *name != ROOT).map(|name| (name.as_str(), file.clone())).collect();
        collect(&refer(count), &others).is_ok()
    };
    assert!(load(62, &json!({})));
    assert!(!load(70, &json!({})));
    assert!(!load(10, &json!({"description": "x".repeat(120_000)})));
}

/// A schema is admitted with exactly one warning, which has all of `parts`.
fn warned(schema: &Value, parts: &[&str]) {
    let admitted = collect(schema, &[]).and_then(|bundle| admit(&bundle)).unwrap_or_else(|errors| panic!("{schema}: {errors:?}"));
    assert_eq!(admitted.warnings.len(), 1, "{:?}", admitted.warnings);
    for part in parts {
        assert!(admitted.warnings[0].contains(part), "{part} is not in: {}", admitted.warnings[0]);
    }
    assert!(admitted.warnings[0].starts_with(ROOT) && admitted.warnings[0].ends_with('.'), "{}", admitted.warnings[0]);
}

const DRAFT_7: &str = "http://json-schema.org/draft-07/schema";

#[test]
fn what_its_draft_ignores_is_a_warning_and_checks_nothing() {
    warned(&json!({"properties": {"a": {"minLenght": 3}}}), &["#/properties/a/minLenght", "no keyword of this draft"]);
    warned(&json!({"format": "datetime"}), &["#/format", "`datetime` is no format"]);
    warned(&json!({"dependencies": {"a": ["b"]}}), &["#/dependencies", "no keyword"]);
    warned(&json!({"$schema": DRAFT_7, "$defs": {}}), &["#/$defs", "is called `definitions` in this draft"]);
    let siblings = json!({"$schema": DRAFT_7, "items": {"$ref": "#/definitions/a", "minimum": 1}, "definitions": {"a": {}}});
    warned(&siblings, &["#/items/minimum", "ignored beside `$ref`"]);
    for (schema, payload) in [
        (json!({"properties": {"a": {"minLenght": 3}}}), r#"{"a": ""}"#),
        (json!({"format": "datetime"}), r#""now""#),
        (json!({"dependencies": {"a": ["b"], "c": false}}), r#"{"a": 1, "c": 2}"#),
        (json!({"prefixItems": [true], "additionalItems": false}), "[1, 2]"),
        (siblings, "[0]"),
    ] {
        check(&schema, payload, true);
    }
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    refused(&json!({"$schema": "https://example.com/schema"}), &["#/$schema", "no known draft"]);
    refused(&json!({"items": {"$schema": DRAFT_7}}), &["#/items/$schema", "another draft than its file's"]);
    refused(&json!({"$ref": "#/default/a", "default": 1}), &["#/$ref", "leads to no schema"]);
    refused(&json!({"$schema": DRAFT_7, "$ref": "#/nothing"}), &["under `definitions`"]);
    refused(&json!({"type": "text"}), &["#/type", "not a schema of its draft"]);
    refused(&json!([]), &["not a schema of its draft"]);
}

#[test]
fn annotations_and_all_drafts_are_admitted() {
    check(&json!({"x-owner": "sales", "title": "a", "properties": {"minLenght": {"deprecated": true}}}), "{}", true);
    for draft in ["draft-04/schema#", "draft-06/schema", "draft-07/schema#", "draft/2019-09/schema", "draft/2020-12/schema"] {
        let uri = format!("http://json-schema.org/{draft}").replace("http://json-schema.org/draft/", "https://json-schema.org/draft/");
        check(&json!({"$schema": uri, "type": "object", "required": ["a"]}), "{}", false);
    }
}

#[test]
fn schemas_that_expand_too_far_are_refused() {
    let definitions = |range: std::ops::Range<usize>, part: &dyn Fn(String) -> Value| -> Value {
        range.map(|index| (index.to_string(), part(format!("#/$defs/{}", index + 1)))).collect::<Map<_, _>>().into()
    };
    let mut eightfold = definitions(0..4, &|next| json!({"allOf": vec![json!({ "$ref": next }); 8]}));
    eightfold["4"] = json!({});
    refused(&json!({"$ref": "#/$defs/0", "$defs": eightfold}), &["applied to one value"]);
    let mut by_parts = definitions(0..14, &|next| json!({"properties": {"a": {"$ref": next}, "b": {"$ref": next}}}));
    by_parts["14"] = json!({});
    refused(&json!({"$ref": "#/$defs/0", "$defs": by_parts}), &["each $ref is replaced"]);
    let mut chain = definitions(0..3_000, &|next| json!({ "$ref": next }));
    chain["3000"] = json!({});
    refused(&json!({"$ref": "#/$defs/0", "$defs": chain}), &["through more than 16 others"]);
    let unevaluated = (0..10).fold(json!({}), |inner, _| json!({"allOf": [inner], "unevaluatedProperties": false}));
    refused(&unevaluated, &["count double"]);
    refused(&json!({"$ref": "#"}), &["refers to itself for the same value"]);
    refused(&json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]}), &["refers to itself for the same value"]);
    refused(&(0..17).fold(json!({}), |inner, _| json!({"items": inner})), &["stands in more than 16"]);
}

#[test]
fn costly_keywords_are_refused() {
    let too_large = "beyond 256 KiB when it is compiled; lower the numbers";
    let lookaround = "it has lookaround, for which no engine answers in linear time; write what must";
    let back_reference = "it has a back-reference, for which no engine answers in linear time; write out what";
    for (pattern, why) in [
        ("(?=a)(a+)+$", lookaround),
        ("(?<!a)b", lookaround),
        (r"^(?:(a)|(a))*\1b$", back_reference),
        (r"(?<twice>a)\k<twice>", back_reference),
        (r"\p{L}{500}{500}", too_large),
        (r"^\d{1000}{10}$", too_large),
        ("(", "not well-formed: unclosed group (character 1); correct it"),
        ("^[z-a]$", "not well-formed: invalid character class range"),
        ("a{2,1}", "not well-formed: invalid repetition count range"),
        (r"\p{Nope}", "not well-formed: Unicode property not found"),
        (r"\01", "not well-formed: "),
    ] {
        refused(&json!({"pattern": pattern}), &[&format!("`{pattern}` is not taken: it"), why]);
        let errors = collect(&json!({"patternProperties": {pattern: true}}), &[]).map(|bundle| admit(&bundle).is_err());
        assert_eq!(errors, Ok(true), "{pattern}");
    }
    let patterns: Vec<_> = (0..65).map(|index| json!({"pattern": format!("^a{index}$")})).collect();
    refused(&json!({"anyOf": patterns}), &["65 different regular expressions"]);
    check(&json!({"uniqueItems": true}), "[1, 2, 1]", false);
    let options: Vec<_> = (0..101).map(|index| json!([index])).collect();
    refused(&json!({"enum": options}), &["#/enum", "more than 100"]);
    refused(&json!({"description": "x".repeat(300_000)}), &["more than 256 KiB"]);
}
