//! Stands in for the applications that put events on the queues, and proves that nothing of theirs is lost: [`generation`] makes events of
//! which it is known what must become, [`sending`] puts them on a queue and into a [`ledger`], and [`verification`] holds that ledger
//! against what the database has and the queue still holds. It never asks the daemon.

pub mod generation;
pub mod ledger;
pub mod material;

pub mod sending;
pub mod verification;

mod body;
mod reformat;
mod template;
