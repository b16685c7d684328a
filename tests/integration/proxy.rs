//! A TCP proxy that forwards everything, until a request holds certain bytes or a test says otherwise, and then fails as it was told to.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What befalls the connection whose client sends the bytes of a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is cut before the request arrives.
    LoseRequest,
    /// It is cut when half of the request has arrived.
    HalveRequest,
    /// The request arrives; once the server has replied, the connection is cut and the reply lost.
    LoseReply,
    /// The request arrives; the reply is held back until the proxy is mended.
    StallReply,
    /// The request is answered; whatever the server says later is held back until the proxy is mended.
    StallAfterReply,
}

/// Where bytes go.
#[derive(Clone, Copy)]
pub enum Toward {
    Server,
    Client,
}

/// A delay that ends only when the proxy is mended: a black hole.
pub const UNTIL_MENDED: Duration = Duration::MAX;

struct Trap {
    bytes: Vec<u8>,
    fault: Fault,
    springs_max: u32,
}

/// What all connections go by, those that come later too.
#[derive(Default)]
struct State {
    trap: Option<Trap>,
    /// How often the latest trap was met.
    sprung: u32,
    /// How long bytes wait, by where they go.
    delays: [Duration; 2],
    /// How often the connections of the moment were cut.
    cuts: u32,
    /// How many connections there were.
    connections: u32,
    /// Those up to this one are black holes.
    silent: u32,
    /// Where connections lead: host and port.
    server: (String, u16),
}

/// A proxy on a port of its own; its connections end with it. Its server may come and go.
pub struct Proxy {
    /// The address of what is behind it, by way of the proxy.
    pub url: String,
    state: watch::Sender<State>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// A proxy to the server that a URL names by host and port.
    pub async fn before(url: &str) -> Self {
        let mut url = url::Url::parse(url).expect("a URL");
        let is_postgres = url.scheme().starts_with("postgres");
        let server = server(&url);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        url.set_ip_host(address.ip()).expect("a host");
        url.set_port(Some(address.port())).expect("a port");
        if is_postgres {
            // It has to see what passes.
            url.query_pairs_mut().append_pair("sslmode", "disable");
        }
        let state = watch::Sender::new(State { server, ..State::default() });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, state.clone()));
        Self { url: url.as_str().trim_end_matches('/').to_owned(), state, _accepting: accepting }
    }

    /// From now on, each request with these bytes meets the fault.
    pub fn trap(&self, bytes: &str, fault: Fault) {
        self.set_trap(bytes, fault, u32::MAX);
    }

    /// The next request with these bytes meets the fault, and no other.
    pub fn trap_once(&self, bytes: &str, fault: Fault) {
        self.set_trap(bytes, fault, 1);
    }

    fn set_trap(&self, bytes: &str, fault: Fault, springs_max: u32) {
        let trap = Trap { bytes: bytes.as_bytes().to_vec(), fault, springs_max };
        self.state.send_modify(|state| (state.trap, state.sprung) = (Some(trap), 0));
    }

    /// How many requests have met the latest trap.
    pub fn sprung(&self) -> u32 {
        self.state.borrow().sprung
    }

    /// How many connections there were.
    pub fn connections(&self) -> u32 {
        self.state.borrow().connections
    }

    /// Cuts every connection that there is.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// From now on, bytes that go there come so much later.
    pub fn delay(&self, toward: Toward, delay: Duration) {
        self.state.send_modify(|state| state.delays[toward as usize] = delay);
    }

    /// From now on, nothing passes by the connections that there are, not even the word that one side has closed.
    pub fn silence(&self) {
        self.state.send_modify(|state| state.silent = state.connections);
    }

    /// From now on, new connections lead to the server that a URL names; those that there are stay.
    pub fn redirect(&self, url: &str) {
        let server = server(&url::Url::parse(url).expect("a URL"));
        self.state.send_modify(|state| state.server = server);
    }

    /// Forwards everything again, also what was held back.
    pub fn mend(&self) {
        self.state.send_modify(|state| (state.trap, state.delays, state.silent) = (None, Default::default(), 0));
    }
}

