//! Connections to receivers: each name is resolved anew, and an address is checked where it is connected to, so that a name which means
//! something else a moment later is no way around the rules.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::address::{Reach, reach};
use crate::metrics::SenderMetrics;
use crate::settings::Networks;

/// An address that takes longer does not answer; there may be another one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is waited for.
pub type Waited<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Finds the addresses of a name.
pub trait Resolve: Send + Sync {
    /// All of them, the best first.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Waited<'a, io::Result<Vec<SocketAddr>>>;
}

/// As the system does.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Waited<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the name of the host cannot be resolved ({0})")]
    Name(io::Error),
    #[error("the name of the host has no address")]
    NoAddress,
    #[error("the address {0} is private, and SENDER_ALLOWED_NETWORKS does not name it")]
    Private(IpAddr),
    #[error("http: is not encrypted; write https:, for only what SENDER_ALLOWED_NETWORKS names is reached without")]
    NotEncrypted,
    #[error("{0} does not take the connection ({1})")]
    Connect(SocketAddr, io::Error),
}

impl ConnectError {
    /// Whether the rules refuse it, which trying again does not change.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Private(_) | Self::NotEncrypted)
    }

    /// The one at the bottom of an error of the HTTP client.
    pub(super) fn of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}

/// Connects to what the rules allow.
#[derive(Clone)]
pub(super) struct Guarded {
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) allowed: Arc<Networks>,
    pub(super) metrics: Arc<SenderMetrics>,
}

impl Guarded {
    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, ConnectError> {
        let is_encrypted = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let addresses = self.resolver.resolve(host, port).await.map_err(ConnectError::Name)?;
        let mut failure = ConnectError::NoAddress;
        for address in addresses {
            match reach(address.ip(), &self.allowed) {
                Reach::Refused => failure = ConnectError::Private(address.ip()),
                Reach::Public if !is_encrypted => failure = ConnectError::NotEncrypted,
                Reach::Public | Reach::Allowed => match self.connect_to(address).await {
                    Ok(stream) => return Ok(TokioIo::new(stream)),
                    Err(error) => failure = error,
                },
            }
        }
        if failure.is_refusal() {
            self.metrics.addresses_refused.inc();
        }
        Err(failure)
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<TcpStream, ConnectError> {
        let failed = |error| ConnectError::Connect(address, error);
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        // What it is in truth connected to.
        let peer = stream.peer_addr().map_err(failed)?.ip();
        if reach(peer, &self.allowed) == Reach::Refused { Err(ConnectError::Private(peer)) } else { Ok(stream) }
    }
}

impl Service<Uri> for Guarded {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Waited<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}
