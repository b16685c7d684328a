//! Requests that are many, sent and signed without the SDK, which takes several times as much of the processor for each. Everything else
//! (finding a queue, sending to it, creating it) stays with the SDK.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::connection::{Connection, Origin};
use super::connector::idle_time_max;
use super::error::ClientError;
use super::measure::Measure;
use super::signing::Signer;

/// A way to one queue's endpoint, with its connections: as many as there are requests at once.
#[derive(Debug)]
pub(super) struct Wire {
    origin: Origin,
    region: String,
    signer: Arc<Signer>,
    pub(super) measure: Measure,
    /// The one that was used last comes first again, so that what is too many goes idle.
    idle: Mutex<Vec<Connection>>,
}

impl Wire {
    /// A way to an endpoint; requests are signed for the region.
    pub(super) fn new(endpoint: Uri, region: String, signer: Arc<Signer>, heeds_proxies: bool, measure: Measure) -> Self {
        Self { origin: Origin::new(endpoint, heeds_proxies), region, signer, measure, idle: Mutex::default() }
    }

    /// Sends a request, and gives the reply's body. The future must not be dropped before it ends where what SQS does matters.
    ///
    /// # Errors
    /// When SQS does not answer in time or refuses.
    pub(super) async fn call(&self, operation: &'static str, body: String, timeout: Duration) -> Result<Bytes, ClientError> {
        let body = Bytes::from(body);
        let asking = async {
            let (error, may_be_skew) = match self.ask(operation, &body).await? {
                Ok(reply) => return Ok(reply),
                Err(refused) => refused,
            };
            if may_be_skew { self.ask(operation, &body).await?.map_err(|(error, _)| error) } else { Err(error) }
        };
        tokio::time::timeout(timeout, asking).await.map_err(|_| ClientError::timeout())?
    }

    /// One request; a refusal with whether it may be the fault of our clock, which is put right by now.
    async fn ask(&self, operation: &'static str, body: &Bytes) -> Result<Result<Bytes, (ClientError, bool)>, ClientError> {
        let name = operation.rsplit('.').next().unwrap_or(operation);
        self.measure.request(name, self.ask_unmeasured(operation, body)).await
    }

    async fn ask_unmeasured(&self, operation: &'static str, body: &Bytes) -> Result<Result<Bytes, (ClientError, bool)>, ClientError> {
        let mut request = self.request(operation, body);
        let sent_at = SystemTime::now();
        self.signer.sign(&mut request, body, &self.region).await?;
        self.origin.address(&mut request);
        let (head, body) = self.exchange(request).await?.into_parts();
        let may_be_skew = self.signer.learn(&head.headers, sent_at);
        if head.status.is_success() { Ok(Ok(body)) } else { Ok(Err((refusal(head.status, &head.headers, &body), may_be_skew))) }
    }

    /// A request as the SDK makes it, before it is signed.
    pub(super) fn request(&self, operation: &'static str, body: &Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = self.origin.uri().clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
        headers.insert("x-amz-target", HeaderValue::from_static(operation));
        headers.insert("x-amzn-query-mode", HeaderValue::from_static("true"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("event-processor/", env!("CARGO_PKG_VERSION"))));
        if let Ok(host) = HeaderValue::from_str(self.origin.authority()) {
            headers.insert(HOST, host);
        }
        request
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, ClientError> {
        let mut connection = match self.take_idle().await {
            Some(connection) => connection,
            None => self.origin.connect().await?,
        };
        let reply = connection.exchange(request).await.map_err(|error| self.origin.lost(error))?;
        connection.idle_since = Instant::now();
        let (mut idle, time_max) = (self.idle(), idle_time_max());
        idle.retain(|connection| connection.idle_since.elapsed() < time_max);
        idle.push(connection);
        Ok(reply)
    }

    /// A connection that is open and free; those that the other side has closed are let go.
    async fn take_idle(&self) -> Option<Connection> {
        loop {
            let mut connection = self.idle().pop()?;
            if connection.is_ready().await {
                return Some(connection);
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        // A panic elsewhere leaves the list whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's body.
pub(super) fn request_body(request: &impl Serialize) -> Result<String, ClientError> {
    serde_json::to_string(request).map_err(|error| ClientError::not_made(&error))
}

/// What a reply says; nothing at all is `{}`, as in the SDK.
pub(super) fn read_reply<'a, R: Deserialize<'a>>(body: &'a [u8]) -> Result<R, ClientError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|_| ClientError::answered(StatusCode::OK.as_u16()))
}

/// What SQS, or a proxy in its place, says: the name of an error that is compatible with SQS's older protocol comes first, as in the SDK.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ClientError {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let told: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |names: &[&str]| names.iter().find_map(|name| told[name].as_str());
    let older = header("x-amzn-query-error").and_then(|text| text.split(';').next()).filter(|code| !code.is_empty());
    let code = older.or_else(|| header("x-amzn-errortype").or_else(|| text(&["code", "__type"])).map(name_of));
    let message = text(&["message", "Message", "errorMessage"]);
    code.map_or_else(|| ClientError::answered(status.as_u16()), |code| ClientError::told(code, message))
}

/// An error's name without its namespace before it and a URL behind it.
fn name_of(code: &str) -> &str {
    let code = code.split(':').next().unwrap_or(code);
    code.split_once('#').map_or(code, |(_, name)| name)
}
