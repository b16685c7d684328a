//! `event_type.toml`: an event type's name, where it cannot be a directory's.

use serde::Deserialize;

use super::files::{Files, SCHEMA_BYTES_MAX, line_and_column};
use crate::event::is_event_type;

#[derive(Deserialize)]
struct EventTypeFields {
    name: String,
    #[serde(flatten)]
    others: toml::Table,
}

/// The name that the file gives, where it is one.
pub(super) fn read(files: &mut Files<'_>, path: &str) -> Option<String> {
    let bytes = files.bytes(path, SCHEMA_BYTES_MAX)?;
    let Ok(text) = String::from_utf8(bytes) else {
        files.refuse(path, "is not UTF-8; save it as UTF-8");
        return None;
    };
    let fields: EventTypeFields = toml::from_str(&text)
        .map_err(|error| {
            let location = error.span().map_or_else(String::new, |span| line_and_column(text.as_bytes(), span.start) + ": ");
            files.refuse(path, format!("is not an event type's file: {location}{}", error.message().replace('\n', "; ")));
        })
        .ok()?;
    for field in fields.others.keys() {
        files.refuse(path, format!("{field}: is not a field; known here: name"));
    }
    if fields.name == "common" {
        files.refuse(path, "name: \"common\" is no event type's name, it is where shared definitions lie; choose another");
        return None;
    }
    if !is_event_type(&fields.name) {
        files.refuse(path, format!("name: {:?} is not an event type's name: 1-128 printable ASCII characters; mend it", fields.name));
        return None;
    }
    Some(fields.name)
}
