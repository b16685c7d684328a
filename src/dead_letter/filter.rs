//! Which dead letters are meant.

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;
use time::OffsetDateTime;

/// Which dead letters are meant: those for which all holds that is given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// A tenant's, or those whose bodies name it.
    pub tenant: Option<String>,
    /// Of a queue.
    pub queue: Option<String>,
    /// Refused for this, by the latest replay where there was one.
    pub reason: Option<String>,
    /// By this rule, likewise.
    pub rule: Option<String>,
    /// Of an event type.
    pub event_type: Option<String>,
    /// Of a version that the event names.
    pub schema_version: Option<i64>,
    /// Last seen then or later.
    pub since: Option<OffsetDateTime>,
    /// Last seen before.
    pub until: Option<OffsetDateTime>,
    /// These; none: all.
    pub ids: Vec<i64>,
    /// Of an SQS message.
    pub message_id: Option<String>,
}

/// What state they are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Neither stored after all nor discarded.
    Open,
    /// Discarded.
    Discarded,
    /// Any.
    Any,
}

/// How many, and from where on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Page {
    /// Those that come behind this one.
    pub before: Option<i64>,
    /// At most so many; none: all.
    pub dead_letters_max: Option<i64>,
}

impl Filter {
    /// Whether it leaves nothing out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The numbers, where any are given.
    pub(super) fn ids(&self) -> Option<&[i64]> {
        Some(self.ids.as_slice()).filter(|ids| !ids.is_empty())
    }
}

/// The numbers of those that are meant, the last seen first.
///
/// # Errors
/// When Postgres does not answer; `RowNotFound` where there is no dead letter to begin behind.
pub async fn matching(connection: &mut PgConnection, filter: &Filter, state: State, page: Page) -> Result<Vec<i64>, sqlx::Error> {
    let before = match page.before {
        Some(before) => Some(sqlx::query_file_scalar!("src/dead_letter/last_seen.sql", before).fetch_one(&mut *connection).await?),
        None => None,
    };
    let rows = sqlx::query_file_scalar!(
        "src/dead_letter/matching.sql",
        filter.tenant.as_deref(),
        filter.queue.as_deref(),
        filter.reason.as_deref(),
        filter.rule.as_deref(),
        filter.event_type.as_deref(),
        filter.schema_version,
        filter.since,
        filter.until,
        filter.ids() as _,
        filter.message_id.as_deref(),
        state == State::Open,
        state == State::Discarded,
        before,
        page.before,
        page.dead_letters_max,
    );
    rows.fetch(connection).try_collect().await
}

/// A dead letter's state in a word.
pub fn state_of(replay_outcome: Option<&str>, is_discarded: bool) -> &'static str {
    match (replay_outcome, is_discarded) {
        (Some("stored"), _) => "stored",
        (Some("duplicate"), _) => "duplicate",
        (_, true) => "discarded",
        (_, false) => "open",
    }
}
