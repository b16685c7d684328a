//! The HTTP client that the SDK sends by: through a proxy where the environment names one, and with the host in its errors.

use std::error::Error;
use std::net::IpAddr;
use std::time::Duration;

use aws_sdk_sqs::config::http::HttpRequest;
use aws_sdk_sqs::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::error::AtHost;
use crate::settings::has_proxy;
use crate::{certificates, fault};

/// Sends by the proxies that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name, in capitals or not, as other AWS clients do.
pub(super) fn by_environment() -> SharedHttpClient {
    let has_proxy = has_proxy();
    SharedHttpClient::new(Routes { near: client(ProxyConfig::disabled()), far: client(ProxyConfig::from_env()), has_proxy })
}

/// Sends to servers on this machine.
pub(super) fn direct() -> SharedHttpClient {
    SharedHttpClient::new(Routes { near: client(ProxyConfig::disabled()), far: client(ProxyConfig::disabled()), has_proxy: false })
}

/// Connections that nobody has used for so long are closed; SQS's side does not keep them for much longer.
pub(super) fn idle_time_max() -> Duration {
    fault::shortened("idle_time_max", Duration::from_secs(20))
}

fn client(proxy: ProxyConfig) -> SharedHttpClient {
    // Where there is no authority, no server is known by HTTPS; a client that looks for them itself would end a debug build's process.
    let authorities = TrustStore::empty().with_native_roots(certificates::has_authorities());
    let tls = TlsContext::builder().with_trust_store(authorities).build().expect("a trust store by itself contradicts nothing");
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder().proxy_config(proxy.clone()).pool_idle_timeout(idle_time_max());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls.clone()).build()
    })
}

/// The ways to a host: one for what is near, which no proxy could reach in our place, and one for all else.
#[derive(Debug)]
struct Routes<R> {
    near: R,
    far: R,
    /// Whether the environment names a proxy, which may stand before what is far.
    has_proxy: bool,
}

impl HttpClient for Routes<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let [near, far] = [&self.near, &self.far].map(|client| client.http_connector(settings, components));
        SharedHttpConnector::new(Routes { near, far, has_proxy: self.has_proxy })
    }
}

impl HttpConnector for Routes<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let url = url::Url::parse(request.uri()).ok();
        let is_near = url.as_ref().is_some_and(is_near);
        let sending = if is_near { &self.near } else { &self.far }.call(request);
        let host = host_of(url.as_ref(), self.has_proxy && !is_near);
        HttpConnectorFuture::new(async move { sending.await.map_err(|error| with_host(error, &host)) })
    }
}

/// This machine itself, and what tells its credentials: the addresses of the metadata service and of the agents of ECS and EKS are the same
/// on each machine, so that a proxy would be told its own.
pub(super) fn is_near(url: &url::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.segments()[..2] == [0xfd00, 0x0ec2],
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// A host as errors name it.
pub(super) fn host_of(url: Option<&url::Url>, may_be_proxied: bool) -> String {
    let port = url.and_then(url::Url::port).map_or_else(String::new, |port| format!(":{port}"));
    let proxy = if may_be_proxied { " (or the proxy before it)" } else { "" };
    format!("{}{port}{proxy}", url.and_then(url::Url::host_str).unwrap_or_default())
}

/// What went wrong, with the host on the way to which it did.
pub(super) fn at_host(host: &str, source: Box<dyn Error + Send + Sync>) -> Box<dyn Error + Send + Sync> {
    Box::new(AtHost { host: host.to_owned(), source })
}

/// The same error, of the same kind, which decides on trying again.
fn with_host(error: ConnectorError, host: &str) -> ConnectorError {
    let (is_timeout, is_user, is_io, other) = (error.is_timeout(), error.is_user(), error.is_io(), error.as_other());
    let at_host = at_host(host, error.into_source());
    match (is_timeout, is_user, is_io) {
        (true, ..) => ConnectorError::timeout(at_host),
        (_, true, _) => ConnectorError::user(at_host),
        (.., true) => ConnectorError::io(at_host),
        _ => ConnectorError::other(at_host, other),
    }
}

#[cfg(test)]
mod tests {
    use super::is_near;

    #[test]
    fn only_this_machine_and_what_tells_its_credentials_is_near() {
        for (url, expected) in [
            ("http://127.0.0.1:4566/", true),
            ("http://localhost:4566/", true),
            ("http://sqs.us-east-1.localhost/", true),
            ("http://[::1]:4566/", true),
            ("http://169.254.169.254/latest/meta-data/", true),
            ("http://169.254.170.2/v2/credentials/1", true),
            ("http://169.254.170.23/v1/credentials", true),
            ("http://[fd00:ec2::254]/latest/", true),
            ("http://10.0.0.1/", false),
            ("http://[fd00:abcd::1]/", false),
            ("https://sqs.eu-central-1.amazonaws.com/", false),
            ("http://localhost.example.com/", false),
        ] {
            assert_eq!(is_near(&url.parse().expect("a URL")), expected, "{url}");
        }
    }
}
