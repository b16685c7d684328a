//! Tests of the real binary on a real Postgres and a real queue server.

mod corpus;
mod daemon;
mod endpoint;
mod ledger;
mod load;
mod producer;
mod proxy;
mod stack;
mod terminal;

mod acknowledging;
mod architecture;
mod catalog_changes;
mod commands;
mod conservation;
mod corpus_github;
mod corpus_json;
mod crash_places;
mod crashes;
mod cuts;
mod examples;
mod generated;
mod identity;
mod path;
mod planted;
mod producers;
mod readme;
mod refusals;
mod schedule;
mod senders;
mod session;
mod settings;
mod shutdown;
mod tables;
mod verdicts;
mod window;
