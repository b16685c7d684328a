//! An SQS-compatible server within this process. What it holds is gone when it stops.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustack_sqs_core::config::SqsConfig;
use rustack_sqs_core::handler::RustackSqsHandler;
use rustack_sqs_core::provider::RustackSqs;
use rustack_sqs_http::service::{SqsHttpConfig, SqsHttpService};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::corrections::Corrected;

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum QueueServerError {
    /// Somebody else does.
    #[error(
        "{address} is taken, so the queue's server cannot listen there. `ss -ltnp 'sport = :{port}'` (on macOS `lsof -nP -iTCP:{port} -sTCP:LISTEN`) shows by whom; --queue-port PORT chooses another",
        port = address.port()
    )]
    Taken {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// Any other refusal of the system's.
    #[error("failed to listen on {address} for the queue's server; --queue-port PORT chooses another")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A running server.
#[derive(Debug)]
pub struct QueueServer {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl QueueServer {
    /// Listen on the address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is taken or not this machine's.
    pub async fn start(address: SocketAddr) -> Result<Self, QueueServerError> {
        let refused = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => QueueServerError::Taken { address },
            _ => QueueServerError::Listen { address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        // The URLs of its queues carry these, so they have to be those that it is reached by.
        let config = SqsConfig { host: address.ip().to_string(), port: address.port(), ..SqsConfig::default() };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(serve(listener, Arc::new(RustackSqs::new(config)), stop.clone(), tasks.clone()));
        Ok(Self { address, stop, tasks })
    }

    /// What `AWS_ENDPOINT_URL` has to be to reach it.
    #[must_use]
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// End it and cut its connections, long polls among them.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for QueueServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(listener: TcpListener, queues: Arc<RustackSqs>, stop: CancellationToken, tasks: TaskTracker) {
    let handler = Arc::new(Corrected(RustackSqsHandler::new(Arc::clone(&queues))));
    let service = SqsHttpService::new(handler, SqsHttpConfig::default());
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((connection, _)) => {
                    let (stop, connection) = (stop.clone(), converse(connection, service.clone()));
                    tasks.spawn(async move { stop.run_until_cancelled(connection).await });
                }
                // Out of file descriptors, say: they come back as connections end, and asking on at once would only burn the processor.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    stop.run_until_cancelled(accept).await;
    queues.shutdown_all().await;
}

async fn converse(connection: TcpStream, service: SqsHttpService<Corrected>) {
    let connection = TokioIo::new(connection);
    // A client that breaks off has its reasons, and sees the error itself.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(connection, service).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_named_with_the_way_out() {
        let first = QueueServer::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let error = QueueServer::start(first.address).await.unwrap_err().to_string();
        let port = first.address.port();
        assert!(error.starts_with(&format!("127.0.0.1:{port} is taken")), "{error}");
        assert!(error.contains(&format!("`ss -ltnp 'sport = :{port}'`")) && error.contains("--queue-port"), "{error}");
        first.stop().await;
    }
}
