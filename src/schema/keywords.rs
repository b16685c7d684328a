//! What the processor knows of JSON Schema's language: its drafts, their keywords, and where in a schema further schemas stand.

use jsonschema::Draft;
use serde_json::{Map, Value};

use Applies::{Apart, Below, Same};
use Draft::{Draft4, Draft6, Draft7, Draft201909, Draft202012};
use Holds::{Many, Map as InMap, Nothing, One};

/// To what a subschema is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applies {
    /// To the value that its schema is applied to.
    Same,
    /// To a part of that value.
    Below,
    /// To nothing unless a `$ref` points at it.
    Apart,
}

/// How a keyword's value holds schemas.
#[derive(Debug, Clone, Copy)]
enum Holds {
    Nothing,
    /// A schema.
    One,
    /// An array of schemas, or (`items` of old) a schema.
    Many,
    /// An object of schemas; what else stands in it (`dependencies` of old) is none.
    Map,
}

struct Keyword {
    name: &'static str,
    first: Draft,
    last: Draft,
    holds: Holds,
    applies: Applies,
}

const fn keyword(name: &'static str, first: Draft, last: Draft, holds: Holds, applies: Applies) -> Keyword {
    Keyword { name, first, last, holds, applies }
}

const KEYWORDS: &[Keyword] = &[
    keyword("$schema", Draft4, Draft202012, Nothing, Apart),
    keyword("id", Draft4, Draft4, Nothing, Apart),
    keyword("$id", Draft6, Draft202012, Nothing, Apart),
    keyword("$ref", Draft4, Draft202012, Nothing, Apart),
    keyword("$anchor", Draft201909, Draft202012, Nothing, Apart),
    keyword("$recursiveRef", Draft201909, Draft201909, Nothing, Apart),
    keyword("$recursiveAnchor", Draft201909, Draft201909, Nothing, Apart),
    keyword("$dynamicRef", Draft202012, Draft202012, Nothing, Apart),
    keyword("$dynamicAnchor", Draft202012, Draft202012, Nothing, Apart),
    keyword("$vocabulary", Draft201909, Draft202012, Nothing, Apart),
    keyword("definitions", Draft4, Draft202012, InMap, Apart),
    keyword("$defs", Draft201909, Draft202012, InMap, Apart),
    keyword("allOf", Draft4, Draft202012, Many, Same),
    keyword("anyOf", Draft4, Draft202012, Many, Same),
    keyword("oneOf", Draft4, Draft202012, Many, Same),
    keyword("not", Draft4, Draft202012, One, Same),
    keyword("if", Draft7, Draft202012, One, Same),
    keyword("then", Draft7, Draft202012, One, Same),
    keyword("else", Draft7, Draft202012, One, Same),
    keyword("dependencies", Draft4, Draft7, InMap, Same),
    keyword("dependentSchemas", Draft201909, Draft202012, InMap, Same),
    keyword("dependentRequired", Draft201909, Draft202012, Nothing, Apart),
    keyword("properties", Draft4, Draft202012, InMap, Below),
    keyword("patternProperties", Draft4, Draft202012, InMap, Below),
    keyword("additionalProperties", Draft4, Draft202012, One, Below),
    keyword("propertyNames", Draft6, Draft202012, One, Below),
    keyword("unevaluatedProperties", Draft201909, Draft202012, One, Below),
    keyword("required", Draft4, Draft202012, Nothing, Apart),
    keyword("minProperties", Draft4, Draft202012, Nothing, Apart),
    keyword("maxProperties", Draft4, Draft202012, Nothing, Apart),
    keyword("items", Draft4, Draft202012, Many, Below),
    keyword("additionalItems", Draft4, Draft201909, One, Below),
    keyword("prefixItems", Draft202012, Draft202012, Many, Below),
    keyword("unevaluatedItems", Draft201909, Draft202012, One, Below),
    keyword("contains", Draft6, Draft202012, One, Below),
    keyword("minContains", Draft201909, Draft202012, Nothing, Apart),
    keyword("maxContains", Draft201909, Draft202012, Nothing, Apart),
    keyword("minItems", Draft4, Draft202012, Nothing, Apart),
    keyword("maxItems", Draft4, Draft202012, Nothing, Apart),
    keyword("uniqueItems", Draft4, Draft202012, Nothing, Apart),
    keyword("type", Draft4, Draft202012, Nothing, Apart),
    keyword("enum", Draft4, Draft202012, Nothing, Apart),
    keyword("const", Draft6, Draft202012, Nothing, Apart),
    keyword("minimum", Draft4, Draft202012, Nothing, Apart),
    keyword("maximum", Draft4, Draft202012, Nothing, Apart),
    keyword("exclusiveMinimum", Draft4, Draft202012, Nothing, Apart),
    keyword("exclusiveMaximum", Draft4, Draft202012, Nothing, Apart),
    keyword("multipleOf", Draft4, Draft202012, Nothing, Apart),
    keyword("minLength", Draft4, Draft202012, Nothing, Apart),
    keyword("maxLength", Draft4, Draft202012, Nothing, Apart),
    keyword("pattern", Draft4, Draft202012, Nothing, Apart),
    keyword("format", Draft4, Draft202012, Nothing, Apart),
    keyword("contentEncoding", Draft6, Draft202012, Nothing, Apart),
    keyword("contentMediaType", Draft6, Draft202012, Nothing, Apart),
    keyword("contentSchema", Draft201909, Draft202012, One, Apart),
];

