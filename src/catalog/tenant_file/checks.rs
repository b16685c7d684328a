//! What each field of `tenant.toml` may say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};

use super::{ClientFields, EventTypeFields, RetryFields, SubscriptionFields, Versions};
use crate::catalog::declaration::{ClientDeclaration, Rate, Retry, SubscriptionDeclaration};
use crate::channel::Channel;
use crate::event::{ClientId, is_event_type, is_name};
use crate::json;

/// The longest pause between two tries that can be asked for.
const PAUSE_MAX: Duration = Duration::from_hours(365 * 24);

/// The shortest: senders do not look more often.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// Events a second that a tenant may be held to: one in a hundred seconds, or a million.
const RATE_MIN: f64 = 0.01;
const RATE_MAX: f64 = 1_000_000.0;

/// How often a delivery may be tried.
const ATTEMPTS_MAX: i32 = 100;

/// What is wrong so far, and what there is beside the file.
pub(super) struct Checks<'a> {
    sentences: Vec<String>,
    versions: &'a Versions,
}

impl<'a> Checks<'a> {
    pub(super) fn new(versions: &'a Versions) -> Self {
        Self { sentences: Vec::new(), versions }
    }

    /// What was checked, or all that is wrong with it.
    pub(super) fn finish<T>(self, checked: T) -> Result<T, Vec<String>> {
        if self.sentences.is_empty() { Ok(checked) } else { Err(self.sentences) }
    }

    fn refuse(&mut self, location: &str, sentence: &str) {
        self.sentences.push(format!("{location}: {sentence}"));
    }

    /// Refuses the fields that stand at a place and are not known there.
    pub(super) fn others(&mut self, location: &str, others: &toml::Table, known: &[&str], not_yet: &[&str]) {
        for (name, value) in others {
            let field = if location.is_empty() { key(name) } else { format!("{location}.{}", key(name)) };
            if location.is_empty() && name == "queues" {
                self.refuse(&field, "stand in queues.toml beside the tenants' directories, which is the operator's; take them out");
            } else if not_yet.contains(&name.as_str()) {
                self.refuse(&field, "is not supported by this build yet; take it out");
            } else {
                let advice = match location.rsplit_once('.') {
                    Some((table, last)) if value.is_table() => {
                        format!("; a name with a dot stands in quotes: [{table}.\"{last}.{name}\"]")
                    }
                    _ => String::new(),
                };
                self.refuse(&field, &format!("is not a field; known here: {}{advice}", known.join(", ")));
            }
        }
    }

    pub(super) fn label(&mut self, location: &str, label: Option<&str>) {
        if label.is_some_and(|label| label.trim().is_empty() || label.contains(char::is_control)) {
            self.refuse(location, "is empty or has control characters; write a name for people, or leave it out");
        }
    }

    pub(super) fn allowed_senders(&mut self, senders: &[String]) {
        let mut seen = BTreeSet::new();
        for sender in senders {
            let location = format!("allowed_senders: {sender:?}");
            let is_unique_id = |text: &str| {
                (16..=128).contains(&text.len())
                    && (text.starts_with("AIDA") || text.starts_with("AROA"))
                    && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            };
            match sender.split_once(':') {
                Some((role, _)) if is_unique_id(role) => {
                    self.refuse(&location, &format!("names a session; write {role:?}, which matches every session of the role"));
                }
                _ if !is_unique_id(sender) => self.refuse(
                    &location,
                    "is not the unique id of an IAM user (AIDA...) or role (AROA...); `aws iam get-role` and `get-user` show it as RoleId and UserId",
                ),
                _ if !seen.insert(sender) => self.refuse(&location, "stands there twice; once is enough"),
                _ => {}
            }
        }
    }

