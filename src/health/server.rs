//! The HTTP server of `/livez`, `/readyz` and `/metrics`. Whoever connects to it, and however often, the daemon's own work goes on and a new
//! client is answered.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

use super::Readiness;
use crate::metrics::Scrape;

/// How many connections there are at once, at most; a process of few file descriptors has fewer.
const CONNECTIONS_MAX: usize = 256;

/// The share of the process's file descriptors that these connections may take: the rest is for SQS and Postgres.
const DESCRIPTORS_SHARE: u64 = 4;

/// To how many file descriptors the process helps itself: enough for some thousand queues.
const DESCRIPTORS_MAX: u64 = 65_536;

/// How long a client may take to send its request's head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);

/// How much of a head is kept in memory.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How long a connection lasts at most: Prometheus gives up a scrape after ten seconds, too.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);

/// How many clients the system keeps until they are accepted. Whom it has no room for tries again after a second, which is too late.
const BACKLOG_MAX: u32 = 4096;

/// Before the listener is asked again after it failed.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// What the endpoints tell.
#[derive(Debug, Clone)]
pub struct Health {
    /// For `/readyz`.
    pub readiness: Arc<Readiness>,
    /// For `/metrics`.
    pub metrics: Arc<dyn Scrape>,
}

/// Listens where `/livez`, `/readyz` and `/metrics` are to be served.
///
/// # Errors
/// When the address is taken or not this machine's.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A daemon that was just restarted listens where it did before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG_MAX)
}

/// Serves `/livez`, `/readyz` and `/metrics` for as long as it is polled. A connection takes one request. When there are as many as there
/// may be, the oldest makes room for a new one: it has had more time than a client needs.
pub async fn serve(listener: TcpListener, health: Health) {
    let connections_max = connections_max();
    let mut connections = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, say: asking on at once would only burn the processor.
            tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        oldest_first.retain(|connection| !connection.is_finished());
        if oldest_first.len() >= connections_max {
            if let Some(oldest) = oldest_first.pop_front() {
                oldest.abort();
            }
            // Its descriptor is free when it has ended.
            connections.join_next().await;
        }
        oldest_first.push_back(connections.spawn(converse(stream, health.clone())));
        // Many may wait to be accepted: those that were are served in between.
        tokio::task::yield_now().await;
    }
}

/// How many connections leave the daemon's own enough file descriptors; takes for the process what it may have of them.
fn connections_max() -> usize {
    let limits = getrlimit(Resource::Nofile);
    let attainable = limits.maximum.map_or(DESCRIPTORS_MAX, |maximum| maximum.min(DESCRIPTORS_MAX));
    if limits.current.is_some_and(|current| current < attainable) {
        // Where that is not allowed, what there is has to do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(attainable), maximum: limits.maximum });
    }
    let share = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / DESCRIPTORS_SHARE;
    usize::try_from(share).unwrap_or(usize::MAX).clamp(1, CONNECTIONS_MAX)
}

async fn converse(stream: TcpStream, health: Health) {
    let service = service_fn(|request| {
        let response = answer(&request, &health);
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A client that breaks off or takes too long sees that itself.
    let _ = tokio::time::timeout(CONNECTION_TIME_MAX, connection).await;
}

fn answer<B>(request: &Request<B>, health: &Health) -> Response<String> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/livez") => alive(&health.readiness),
        (&Method::GET | &Method::HEAD, "/readyz") => ready(&health.readiness),
        (&Method::GET | &Method::HEAD, "/metrics") => match health.metrics.render() {
            Ok(text) => (StatusCode::OK, text),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        (_, "/livez" | "/readyz" | "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
        _ => (StatusCode::NOT_FOUND, String::new()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn alive(readiness: &Readiness) -> (StatusCode, String) {
    match readiness.not_alive() {
        None => (StatusCode::OK, "alive\n".to_owned()),
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, format!("{problem}\n")),
    }
}

fn ready(readiness: &Readiness) -> (StatusCode, String) {
    // What does not stand in the way, a queue of several, is named as well.
    let problems: String = readiness.problems().into_iter().map(|problem| problem + "\n").collect();
    if readiness.is_serving() {
        return (StatusCode::OK, format!("ready\n{problems}"));
    }
    (StatusCode::SERVICE_UNAVAILABLE, problems)
}
