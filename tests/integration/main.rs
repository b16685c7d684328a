//! Tests of the real binary on a real Postgres and a real queue server.

mod corpus;
mod load;
mod proxy;
mod stack;

mod architecture;
mod catalog_changes;
mod corpus_github;
mod corpus_json;
mod generated;
mod path;
mod readme;
mod refusals;
mod session;
mod shutdown;
mod tables;
