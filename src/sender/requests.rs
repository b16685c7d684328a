//! Requests to receivers, over HTTP/1.1 and TLS whose certificate is checked, each within a time and with an answer of bounded size.

use std::error::Error;
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connector::{ConnectError, Guarded};
use super::outcome::{Ending, Failed, of_status};
use crate::certificates;

/// How long a receiver may take to answer.
pub(super) const REQUEST_TIME_MAX: Duration = Duration::from_secs(15);

/// How much of an answer's body is read, for the connection to be of use again. Nothing of it is kept: a receiver may send back what it got.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// How long that may take. The status has said what became of it.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);

/// How long an unused connection is kept.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);

/// How many of them to each host.
const IDLE_CONNECTIONS_MAX: usize = 16;

/// Sends requests.
pub(super) struct Requests {
    client: Client<HttpsConnector<Guarded>, Full<Bytes>>,
}

impl Requests {
    pub(super) fn new(guarded: Guarded) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(HttpsConnector::from((guarded, certificates::tls())));
        Self { client }
    }

    /// Sends a request once; redirects are an answer like others.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> Ending {
        match tokio::time::timeout(REQUEST_TIME_MAX, self.client.request(request)).await {
            Ok(Ok(answer)) => {
                let ending = of_status(answer.status(), answer.headers(), SystemTime::now());
                // Longer or slower ones are cut off, and the connection with them.
                let _ = tokio::time::timeout(ANSWER_TIME_MAX, drain(answer)).await;
                ending
            }
            Ok(Err(error)) => Ending::Failed(failed(&error)),
            Err(_) => Ending::Failed(Failed::again(format!("the receiver did not answer within {} s", REQUEST_TIME_MAX.as_secs()))),
        }
    }
}

async fn drain(mut answer: Response<Incoming>) {
    let mut read = 0;
    while let Some(Ok(frame)) = answer.frame().await {
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > ANSWER_BYTES_MAX {
            return;
        }
    }
}

/// What went wrong before there was an answer.
fn failed(error: &(dyn Error + 'static)) -> Failed {
    if let Some(connecting) = ConnectError::of(error) {
        let sentence = format!("not sent: {connecting}");
        return if connecting.is_refusal() { Failed::for_good(sentence) } else { Failed::again(sentence) };
    }
    // The last cause says it, as "invalid peer certificate: UnknownIssuer"; none of them repeats a part of the request.
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Failed::again(format!("the request came to nothing: {cause}"))
}
