//! A receiver that does what the first part of a path says.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::stack::Directory;

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// A running receiver; it ends with the test.
pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

struct Shared {
    requests: Mutex<Vec<Request>>,
    /// Of answers at `/huge`, how many bytes were taken.
    written: Mutex<usize>,
    /// Lets go whoever waits at `/wait`.
    permits: Semaphore,
}

impl Receiver {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// With a certificate, which is not from any authority.
    pub async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { requests: Mutex::default(), written: Mutex::default(), permits: Semaphore::new(0) });
        let mut serving = JoinSet::new();
        let own = Arc::clone(&shared);
        serving.spawn(async move {
            let mut conversations = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (shared, tls) = (Arc::clone(&own), tls.clone());
                conversations.spawn(async move {
                    match tls {
                        None => converse(stream, &shared).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => converse(stream, &shared).await,
                            Err(error) => Err(error),
                        },
                    }
                });
                while conversations.try_join_next().is_some() {}
            }
        });
        Self { address, shared, _serving: serving }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What has come in at paths that begin so.
    pub fn requests(&self, path: &str) -> Vec<Request> {
        let requests = self.shared.requests.lock().expect("the requests");
        requests.iter().filter(|request| request.path.starts_with(path)).cloned().collect()
    }

    pub fn written(&self) -> usize {
        *self.shared.written.lock().expect("a number")
    }

    /// Answers so many that wait.
    pub fn let_go(&self, count: usize) {
        self.shared.permits.add_permits(count);
    }
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let Some(request) = read(&mut stream).await? else { return Ok(()) };
        let path = request.path.clone();
        let before = {
            let mut requests = shared.requests.lock().expect("the requests");
            requests.push(request);
            requests.iter().filter(|request| request.path == path).count()
        };
        let words: Vec<&str> = path.split('/').skip(1).collect();
        match words[..] {
            ["status", code, ref more @ ..] => {
                let header = match more {
                    ["date", ..] => format!("retry-after: {}\r\n", httpdate::fmt_http_date(SystemTime::now() + Duration::from_hours(1))),
                    ["to", ..] => "location: /status/200/followed\r\n".to_owned(),
                    [seconds, ..] if seconds.parse::<u32>().is_ok() => format!("retry-after: {seconds}\r\n"),
                    _ => String::new(),
                };
                answer(&mut stream, code, &header).await?;
            }
            // Fails so many times.
            ["flaky", times, ..] => {
                let code = if before > times.parse().expect("a number") { "200" } else { "500" };
                answer(&mut stream, code, "").await?;
            }
            ["wait", ..] => {
                shared.permits.acquire().await.expect("open").forget();
                answer(&mut stream, "200", "").await?;
            }
            ["drip", ..] => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
                loop {
                    stream.write_all(b"x: y\r\n").await?;
                    stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
            ["huge", ..] => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await?;
                let piece = vec![b'x'; 64 << 10];
                for _ in 0..15_000 {
                    stream.write_all(&piece).await?;
                    *shared.written.lock().expect("a number") += 64 << 10;
                }
            }
            ["close", ..] => return Ok(()),
            _ => std::future::pending().await,
        }
    }
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), code: &str, header: &str) -> std::io::Result<()> {
    let body = if code == "204" { "" } else { "canary-answer" };
    let length = if code == "204" { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    stream.write_all(format!("HTTP/1.1 {code} x\r\n{header}{length}\r\n{body}").as_bytes()).await?;
    stream.flush().await
}

/// The next request of a connection; none at its end.
async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Request>> {
    let (mut headers, mut path) = (HashMap::new(), String::new());
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if path.is_empty() {
            line.split(' ').nth(1).unwrap_or_default().clone_into(&mut path);
        } else if let Some((name, value)) = line.split_once(": ") {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        } else if line.is_empty() {
            break;
        }
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(Request { path, headers, body: String::from_utf8(body).expect("UTF-8") }))
}

/// A certificate for 127.0.0.1 that openssl makes, signed by itself, in a file of the directory; none, and a message, where there is no openssl.
pub fn certificate(directory: &Directory) -> Option<TlsAcceptor> {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=receiver -keyout key.pem -out cert.pem \
                     -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE";
    let made = Command::new("openssl").args(arguments.split_whitespace()).current_dir(&directory.0).output();
    if !made.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: openssl makes no certificate ({made:?})");
        return None;
    }
    let certificate = CertificateDer::from_pem_file(directory.0.join("cert.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(directory.0.join("key.pem")).expect("a key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).expect("they fit");
    Some(TlsAcceptor::from(Arc::new(config)))
}
