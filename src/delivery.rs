//! Deliveries, for the people who look after them: what waits, what was given up, and what became of each attempt.

/// A statement about the deliveries in these states that a filter means: `delivery_matching` takes the first eleven parameters, the statement the
/// others.
macro_rules! matching {
    ($query:ident, ($($row:ident,)? $file:literal), $states:expr, $filter:expr $(, $more:expr)*) => {
        sqlx::$query!(
            $($row,)?
            $file,
            $states,
            $filter.tenant.as_deref(),
            $filter.client.as_deref(),
            $filter.source.as_deref(),
            $filter.event_ids() as _,
            $filter.queue.as_deref(),
            $filter.event_type.as_deref(),
            $filter.schema_version,
            $filter.message_id.as_deref(),
            $filter.since,
            $filter.until
            $(, $more)*
        )
    };
}

mod changing;
mod listing;

use time::OffsetDateTime;

pub use changing::{Change, Changed, change};
pub use listing::{Delivery, LIST_HEAD, Line, Selection, list, show};

/// What a delivery has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits, or is under way.
    Pending,
    /// Its client has it.
    Delivered,
    /// It was tried for the last time.
    Dead,
    /// A command took it away.
    Cancelled,
}

impl State {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Dead, Self::Cancelled];

    /// As `delivery_state` says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which deliveries; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of a tenant.
    pub tenant: Option<String>,
    /// To a client.
    pub client: Option<String>,
    /// Of a source.
    pub source: Option<String>,
    /// Of these events.
    pub event_ids: Vec<String>,
    /// From a queue.
    pub queue: Option<String>,
    /// Of a type.
    pub event_type: Option<String>,
    /// Of a version of it.
    pub schema_version: Option<i32>,
    /// From an SQS message.
    pub message_id: Option<String>,
    /// Of which something became then or later.
    pub since: Option<OffsetDateTime>,
    /// Of which nothing became from then on.
    pub until: Option<OffsetDateTime>,
}

impl Filter {
    /// Whether it leaves nothing out.
    pub fn is_empty(&self) -> bool {
        let texts = [&self.tenant, &self.client, &self.source, &self.queue, &self.event_type, &self.message_id];
        let is_without_times = self.since.is_none() && self.until.is_none();
        texts.iter().all(|text| text.is_none()) && self.event_ids.is_empty() && self.schema_version.is_none() && is_without_times
    }

    /// The events, where it names some.
    fn event_ids(&self) -> Option<&[String]> {
        Some(self.event_ids.as_slice()).filter(|event_ids| !event_ids.is_empty())
    }
}

/// The names of states, as statements take them.
fn names(states: &[State]) -> Vec<String> {
    states.iter().map(|state| state.as_str().to_owned()).collect()
}
