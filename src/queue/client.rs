//! The SDK's clients: one pair a region and endpoint, set up so that a poll can neither hang for ever nor starve acknowledgements.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{Builder, StalledStreamProtectionConfig};
use aws_sdk_sqs::error::{BuildError, DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::settings::QueueSetting;

/// The longest that SQS lets a poll wait.
pub const POLL_WAIT_MAX: Duration = Duration::from_secs(20);

/// An attempt to poll that outlasts its wait by this is given up: without a limit a black-holed poll never returns.
const POLL_GRACE: Duration = Duration::from_secs(10);

/// All other requests answer at once or not at all.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why SQS did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ClientError {
    /// SQS's error code, or `timeout`, `connection` and the like where there was no answer; safe as a metric label's source.
    pub code: String,
    message: String,
}

impl ClientError {
    pub(super) fn from_build(error: &BuildError) -> Self {
        Self { code: "request".to_owned(), message: error.to_string() }
    }

    /// The kind of trouble, from a fixed list: fit for a metric's label.
    pub fn class(&self) -> &'static str {
        match self.code.as_str() {
            "timeout" => "timeout",
            "connection" => "connection",
            "response" | "request" => "protocol",
            code if code.contains("Throttl") || code.contains("OverLimit") || code.contains("TooManyRequests") => "throttled",
            code if code.contains("AccessDenied")
                || code.contains("InvalidClientToken")
                || code.contains("Signature")
                || code.contains("Expired") =>
            {
                "denied"
            }
            _ if self.is_missing_queue() => "missing_queue",
            _ => "error",
        }
    }

    /// Whether SQS may have done what it was asked all the same: its reply was lost, or it does not know itself.
    pub fn is_unanswered(&self) -> bool {
        let is_internal = self.code.contains("Internal") || self.code.contains("ServiceUnavailable");
        is_internal || matches!(self.class(), "timeout" | "connection" | "protocol")
    }

    /// Whether SQS answered that the queue does not exist. Emulators name the code in different ways.
    pub fn is_missing_queue(&self) -> bool {
        self.code.ends_with("QueueDoesNotExist") || self.code.ends_with("NonExistentQueue")
    }
}

impl<E, R> From<SdkError<E, R>> for ClientError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        // By code, not by variant: the SDK types the same error sometimes and sometimes not.
        let code = match (&error, error.code()) {
            (_, Some(code)) => code.to_owned(),
            (SdkError::TimeoutError(_), _) => "timeout".to_owned(),
            (SdkError::DispatchFailure(_), _) => "connection".to_owned(),
            (SdkError::ConstructionFailure(_), _) => "request".to_owned(),
            _ => "response".to_owned(),
        };
        let message = error.message().map_or_else(|| DisplayErrorContext(&error).to_string(), str::to_owned);
        Self { code, message }
    }
}

/// Makes clients for queues in any region and at any endpoint.
#[derive(Debug, Clone)]
pub struct Clients {
    shared: SdkConfig,
}

impl Clients {
    /// Reads region, endpoint and credentials from where the AWS SDK finds them.
    pub async fn load() -> Self {
        Self { shared: Self::loader().load().await }
    }

    /// For a server on this machine that takes any credentials.
    pub async fn local(endpoint_url: &str, region: &str) -> Self {
        let credentials = aws_sdk_sqs::config::Credentials::new("test", "test", None, None, "local");
        let loader = Self::loader().endpoint_url(endpoint_url).region(Region::new(region.to_owned())).credentials_provider(credentials);
        Self { shared: loader.load().await }
    }

    fn loader() -> aws_config::ConfigLoader {
        let http_client = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client);
        // Long polls are streams that stall by design.
        loader.stalled_stream_protection(StalledStreamProtectionConfig::disabled())
    }

    /// Creates a queue, or finds it where it is there already.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses.
    pub async fn create_queue(&self, name: &str) -> Result<(), ClientError> {
        let fifo = name.strip_suffix(".fifo").is_some().then(|| [(QueueAttributeName::FifoQueue, "true".to_owned())].into());
        Client::new(&self.shared).create_queue().queue_name(name).set_attributes(fifo).send().await?;
        Ok(())
    }

    /// Whether a region is configured, without which a queue's name cannot be looked up. An empty variable names none.
    pub fn has_region(&self) -> bool {
        self.shared.region().is_some_and(|region| !region.as_ref().is_empty())
    }

    /// The client to poll by and the one for all else. Their retry budgets are apart: the SDK shares one within a process, and failing
    /// polls would use up what deletes need.
    pub(super) fn of(&self, setting: &QueueSetting) -> (Client, Client) {
        let poll = self
            .builder(setting)
            .retry_config(RetryConfig::disabled())
            .retry_partition(RetryPartition::new("event-processor-poll"))
            .timeout_config(attempt_timeout(POLL_WAIT_MAX + POLL_GRACE));
        let acknowledge = self
            .builder(setting)
            .retry_config(RetryConfig::standard())
            .retry_partition(RetryPartition::new("event-processor-acknowledge"))
            .timeout_config(attempt_timeout(ACKNOWLEDGE_TIMEOUT));
        (Client::from_conf(poll.build()), Client::from_conf(acknowledge.build()))
    }

    fn builder(&self, setting: &QueueSetting) -> Builder {
        let builder = aws_sdk_sqs::config::Builder::from(&self.shared);
        let Some(url) = setting.url.as_ref().and_then(|url| url::Url::parse(url).ok()) else {
            return builder;
        };
        match region_of(url.host_str().unwrap_or_default()) {
            Some(region) => builder.region(Region::new(region)),
            // Not at AWS: the request goes where the URL points, as it does with other SDKs.
            None => builder.endpoint_url(url.origin().ascii_serialization()),
        }
    }
}

fn attempt_timeout(timeout: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(Duration::from_secs(3)).operation_attempt_timeout(timeout).build()
}

/// `sqs.<region>.amazonaws.com`, or with `.cn` behind it.
fn region_of(host: &str) -> Option<String> {
    let region = host.strip_prefix("sqs.")?.split_once(".amazonaws.com")?.0;
    Some(region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::region_of;

    #[test]
    fn a_queue_url_says_its_region_only_at_aws() {
        assert_eq!(region_of("sqs.eu-central-1.amazonaws.com").as_deref(), Some("eu-central-1"));
        assert_eq!(region_of("sqs.cn-north-1.amazonaws.com.cn").as_deref(), Some("cn-north-1"));
        assert_eq!(region_of("127.0.0.1"), None);
        assert_eq!(region_of("sqs.us-east-1.localhost.localstack.cloud"), None);
    }
}
