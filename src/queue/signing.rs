//! Signs requests by SigV4, with credentials that are renewed before they end and by SQS's clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::HeaderMap;
use tokio::time::Instant;

use super::error::ClientError;

/// Credentials that say no end are asked for anew after so long, as the SDK has it: a file may hold others by then.
const KEPT_MAX: Duration = Duration::from_mins(15);

/// Before they end.
const RENEWED_BEFORE: Duration = Duration::from_mins(1);

/// Between two attempts to renew what is still good.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

/// As the SDK has it.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(5);

/// SQS takes requests whose time differs by less. AWS: five minutes.
const SKEW_MAX_MS: u64 = 4 * 60 * 1_000;

/// What signs, for all queues.
#[derive(Debug)]
pub(super) struct Signer {
    provider: Option<SharedCredentialsProvider>,
    kept: Mutex<Option<Kept>>,
    renewing: tokio::sync::Mutex<()>,
    /// By how much SQS's clock is ahead of ours.
    skew_ms: AtomicI64,
}

#[derive(Debug, Clone)]
struct Kept {
    identity: Identity,
    renewed_from: Instant,
    ends_at: Option<SystemTime>,
}

impl Signer {
    /// Signs by what the provider has.
    pub(super) fn new(provider: Option<SharedCredentialsProvider>) -> Self {
        Self { provider, kept: Mutex::default(), renewing: tokio::sync::Mutex::default(), skew_ms: AtomicI64::new(0) }
    }

    /// Puts the signature's headers into a request for the region.
    ///
    /// # Errors
    /// When there are no credentials, or the request cannot be signed.
    pub(super) async fn sign(&self, request: &mut Request<Full<Bytes>>, body: &[u8], region: &str) -> Result<(), ClientError> {
        let identity = self.identity().await?;
        sign_at(request, body, region, &identity, self.now())
    }

    /// Whether there is something to sign by.
    ///
    /// # Errors
    /// That there is not.
    pub(super) async fn check(&self) -> Result<(), ClientError> {
        self.identity().await.map(|_| ())
    }

    async fn identity(&self) -> Result<Identity, ClientError> {
        let good = |kept: &Kept| kept.ends_at.is_none_or(|ends_at| self.now() < ends_at);
        let kept = self.kept().clone();
        if let Some(kept) = kept.as_ref().filter(|kept| Instant::now() < kept.renewed_from && good(kept)) {
            return Ok(kept.identity.clone());
        }
        let old = kept.filter(good);
        let _turn = match (self.renewing.try_lock(), old) {
            (Ok(turn), _) => turn,
            // Somebody else is at it, and these will do.
            (Err(_), Some(old)) => return Ok(old.identity),
            (Err(_), None) => self.renewing.lock().await,
        };
        self.renew().await
    }

    /// Asks for credentials, unless somebody else just has; where there are none, the old ones will do until they end.
    async fn renew(&self) -> Result<Identity, ClientError> {
        let kept = self.kept().clone().filter(|kept| kept.ends_at.is_none_or(|ends_at| self.now() < ends_at));
        if let Some(kept) = kept.as_ref().filter(|kept| Instant::now() < kept.renewed_from) {
            return Ok(kept.identity.clone());
        }
        let provided = async {
            let Some(provider) = &self.provider else {
                let none = aws_credential_types::provider::error::CredentialsError::not_loaded_no_source();
                return Err(ClientError::without_credentials(&none));
            };
            let providing = tokio::time::timeout(RENEWAL_TIMEOUT, provider.provide_credentials());
            let late = aws_credential_types::provider::error::CredentialsError::provider_timed_out(RENEWAL_TIMEOUT);
            providing.await.unwrap_or(Err(late)).map_err(|error| ClientError::without_credentials(&error))
        };
        let now = Instant::now();
        let renewed = match (provided.await, kept) {
            (Ok(credentials), _) => {
                let ends_at = credentials.expiry();
                let left = ends_at.map_or(KEPT_MAX, |ends_at| ends_at.duration_since(self.now()).unwrap_or_default());
                let pause = left.saturating_sub(ends_at.map_or(Duration::ZERO, |_| RENEWED_BEFORE)).max(RENEWAL_PAUSE);
                Kept { identity: credentials.into(), renewed_from: now + pause, ends_at }
            }
            (Err(_), Some(old)) => Kept { renewed_from: now + RENEWAL_PAUSE, ..old },
            (Err(error), None) => return Err(error),
        };
        Ok(self.kept().insert(renewed).identity.clone())
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        // A panic elsewhere leaves it whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> SystemTime {
        let skew_ms = self.skew_ms.load(Ordering::Relaxed);
        let skew = Duration::from_millis(skew_ms.unsigned_abs());
        let now = SystemTime::now();
        if skew_ms < 0 { now - skew } else { now + skew }
    }

