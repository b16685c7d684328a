//! Tests of the real binary on a real Postgres and a real queue server.

mod stack;
mod producer;
mod terminal;
mod path;
mod verdicts;
mod examples;
mod identity;
mod settings;
mod commands;
