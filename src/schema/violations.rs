//! What is wrong with a payload, in the form that is stored: where, by which rule, and what the schema expects, but never a value.

use std::collections::HashMap;
use std::fmt::Write;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::instance::{Budget, within};
use super::keywords::{ends_in_keyword, escape};
use super::path::decoded;
use super::{BASE, BUDGET, Compiled};
use crate::event::{VIOLATIONS_MAX, Violation};
use crate::json::Node;

/// How many steps the search for everything that is wrong may take; a payload that takes more is told its first violation only.
const ALL_STEPS_MAX: usize = 1_000_000;

/// How many the search for the first violation may take.
const FIRST_STEPS_MAX: usize = 2_000_000;

/// Above so many values only the first violation is looked for: the validator collects all of them before it hands out one.
const NODES_MAX: usize = 5_000;

/// Above so many bytes of text likewise.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// How long a place or an expectation may be.
const FIELD_BYTES_MAX: usize = 512;

/// How long all violations of an event may be together.
const VIOLATIONS_BYTES_MAX: usize = 4 * 1024;

/// What is wrong with a payload that does not conform.
pub(super) fn locate(schema: &Compiled, payload: &Node<'_>) -> Vec<Violation> {
    let size = Size::of(payload);
    let budget = |steps| Budget { steps, names: schema.names[1] };
    let mut errors = None;
    if size.nodes <= NODES_MAX && size.bytes <= TEXT_BYTES_MAX {
        let all = || schema.validator.iter_errors(payload).take(VIOLATIONS_MAX).collect::<Vec<_>>();
        errors = within(budget(ALL_STEPS_MAX), all);
    }
    let first = || schema.validator.validate(payload).err().into_iter().collect();
    let errors = errors.or_else(|| within(budget(FIRST_STEPS_MAX), first)).unwrap_or_default();
    if errors.is_empty() {
        // The search takes more steps than validating does: it keeps no results.
        let expected = "a payload that the schema allows; it would take too many steps to tell what exactly is wrong";
        return vec![of_all(schema, payload, "schema", expected)];
    }
    let mut bytes = 0;
    let violations = errors.iter().map(|error| violation(schema, payload, error));
    let fit = violations.take_while(|violation| {
        bytes += length(violation);
        bytes <= VIOLATIONS_BYTES_MAX
    });
    fit.collect()
}

/// What a payload comes to.
#[derive(Default)]
pub(super) struct Size {
    nodes: usize,
    /// Of its texts and names, and one for each value.
    pub bytes: usize,
}

impl Size {
    pub fn of(payload: &Node<'_>) -> Self {
        let mut size = Self::default();
        size.add(payload);
        size
    }

    fn add(&mut self, node: &Node<'_>) {
        self.nodes += 1;
        self.bytes += 1;
        match node {
            Node::Null | Node::Boolean(_) => {}
            Node::Number(number) => self.bytes += number.len(),
            Node::String(string) => self.bytes += string.len(),
            Node::Array(items) => items.iter().for_each(|item| self.add(item)),
            Node::Object(members) => members.iter().for_each(|member| {
                self.bytes += member.name.len();
                self.add(&member.value);
            }),
        }
    }
}

fn length(violation: &Violation) -> usize {
    let Violation { keyword, instance_location, schema_location, expected, found } = violation;
    // The names of the fields and the quotes count too.
    [keyword, instance_location, schema_location, expected, found].iter().map(|text| text.len()).sum::<usize>() + 96
}

fn violation(schema: &Compiled, payload: &Node<'_>, error: &ValidationError<'_>) -> Violation {
    let pointer = error.instance_path().as_str();
    let location = match error.absolute_keyword_location() {
        Some(uri) => place(uri.as_str(), &schema.renamed),
        None => format!("{}#{}", schema.root, error.schema_path()),
    };
    let (keyword, expected) = match error.kind() {
        Kind::FalseSchema => forbidden(&location),
        kind => (kind.keyword(), expected(kind)),
    };
    Violation {
        keyword: keyword.to_owned(),
        instance_location: cut(pointer),
        schema_location: cut(&location),
        expected: cut(&expected),
        found: at(payload, pointer).map_or("nothing", Node::type_name).to_owned(),
    }
}

/// For a payload that could not be validated.
pub(super) fn out_of_steps(schema: &Compiled, payload: &Node<'_>) -> Violation {
    of_all(schema, payload, BUDGET, "a payload that can be validated within the limit of steps")
}

fn of_all(schema: &Compiled, payload: &Node<'_>, keyword: &str, expected: &str) -> Violation {
    Violation {
        keyword: keyword.to_owned(),
        instance_location: String::new(),
        schema_location: format!("{}#", schema.root),
        expected: expected.to_owned(),
        found: payload.type_name().to_owned(),
    }
}

