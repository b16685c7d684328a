//! Strangers at the port of `/metrics`: whatever they do, the daemon's own connections are made, and a new client is answered.
//!
//! `FLOOD_SECONDS=60` makes the flood long, with `-- metrics_port --nocapture` behind `cargo test --test integration`.

use std::process::Stdio;
use std::time::Duration;

use event_processor::dev::cluster::Cluster;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::Instant;

use crate::daemon::{Daemon, logging_in_as};
use crate::load::{assert_each_stored_once, event};
use crate::stack::{Database, PROCESSOR, Stack, WRITER_LOGIN, eventually, sample_catalog};

const HALF_SENT: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nx-half: ";

fn flood_time() -> Duration {
    Duration::from_secs(std::env::var("FLOOD_SECONDS").map_or(6, |text| text.parse().expect("FLOOD_SECONDS in seconds")))
}

/// A client that sends this and no more, waits for its end, and comes again five seconds later.
async fn hold(address: String, sent: &'static [u8]) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(&address).await {
            let _ = stream.write_all(sent).await;
            let _ = stream.read(&mut [0; 64]).await;
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

fn flood(address: &str, half_sent: usize, idle: usize) -> JoinSet<()> {
    // Each client has a descriptor of this process.
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }).expect("descriptors");
    let mut clients = JoinSet::new();
    for (count, sent) in [(half_sent, HALF_SENT), (idle, b"".as_slice())] {
        for _ in 0..count {
            clients.spawn(hold(address.to_owned(), sent));
        }
    }
    clients
}

/// A daemon of so many file descriptors, with a Postgres of the test's own.
struct Flooded {
    cluster: Cluster,
    stack: Stack,
    daemon: Daemon,
    sent: usize,
}

impl Flooded {
    async fn start(descriptors: usize) -> Self {
        let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
        let stack = Stack::start_on(Database::on(&cluster).await, &["events"]).await;
        stack.database.apply(&sample_catalog()).await;
        let address =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address").to_string();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" run"), PROCESSOR]).env_clear();
        command.envs(logging_in_as(WRITER_LOGIN, stack.environment()));
        command.env("QUEUES", "events?trust=any").env("LISTEN_ADDRESS", &address).stderr(Stdio::null());
        let daemon = Daemon::start_unheard(&mut command, address).await;
        daemon.ready().await;
        Self { cluster, stack, daemon, sent: 0 }
    }

    /// What a new client is told within a second; where many others came after it, it may have to ask again.
    async fn answer(&self) -> (u16, String) {
        let began = Instant::now();
        let reply = loop {
            match self.daemon.try_get("/readyz").await {
                Some(reply) => break reply,
                None => assert!(began.elapsed() < Duration::from_secs(1), "no answer in {:?}", began.elapsed()),
            }
        };
        assert!(began.elapsed() < Duration::from_secs(1), "an answer after {:?}: {}", began.elapsed(), reply.1);
        reply
    }

    /// Sends events for so long, each of which is stored. The daemon stays ready, but for what a restart has left.
    async fn work(&mut self, time: Duration, is_restarted: bool) {
        let queue = self.stack.queue("events").await;
        let began = Instant::now();
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        while began.elapsed() < time {
            ticks.tick().await;
            let (status, problems) = self.answer().await;
            // A session that the restart has cut shows at its next write.
            assert!(status == 200 || is_restarted && problems.starts_with("database: "), "{problems}");
            queue.send(&event(&format!("event-{}", self.sent))).await.expect("sent");
            self.sent += 1;
        }
        self.stack.at_rest(&queue).await;
        assert_each_stored_once(&self.stack.database, self.sent).await;
    }

    /// Postgres ends and starts again: the daemon says so, and finds it again.
    async fn restart_postgres(&mut self) {
        block_in_place(|| self.cluster.crash()).expect("Postgres ends");
        eventually("the daemon has noticed", async || (self.answer().await.0 == 503).then_some(())).await;
        block_in_place(|| self.cluster.recover()).expect("Postgres starts again");
        eventually("the daemon is ready", async || (self.answer().await.0 == 200).then_some(())).await;
        self.work(Duration::from_secs(2), true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_half_sent_requests_and_as_many_idle_connections_stop_nothing() {
    let mut flooded = Flooded::start(1024).await;
    let clients = flood(&flooded.daemon.address, 2_000, 2_000);
    flooded.work(flood_time() / 2, false).await;
    flooded.restart_postgres().await;
    flooded.work(flood_time() / 2, false).await;
    let descriptors = flooded.daemon.metric("process_open_fds", "").await;
    println!("{descriptors} of 1024 file descriptors are open");
    assert!(descriptors > 100.0 && descriptors < 512.0, "{descriptors} are open");
    drop(clients);
    assert_eq!(flooded.daemon.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_of_few_file_descriptors_keeps_most_of_them_for_itself() {
    let mut flooded = Flooded::start(64).await;
    let clients = flood(&flooded.daemon.address, 100, 100);
    flooded.work(Duration::from_secs(1), false).await;
    flooded.restart_postgres().await;
    flooded.work(Duration::from_secs(1), false).await;
    drop(clients);
    assert_eq!(flooded.daemon.stop().await, 0);
}

#[tokio::test]
async fn a_client_that_sends_no_request_or_a_half_one_is_cut_off_after_five_seconds_and_an_answered_one_at_once() {
    let stack = Stack::start_without_catalog(&["events"]).await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    let mut clients = JoinSet::new();
    for (sent, least, most) in [(HALF_SENT, 4, 8), (b"", 4, 8), (b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n", 0, 4)] {
        let address = daemon.address.clone();
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await.expect("the daemon listens");
            stream.write_all(sent).await.expect("sent");
            let (began, mut reply) = (Instant::now(), Vec::new());
            // A reset is an end as well.
            let _ = stream.read_to_end(&mut reply).await;
            let ended = began.elapsed();
            assert!((Duration::from_secs(least)..Duration::from_secs(most)).contains(&ended), "{sent:?}: {ended:?}");
            reply
        });
    }
    let replies = clients.join_all().await;
    assert!(replies.iter().any(|reply| reply.starts_with(b"HTTP/1.1 200 OK") && reply.ends_with(b"alive\n")), "{replies:?}");
    assert_eq!(daemon.stop().await, 0);
}
