//! The event processor.
pub mod json;
pub mod event;
pub mod schema;
pub mod snapshot;
pub mod settings;
pub mod metrics;
pub mod queue;
pub mod window;
pub mod decode;
pub mod admit;
pub mod validate;
pub mod store;
pub mod health;
pub mod ingest;
pub mod dead_letter;
