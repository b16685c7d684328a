//! Whether the daemon lives, whether it is ready, and its metrics, over HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// What stands in the way of work, by the part that it concerns; empty: ready.
#[derive(Debug, Default)]
pub struct Readiness {
    problems: Mutex<BTreeMap<String, String>>,
}

impl Readiness {
    /// Records how a part is; what changes is logged, once.
    pub fn set(&self, part: &str, state: Result<(), String>) {
        // A panic elsewhere leaves the map whole.
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        match state {
            Ok(()) => {
                if problems.remove(part).is_some() {
                    tracing::info!(part, "ready");
                }
            }
            Err(problem) if problems.get(part) == Some(&problem) => {}
            Err(problem) => {
                tracing::warn!(part, problem, "not ready");
                problems.insert(part.to_owned(), problem);
            }
        }
    }

    /// Records what stands in the way in the ordinary course of things, at the start or the end; not worth a warning.
    pub fn expect(&self, part: &str, problem: &str) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.insert(part.to_owned(), problem.to_owned());
    }

    /// What is not ready, a line for each part.
    pub fn problems(&self) -> Vec<String> {
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.iter().map(|(part, problem)| format!("{part}: {problem}")).collect()
    }
}

/// What the HTTP handlers show.
#[derive(Debug, Clone)]
pub struct Shown {
    /// For `/readyz`.
    pub readiness: Arc<Readiness>,
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
}

/// Serves `/livez`, `/readyz` and `/metrics`.
///
/// # Errors
/// When the listener fails for good.
pub async fn serve(listener: TcpListener, shown: Shown) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shown);
    axum::serve(listener, router).await
}

async fn ready(State(shown): State<Shown>) -> (StatusCode, String) {
    let problems = shown.readiness.problems();
    if problems.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n")
}

async fn metrics(State(shown): State<Shown>) -> (StatusCode, String) {
    match shown.metrics.render() {
        Ok(text) => (StatusCode::OK, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Asks a daemon on this machine whether it is ready: the text of its answer, as an error where it is not.
///
/// # Errors
/// What it says, or that it does not answer.
pub async fn ask(address: SocketAddr) -> Result<String, String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\nhost: localhost\r\n\r\n").await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        Ok::<_, std::io::Error>(reply)
    };
    let reply = tokio::time::timeout(std::time::Duration::from_secs(5), exchange).await;
    let reply =
        reply.map_err(|_| format!("no answer from {address} within 5 s"))?.map_err(|error| format!("no answer from {address}: {error}"))?;
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    if head.split(' ').nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(body.to_owned()) }
}
