//! `{ url, secret }`: a POST of the event, signed by the conventions of Standard Webhooks.

use serde_json::Value;
use url::Url;

use super::credential::SecretReference;
use super::fields::Fields;
use super::target::check_url;

/// How many secrets there are at once: the old one and the new one.
const SECRETS_MAX: usize = 2;

/// A webhook's settings.
#[derive(Debug)]
pub struct Webhook {
    /// Where to.
    pub url: Url,
    /// What it is signed by; none: it is not signed.
    pub secrets: Vec<SecretReference>,
}

pub(super) fn parse(fields: &mut Fields<'_>) -> Option<Webhook> {
    let url = fields.text("url", true).and_then(|text| match Url::parse(&text) {
        _ if text.contains("{{") || text.contains("{%") => {
            fields.refuse("url", "is a template, which a webhook's is not; write channel = \"http\" for an API of your own choice");
            None
        }
        Ok(url) => check_url(&url).map_err(|sentence| fields.refuse("url", sentence)).ok().map(|()| url),
        Err(_) => {
            fields.refuse("url", "is no URL; write one as https://example.com/events");
            None
        }
    });
    let listed = match fields.value("secret") {
        None => Vec::new(),
        Some(Value::Array(listed)) => listed.iter().collect(),
        Some(one) => vec![one],
    };
    if listed.len() > SECRETS_MAX {
        fields.refuse("secret", "lists more than two; the old one and the new one are right while it is rotated");
    }
    let secrets: Option<Vec<_>> = listed.into_iter().map(|value| fields.secret("secret", value, false)).collect();
    Some(Webhook { url: url?, secrets: secrets? })
}
