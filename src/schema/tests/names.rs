//! Where references lead: by place, by name, and no further.

use std::fs;
use std::path::Path;

use jsonschema::Draft;
use serde_json::{Value, json};

use super::super::keywords::draft_of;
use super::super::{Bundle, Documents, admit};
use super::github::{corpus, files_of, github_schemas};
use super::{ROOT, check_violation, collect, compile, documents, violations};

/// Holds payloads against `schema` beside other files: (payload, is valid).
fn check(schema: &Value, others: &[(&str, Value)], payloads: &[(&str, bool)]) {
    let compiled = compile(schema, others);
    for (payload, is_valid) in payloads {
        let violations = violations(&compiled, payload);
        assert_eq!(violations.is_empty(), *is_valid, "{payload} by {schema}: {violations:?}");
    }
}

#[test]
fn a_file_and_the_schemas_in_it_are_found_by_the_names_that_they_give_themselves() {
    let money = json!({"$id": "https://example.com/money.json", "$defs": {
        "amount": {"$id": "amount", "type": "integer"},
        "price": {"$anchor": "price", "$ref": "amount", "minimum": 1},
    }});
    let others = [("common/m.json", money)];
    for reference in [
        "https://example.com/money.json#/$defs/price",
        "https://example.com/money.json#price",
        "https://EXAMPLE.com:443/money.json#/%24defs/price",
        "../common/m.json#/$defs/price",
        "../common/m.json#price",
        "..%2Fcommon/m.json#/$defs/price",
    ] {
        check(&json!({"$ref": reference}), &others, &[("1", true), ("0", false), ("\"a\"", false)]);
    }
    check(&json!({"$ref": "https://example.com/amount"}), &others, &[("0", true), ("1.5", false)]);
    // Relative to a name, as well.
    check(&json!({"$id": "https://example.com/a/b", "$ref": "../amount"}), &others, &[("0", true), ("1.5", false)]);
    for (draft, id, definitions) in
        [("draft-04", "id", "definitions"), ("draft-06", "$id", "definitions"), ("draft-07", "$id", "definitions")]
    {
        let schema = json!({
            "$schema": format!("http://json-schema.org/{draft}/schema#"), id: "http://example.com/root.json",
            definitions: {"a": {id: "#here", "type": "string"}, "b": {id: "other.json", definitions: {"c": {"type": "null"}}}},
            "properties": {
                "a": {"$ref": "#here"}, "b": {"$ref": "other.json#/definitions/c"}, "c": {"$ref": "http://example.com/root.json#here"},
            },
        });
        let payloads = [(r#"{"a": "", "b": null, "c": ""}"#, true), (r#"{"a": 1}"#, false), (r#"{"b": 1}"#, false), (r#"{"c": 1}"#, false)];
        check(&schema, &[], &payloads);
    }
}

#[test]
fn what_is_wrong_under_a_name_is_told_with_file_and_pointer() {
    let schema = json!({"$ref": "urn:example:b", "$defs": {"a b": {"$id": "urn:example:b", "items": {"minimum": 1}}}});
    let place = format!("{ROOT}#/$defs/a b/items/minimum");
    check_violation(&schema, "[0]", ["minimum", "/0", &place, "at least 1", "number"]);
}

#[test]
fn a_path_means_what_it_meant_and_a_name_that_two_have_must_not_be_needed() {
    // By name it would be the other file.
    let others = [
        ("order.created/money.json", json!({"type": "integer"})),
        ("common/other.json", json!({"$id": "https://example.com/money.json", "type": "string"})),
    ];
    let schema = json!({"$id": "https://example.com/order.json", "$ref": "money.json"});
    check(&schema, &others, &[("1", true), ("\"a\"", false)]);
    let twice = [("common/a.json", json!({"$id": "https://example.com/a"})), ("common/b.json", json!({"$id": "https://example.com/a"}))];
    assert!(collect(&json!({}), &twice).is_ok());
    let errors = collect(&json!({"$ref": "https://example.com/a"}), &twice).expect_err("two of a name");
    assert!(errors[0].contains("both common/a.json and common/b.json"), "{errors:?}");
    // Its own name is its own, whoever else has it: as versions that are copies of each other do.
    let copies = [("order.created/1.json", json!({"$id": "https://example.com/a", "$defs": {"x": false}}))];
    let schema = json!({"$id": "https://example.com/a", "$ref": "https://example.com/a#/$defs/x", "$defs": {"x": true}});
    check(&schema, &copies, &[("1", true)]);
}

#[test]
fn references_lead_to_what_the_drafts_let_them_lead_to() {
    let draft_7 = "http://json-schema.org/draft-07/schema#";
    let by_defs = json!({"$schema": draft_7, "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "null"}}});
    check(&by_defs, &[], &[("null", true), ("1", false)]);
    for name in ["a b", "ü", "a\"b", "50%", "a~b/c", "%25", "a?b#c"] {
        let reference = name.replace('%', "%25").replace('~', "~0").replace('/', "~1").replace('#', "%23").replace(' ', "%20");
        let schema = json!({"$ref": format!("#/$defs/{reference}"), "$defs": {name: {"type": "null"}}});
        check(&schema, &[], &[("null", true), ("1", false)]);
    }
    let drafts = [
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-06/schema#",
        draft_7,
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    ];
    for draft in drafts {
        let payloads = [(r#"{"minLength": 1}"#, true), (r#"{"properties": {"a": {"minLength": -1}}}"#, false)];
        check(
            &json!({"properties": {"schema": {"$ref": draft}}}),
            &[],
            &[(r#"{"schema": {}}"#, true), (r#"{"schema": {"type": 1}}"#, false)],
        );
        check(&json!({"$schema": draft, "allOf": [{"$ref": draft}]}), &[], &payloads);
    }
}

#[test]
fn a_dynamic_reference_leads_where_it_is_extended_and_its_cost_is_counted() {
    let tree = json!({"$id": "tree", "$dynamicAnchor": "node", "type": "object",
        "properties": {"children": {"items": {"$dynamicRef": "#node"}}}});
    let strict = json!({"$dynamicAnchor": "node", "$ref": "../common/tree.json", "unevaluatedProperties": false});
    let others = [("common/tree.json", tree)];
    check(&strict, &others, &[(r#"{"children": [{}]}"#, true), (r#"{"children": [{"daat": 1}]}"#, false)]);
    check(&json!({"$ref": "../common/tree.json"}), &others, &[(r#"{"children": [{"daat": 1}]}"#, true)]);
    let circle = json!({"$dynamicAnchor": "node", "anyOf": [{"$dynamicRef": "#node"}, {"type": "null"}]});
    let errors = collect(&circle, &[]).and_then(|bundle| admit(&bundle).map(|_| ())).expect_err("a circle");
    assert!(errors[0].contains("refers to itself for the same value"), "{errors:?}");
}

#[test]
fn numbers_that_a_double_would_change_are_refused_where_they_are_compared() {
    let refused = |text: &str| Bundle::collect(ROOT, &documents(&[(ROOT, text.to_owned())])).expect_err(text);
    for (keyword, number) in [
        ("const", "12345678901234567890123"),
        ("minimum", "100000000000000000001"),
        ("maximum", "-9223372036854775809"),
        ("multipleOf", "0.10000000000000000001"),
    ] {
        let [error] = refused(&format!("{{\"items\": {{\"{keyword}\": {number}}}}}")).try_into().expect("one error");
        assert!(error.starts_with(&format!("{ROOT}#/items/{keyword}: the number {number} has another value")), "{error}");
    }
    assert!(refused(r#"{"enum": [1, {"a": 100000000000000000001}]}"#)[0].starts_with(&format!("{ROOT}#/enum/1/a: ")));
    for text in [
        r#"{"minimum": 0.1, "maximum": 1e300, "const": 18446744073709551615, "enum": [-9223372036854775808, 1.50, 1E2, 100000000000000000000]}"#,
        r#"{"default": 100000000000000000001, "properties": {"const": {"examples": [100000000000000000001]}}}"#,
    ] {
        assert!(Bundle::collect(ROOT, &documents(&[(ROOT, text.to_owned())])).is_ok(), "{text}");
    }
}

/// Whatever could be collected before names counted is collected as it is written: its digest stays.
fn check_as_written(files: &[(String, String)]) {
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
    let documents: Documents = documents(&files);
    for (path, _) in &files {
        let bundle = Bundle::collect(path, &documents).unwrap_or_else(|errors| panic!("{errors:?}"));
        for (path, file) in bundle.files() {
            let (_, text) = files.iter().find(|(name, _)| name == path).expect("a file");
            let mut written: Value = serde_json::from_str(text).expect("JSON");
            let is_draft_4 = draft_of(&written) == Some(Draft::Draft4);
            if let Some(keywords) = written.as_object_mut() {
                keywords.remove("$id");
                keywords.retain(|name, _| name != "id" || !is_draft_4);
            }
            assert_eq!(*file, written, "{path}");
        }
    }
}

#[test]
fn what_needs_no_name_is_published_as_it_is_written() {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let tenants = fs::read_dir(schemas).expect("the sample catalog").map(|entry| entry.expect("an entry").path());
    for tenant in tenants.filter(|path| path.is_dir()) {
        let is_schema = |path: &String| Path::new(path).extension().is_some_and(|extension| extension == "json");
        let paths = files_of(&tenant).into_iter().filter(is_schema);
        check_as_written(&paths.map(|path| (path.clone(), fs::read_to_string(tenant.join(&path)).expect("a file"))).collect::<Vec<_>>());
    }
    check_as_written(&[
        ("a/1.json".to_owned(), json!({"$id": "https://example.com/b.json", "properties": {
            "a": {"$ref": "b.json"}, "b": {"$ref": "b.json#/$defs/a?b"}, "c": {"$ref": ""}, "d": {"$ref": "#x"}, "e": {"$ref": "../a/b.json#y"},
        }, "$defs": {"x": {"$anchor": "x"}}}).to_string()),
        ("a/b.json".to_owned(), json!({"$id": "https://example.com/c", "$defs": {"a?b": {"$anchor": "y"}}}).to_string()),
    ]);
    if let Some(corpus) = corpus() {
        check_as_written(&github_schemas(&corpus.join("payload-schemas/api.github.com")));
    }
}
