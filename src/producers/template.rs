//! An example payload as a mould for many: its UUIDs are drawn anew, a plain string gets an ending of its own, and one of its strings is
//! filled up to a size. Only where its schema still says what it said of the example.

use rand::Rng;
use rand::rngs::StdRng;

use crate::json::{self, Node};
use crate::schema::Compiled;

/// A UUID's length as text.
const UUID_LENGTH: usize = 36;

/// What a plain string ends with.
const ENDING_LENGTH: usize = 9;

/// A payload's text and the places in it that may change.
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
    /// Where UUIDs begin.
    uuids: Vec<usize>,
    /// Where a plain string takes an ending.
    ending: Option<usize>,
    /// Where a string takes padding.
    padding: Option<usize>,
}

impl Template {
    /// A payload that is sent exactly as it is.
    pub fn verbatim(text: &str) -> Self {
        Self { text: text.trim_ascii().to_owned(), uuids: Vec::new(), ending: None, padding: None }
    }

    /// Finds the places of an example that may change without changing what the schema says of it.
    pub fn of_example(text: &str, schema: &Compiled, is_valid: bool, size: usize) -> Self {
        let mut template = Self::verbatim(text);
        let keeps = |text: &str| json::read(text.as_bytes()).is_ok_and(|payload| schema.is_valid(&payload) == is_valid);
        let mut with_zeros = template.text.clone();
        let uuids = uuids(&template.text);
        for position in &uuids {
            with_zeros.replace_range(position..&(position + UUID_LENGTH), "00000000-0000-4000-8000-000000000000");
        }
        if keeps(&with_zeros) {
            template.uuids = uuids;
        }
        let strings = ends_of_strings(&template.text);
        let with = |position: usize, length: usize| {
            let mut text = template.text.clone();
            text.insert_str(position, &"x".repeat(length));
            text
        };
        let is_plain = template.text.starts_with('"');
        template.ending = strings.iter().copied().find(|position| is_plain && keeps(&with(*position, ENDING_LENGTH)));
        let lacking = size.saturating_sub(template.text.len());
        template.padding = strings.into_iter().find(|position| lacking > 0 && keeps(&with(*position, lacking)));
        template
    }

    /// A payload from this mould.
    pub fn fill(&self, random: &mut StdRng, size: usize) -> String {
        let mut text = self.text.clone();
        for position in &self.uuids {
            let uuid = uuid::Builder::from_random_bytes(random.random()).into_uuid().to_string();
            text.replace_range(position..&(position + UUID_LENGTH), &uuid);
        }
        if let Some(position) = self.ending.filter(|_| self.padding.is_none()) {
            text.insert_str(position, &format!(" {:08x}", random.random::<u32>()));
        }
        if let Some(position) = self.padding {
            let lacking = size.saturating_sub(text.len());
            let padding: String = (0..lacking).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect();
            text.insert_str(position, &padding);
        }
        text
    }
}

/// Where quoted UUIDs begin in a text.
fn uuids(text: &str) -> Vec<usize> {
    let is_quoted = |position: &usize| text.as_bytes().get(position + UUID_LENGTH) == Some(&b'"');
    let begins = text.match_indices('"').map(|(quote, _)| quote + 1).filter(is_quoted);
    begins.filter(|begin| text.get(*begin..begin + UUID_LENGTH).is_some_and(|text| uuid::Uuid::try_parse(text).is_ok())).collect()
}

/// Where the closing quotes stand of the payload itself, or of its members, that are strings.
fn ends_of_strings(text: &str) -> Vec<usize> {
    match json::read(text.as_bytes()) {
        Ok(Node::String(_)) => vec![text.len() - 1],
        Ok(Node::Object(members)) => {
            members.iter().filter(|member| matches!(member.value, Node::String(_))).map(|member| member.span.end - 1).collect()
        }
        _ => Vec::new(),
    }
}