    /// Learns from a reply how far SQS's clock is from ours; gives whether what was signed by the old difference may have been refused for it.
    pub(super) fn learn(&self, headers: &HeaderMap, sent_at: SystemTime) -> bool {
        // A cache's copy tells when it was made.
        let date = headers.get("date").filter(|_| !headers.contains_key("age"));
        let Some(date) = date.and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok()) else { return false };
        let now = SystemTime::now();
        let midpoint = sent_at + now.duration_since(sent_at).unwrap_or_default() / 2;
        let ahead = |later: SystemTime, earlier| later.duration_since(earlier).ok().and_then(|time| i64::try_from(time.as_millis()).ok());
        let skew_ms = ahead(date, midpoint).or_else(|| ahead(midpoint, date).map(|ms| -ms)).unwrap_or_default();
        let before = self.skew_ms.swap(skew_ms, Ordering::Relaxed);
        before.abs_diff(skew_ms) > SKEW_MAX_MS
    }
}

/// The signature as of a time.
pub(super) fn sign_at(
    request: &mut Request<Full<Bytes>>,
    body: &[u8],
    region: &str,
    identity: &Identity,
    time: SystemTime,
) -> Result<(), ClientError> {
    let params = v4::SigningParams::builder().identity(identity).region(region).name("sqs").time(time);
    let params = params.settings(SigningSettings::default()).build().map_err(|error| ClientError::not_made(&error))?.into();
    let instructions = {
        let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new("POST", request.uri().to_string(), headers, SignableBody::Bytes(body));
        let signed = signable.and_then(|signable| sign(signable, &params)).map_err(|error| ClientError::not_made(&error))?;
        signed.into_parts().0
    };
    instructions.apply_to_request_http1x(request);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use aws_credential_types::Credentials;
    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::{ProvideCredentials, future};

    use super::*;

    /// Hands out credentials that end after so long, and then none.
    #[derive(Debug)]
    struct Provider {
        lasting: Vec<Duration>,
        asked: Arc<AtomicUsize>,
    }

    impl ProvideCredentials for Provider {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.asked.fetch_add(1, Ordering::Relaxed);
            future::ProvideCredentials::ready(match self.lasting.get(number) {
                Some(lasting) => {
                    let ends_at = SystemTime::now() + *lasting;
                    Ok(Credentials::new(format!("key-{number}"), "secret", None, Some(ends_at), "test"))
                }
                None => Err(CredentialsError::provider_error("none today")),
            })
        }
    }

    fn signer(lasting: &[u64]) -> (Signer, Arc<AtomicUsize>) {
        let asked = Arc::<AtomicUsize>::default();
        let lasting = lasting.iter().copied().map(Duration::from_secs).collect();
        (Signer::new(Some(SharedCredentialsProvider::new(Provider { lasting, asked: Arc::clone(&asked) }))), asked)
    }

    async fn key(signer: &Signer) -> Option<String> {
        let identity = signer.identity().await.ok()?;
        Some(identity.data::<Credentials>()?.access_key_id().to_owned())
    }

    #[tokio::test]
    async fn credentials_are_kept_renewed_before_they_end_and_used_to_their_end_where_there_are_no_others() {
        let (signer, asked) = signer(&[3_600, 7_200]);
        let renewed_in = || signer.kept().as_ref().expect("credentials").renewed_from - Instant::now();
        assert_eq!(key(&signer).await.as_deref(), Some("key-0"));
        assert_eq!(key(&signer).await.as_deref(), Some("key-0"));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(renewed_in() < Duration::from_mins(59), "before they end");
        let is_due = || signer.kept().as_mut().expect("credentials").renewed_from = Instant::now();
        is_due();
        assert_eq!(key(&signer).await.as_deref(), Some("key-1"));
        is_due();
        assert_eq!(key(&signer).await.as_deref(), Some("key-1"), "there are no others, and these are good");
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        assert_eq!(key(&signer).await.as_deref(), Some("key-1"));
        assert_eq!(asked.load(Ordering::Relaxed), 3, "not asked at each request");
    }

    #[tokio::test]
    async fn credentials_that_have_ended_are_not_used() {
        let (signer, _) = signer(&[0]);
        assert_eq!(key(&signer).await.as_deref(), Some("key-0"), "SQS is asked what it thinks of them");
        assert_eq!(key(&signer).await, None);
    }

    #[test]
    fn the_clock_is_put_right_by_the_date_of_a_reply() {
        let (signer, _) = signer(&[]);
        let mut headers = HeaderMap::new();
        assert!(!signer.learn(&headers, SystemTime::now()), "no date, nothing learnt");
        let ahead = SystemTime::now() + Duration::from_hours(1);
        headers.insert("date", httpdate::fmt_http_date(ahead).parse().expect("a date"));
        assert!(signer.learn(&headers, SystemTime::now()), "what was signed before was signed an hour late");
        assert!(signer.now().duration_since(ahead - Duration::from_secs(2)).is_ok());
        assert!(!signer.learn(&headers, SystemTime::now()), "it is known already");
        headers.insert("date", httpdate::fmt_http_date(SystemTime::now() - Duration::from_mins(10)).parse().expect("a date"));
        headers.insert("age", "600".parse().expect("an age"));
        assert!(!signer.learn(&headers, SystemTime::now()), "a cache's date is an old one");
    }
}
