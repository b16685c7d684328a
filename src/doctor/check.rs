//! What one look has found.

use std::fmt;

use serde::Serialize;

use crate::output::Escaped;

/// What one look has found.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub state: State,
    /// What was found and, where it is not well, what to do.
    pub sentence: String,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it has to be.
    Well,
    /// Somebody has to change something.
    Wrong,
    /// What is needed does not answer.
    Away,
    /// It could not be looked at, for a reason that another line tells, or that is none of the daemon's.
    Skipped,
}

impl Check {
    /// It is as it has to be.
    pub fn well(check: &'static str, sentence: impl fmt::Display) -> Self {
        Self { check, state: State::Well, sentence: sentence.to_string() }
    }

    /// Somebody has to change something.
    pub fn wrong(check: &'static str, sentence: impl fmt::Display) -> Self {
        Self { check, state: State::Wrong, sentence: sentence.to_string() }
    }

    /// What is needed does not answer.
    pub fn away(check: &'static str, sentence: impl fmt::Display) -> Self {
        Self { check, state: State::Away, sentence: sentence.to_string() }
    }

    /// It could not be looked at.
    pub fn skipped(check: &'static str, why: impl fmt::Display) -> Self {
        Self { check, state: State::Skipped, sentence: format!("not looked at: {why}") }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Well => "ok",
            State::Wrong => "WRONG",
            State::Away => "AWAY",
            State::Skipped => "-",
        };
        write!(formatter, "{state:<5}  {:<12}  {}", self.check, Escaped(&self.sentence))
    }
}
