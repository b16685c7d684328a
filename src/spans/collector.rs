//! Requests to the collector, over HTTP/1.1 and TLS whose certificate is checked, each within a time and with an answer of bounded size.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};

use crate::certificates;

/// Collectors answer with some bytes, or a sentence.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// How long an unused connection is kept.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);

/// Sends to a collector.
#[derive(Debug)]
pub(super) struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    problem: Problem,
}

/// Why the collector gave no answer the last time; the exporter has only "network error" for that.
#[derive(Debug, Clone, Default)]
pub(super) struct Problem(Arc<Mutex<Option<String>>>);

impl Problem {
    pub(super) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, problem: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem);
    }
}

impl Collector {
    pub(super) fn new(timeout: Duration, problem: Problem) -> Self {
        let mut tcp = HttpConnector::new();
        // Whether it is HTTPS is for the connector around it to see.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME_MAX)
            .build(HttpsConnector::from((tcp, certificates::tls())));
        Self { client, timeout, problem }
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = self.client.request(request.map(Full::new)).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = tokio::time::timeout(self.timeout, self.exchange(request)).await;
        let answer = answer.unwrap_or_else(|_| Err(format!("it did not answer within {:?}", self.timeout).into()));
        answer.inspect_err(|error| {
            // The last cause says it, as "Connection refused (os error 111)".
            let mut cause: &dyn Error = error.as_ref();
            while let Some(source) = cause.source() {
                cause = source;
            }
            self.problem.set(cause.to_string());
        })
    }
}