/// Keywords that check nothing, in any draft. The last two stand in schemas from which TypeScript is generated.
const ANNOTATIONS: [&str; 10] =
    ["title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "tsType", "tsAdditionalProperties"];

/// The draft that a file is written in: 2020-12 unless its `$schema` names another; nothing where that is unknown.
pub(super) fn draft_of(file: &Value) -> Option<Draft> {
    let Some(uri) = file.get("$schema") else { return Some(Draft202012) };
    let uri = uri.as_str()?.trim_end_matches('#');
    let name = uri.strip_prefix("https://json-schema.org/").or_else(|| uri.strip_prefix("http://json-schema.org/"))?;
    match name {
        "draft-04/schema" => Some(Draft4),
        "draft-06/schema" => Some(Draft6),
        "draft-07/schema" => Some(Draft7),
        "draft/2019-09/schema" => Some(Draft201909),
        "draft/2020-12/schema" => Some(Draft202012),
        _ => None,
    }
}

/// Keywords that the validator acts on in drafts that have them no more. What is unknown in its draft shall check nothing.
pub(super) fn is_outlived(draft: Draft, name: &str) -> bool {
    matches!(name, "dependencies" | "additionalItems") && !is_known(draft, name)
}

/// Whether what stands beside a schema's `$ref` is ignored.
pub(super) fn ignores_siblings(draft: Draft, schema: &Value) -> bool {
    draft <= Draft7 && schema.get("$ref").is_some()
}

/// Whether a keyword's value holds numbers that payloads are compared with.
pub(super) fn compares(name: &str) -> bool {
    matches!(name, "const" | "enum" | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf")
}

/// Whether a keyword only describes.
pub(super) fn is_annotation(name: &str) -> bool {
    name.starts_with("x-") || ANNOTATIONS.contains(&name)
}

/// Whether a draft has a keyword that checks something or holds schemas.
pub(super) fn is_known(draft: Draft, name: &str) -> bool {
    find(draft, name).is_some()
}

fn find(draft: Draft, name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name && (keyword.first..=keyword.last).contains(&draft))
}

/// The schemas directly in a schema: to what each is applied, and where it stands.
pub(super) fn subschemas<'a>(draft: Draft, pointer: &str, keywords: &'a Map<String, Value>) -> Vec<(Applies, String, &'a Value)> {
    let mut found = Vec::new();
    for (name, value) in keywords {
        let Some(keyword) = find(draft, name) else { continue };
        match (keyword.holds, value) {
            (Nothing, _) => {}
            (Many, Value::Array(schemas)) => found
                .extend(schemas.iter().enumerate().map(|(index, schema)| (keyword.applies, format!("{pointer}/{name}/{index}"), schema))),
            (InMap, Value::Object(schemas)) => found.extend(
                schemas
                    .iter()
                    .filter(|(_, schema)| !schema.is_array())
                    .map(|(key, schema)| (keyword.applies, format!("{pointer}/{name}/{}", escape(key)), schema)),
            ),
            _ => found.push((keyword.applies, format!("{pointer}/{name}"), value)),
        }
    }
    found
}

/// Whether the last segment of a JSON pointer to a schema is a keyword, and not a name, of a property perhaps, that is like one.
pub(super) fn ends_in_keyword(pointer: &str) -> bool {
    let (mut is_keyword, mut is_name_next) = (false, false);
    for segment in pointer.split('/').skip(1) {
        is_keyword = !is_name_next;
        is_name_next = is_keyword && KEYWORDS.iter().any(|keyword| keyword.name == segment && matches!(keyword.holds, InMap));
    }
    is_keyword
}

/// A name as a JSON pointer spells it.
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
