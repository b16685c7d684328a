//! Connections for the requests that are many: HTTP/1.1, kept alive, each for one request at a time.

use std::error::Error;
use std::pin::Pin;
use std::time::Duration;

use aws_smithy_runtime_api::client::result::ConnectorError;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HeaderValue, PROXY_AUTHORIZATION};
use hyper::rt::{Read, Write};
use hyper::{Request, Response, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::time::Instant;
use tower_service::Service as _;

use super::connector;
use super::error::ClientError;
use crate::certificates;

/// As the SDK's clients have it here, name, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Ten messages of 1 MiB, each of whose characters may take six in JSON.
const REPLY_BYTES_MAX: usize = 64 << 20;

type AnyError = Box<dyn Error + Send + Sync>;

trait Stream: Read + Write + Unpin + Send {}

impl<S: Read + Write + Unpin + Send> Stream for S {}

/// Where requests go, and how to get there.
#[derive(Debug)]
pub(super) struct Origin {
    uri: Uri,
    /// For errors.
    host: String,
    proxy: Option<Proxy>,
}

#[derive(Debug)]
struct Proxy {
    uri: Uri,
    authorization: Option<HeaderValue>,
}

impl Origin {
    /// The way to a URI's host: by the proxy that the environment names for it, if `heeds_proxies`, as the SDK's own clients have it.
    pub(super) fn new(uri: Uri, heeds_proxies: bool) -> Self {
        let url = url::Url::parse(&uri.to_string()).ok();
        let is_far = heeds_proxies && !url.as_ref().is_some_and(connector::is_near);
        let proxy = is_far.then(Matcher::from_env).and_then(|matcher| matcher.intercept(&uri));
        let proxy = proxy.map(|proxy| Proxy { uri: proxy.uri().clone(), authorization: proxy.basic_auth().cloned() });
        Self { host: connector::host_of(url.as_ref(), proxy.is_some()), uri, proxy }
    }

    /// Where requests go.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The host for a request's header.
    pub(super) fn authority(&self) -> &str {
        self.uri.authority().map_or("", hyper::http::uri::Authority::as_str)
    }

    fn is_secure(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Makes a request fit for the way: a proxy that is not tunnelled through is told the whole URI.
    pub(super) fn address<B>(&self, request: &mut Request<B>) {
        let forwarder = self.proxy.as_ref().filter(|_| !self.is_secure());
        *request.uri_mut() = match forwarder {
            Some(_) => self.uri.clone(),
            None => self.uri.path_and_query().map(|path| Uri::from(path.clone())).unwrap_or_default(),
        };
        if let Some(authorization) = forwarder.and_then(|proxy| proxy.authorization.clone()) {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
    }

    /// Opens a connection.
    pub(super) async fn connect(&self) -> Result<Connection, ClientError> {
        let opening = async {
            let stream = self.open().await?;
            Ok::<_, AnyError>(http1::handshake(stream).await?)
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, opening).await {
            Ok(Ok((sender, driver))) => Ok(Connection { sender, driver: Box::pin(driver), is_closed: false, idle_since: Instant::now() }),
            Ok(Err(error)) => Err(self.lost(error)),
            Err(late) => Err(ClientError::not_sent(&ConnectorError::timeout(connector::at_host(&self.host, late.into())))),
        }
    }

    async fn open(&self) -> Result<Box<dyn Stream>, AnyError> {
        let mut tcp = HttpConnector::new();
        // Whether it is HTTPS is for the connector around it to see.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let mut direct = HttpsConnector::from((tcp, certificates::tls()));
        let Some(proxy) = &self.proxy else { return Ok(Box::new(direct.call(self.uri.clone()).await?)) };
        if !self.is_secure() {
            return Ok(Box::new(direct.call(proxy.uri.clone()).await?));
        }
        let mut tunnel = Tunnel::new(proxy.uri.clone(), direct);
        if let Some(authorization) = proxy.authorization.clone() {
            tunnel = tunnel.with_auth(authorization);
        }
        Ok(Box::new(HttpsConnector::from((tunnel, certificates::tls())).call(self.uri.clone()).await?))
    }

    /// What went wrong on the way.
    pub(super) fn lost(&self, error: AnyError) -> ClientError {
        ClientError::not_sent(&ConnectorError::io(connector::at_host(&self.host, error)))
    }
}

/// An open connection.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Reads and writes while a request waits for it; a task of its own would have to be woken up for each.
    driver: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>,
    /// The driver has ended, and is not asked again.
    is_closed: bool,
    /// Since when nobody has used it.
    pub idle_since: Instant,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").field("idle_since", &self.idle_since).finish_non_exhaustive()
    }
}

impl Connection {
    /// Whether it can take a request: the other side may have closed it meanwhile.
    pub(super) async fn is_ready(&mut self) -> bool {
        if self.is_closed {
            return false;
        }
        tokio::select! {
            // Reads first: what the other side has closed must not look ready.
            biased;
            _ = &mut self.driver => false,
            ready = self.sender.ready() => ready.is_ok(),
        }
    }

    /// Sends a request and reads the whole reply. Dropped before it ends, the connection is lost.
    ///
    /// # Errors
    /// hyper's, or that the reply is too long.
    pub(super) async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, AnyError> {
        let exchange = async {
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, REPLY_BYTES_MAX).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            reply = &mut exchange => reply,
            // The reply may have come in whole before the other side closed the connection.
            _ = &mut self.driver => {
                self.is_closed = true;
                exchange.await
            }
        }
    }
}
