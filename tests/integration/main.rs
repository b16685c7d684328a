//! Tests of the real binary on a real Postgres and a real queue server.

mod architecture;
mod stack;
mod corpus;
mod path;
mod readme;
mod corpus_github;
mod corpus_json;
mod generated;