/// The value that a JSON pointer leads to.
fn at<'n, 'a>(node: &'n Node<'a>, pointer: &str) -> Option<&'n Node<'a>> {
    pointer.split('/').skip(1).try_fold(node, |node, segment| match node {
        Node::Array(items) => items.get(segment.parse::<usize>().ok()?),
        Node::Object(members) => {
            let name = segment.replace("~1", "/").replace("~0", "~");
            members.iter().find(|member| member.name == name).map(|member| &member.value)
        }
        _ => None,
    })
}

/// The keyword whose value is `false`, and what that means.
fn forbidden(location: &str) -> (&str, String) {
    let pointer = location.split_once('#').map_or("", |(_, pointer)| pointer);
    match pointer.rsplit('/').next().filter(|_| ends_in_keyword(pointer)) {
        Some(keyword @ ("additionalProperties" | "unevaluatedProperties")) => (keyword, "no other properties".to_owned()),
        Some(keyword @ ("additionalItems" | "unevaluatedItems")) => (keyword, "no other items".to_owned()),
        _ => ("falseSchema", "no value here".to_owned()),
    }
}

/// What the schema asks for, in words; only the schema's side of the error is looked at.
fn expected(kind: &Kind) -> String {
    match kind {
        Kind::AdditionalItems { limit } => format!("at most {limit} items"),
        Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } => "no other properties".to_owned(),
        Kind::UnevaluatedItems { .. } => "no other items".to_owned(),
        Kind::AnyOf { .. } => "a value that at least one of the alternatives allows".to_owned(),
        Kind::OneOfNotValid { .. } => "a value that one of the alternatives allows".to_owned(),
        Kind::OneOfMultipleValid { .. } => "a value that only one of the alternatives allows".to_owned(),
        Kind::Constant { expected_value } => expected_value.to_string(),
        Kind::Enum { options } => one_of(options),
        Kind::Contains => "as many matching items as `contains` asks for".to_owned(),
        Kind::ContentEncoding { content_encoding } => format!("content encoded as {content_encoding}"),
        Kind::ContentMediaType { content_media_type } => format!("content of type {content_media_type}"),
        Kind::ExclusiveMaximum { limit } => format!("less than {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("more than {limit}"),
        Kind::Maximum { limit } => format!("at most {limit}"),
        Kind::Minimum { limit } => format!("at least {limit}"),
        Kind::MultipleOf { multiple_of } => format!("a multiple of {multiple_of}"),
        Kind::Format { format } => format!("format {format}"),
        Kind::MaxItems { limit } => format!("at most {limit} items"),
        Kind::MinItems { limit } => format!("at least {limit} items"),
        Kind::MaxLength { limit } => format!("at most {limit} characters"),
        Kind::MinLength { limit } => format!("at least {limit} characters"),
        Kind::MaxProperties { limit } => format!("at most {limit} properties"),
        Kind::MinProperties { limit } => format!("at least {limit} properties"),
        Kind::Not { .. } => "a value that `not` does not describe".to_owned(),
        // The only keyword of our own.
        Kind::Custom { message, .. } => format!("text that matches {message}"),
        Kind::PropertyNames { .. } => "property names that `propertyNames` allows".to_owned(),
        Kind::Required { property } => format!("property `{}`", property.as_str().unwrap_or_default()),
        Kind::Type { kind } => types(kind),
        Kind::UniqueItems => "items that differ from each other".to_owned(),
        other => format!("a value that `{}` allows", other.keyword()),
    }
}

fn one_of(options: &Value) -> String {
    let mut text = String::from("one of ");
    for (index, option) in options.as_array().into_iter().flatten().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{option}");
        if text.len() > FIELD_BYTES_MAX {
            break;
        }
    }
    text
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(name) => match name.as_str() {
            "null" => "null".to_owned(),
            name @ ("array" | "integer" | "object") => format!("an {name}"),
            name => format!("a {name}"),
        },
        TypeKind::Multiple(names) => {
            let names: Vec<_> = names.iter().map(JsonType::as_str).collect();
            format!("one of the types {}", names.join(", "))
        }
    }
}

/// File and pointer from the URI of a keyword: what stands in a schema with a name of its own has that schema's pointer before the fragment.
fn place(uri: &str, renamed: &HashMap<String, String>) -> String {
    let uri = uri.trim_start_matches(BASE);
    let (file, fragment) = uri.split_once('#').unwrap_or((uri, ""));
    let (file, pointer) = file.split_once('?').unwrap_or((file, ""));
    let place = decoded(&format!("{file}#{pointer}{fragment}")).unwrap_or_default();
    if renamed.is_empty() {
        return place;
    }
    let as_written = |segment: &str| match renamed.get(&segment.replace("~1", "/").replace("~0", "~")) {
        Some(pattern) => escape(pattern),
        None => segment.to_owned(),
    };
    place.split('/').map(as_written).collect::<Vec<_>>().join("/")
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(FIELD_BYTES_MAX)].to_owned()
}
