//! How deliveries go out to a client: what its `settings` may say. `catalog check` and the sender read them by the same code, so that what
//! would fail later is said first.

mod credential;
mod fields;
mod template;
mod target;
mod email;
mod http;
mod webhook;

use serde_json::{Map, Value};

use fields::Fields;

pub use credential::{SecretName, SecretReference};
pub use email::{Email, domain_of};
pub use http::{Body, HeaderSetting, Http, Node, RequestError};
pub use target::Origin;
pub use template::{EVENT_FIELDS, Event, Template, TemplateError};
pub use webhook::Webhook;

/// What is wrong with one field of `settings`, as a sentence that begins with the field. It never repeats a value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, from `settings` on; empty: as a whole.
    pub field: String,
    /// What is wrong, and what would be right.
    pub sentence: String,
}

/// The way that a client's deliveries take.
#[derive(Debug)]
pub enum Channel {
    /// A POST by the conventions of Standard Webhooks.
    Webhook(Webhook),
    /// A mail by SMTP.
    Email(Email),
    /// A request to any HTTP API.
    Http(Http),
}

impl Channel {
    /// Reads a client's `settings`.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn parse(settings: &Map<String, Value>) -> Result<Self, Vec<Problem>> {
        let mut fields = Fields::new("", settings);
        let name = if settings.contains_key("channel") { fields.text("channel", true) } else { Some("webhook".to_owned()) };
        match name.as_deref() {
            Some("webhook") => fields.finish(webhook::parse).map(Self::Webhook),
            Some("email") => fields.finish(email::parse).map(Self::Email),
            Some("http") => fields.finish(http::parse).map(Self::Http),
            Some(_) => {
                Err(vec![Problem { field: "channel".to_owned(), sentence: "is no channel; write webhook, email or http".to_owned() }])
            }
            None => Err(fields.into_problems()),
        }
    }

    /// As metrics and logs name it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Email(_) => "email",
            Self::Http(_) => "http",
        }
    }
}

#[cfg(test)]
mod tests;
