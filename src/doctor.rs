//! What stands in the way of the daemon that runs with these variables, and what to do about it, a line for each thing that was looked at. Nothing
//! is received, stored or changed.

mod check;
mod surroundings;
mod queues;
mod database;
mod catalog;
mod orphans;

use std::path::Path;

pub use check::{Check, State};
use surroundings::Surroundings;

/// Looks at everything, in the order in which one depends on the other. The catalog is held against the files of a directory, where there is one.
pub async fn examine(directory: Option<&Path>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut surroundings = Surroundings::read(&mut checks).await;
    let connection = match &surroundings.database {
        Some(database) => database::check(database, &mut checks).await,
        None => Err("DATABASE_URL cannot be used"),
    };
    match connection {
        Ok(mut connection) => {
            let of_catalog = catalog::check(&mut connection, directory, &mut checks).await;
            orphans::check(&mut connection, &surroundings.queues, &mut checks).await;
            surroundings.add_queues(of_catalog.unwrap_or_default(), &mut checks);
        }
        Err(why) => checks.extend(["catalog", "orphans"].map(|check| Check::skipped(check, why))),
    }
    queues::check(&surroundings, &mut checks).await;
    checks
}
