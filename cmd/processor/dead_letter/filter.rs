//! Which dead letters a command is for.

use clap::Args;
use event_processor::dead_letter::Filter;
use event_processor::event::Reason;
use event_processor::settings::parse_count;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Failure;

#[derive(Args)]
pub struct FilterSettings {
    /// Only dead letters of this tenant, or whose body names it.
    #[arg(long)]
    tenant: Option<String>,
    /// Only dead letters from this queue.
    #[arg(long)]
    queue: Option<String>,
    /// Only dead letters with this reason, that of the latest replay where there was one, for example schema_violation.
    #[arg(long, value_parser = Reason::ALL.map(Reason::as_str))]
    reason: Option<String>,
    /// Only dead letters by this rule, as `summary` prints it: a keyword and where it stands.
    #[arg(long)]
    rule: Option<String>,
    /// Only dead letters of this event type.
    #[arg(long)]
    event_type: Option<String>,
    /// Only dead letters that name this version.
    #[arg(long)]
    schema_version: Option<i64>,
    /// Only dead letters last seen then or later: `2h` for two hours ago, or a time as 2026-11-30T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<OffsetDateTime>,
    /// Only dead letters last seen before then.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<OffsetDateTime>,
    /// Only the dead letter with this number; may be repeated.
    #[arg(long, value_name = "NUMBER", value_parser = |text: &str| parse_count(text, 1, i64::MAX))]
    id: Vec<i64>,
    /// Only the dead letter of this SQS message.
    #[arg(long)]
    message_id: Option<String>,
}

impl From<FilterSettings> for Filter {
    fn from(settings: FilterSettings) -> Self {
        let FilterSettings { tenant, queue, reason, rule, event_type, schema_version, since, until, id, message_id } = settings;
        Self { tenant, queue, reason, rule, event_type, schema_version, since, until, ids: id, message_id }
    }
}

/// For a command that changes what it is for: nothing is changed by leaving a filter out.
#[derive(Args)]
pub struct ChoiceSettings {
    #[command(flatten)]
    filter: FilterSettings,
    /// All of them.
    #[arg(long)]
    all: bool,
}

impl ChoiceSettings {
    /// What was chosen.
    pub fn filter(self) -> Result<Filter, Failure> {
        let filter = Filter::from(self.filter);
        let sentence = match (self.all, filter.is_empty()) {
            (false, true) => "say which dead letters by a filter, such as --tenant or --id, or --all for every one",
            (true, false) => "--all means every one, and a filter some of them; leave one of the two out",
            _ => return Ok(filter),
        };
        Err(Failure { sentence: sentence.to_owned(), status: 64 })
    }

    /// What was chosen, or all where nothing was: for what changes nothing.
    pub fn filter_or_all(self) -> Result<Filter, Failure> {
        if self.all { self.filter() } else { Ok(self.filter.into()) }
    }
}

/// A time, or how long ago.
pub fn parse_time(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return OffsetDateTime::now_utc().checked_sub(time::Duration::try_from(ago).unwrap_or(time::Duration::MAX)).ok_or_else(advice);
    }
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| advice())
}

fn advice() -> String {
    "write how long ago, as 2h or 3d, or a time as 2026-11-30T12:00:00Z".to_owned()
}
