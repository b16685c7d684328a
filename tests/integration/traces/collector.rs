//! A collector of OpenTelemetry's: it keeps the spans that it is sent, or it does not.

use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What it answers to spans.
#[derive(Clone, Copy)]
pub enum Answer {
    Takes,
    Unavailable,
    Never,
}

/// A running collector; it ends with the test.
pub struct Collector {
    pub url: String,
    seen: Arc<Mutex<Seen>>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    /// Path, value of `authorization`, body.
    requests: Vec<(String, String, Bytes)>,
}

impl Collector {
    pub async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::<Mutex<Seen>>::default();
        let own = Arc::clone(&seen);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                own.lock().expect("what was seen").connections += 1;
                let seen = Arc::clone(&own);
                let service = service_fn(move |request| take(request, Arc::clone(&seen), answer));
                connections.spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, seen, _serving: serving }
    }

    pub fn connections(&self) -> usize {
        self.seen.lock().expect("what was seen").connections
    }

    /// Path, value of `authorization` and body of each request.
    pub fn requests(&self) -> Vec<(String, String, Bytes)> {
        self.seen.lock().expect("what was seen").requests.clone()
    }

    /// All spans, each with the attributes of what it is of.
    pub fn spans(&self) -> Vec<(Vec<KeyValue>, Span)> {
        let requests = self.requests();
        let messages = requests.iter().map(|(.., body)| ExportTraceServiceRequest::decode(body.clone()).expect("spans"));
        let resources = messages.flat_map(|message| message.resource_spans);
        let spans = resources.flat_map(|of_resource| {
            let attributes = of_resource.resource.unwrap_or_default().attributes;
            let spans = of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans);
            spans.map(move |span| (attributes.clone(), span))
        });
        spans.collect()
    }

    /// The spans whose names begin so.
    pub fn named(&self, name: &str) -> Vec<Span> {
        self.spans().into_iter().map(|(_, span)| span).filter(|span| span.name.starts_with(name)).collect()
    }
}

async fn take(request: Request<Incoming>, seen: Arc<Mutex<Seen>>, answer: Answer) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let authorization = head.headers.get("authorization").map(|value| value.to_str().expect("a text").to_owned());
    seen.lock().expect("what was seen").requests.push((head.uri.path().to_owned(), authorization.unwrap_or_default(), body));
    let status = match answer {
        Answer::Takes => 200,
        Answer::Unavailable => 503,
        Answer::Never => std::future::pending().await,
    };
    Ok(Response::builder().status(status).body(Full::default()).expect("an answer"))
}

/// A text or number among attributes, as text.
pub fn value(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key}: {other:?}"),
    }
}