/// Host and port of a URL.
fn server(url: &url::Url) -> (String, u16) {
    let host = url.host_str().expect("a host").trim_matches(['[', ']']).to_owned();
    (host, url.port().unwrap_or(if url.scheme().starts_with("postgres") { 5432 } else { 80 }))
}

async fn accept(listener: TcpListener, state: watch::Sender<State>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        state.send_modify(|state| state.connections += 1);
        let number = state.borrow().connections;
        connections.spawn(converse(client, number, state.clone()));
    }
}

/// Ends both sides as soon as either has ended, or both are cut.
async fn converse(client: TcpStream, number: u32, state: watch::Sender<State>) {
    let mut cutting = state.subscribe();
    let (cuts, server) = (cutting.borrow().cuts, cutting.borrow().server.clone());
    let Ok(server) = TcpStream::connect(server).await else { return };
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a connection");
    }
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let (caught, catches) = watch::channel(None);
    tokio::select! {
        () = forward_requests(client_read, server_write, number, &state, caught) => {}
        () = forward_replies(server_read, client_write, number, state.subscribe(), catches) => {}
        _ = cutting.wait_for(|state| state.cuts != cuts) => {}
    }
}

async fn forward_requests(
    mut client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    number: u32,
    state: &watch::Sender<State>,
    caught: watch::Sender<Option<Fault>>,
) {
    let mut following = state.subscribe();
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = client.read(&mut buffer).await {
        let mut request = &buffer[..read];
        let fault = spring(state, request);
        match fault {
            Some(Fault::LoseRequest) => return,
            Some(Fault::HalveRequest) => request = &request[..read / 2],
            Some(fault) => _ = caught.send_replace(Some(fault)),
            None => {}
        }
        wait(&mut following, number, Toward::Server).await;
        if server.write_all(request).await.is_err() || matches!(fault, Some(Fault::HalveRequest)) {
            return;
        }
    }
    wait(&mut following, number, Toward::Server).await;
}

async fn forward_replies(
    mut server: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    number: u32,
    mut state: watch::Receiver<State>,
    catches: watch::Receiver<Option<Fault>>,
) {
    let mut buffer = vec![0; 64 << 10];
    let mut is_answered = false;
    while let Ok(read @ 1..) = server.read(&mut buffer).await {
        let fault = *catches.borrow();
        match fault {
            Some(Fault::LoseReply) => return,
            Some(Fault::StallAfterReply) if !is_answered => is_answered = true,
            Some(_) => _ = state.wait_for(|state| state.trap.is_none()).await,
            None => {}
        }
        wait(&mut state, number, Toward::Client).await;
        if client.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    wait(&mut state, number, Toward::Client).await;
}

/// The fault that a request meets.
fn spring(state: &watch::Sender<State>, request: &[u8]) -> Option<Fault> {
    let mut fault = None;
    state.send_if_modified(|state| {
        let holds = |trap: &&Trap| request.windows(trap.bytes.len()).any(|window| window == trap.bytes);
        fault = state.trap.as_ref().filter(|trap| state.sprung < trap.springs_max).filter(holds).map(|trap| trap.fault);
        state.sprung += u32::from(fault.is_some());
        fault.is_some()
    });
    fault
}

/// Waits as long as bytes have to that go there; by the new delay where it changes meanwhile.
async fn wait(state: &mut watch::Receiver<State>, number: u32, toward: Toward) {
    let delay_of = |state: &State| if number <= state.silent { UNTIL_MENDED } else { state.delays[toward as usize] };
    let mut delay = delay_of(&state.borrow());
    while !delay.is_zero() {
        let changed = tokio::time::timeout(delay, state.wait_for(|state| delay_of(state) != delay)).await;
        delay = changed.ok().and_then(Result::ok).map_or(Duration::ZERO, |state| delay_of(&state));
    }
}
