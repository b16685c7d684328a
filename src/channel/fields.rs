//! A table of settings, read field by field; what is left over is refused.

use serde_json::{Map, Value};

use super::Problem;
use super::credential::{SecretReference, literal_sentence};
use super::template::{Kind, Template};

/// What is wrong is collected, so that all of it is said at once.
pub(super) struct Fields<'a> {
    location: &'static str,
    table: &'a Map<String, Value>,
    known: Vec<&'static str>,
    problems: Vec<Problem>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(location: &'static str, table: &'a Map<String, Value>) -> Self {
        Self { location, table, known: Vec::new(), problems: Vec::new() }
    }

    /// Reads the rest of the fields, refuses those that nobody has asked for, and gives what they make, or all that is wrong.
    pub(super) fn finish<T>(mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Result<T, Vec<Problem>> {
        let value = read(&mut self);
        for name in self.table.keys().filter(|name| name.as_str() != "channel" && !self.known.contains(&name.as_str())) {
            let known = self.known.iter().filter(|known| **known != "channel").copied().collect::<Vec<_>>().join(", ");
            let sentence = format!("is not a field of this channel; known here: channel, {known}");
            self.problems.push(Problem { field: name.clone(), sentence });
        }
        for (name, value) in self.table {
            self.refuse_literal_secrets(name, value);
        }
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(self.problems),
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// A webhook's secret is told by how it begins, wherever it stands.
    fn refuse_literal_secrets(&mut self, field: &str, value: &Value) {
        match value {
            Value::String(text) if text.contains("whsec_") && !self.problems.iter().any(|problem| problem.field == field) => {
                self.refuse(field, literal_sentence());
            }
            Value::Array(items) => items.iter().for_each(|item| self.refuse_literal_secrets(field, item)),
            Value::Object(members) => {
                for (name, member) in members {
                    self.refuse_literal_secrets(&format!("{field}.{name}"), member);
                }
            }
            _ => {}
        }
    }

    pub(super) fn refuse(&mut self, field: &str, sentence: impl Into<String>) {
        let field = if self.location.is_empty() { field.to_owned() } else { format!("{}.{field}", self.location) };
        self.problems.push(Problem { field, sentence: sentence.into() });
    }

    /// A field's value, where it is there.
    pub(super) fn value(&mut self, name: &'static str) -> Option<&'a Value> {
        self.known.push(name);
        self.table.get(name)
    }

    pub(super) fn text(&mut self, name: &'static str, is_required: bool) -> Option<String> {
        match self.value(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text.clone()),
            Some(_) => {
                self.refuse(name, "is no text, or an empty one");
                None
            }
            None => {
                if is_required {
                    self.refuse(name, "is missing");
                }
                None
            }
        }
    }

    /// A text that is a template.
    pub(super) fn template(&mut self, name: &'static str, kind: Kind) -> Option<Template> {
        let text = self.text(name, true)?;
        self.compile(name, &text, kind)
    }

    pub(super) fn compile(&mut self, field: &str, text: &str, kind: Kind) -> Option<Template> {
        Template::new(text, kind).map_err(|error| self.refuse(field, error.to_string())).ok()
    }

    pub(super) fn secret(&mut self, field: &str, value: &Value, may_have_prefix: bool) -> Option<SecretReference> {
        SecretReference::parse(value, may_have_prefix).map_err(|sentence| self.refuse(field, sentence)).ok()
    }
}
