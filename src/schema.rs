//! The schemas of a tenant's events: collected with all they refer to, admitted when they can do no harm, compiled, and asked about each
//! payload.
//!
//! Whoever writes schemas is not trusted with the daemon's time and memory: admission refuses what is known to blow up, every validation
//! runs within a fixed number of steps, and nothing is ever fetched.

mod admission;
mod bundle;
mod collection;
mod documents;
mod drafts;
mod ecma;
mod expansion;
mod instance;
mod keywords;
mod location;
mod matching;
mod number;
mod path;
mod patterns;
mod preparation;
mod stack;
mod violations;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::{Draft, Registry, Retrieve, ValidationOptions, Validator};
use serde_json::Value;

pub use admission::{Admitted, admit};
pub use bundle::{BUNDLE_BYTES_MAX, Bundle, FILES_MAX};
pub use documents::{Document, Documents};
pub use instance::interrupt_by;
pub use stack::STACK_BYTES_MAX;

use crate::event::Violation;
use crate::json::Node;
use instance::{Budget, Payload, within};
use keywords::draft_of;
use matching::{Matchers, NameWeight};
use preparation::Prepared;
use violations::Size;

/// How many steps the validation of any payload may take; a step is a look at a value, and most values are looked at a few times.
const STEPS_MIN: usize = 200_000;

/// How many it may take for each byte of the payload, where that is more: so no small one is a long one.
const STEPS_PER_BYTE: usize = 100;

/// And of the largest.
const STEPS_MAX: usize = 20_000_000;

/// How many bytes a bundle may have, all of it, to be compiled: a long chain of references takes the square of its length.
const BYTES_MAX: usize = 2 * BUNDLE_BYTES_MAX;

/// The keyword of the one violation that says that a payload could not be validated within the steps.
pub const BUDGET: &str = "budget";

/// Before the paths of a bundle's files, where the validator needs URIs.
const BASE: &str = "schema:///";

/// A schema, ready to validate payloads. Shared freely between threads.
#[derive(Debug)]
pub struct Compiled {
    validator: Validator<Payload>,
    root: String,
    /// Expressions for names as they were written, by how the engine has them, where that differs.
    renamed: HashMap<String, String>,
    /// How much names count while it is only asked whether a payload conforms, and how much while it is searched for what is wrong.
    names: [NameWeight; 2],
    weight: usize,
}

impl Compiled {
    /// Compiles a bundle as it is: what is published was admitted.
    ///
    /// # Errors
    /// A sentence, where it cannot be compiled.
    pub fn compile(bundle: &Bundle) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: cannot be compiled: {error}.", bundle.root());
        let bytes = bundle.to_json().len();
        if bytes > BYTES_MAX {
            return Err(failed(&"it has, with the files it refers to, more than 2 MiB"));
        }
        let Prepared { files, renamed, names } = Prepared::of(bundle).map_err(|error| failed(&error))?;
        let mut registry = Registry::new().retrieve_known_draft_meta_schemas(false);
        for (path, file) in files.iter().filter(|(path, _)| *path != bundle.root()) {
            let resource = draft(file).create_resource_ref(file);
            registry = registry.add(format!("{BASE}{path}"), resource).map_err(|error| failed(&error))?;
        }
        let registry = registry.prepare().map_err(|error| failed(&error))?;
        let schema = &files[bundle.root()];
        let matchers = Arc::<Matchers>::default();
        let keyword = Arc::clone(&matchers);
        let validator = options(draft(schema))
            .with_keyword("pattern", move |_, value, _| keyword.keyword(value))
            .with_base_uri(format!("{BASE}{}", bundle.root()))
            .with_registry(&registry)
            .build(schema)
            .map_err(|error| failed(&error))?;
        Ok(Self {
            validator,
            root: bundle.root().to_owned(),
            renamed,
            names,
            weight: weight(bytes) + matchers.weight() + names[1].weight(),
        })
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Whether a payload conforms. One that cannot be validated within the steps does not.
    pub fn is_valid(&self, payload: &Node<'_>) -> bool {
        self.validate(payload).unwrap_or(false)
    }

    /// What is wrong with a payload, without any of its values; nothing where it conforms. See [`crate::event::VIOLATIONS_MAX`].
    pub fn violations(&self, payload: &Node<'_>) -> Vec<Violation> {
        match self.validate(payload) {
            Some(true) => Vec::new(),
            Some(false) => violations::locate(self, payload),
            None => vec![violations::out_of_steps(self, payload)],
        }
    }

    /// Whether a payload conforms; nothing where that cannot be told within the steps.
    fn validate(&self, payload: &Node<'_>) -> Option<bool> {
        let validate = |steps| within(Budget { steps, names: self.names[0] }, || self.validator.is_valid(payload));
        validate(STEPS_MIN).or_else(|| {
            let steps = (Size::of(payload).bytes * STEPS_PER_BYTE).min(STEPS_MAX);
            if steps > STEPS_MIN { validate(steps) } else { None }
        })
    }
}

/// What a bundle of so many bytes takes once it is compiled, without its expressions, in bytes: measured: 291,000 for 13,800
/// bytes of one of GitHub's, 9,300 for 256 bytes.
fn weight(bytes: usize) -> usize {
    4 * 1024 + 22 * bytes
}

fn draft(file: &Value) -> Draft {
    draft_of(file).unwrap_or_default()
}

/// How every schema is compiled.
fn options<'i>(draft: Draft) -> ValidationOptions<'i, Arc<dyn Retrieve>, Payload> {
    jsonschema::options_for::<Payload>()
        .with_draft(draft)
        .offline()
        .with_pattern_options(patterns::engine())
        .should_validate_formats(true)
        .should_ignore_unknown_formats(true)
}
