//! The SDK's clients, one a region and endpoint, and the way to an endpoint for requests that are many.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{SharedHttpClient, StalledStreamProtectionConfig};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_types::service_config::ServiceConfigKey;

use super::connector;
use super::credentials::FitCredentials;
use super::endpoint::Endpoint;
use super::error::ClientError;
use super::measure::Measure;
use super::signing::Signer;
use super::wire::Wire;
use crate::certificates;
use crate::metrics::Metrics;
use crate::settings::{QueueSetting, WrongSetting, check_sdk_environment, is_http_url, region_of_host};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// All requests of the SDK's answer at once or not at all: none is a poll.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Clients for queues in any region and at any endpoint.
#[derive(Debug, Clone)]
pub struct Clients {
    shared: SdkConfig,
    signer: Arc<Signer>,
    heeds_proxies: bool,
    by_location: Arc<Mutex<HashMap<Location, Client>>>,
    pub(super) measure: Measure,
}

/// Where a queue is, as far as its URL says so; the configuration says the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Location {
    region: Option<String>,
    endpoint_url: Option<String>,
    /// Whether the URL already has the FIPS or dual-stack host that the SDK would refuse to make of it.
    is_variant: bool,
}

impl Clients {
    /// Reads region, endpoint and credentials from where the AWS SDK finds them.
    ///
    /// # Errors
    /// A sentence for the user when a variable of the SDK's cannot be used.
    pub async fn load() -> Result<Self, WrongSetting> {
        check_sdk_environment()?;
        let shared = Self::loader(connector::by_environment()).load().await;
        check_endpoint(&shared)?;
        let credentials = shared.credentials_provider().map(FitCredentials).map(SharedCredentialsProvider::new);
        let mut builder = shared.into_builder();
        builder.set_credentials_provider(credentials);
        Ok(Self::of(builder.build(), true))
    }

    /// For a server on this machine that takes any credentials, whatever the environment says.
    pub async fn local(endpoint_url: &str, region: &str) -> Self {
        let credentials = aws_sdk_sqs::config::Credentials::new("test", "test", None, None, "local");
        let loader = Self::loader(connector::direct()).empty_test_environment();
        let loader = loader.endpoint_url(endpoint_url).region(Region::new(region.to_owned())).credentials_provider(credentials);
        Self::of(loader.load().await, false)
    }

    fn of(shared: SdkConfig, heeds_proxies: bool) -> Self {
        let signer = Arc::new(Signer::new(shared.credentials_provider()));
        Self { shared, signer, heeds_proxies, by_location: Arc::default(), measure: Measure::default() }
    }

    /// The same, with each request measured.
    #[must_use]
    pub fn measured(self, metrics: Arc<Metrics>) -> Self {
        Self { measure: Measure::by(metrics), ..self }
    }

    fn loader(http_client: SharedHttpClient) -> aws_config::ConfigLoader {
        let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http_client);
        // Each client below has its own; a wrong one in the environment or a profile would end the process.
        let loader = loader.retry_config(RetryConfig::standard());
        // What is slow here has a limit of its own.
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

    /// The client for a queue, shared by all queues of its region and endpoint.
    pub(super) fn client(&self, setting: &QueueSetting) -> Client {
        let location = Location::of(setting);
        // A panic elsewhere leaves the map whole.
        let mut by_location = self.by_location.lock().unwrap_or_else(PoisonError::into_inner);
        by_location.entry(location).or_insert_with_key(|location| self.build(location)).clone()
    }

    /// What signs.
    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }

    /// The way to where a request of the SDK's has gone.
    pub(super) fn wire(&self, Endpoint { uri, region }: Endpoint) -> Wire {
        Wire::new(uri, region, Arc::clone(&self.signer), self.heeds_proxies, self.measure.clone())
    }

    fn build(&self, location: &Location) -> Client {
        let mut builder = aws_sdk_sqs::config::Builder::from(&self.shared);
        if let Some(region) = &location.region {
            builder = builder.region(Region::new(region.clone()));
        }
        if let Some(endpoint_url) = &location.endpoint_url {
            builder = builder.endpoint_url(endpoint_url);
        }
        if location.is_variant {
            builder = builder.use_fips(false).use_dual_stack(false);
        }
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT);
        Client::from_conf(builder.retry_config(RetryConfig::standard()).timeout_config(timeouts.build()).build())
    }
}

impl Location {
    fn of(setting: &QueueSetting) -> Self {
        let Some(url) = setting.url.as_ref().and_then(|url| url::Url::parse(url).ok()) else {
            return Self::default();
        };
        let host = url.host_str().unwrap_or_default();
        let region = region_of_host(host);
        // Where it is not the host that the SDK asks for the region, the request goes where the URL points, as it does with other SDKs.
        let endpoint_url = (!region.is_some_and(|(_, is_default)| is_default)).then(|| url.origin().ascii_serialization());
        let is_variant = region.is_some() && (host.contains("sqs-fips.") || host.contains(".api."));
        Self { region: region.map(|(region, _)| region.to_owned()), endpoint_url, is_variant }
    }
}

/// What the variables do not say, a profile may: the SDK would fail on it only at the first request, on an empty one by ending the process.
/// All but an endpoint that is asked without TLS, on this machine as a rule, is known by its certificate.
fn check_endpoint(shared: &SdkConfig) -> Result<(), WrongSetting> {
    let key = ServiceConfigKey::builder().service_id("SQS").env("AWS_ENDPOINT_URL").profile("endpoint_url").build();
    let endpoint_url = key.ok().and_then(|key| shared.service_config()?.load_config(key));
    match endpoint_url {
        Some(url) if !is_http_url(&url) => Err(WrongSetting(format!(
            "the endpoint_url of the AWS profile in use is {url:?}: write a URL as https://sqs.eu-central-1.amazonaws.com, or remove the line"
        ))),
        Some(url) if url.trim_start().starts_with("http://") => Ok(()),
        _ => certificates::check(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Clients, Location};
    use crate::settings::parse_queues;

    #[tokio::test]
    async fn queues_of_one_region_and_endpoint_share_their_clients() {
        let clients = Clients::local("http://127.0.0.1:1", "us-east-1").await;
        let queues = "a,b,http://127.0.0.1:2/1/c,http://127.0.0.1:2/1/d,https://sqs.eu-central-1.amazonaws.com/123456789012/e";
        for setting in parse_queues(queues).expect("queues") {
            clients.client(&setting);
        }
        assert_eq!(clients.by_location.lock().expect("pairs").len(), 3);
    }

    #[test]
    fn a_queue_is_asked_where_its_url_points() {
        for (url, region, endpoint_url) in [
            ("https://sqs.eu-central-1.amazonaws.com/123456789012/a", Some("eu-central-1"), None),
            (
                "https://vpce-1.sqs.eu-central-1.vpce.amazonaws.com/123456789012/a",
                Some("eu-central-1"),
                Some("https://vpce-1.sqs.eu-central-1.vpce.amazonaws.com"),
            ),
            ("https://queue.amazonaws.com/123456789012/a", Some("us-east-1"), Some("https://queue.amazonaws.com")),
            ("http://127.0.0.1:4566/000000000000/a", None, Some("http://127.0.0.1:4566")),
        ] {
            let location = Location::of(&parse_queues(url).expect("a queue")[0]);
            assert_eq!((location.region.as_deref(), location.endpoint_url.as_deref()), (region, endpoint_url), "{url}");
        }
    }
}
