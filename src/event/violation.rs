//! What exactly is wrong with an event.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::output::Escaped;

/// One thing that is wrong with an event, and where; never a value of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Violation {
    /// The JSON Schema keyword that was broken, or the processor's own rule (`json`, `envelope`, `catalog`).
    pub keyword: String,
    /// JSON pointer to the offending value.
    pub instance_location: String,
    /// Where the rule stands: a schema's file and a JSON pointer in it (`order.created/2.json#/properties/total/minimum`).
    pub schema_location: String,
    /// What would have been right.
    pub expected: String,
    /// The type of what was found instead.
    pub found: String,
}

/// How many violations of one event are kept.
pub const VIOLATIONS_MAX: usize = 10;

/// For people: the place first.
impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [keyword, instance_location, schema_location, expected, found] =
            [&self.keyword, &self.instance_location, &self.schema_location, &self.expected, &self.found].map(|text| Escaped(text));
        match self.instance_location.as_str() {
            "" => write!(formatter, "at the top")?,
            _ => write!(formatter, "at {instance_location}")?,
        }
        write!(formatter, ": expected {expected}, found {found}  ({keyword} of {schema_location})")
    }
}
