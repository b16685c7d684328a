//! The event processor.
pub mod json;
pub mod event;
pub mod settings;
