//! What stands in for the clients of the sample: an HTTP server that takes webhooks and requests, checks whose they are, and counts them by
//! client, which the first two parts of a path name.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::sender::is_signed;

/// Payloads have 1 MiB at most, and an envelope around them.
const BODY_BYTES_MAX: usize = 2 << 20;

/// How often something has arrived at whom, and how it was proven whose it is.
pub type Arrivals = BTreeMap<(String, &'static str), u64>;

/// A running receiver.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    arrivals: Arc<Mutex<Arrivals>>,
    stop: CancellationToken,
}

/// What a receiver knows of its clients.
#[derive(Clone)]
struct Known {
    webhook_secret: Arc<str>,
    token: Arc<str>,
    arrivals: Arc<Mutex<Arrivals>>,
}

impl Receiver {
    /// Listens on the address; whoever sends signs by this secret, or has this token.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start(address: SocketAddr, webhook_secret: &str, token: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (arrivals, stop) = (Arc::default(), CancellationToken::new());
        let known = Known { webhook_secret: webhook_secret.into(), token: token.into(), arrivals: Arc::clone(&arrivals) };
        let (ending, tasks) = (stop.clone(), TaskTracker::new());
        tasks.clone().spawn(async move { ending.clone().run_until_cancelled(serve(listener, known, ending, tasks)).await });
        Ok(Self { address, arrivals, stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has arrived since this was last asked.
    pub fn take_arrivals(&self) -> Arrivals {
        std::mem::take(&mut *self.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(listener: TcpListener, known: Known, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let known = known.clone();
        let service = service_fn(move |request| {
            let known = known.clone();
            async move { Ok::<_, Infallible>(take(request, &known).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let stop = stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(connection).await });
    }
}

async fn take(request: Request<Incoming>, known: &Known) -> Response<String> {
    let (head, body) = request.into_parts();
    let answer = |status| {
        let mut response = Response::new(String::new());
        *response.status_mut() = status;
        response
    };
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else { return answer(StatusCode::PAYLOAD_TOO_LARGE) };
    let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
    let Some(proof) = proof(&head.headers, &body, known) else { return answer(StatusCode::UNAUTHORIZED) };
    let client = head.uri.path().trim_start_matches('/').split('/').take(2).collect::<Vec<_>>().join("/");
    *known.arrivals.lock().unwrap_or_else(PoisonError::into_inner).entry((client, proof)).or_default() += 1;
    answer(StatusCode::NO_CONTENT)
}

/// How a request proves whose it is.
fn proof(headers: &HeaderMap, body: &str, known: &Known) -> Option<&'static str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text(AUTHORIZATION.as_str()).is_some_and(|text| text.strip_prefix("Bearer ") == Some(&known.token)) {
        return Some("token accepted");
    }
    let (id, timestamp, signature) = (text("webhook-id")?, text("webhook-timestamp")?, text("webhook-signature")?);
    is_signed(&known.webhook_secret, id, timestamp, body, signature).then_some("signature verified")
}
