//! The example payloads beside an event type's schemas: what is said to be valid must be, and what is said to be invalid must not.

use super::files::{EXAMPLE_BYTES_MAX, Files};
use crate::event::Violation;
use crate::schema::Compiled;

/// An example payload's file.
pub(super) struct Example {
    path: String,
    is_valid: bool,
}

/// The examples in an event type's `examples` directory.
pub(super) fn list(files: &mut Files<'_>, directory: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    for group in files.entries(directory) {
        if !group.is_directory || !["valid", "invalid"].contains(&group.name.as_str()) {
            files.refuse(&group.path, "has no place here; examples are payloads in `valid/` and `invalid/`");
            continue;
        }
        for entry in files.entries(&group.path) {
            if !entry.is_json_file() {
                files.refuse(&entry.path, "is not an example; an example is a file with a payload, named `....json`");
                continue;
            }
            examples.push(Example { path: entry.path, is_valid: group.name == "valid" });
        }
    }
    examples
}

/// Holds each example against the schema that events without a version are held against.
pub(super) fn prove(files: &mut Files<'_>, examples: &[Example], schema: &Compiled, schema_path: &str) {
    for example in examples {
        let Some(bytes) = files.bytes(&example.path, EXAMPLE_BYTES_MAX) else {
            continue;
        };
        let Some(payload) = files.json(&example.path, &bytes) else {
            continue;
        };
        let violations = schema.violations(&payload);
        if example.is_valid && !violations.is_empty() {
            let told: Vec<_> = violations.iter().map(tell).collect();
            files.refuse(
                &example.path,
                format!("is in `valid/` but breaks {schema_path}: {}; mend it, or move it to `invalid/`", told.join("; ")),
            );
        }
        if !example.is_valid && violations.is_empty() {
            files.refuse(
                &example.path,
                format!("is in `invalid/` but keeps every rule of {schema_path}; make it break one, or move it to `valid/`"),
            );
        }
    }
}

fn tell(violation: &Violation) -> String {
    let Violation { instance_location, schema_location, expected, found, .. } = violation;
    let location = if instance_location.is_empty() { "the payload" } else { instance_location };
    format!("{location}: expected {expected}, found {found} ({schema_location})")
}
