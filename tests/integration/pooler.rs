//! Through a pooler, pgbouncer, where it is installed: a session of its own is durable, and one that is shared is not used.

use std::process::Stdio;

use event_processor::dev::cluster::Cluster;
use tokio::process::{Child, Command};
use tokio::task::block_in_place;

use crate::connections::{LET_WRITER_CHECK_KEYS, assert_pinned, set_defaults};
use crate::load::{assert_each_stored_once, event, requests, send};
use crate::stack::{Database, Directory, Stack, WRITER_LOGIN, eventually, sample_catalog};

const QUEUES: &str = "events?trust=any";

/// A running pooler; it ends with the test.
pub struct Pooler {
    pub url: String,
    _child: Child,
    _directory: Directory,
}

impl Pooler {
    /// Before the database at a URL. None, and a message, where there is no pgbouncer.
    pub async fn before(url: &str, settings: &str) -> Option<Self> {
        let mut url = url::Url::parse(url).expect("a URL");
        let directory = Directory::create();
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        directory.write("users", &format!("\"postgres\" \"\"\n\"{WRITER_LOGIN}\" \"\"\n"));
        let configuration = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}\n{settings}\n",
            url.port().expect("a port"),
            directory.0.join("users").display(),
        );
        directory.write("pgbouncer.ini", &configuration);
        let mut command = Command::new("pgbouncer");
        // Debian's lies where only root looks. It refuses to run as root, as Postgres does.
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        if std::fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("\nUid:\t0\t")) {
            command.args(["-u", "nobody"]);
        }
        command.arg(directory.0.join("pgbouncer.ini")).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                eprintln!("skipped: there is no pgbouncer ({error})");
                return None;
            }
        };
        eventually("the pooler listens", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
        url.set_port(Some(port)).expect("a port");
        Some(Self { url: url.to_string(), _child: child, _directory: directory })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_through_a_pooler_that_drops_startup_options_is_durable_and_has_its_timeouts() {
    let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
    let stack = Stack::start_on(Database::on(&cluster).await, &["events"]).await;
    stack.database.apply(&sample_catalog()).await;
    set_defaults(&stack.database, "database postgres").await;
    stack.database.execute(LET_WRITER_CHECK_KEYS).await;
    // The second is what a pooler does that nobody has told of such options.
    for (stored_before, settings) in ["ignore_startup_parameters = options,extra_float_digits", ""].into_iter().enumerate() {
        let Some(pooler) = Pooler::before(&stack.database.url, &format!("pool_mode = session\n{settings}")).await else { return };
        assert_pinned(&pooler.url).await;
        let queue = stack.queue("events").await;
        let daemon = stack.daemon(QUEUES, &[("DATABASE_URL", &pooler.url)]).await;
        daemon.ready().await;
        send(&queue, [event(&format!("event-{stored_before}"))]).await;
        stack.at_rest(&queue).await;
        assert_each_stored_once(&stack.database, stored_before + 1).await;
        assert_eq!(daemon.stop().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_pooler_that_shares_sessions_the_daemon_is_not_ready_and_says_so() {
    let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
    let stack = Stack::start_on(Database::on(&cluster).await, &["events"]).await;
    stack.database.apply(&sample_catalog()).await;
    send(&stack.queue("events").await, [event("event-1")]).await;
    let settings = "pool_mode = transaction\nserver_reset_query_always = 1\nignore_startup_parameters = options,extra_float_digits";
    let Some(pooler) = Pooler::before(&stack.database.url, settings).await else { return };
    let daemon = stack.daemon(QUEUES, &[("DATABASE_URL", &pooler.url)]).await;
    daemon.says("to session pooling").await;
    assert_eq!(requests(&daemon, "receive").await, 0);
    assert_eq!(daemon.stop().await, 0);
}
