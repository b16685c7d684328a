//! The SDK's clients: one pair a region and endpoint, set up so that a poll can neither hang for ever nor starve acknowledgements.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::StalledStreamProtectionConfig;
use aws_sdk_sqs::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::types::QueueAttributeName;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use super::ClientError;
use crate::settings::QueueSetting;

/// All requests but polls answer at once or not at all.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Clients for queues in any region and at any endpoint.
#[derive(Debug, Clone)]
pub struct Clients {
    shared: SdkConfig,
    pairs: Arc<Mutex<HashMap<Place, Pair>>>,
}

/// Where a queue is, as far as its URL says so; the configuration says the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Place {
    region: Option<String>,
    endpoint_url: Option<String>,
}

/// The client to poll by and the one for all else. Their retry budgets are apart: the SDK shares one within a process, and failing polls
/// would use up what deletes need.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub poll: Client,
    pub acknowledge: Client,
}

impl Clients {
    /// Reads region, endpoint and credentials from where the AWS SDK finds them.
    pub async fn load() -> Self {
        Self::of(Self::loader().load().await)
    }

    /// For a server on this machine that takes any credentials.
    pub async fn local(endpoint_url: &str, region: &str) -> Self {
        let credentials = aws_sdk_sqs::config::Credentials::new("test", "test", None, None, "local");
        let loader = Self::loader().endpoint_url(endpoint_url).region(Region::new(region.to_owned())).credentials_provider(credentials);
        Self::of(loader.load().await)
    }

    fn of(shared: SdkConfig) -> Self {
        Self { shared, pairs: Arc::default() }
    }

    fn loader() -> aws_config::ConfigLoader {
        let http_client = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client);
        // Long polls are streams that stall by design.
        loader.stalled_stream_protection(StalledStreamProtectionConfig::disabled())
    }

    /// Creates a queue with attributes as SQS names them, or finds it where it is there already.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses.
    pub async fn create_queue(&self, name: &str, attributes: &[(&str, &str)]) -> Result<(), ClientError> {
        let fifo = name.strip_suffix(".fifo").is_some().then_some(("FifoQueue", "true"));
        let attributes = attributes.iter().copied().chain(fifo);
        let attributes = attributes.map(|(name, value)| (QueueAttributeName::from(name), value.to_owned())).collect();
        Client::new(&self.shared).create_queue().queue_name(name).set_attributes(Some(attributes)).send().await?;
        Ok(())
    }

    /// Whether a region is configured, without which a queue's name cannot be looked up. An empty variable names none.
    pub fn has_region(&self) -> bool {
        self.shared.region().is_some_and(|region| !region.as_ref().is_empty())
    }

    /// The clients for a queue, shared by all queues of its region and endpoint.
    pub(super) fn pair(&self, setting: &QueueSetting) -> Pair {
        let place = Place::of(setting);
        // A panic elsewhere leaves the map whole.
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        pairs.entry(place).or_insert_with_key(|place| self.build(place)).clone()
    }

    fn build(&self, place: &Place) -> Pair {
        let builder = || {
            let mut builder = aws_sdk_sqs::config::Builder::from(&self.shared);
            if let Some(region) = &place.region {
                builder = builder.region(Region::new(region.clone()));
            }
            if let Some(endpoint_url) = &place.endpoint_url {
                builder = builder.endpoint_url(endpoint_url);
            }
            builder
        };
        let poll = builder()
            .retry_config(RetryConfig::disabled())
            .retry_partition(RetryPartition::new("event-processor-poll"))
            // Each poll limits itself, by its own wait.
            .timeout_config(timeouts().build());
        let acknowledge = builder()
            .retry_config(RetryConfig::standard())
            .retry_partition(RetryPartition::new("event-processor-acknowledge"))
            .timeout_config(timeouts().operation_attempt_timeout(ACKNOWLEDGE_TIMEOUT).build());
        Pair { poll: Client::from_conf(poll.build()), acknowledge: Client::from_conf(acknowledge.build()) }
    }
}

impl Place {
    fn of(setting: &QueueSetting) -> Self {
        let Some(url) = setting.url.as_ref().and_then(|url| url::Url::parse(url).ok()) else {
            return Self::default();
        };
        match region_of(url.host_str().unwrap_or_default()) {
            Some(region) => Self { region: Some(region), endpoint_url: None },
            // Not at AWS: the request goes where the URL points, as it does with other SDKs.
            None => Self { region: None, endpoint_url: Some(url.origin().ascii_serialization()) },
        }
    }
}

fn timeouts() -> aws_sdk_sqs::config::timeout::TimeoutConfigBuilder {
    TimeoutConfig::builder().connect_timeout(Duration::from_secs(3))
}

/// `sqs.<region>.amazonaws.com`, or with `.cn` behind it.
fn region_of(host: &str) -> Option<String> {
    let region = host.strip_prefix("sqs.")?.split_once(".amazonaws.com")?.0;
    Some(region.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Clients, Pair, StalledStreamProtectionConfig, region_of};
    use crate::settings::parse_queues;

    #[tokio::test]
    async fn queues_of_one_region_and_endpoint_share_their_clients() {
        let clients = Clients::local("http://127.0.0.1:1", "us-east-1").await;
        let queues = "a,b,http://127.0.0.1:2/1/c,http://127.0.0.1:2/1/d,https://sqs.eu-central-1.amazonaws.com/123456789012/e";
        for setting in parse_queues(queues).expect("queues") {
            let Pair { poll, acknowledge } = clients.pair(&setting);
            for client in [poll, acknowledge] {
                let is_protected = client.config().stalled_stream_protection().is_none_or(StalledStreamProtectionConfig::is_enabled);
                assert!(!is_protected, "a long poll is taken for a stalled stream");
            }
        }
        assert_eq!(clients.pairs.lock().expect("pairs").len(), 3);
    }

    #[test]
    fn a_queue_url_says_its_region_only_at_aws() {
        assert_eq!(region_of("sqs.eu-central-1.amazonaws.com").as_deref(), Some("eu-central-1"));
        assert_eq!(region_of("sqs.cn-north-1.amazonaws.com.cn").as_deref(), Some("cn-north-1"));
        assert_eq!(region_of("127.0.0.1"), None);
        assert_eq!(region_of("sqs.us-east-1.localhost.localstack.cloud"), None);
    }
}
