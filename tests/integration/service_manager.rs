//! What a service manager is told, by a socket of the test's in place of systemd's: ready, alive, stopping.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Arc, Mutex};

use crate::daemon::Daemon;
use crate::isolation::{apply_template, event_of};
use crate::load::{Lock, send, waiting_for};
use crate::sender::Deliveries;
use crate::stack::{Directory, Stack, eventually, sample_catalog};

const QUEUES: &str = "events?trust=any";

/// Shorter than systemd's, so that the test need not wait for long: the unit says 30 s.
const WATCHDOG: (&str, &str) = ("WATCHDOG_USEC", "300000");

/// A notify socket, and what was said to it.
struct ServiceManager {
    name: String,
    messages: Arc<Mutex<Vec<String>>>,
    _directory: Directory,
}

impl ServiceManager {
    /// At a path.
    fn start() -> Self {
        let directory = Directory::create();
        let path = directory.0.join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        Self::hear(socket, path.display().to_string(), directory)
    }

    /// At a name of Linux's abstract ones, as systemd has in containers.
    fn start_abstract() -> Self {
        let directory = Directory::create();
        let name = format!("event-processor-test-{}", directory.0.file_name().expect("a name").to_string_lossy());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        Self::hear(UnixDatagram::bind_addr(&address).expect("a socket"), format!("@{name}"), directory)
    }

    fn hear(socket: UnixDatagram, name: String, directory: Directory) -> Self {
        let messages = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::downgrade(&messages);
        socket.set_read_timeout(Some(std::time::Duration::from_millis(100))).expect("a timeout");
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It ends with the test.
            while let Some(heard) = heard.upgrade() {
                if let Ok(length) = socket.recv(&mut buffer) {
                    heard.lock().expect("messages").push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                }
            }
        });
        Self { name, messages, _directory: directory }
    }

    fn settings(&self) -> [(&'static str, &str); 2] {
        [("NOTIFY_SOCKET", &self.name), WATCHDOG]
    }

    /// How many messages have a line that begins so.
    fn count(&self, line: &str) -> usize {
        let messages = self.messages.lock().expect("messages");
        messages.iter().filter(|message| message.lines().any(|one| one.starts_with(line))).count()
    }

    async fn hears(&self, line: &str) {
        eventually(&format!("the service manager hears {line}"), async || (self.count(line) > 0).then_some(())).await;
    }

    /// Waits until several more messages came, and says how many of them had this line.
    async fn among_the_next(&self, line: &str) -> usize {
        let (all, with) = (self.count(""), self.count(line));
        eventually("more is said", async || (self.count("") >= all + 4).then_some(())).await;
        self.count(line) - with
    }

    async fn assert_stops(&self, mut daemon: Daemon) {
        daemon.signal("TERM");
        assert_eq!(daemon.ended().await, 0, "{}", daemon.log());
        self.hears("STOPPING=1").await;
    }
}

#[tokio::test]
async fn a_daemon_is_ready_when_it_has_database_and_catalog_and_not_before() {
    for manager in [ServiceManager::start(), ServiceManager::start_abstract()] {
        let stack = Stack::start_without_catalog(&[]).await;
        // The queue is missing all the while, which keeps nobody from starting.
        let daemon = stack.daemon(QUEUES, &manager.settings()).await;
        manager.hears("STATUS=catalog: none was applied; run `processor catalog apply DIR`").await;
        assert!(manager.among_the_next("EXTEND_TIMEOUT_USEC=60000000").await > 0, "an outage at the start does not end it");
        assert_eq!(manager.count("READY=1"), 0);
        stack.database.apply(&sample_catalog()).await;
        manager.hears("READY=1").await;
        assert_eq!(daemon.get("/readyz").await.0, 503, "the queue is missing still");
        manager.assert_stops(daemon).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watchdog_is_fed_as_long_as_events_are_validated_and_no_longer() {
    let manager = ServiceManager::start();
    let stack = Stack::start_without_catalog(&["events"]).await;
    let event_types: Vec<String> = (0..12).map(|number| format!("type-{number}")).collect();
    apply_template(&stack, &["acme"], &event_types.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let queue = stack.queue("events").await;
    let mut settings = manager.settings().to_vec();
    settings.push(("FAILPOINTS", "slow=return(600000 stuck);progress_interval=return(50)"));
    let daemon = stack.daemon(QUEUES, &settings).await;
    manager.hears("READY=1").await;
    // An outage of the store is none of the daemon's: starting it anew would mend nothing.
    let lock = Lock::table(&stack.database, "message").await;
    send(&queue, [event_of("acme", "type-0", "waits")]).await;
    waiting_for(&stack.database, "message", 1).await;
    assert!(manager.among_the_next("WATCHDOG=1").await >= 3);
    lock.release().await;
    // Each under a schema of its own: more than there are threads, those that replace others included.
    send(&queue, event_types.iter().map(|event_type| event_of("acme", event_type, &format!("stuck-{event_type}")))).await;
    eventually("/livez fails", async || (daemon.get("/livez").await.0 == 503).then_some(())).await;
    assert_eq!(manager.among_the_next("WATCHDOG=1").await, 0, "systemd starts it anew now");
    daemon.kill().await;
}

#[tokio::test]
async fn a_sender_is_ready_with_its_database_and_fed_as_long_as_claims_are_answered() {
    let manager = ServiceManager::start();
    let deliveries = Deliveries::create().await;
    let sender = deliveries.sender(&manager.settings()).await;
    manager.hears("READY=1").await;
    assert!(manager.among_the_next("WATCHDOG=1").await >= 3);
    manager.assert_stops(sender).await;

    let manager = ServiceManager::start();
    let mut settings = manager.settings().to_vec();
    settings.push(("FAILPOINTS", "hung_claim=3*off->return;care_interval=return(1)"));
    let sender = deliveries.sender(&settings).await;
    manager.hears("READY=1").await;
    eventually("/livez fails", async || (sender.get("/livez").await.0 == 503).then_some(())).await;
    assert_eq!(manager.among_the_next("WATCHDOG=1").await, 0, "systemd starts it anew now");
    sender.kill().await;
}
