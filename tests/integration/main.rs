//! Tests of the real binary on a real Postgres and a real queue server.

mod load;
mod proxy;
mod stack;

mod catalog_changes;
mod path;
mod refusals;
mod session;
mod shutdown;
mod tables;
