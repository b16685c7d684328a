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
        ("%2e%2e/%2e%2e/x.json", "percent-encoded"),
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
        Bundle::collect("a/1.json", &mut |path| Ok(if path == "a/1.json" { refer(count) } else { file.clone() })).is_ok()
    };
    assert!(load(62, &json!({})));
    assert!(!load(70, &json!({})));
    assert!(!load(10, &json!({"description": "x".repeat(120_000)})));
}

#[test]
fn what_would_check_nothing_is_refused() {
    refused(&json!({"properties": {"a": {"minLenght": 3}}}), &["#/properties/a/minLenght", "no keyword of this draft"]);
    refused(&json!({"format": "datetime"}), &["#/format", "`datetime` is no format"]);
    refused(&json!({"$schema": "http://json-schema.org/draft-07/schema#", "$defs": {}}), &["#/$defs", "no keyword"]);
    refused(&json!({"dependencies": {}}), &["#/dependencies", "no keyword"]);
    refused(&json!({"$schema": "https://example.com/schema"}), &["#/$schema", "no known draft"]);
    refused(&json!({"properties": {"a": {"$id": "b"}}}), &["#/properties/a/$id", "refer to the schema by its place"]);
    refused(&json!({"$dynamicRef": "#a"}), &["#/$dynamicRef", "not supported"]);
    let draft_7 = "http://json-schema.org/draft-07/schema";
    let siblings = json!({"$schema": draft_7, "items": {"$ref": "#/definitions/a", "minimum": 1}, "definitions": {"a": {}}});
    refused(&siblings, &["#/items/minimum", "ignored beside `$ref`"]);
    refused(&json!({"$ref": "#/default", "default": {"minLenght": 1}}), &["#/$ref", "leads to no schema"]);
    refused(&json!({"type": "text"}), &["#/type", "not a schema of its draft"]);
    refused(&json!([]), &["not a schema of its draft"]);
    refused(&json!({"description": "\0"}), &["lone surrogate"]);
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
    let lookaround = "lookaround or a back-reference, for which no engine answers in linear time; write it without";
    for (pattern, why) in [
        ("(?=a)(a+)+$", lookaround),
        ("(?<!a)b", lookaround),
        (r"^(?:(a)|(a))*\1b$", lookaround),
        (r"(?<twice>a)\k<twice>", lookaround),
        (r"\p{L}{500}{500}", too_large),
        (r"^\d{1000}{10}$", too_large),
        ("(", "not well-formed: unclosed group (character 1); correct it"),
        ("^[z-a]$", "not well-formed: invalid character class range"),
        ("a{2,1}", "not well-formed: invalid repetition count range"),
        (r"\p{Nope}", "not well-formed: Unicode property not found"),
        (r"\0", "not well-formed: "),
    ] {
        refused(&json!({"pattern": pattern}), &[&format!("`{pattern}` is not taken: it"), why]);
        let errors = collect(&json!({"patternProperties": {pattern: true}}), &[]).map(|bundle| admit(&bundle).is_err());
        assert_eq!(errors, Ok(true), "{pattern}");
    }
    let patterns: Vec<_> = (0..65).map(|index| json!({"pattern": format!("^a{index}$")})).collect();
    refused(&json!({"anyOf": patterns}), &["65 different regular expressions"]);
    refused(&json!({"uniqueItems": true}), &["#/uniqueItems", "`maxItems`"]);
    let options: Vec<_> = (0..101).map(|index| json!([index])).collect();
    refused(&json!({"enum": options}), &["#/enum", "more than 100"]);
    refused(&json!({"description": "x".repeat(300_000)}), &["more than 256 KiB"]);
}
