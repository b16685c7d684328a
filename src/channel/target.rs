//! Where a request goes, as far as a URL in the settings tells.

use std::borrow::Cow;

use url::Url;

use super::credential::{is_secret_by_name, literal_sentence};

/// Scheme, host and port.
#[derive(Debug)]
pub struct Origin(Url);

impl Origin {
    /// Whether a URL leads there.
    pub(super) fn has(&self, url: &Url) -> bool {
        url.origin() == self.0.origin() && url.username().is_empty() && url.password().is_none()
    }
}

/// Where a URL with templates goes, where no template has a part in that.
pub(super) fn origin(text: &str) -> Result<Origin, &'static str> {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let end = text[begin..].find(['/', '?', '#']).map_or(text.len(), |at| begin + at);
    if text[..end].contains(['{', '}']) {
        return Err("has a template in scheme, host or port; only what follows them may have one");
    }
    let url = Url::parse(&text[..end]).map_err(|_| "is no URL; write one as https://api.example.com/messages/{{ payload.id }}")?;
    check_url(&url)?;
    // What is not a template of the rest counts as well: a token in the query, say.
    if let Ok(whole) = Url::parse(text) {
        check_url(&whole)?;
    }
    Ok(Origin(url))
}

/// Whether a request may go there, as far as the URL tells.
pub(super) fn check_url(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err("is no URL of a web server; write one as https://example.com/events");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user's name or a password in it; an HTTP API takes those in a header, as { secret = \"NAME\" }");
    }
    if url.fragment().is_some() {
        return Err("has a part behind #, which is not sent; leave it out");
    }
    let is_literal = |(name, value): (&str, Cow<'_, str>)| is_secret_by_name(name) && !value.is_empty();
    if url.query_pairs().any(|(name, value)| is_literal((&name, value))) {
        return Err(literal_sentence());
    }
    Ok(())
}

/// Whether a part of its path is `.` or `..`, which would lead elsewhere on that host.
pub(super) fn has_dots(text: &str) -> bool {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let path = text[begin..].find('/').map_or("", |at| &text[begin + at..]);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let is_dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    path.split('/').any(is_dots)
}