    pub(super) fn rate(&mut self, limit: Option<&toml::Value>, burst: Option<&toml::Value>) -> Option<Rate> {
        let number = |value: &toml::Value| {
            value.as_float().or_else(|| value.as_integer().and_then(|number| i32::try_from(number).ok()).map(f64::from))
        };
        let Some(given) = limit else {
            if burst.is_some() {
                self.refuse("rate_burst", "does nothing without `rate_limit`; add that, or take this out");
            }
            return None;
        };
        let Some(limit) = number(given).filter(|limit| (RATE_MIN..=RATE_MAX).contains(limit)) else {
            self.refuse("rate_limit", &format!("is not a number of events a second; write one from {RATE_MIN} to {RATE_MAX}"));
            return None;
        };
        let at_once = match burst {
            // One second's worth.
            None => Some(limit.ceil()),
            Some(burst) => number(burst).filter(|burst| burst.fract() == 0.0 && (1.0..=RATE_MAX).contains(burst)),
        };
        let Some(at_once) = at_once else {
            self.refuse("rate_burst", &format!("is not a whole number of events; write one from 1 to {RATE_MAX}"));
            return None;
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number within these bounds")]
        let burst = at_once as u32;
        Some(Rate { limit, burst })
    }

    pub(super) fn default_versions(&mut self, event_types: &BTreeMap<String, EventTypeFields>) -> BTreeMap<String, i32> {
        let mut defaults = BTreeMap::new();
        for (event_type, fields) in event_types {
            let location = format!("event_types.{}", key(event_type));
            self.others(&location, &fields.others, &["default_version"], &["mode"]);
            let Some((directory, versions)) = self.versions.get(event_type) else {
                self.refuse(&location, &format!("there is no directory {event_type:?} beside this file, nor one whose event_type.toml says so; add it, or mend the name"));
                continue;
            };
            let Some(wanted) = fields.default_version else { continue };
            if let Some(version) = i32::try_from(wanted).ok().filter(|version| versions.contains(version)) {
                defaults.insert(event_type.clone(), version);
            } else {
                let there: Vec<_> = versions.iter().map(i32::to_string).collect();
                self.refuse(
                    &format!("{location}.default_version"),
                    &format!("{directory}/{wanted}.json does not exist; versions that do: {}", there.join(", ")),
                );
            }
        }
        defaults
    }

    pub(super) fn client(&mut self, client_id: &str, fields: ClientFields) -> ClientDeclaration {
        let location = format!("clients.{}", key(client_id));
        if !is_name(client_id) {
            self.refuse(&location, "is not a client's name: 1-100 of a-z, 0-9, dot, underscore and hyphen, the first a letter or digit");
        }
        self.others(&location, &fields.others, &["name", "retry", "settings"], &[]);
        self.label(&format!("{location}.name"), fields.name.as_deref());
        let retry = fields.retry.map(|retry| self.retry(&format!("{location}.retry"), &retry));
        let settings = self.settings(&format!("{location}.settings"), &fields.settings);
        let name = fields.name.unwrap_or_else(|| client_id.to_owned());
        ClientDeclaration { client_id: ClientId::new(client_id), name, retry, settings }
    }

    fn retry(&mut self, location: &str, fields: &RetryFields) -> Retry {
        self.others(location, &fields.others, &["initial", "factor", "cap", "attempts", "schedule"], &[]);
        if let Some(schedule) = &fields.schedule {
            return self.schedule(location, schedule, fields);
        }
        let initial_ms = fields.initial.as_ref().and_then(|text| self.pause(&format!("{location}.initial"), text));
        let cap_ms = fields.cap.as_ref().and_then(|text| self.pause(&format!("{location}.cap"), text));
        if let (Some(initial), Some(cap)) = (initial_ms, cap_ms)
            && cap < initial
        {
            self.refuse(&format!("{location}.cap"), "is shorter than `initial`; it is the longest pause");
        }
        if let Some(factor) = fields.factor.filter(|factor| !(factor.is_finite() && *factor >= 1.0)) {
            self.refuse(&format!("{location}.factor"), &format!("{factor} would make pauses shorter each time; 1 or more is right"));
        }
        let attempts =
            fields.attempts.and_then(|attempts| i32::try_from(attempts).ok().filter(|attempts| (1..=ATTEMPTS_MAX).contains(attempts)));
        if let (Some(given), None) = (fields.attempts, attempts) {
            self.refuse(
                &format!("{location}.attempts"),
                &format!("{given} is not a number of tries, the first included: 1 to {ATTEMPTS_MAX}"),
            );
        }
        Retry { initial_ms, factor: fields.factor, cap_ms, attempts, schedule_ms: None }
    }

    fn schedule(&mut self, location: &str, schedule: &[String], fields: &RetryFields) -> Retry {
        if fields.initial.is_some() || fields.factor.is_some() || fields.cap.is_some() || fields.attempts.is_some() {
            self.refuse(location, "has `schedule`, which says all pauses and so how many tries there are; leave the other fields out");
        }
        if i32::try_from(schedule.len()).is_ok_and(|pauses| pauses < ATTEMPTS_MAX) {
            let pauses = schedule.iter().enumerate();
            let pauses = pauses.filter_map(|(index, text)| self.pause(&format!("{location}.schedule, number {}", index + 1), text));
            let schedule_ms = Some(pauses.collect());
            return Retry { initial_ms: None, factor: None, cap_ms: None, attempts: None, schedule_ms };
        }
        let problem = format!("has {} pauses; at most {} are right, for {ATTEMPTS_MAX} tries", schedule.len(), ATTEMPTS_MAX - 1);
        self.refuse(&format!("{location}.schedule"), &problem);
        Retry { initial_ms: None, factor: None, cap_ms: None, attempts: None, schedule_ms: None }
    }

    fn pause(&mut self, location: &str, text: &str) -> Option<i64> {
        let pause = humantime::parse_duration(text).ok().filter(|pause| (PAUSE_MIN..=PAUSE_MAX).contains(pause));
        let Some(pause) = pause else {
            self.refuse(location, &format!("{text:?} is not a duration between 1s and 365days, such as \"1s\" or \"1h 30m\""));
            return None;
        };
        i64::try_from(pause.as_millis()).ok()
    }

    fn settings(&mut self, location: &str, table: &toml::Table) -> Map<String, Value> {
        let settings: Option<Map<_, _>> = table.iter().map(|(name, value)| Some((name.clone(), to_json(value)?))).collect();
        let Some(settings) = settings else {
            self.refuse(location, "has a number that is infinite or none, which JSON cannot hold");
            return Map::new();
        };
        // What Postgres cannot hold is said here and not by a failing apply.
        if let Err(defect) = json::read(serde_json::json!(settings).to_string().as_bytes()) {
            self.refuse(location, &format!("cannot be stored: {}", defect.kind));
            return settings;
        }
        // A client without settings has a sender of its own.
        let problems = if settings.is_empty() { Vec::new() } else { Channel::parse(&settings).err().unwrap_or_default() };
        for problem in problems {
            self.refuse(&format!("{location}.{}", problem.field), &problem.sentence);
        }
        settings
    }

    pub(super) fn subscriptions(
        &mut self,
        list: &[SubscriptionFields],
        clients: &BTreeMap<String, ClientFields>,
    ) -> Vec<SubscriptionDeclaration> {
        let mut subscriptions = BTreeSet::new();
        for (index, fields) in list.iter().enumerate() {
            let location = format!("subscriptions, number {}", index + 1);
            self.others(&location, &fields.others, &["client", "events"], &[]);
            if !clients.contains_key(&fields.client) {
                self.refuse(&location, &format!("there is no [clients.{}] in this file; add it, or mend the name", key(&fields.client)));
            }
            if fields.events.is_empty() {
                self.refuse(&location, "`events` is empty; name what the client gets, or take the subscription out");
            }
            for pattern in &fields.events {
                self.pattern(&location, pattern);
                let subscription = SubscriptionDeclaration { client_id: ClientId::new(&fields.client), event_pattern: pattern.clone() };
                if !subscriptions.insert(subscription) {
                    self.refuse(&location, &format!("{pattern:?} is there twice for client {:?}; once is enough", fields.client));
                }
            }
        }
        subscriptions.into_iter().collect()
    }

    fn pattern(&mut self, location: &str, pattern: &str) {
        let is_fine = match pattern.strip_suffix(".*") {
            Some(prefix) => is_event_type(prefix) && is_event_type(pattern),
            None => pattern == "*" || self.versions.contains_key(pattern),
        };
        if !is_fine {
            self.refuse(
                location,
                &format!("{pattern:?} is no event type of this tenant; a pattern is an event type's name, `prefix.*` or `*`"),
            );
        }
    }
}

/// A key as TOML writes it.
fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if !name.is_empty() && name.bytes().all(is_bare) { name.to_owned() } else { format!("{name:?}") }
}

/// TOML as JSON, dates and times as text; nothing where a number is infinite or none.
fn to_json(value: &toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(integer) => (*integer).into(),
        toml::Value::Float(float) => Value::Number(serde_json::Number::from_f64(*float)?),
        toml::Value::Boolean(boolean) => (*boolean).into(),
        toml::Value::Datetime(datetime) => datetime.to_string().into(),
        toml::Value::Array(items) => Value::Array(items.iter().map(to_json).collect::<Option<_>>()?),
        toml::Value::Table(table) => {
            Value::Object(table.iter().map(|(name, value)| Some((name.clone(), to_json(value)?))).collect::<Option<_>>()?)
        }
    })
}
