//! The event processor.
pub mod json;
pub mod event;
pub mod settings;
/// What `processor dev` starts beside the daemon; the tests use its Postgres too.
pub mod dev;
