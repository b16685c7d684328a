//! The event processor.
#![expect(missing_docs, reason = "until the map is written")]
pub mod json;
pub mod event;
pub mod schema;
pub mod catalog;
