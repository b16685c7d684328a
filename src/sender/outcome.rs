//! What became of one attempt.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use hyper::header::{HeaderMap, RETRY_AFTER};

/// The longest wait that a receiver can ask for; the hand-off takes no longer one.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(7 * 24);

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    /// The receiver has taken it.
    Delivered,
    /// It has not.
    Failed(Failed),
}

/// Why it has not, and what follows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Failed {
    /// For people; never with a part of the event, a secret or what the receiver wrote.
    pub(super) sentence: String,
    /// How long the receiver wants to be left alone.
    pub(super) retry_after: Option<Duration>,
    /// Trying again would not help.
    pub(super) is_permanent: bool,
    /// The receiver says that it is gone for good.
    pub(super) is_gone: bool,
    /// The receiver has too much to do.
    pub(super) is_overloaded: bool,
}

impl Failed {
    /// What kind of failure it is, for spans.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self { is_gone: true, .. } => "gone",
            Self { is_overloaded: true, .. } => "overloaded",
            Self { is_permanent: true, .. } => "permanent",
            _ => "failed",
        }
    }

    /// It may go better the next time.
    pub(super) fn again(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), ..Self::default() }
    }

    /// It will not.
    pub(super) fn for_good(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), is_permanent: true, ..Self::default() }
    }
}

/// What an HTTP status means, by the conventions of Standard Webhooks.
pub(super) fn of_status(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Ending {
    if status.is_success() {
        return Ending::Delivered;
    }
    let reason = status.canonical_reason().map_or_else(String::new, |reason| format!(" ({reason})"));
    let note = if status.is_redirection() { "; redirects are not followed: write the URL that it leads to" } else { "" };
    Ending::Failed(Failed {
        sentence: format!("the receiver answered {}{reason}{note}", status.as_u16()),
        retry_after: retry_after(headers, now),
        is_permanent: false,
        is_gone: status == StatusCode::GONE,
        is_overloaded: matches!(status.as_u16(), 429 | 502 | 503 | 504),
    })
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(status: u16, retry_after: Option<&str>) -> Ending {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
        }
        // Sun, 06 Nov 1994 08:49:37 GMT
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        of_status(StatusCode::from_u16(status).expect("a status"), &headers, now)
    }

    #[test]
    fn only_2xx_delivers_and_the_rest_comes_again() {
        for status in [200, 201, 204, 299] {
            assert_eq!(ending(status, None), Ending::Delivered, "{status}");
        }
        for (status, is_gone, is_overloaded) in [
            (301, false, false),
            (400, false, false),
            (404, false, false),
            (410, true, false),
            (429, false, true),
            (500, false, false),
            (502, false, true),
            (503, false, true),
            (504, false, true),
        ] {
            let Ending::Failed(failed) = ending(status, None) else { panic!("{status}") };
            assert_eq!((failed.is_gone, failed.is_overloaded, failed.is_permanent), (is_gone, is_overloaded, false), "{status}");
            assert!(failed.sentence.contains(&status.to_string()), "{failed:?}");
        }
    }

    #[test]
    fn how_long_to_wait_is_told_in_seconds_or_by_a_date() {
        let wait = |text| match ending(503, Some(text)) {
            Ending::Failed(failed) => failed.retry_after.map(|wait| wait.as_secs()),
            Ending::Delivered => panic!("delivered"),
        };
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(wait("99999999999"), Some(604_800));
        assert_eq!(wait("soon"), None);
    }
}
