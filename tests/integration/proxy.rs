//! A TCP proxy that forwards everything until a request holds certain bytes, and then fails as it was told to.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What befalls the connection whose client sends the bytes of a trap.
#[derive(Clone, Copy)]
pub enum Fault {
    /// It is cut before the request arrives.
    LoseRequest,
    /// The request arrives; once the server has replied, the connection is cut and the reply lost.
    LoseReply,
    /// The request arrives; the reply is held back until the proxy is mended.
    StallReply,
    /// The request is answered; whatever the server says later is held back until the proxy is mended.
    StallAfterReply,
}

#[derive(Clone)]
struct Trap {
    bytes: Vec<u8>,
    fault: Fault,
}

/// A proxy on a port of its own; its connections end with it.
pub struct Proxy {
    /// The address of what is behind it, by way of the proxy.
    pub url: String,
    trap: watch::Sender<Option<Trap>>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// A proxy to the server that a URL names by host and port.
    pub async fn before(url: &str) -> Self {
        let mut url = url::Url::parse(url).expect("a URL");
        let host = url.host_str().expect("a host").trim_matches(['[', ']']).to_owned();
        let is_postgres = url.scheme().starts_with("postgres");
        let port = url.port().unwrap_or(if is_postgres { 5432 } else { 80 });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        url.set_ip_host(address.ip()).expect("a host");
        url.set_port(Some(address.port())).expect("a port");
        if is_postgres {
            // It has to see what passes.
            url.query_pairs_mut().append_pair("sslmode", "disable");
        }
        let (trap, traps) = watch::channel(None);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, (host, port), traps));
        Self { url: url.as_str().trim_end_matches('/').to_owned(), trap, _accepting: accepting }
    }

    /// From now on, each request with these bytes meets the fault.
    pub fn trap(&self, bytes: &str, fault: Fault) {
        self.trap.send_replace(Some(Trap { bytes: bytes.as_bytes().to_vec(), fault }));
    }

    /// Forwards everything again, also what was held back.
    pub fn mend(&self) {
        self.trap.send_replace(None);
    }
}

async fn accept(listener: TcpListener, server: (String, u16), traps: watch::Receiver<Option<Trap>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(converse(client, server.clone(), traps.clone()));
    }
}

/// Ends both sides as soon as either has ended.
async fn converse(client: TcpStream, server: (String, u16), traps: watch::Receiver<Option<Trap>>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let (caught, catches) = watch::channel(None);
    tokio::select! {
        () = forward_requests(client_read, server_write, traps.clone(), caught) => {}
        () = forward_replies(server_read, client_write, traps, catches) => {}
    }
}

async fn forward_requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    traps: watch::Receiver<Option<Trap>>,
    caught: watch::Sender<Option<Fault>>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = client.read(&mut buffer).await {
        let request = &buffer[..read];
        let is_trapped = |trap: &&Trap| request.windows(trap.bytes.len()).any(|window| window == trap.bytes);
        let fault = traps.borrow().as_ref().filter(is_trapped).map(|trap| trap.fault);
        match fault {
            Some(Fault::LoseRequest) => return,
            Some(fault) => _ = caught.send_replace(Some(fault)),
            None => {}
        }
        if server.write_all(request).await.is_err() {
            return;
        }
    }
}

async fn forward_replies(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    mut traps: watch::Receiver<Option<Trap>>,
    catches: watch::Receiver<Option<Fault>>,
) {
    let mut buffer = vec![0; 64 << 10];
    let mut is_answered = false;
    while let Ok(read @ 1..) = server.read(&mut buffer).await {
        let fault = *catches.borrow();
        match fault {
            Some(Fault::LoseReply) => return,
            Some(Fault::StallAfterReply) if !is_answered => is_answered = true,
            // Without a proxy there is no one left to forward for.
            Some(_) if traps.wait_for(Option::is_none).await.is_err() => return,
            _ => {}
        }
        if client.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
