//! A relay that makes a server look further away: each piece of what the server says reaches the client so much later than it was said, in
//! order, however much of it is on its way. What the client says, and that it connects, passes at once.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process::Process;

/// So large that a reply mostly is one piece.
const PIECE_BYTES: usize = 64 << 10;

/// A running relay, a process of its own so that its processor time is nobody else's.
pub struct Relay {
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Relay {
    pub fn start(server: SocketAddr, latency_ms: u64) -> Result<Self> {
        let (process, address) = Process::serve(&["relay", &server.to_string(), &latency_ms.to_string()])?;
        Ok(Self { process, address: address.parse()? })
    }

    /// Keeps what clients say from now on.
    pub fn hold(&self) -> Result<()> {
        self.process.tell("hold")
    }

    /// Passes on what was kept.
    pub fn let_go(&self) -> Result<()> {
        self.process.tell("let go")
    }
}

/// Prints where it listens, and relays until its standard input ends: a line there holds what clients say, the next one lets it go.
pub fn run(server: SocketAddr, latency: Duration) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    let pause = Arc::new(RwLock::new(()));
    let passed = Arc::clone(&pause);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that cannot be connected sees its connection end.
            let _ = relay(client, server, latency, Arc::clone(&passed));
        }
    });
    let mut lines = io::stdin().lines();
    while lines.next().is_some() {
        let _paused = pause.write().unwrap_or_else(PoisonError::into_inner);
        lines.next();
    }
    Ok(())
}

/// Threads, because they wake within a tenth of a millisecond, where an asynchronous timer counts in whole ones.
fn relay(client: TcpStream, server: SocketAddr, latency: Duration, pause: Arc<RwLock<()>>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    let (requests, requested) = (client.try_clone()?, server.try_clone()?);
    let (said, due) = mpsc::channel();
    thread::spawn(move || pass(requests, requested, &pause));
    thread::spawn(move || listen(server, latency, &said));
    thread::spawn(move || deliver(&due, client));
    Ok(())
}

/// A side that breaks off is told to the other one as an end.
fn pass(mut client: TcpStream, mut server: TcpStream, pause: &RwLock<()>) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = client.read(&mut piece) {
        drop(pause.read().unwrap_or_else(PoisonError::into_inner));
        if server.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Write);
}

fn listen(mut server: TcpStream, latency: Duration, said: &mpsc::Sender<(Instant, Vec<u8>)>) {
    let mut piece = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = server.read(&mut piece) {
        if said.send((Instant::now() + latency, piece[..length].to_vec())).is_err() {
            break;
        }
    }
}

fn deliver(due: &mpsc::Receiver<(Instant, Vec<u8>)>, mut client: TcpStream) {
    for (at, piece) in due {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if client.write_all(&piece).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Write);
}
