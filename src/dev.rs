//! What `processor dev` starts beside the daemon: a Postgres and an SQS-compatible server, on a machine that may have neither.
//!
//! Postgres is looked for as server [`binaries`]; without them in a `container`; without an engine for it too, by an [`installation`]. Whatever
//! was started ends with our process, also when that is killed: see [`guard`].

/// Find the programs of a Postgres server on this machine.
pub mod binaries;
/// The user that Postgres runs as, and the directory it lives in.
pub mod account;
/// Have the platform's own package manager install them.
pub mod installation;
/// Run a program that ends when our process does.
pub mod guard;
/// A Postgres cluster of our own, for `dev` and for the tests.
pub mod cluster;
/// Postgres in a container, where there are no binaries.
pub mod container;
mod corrections;
/// An SQS-compatible server within this process.
pub mod queue_server;
/// Sample events, and the proof of what became of them.
pub mod sample;
/// Take what the sender sends over HTTP.
pub mod receiver;
/// Take what it sends by SMTP.
pub mod mail_server;
/// Run the sender, and show what arrives.
mod delivering;
/// Apply the catalog's files when they are saved.
mod catalog_files;
/// Show what arrives.
mod activity;
/// A database that was there before.
mod given_database;
/// The command itself.
mod stack;

pub use stack::{DevError, DevSettings, run};
