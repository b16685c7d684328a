//! Dead letters, for the people who have to find out why, and who mend it.

mod filter;
mod summary;
mod list;
mod kept;
mod order;
mod contested;
mod verdicts;
mod report;
mod settling;
mod replay;
mod rehearsal;
mod closing;
mod example;
mod export;
mod drain;

use sqlx::PgConnection;

use crate::database::{self, Setting};
use crate::settings::Database;

pub use closing::{Closed, Closing, close};
pub use drain::{Drain, DrainError};
pub use example::{ExampleError, write_example};
pub use export::export;
pub use filter::{Filter, Page, State};
pub use list::{DeadLetter, LIST_HEAD, Line, list, show};
pub use rehearsal::rehearse;
pub use replay::{Replay, Selection};
pub use report::Report;
pub use settling::SettlingError;
pub use summary::{Problem, SUMMARY_HEAD, summary};

/// What commands need beside what all sessions do: each query is planned for what it is asked, and none is worth compiling.
const SETTINGS: [Setting; 2] = [("plan_cache_mode", "force_custom_plan"), ("jit", "off")];

/// A connection for what is asked of dead letters.
///
/// # Errors
/// The driver's.
pub async fn connect(database: &Database) -> Result<PgConnection, sqlx::Error> {
    database::connect(&database.to("dead-letter"), &SETTINGS).await
}
