//! A Postgres that is there and refuses to store, until somebody mends it.

use std::path::Path;

use event_processor::dev::cluster::Cluster;
use tokio::task::block_in_place;

use super::QUEUES;
use crate::endpoint::Endpoint;
use crate::load::{assert_each_stored_once, counted, event, send};
use crate::proxy::Proxy;
use crate::stack::{Database, Directory, Stack, eventually, sample_catalog};

const EVENTS: usize = 30;

/// Whether polling stops altogether, or one event now and then tries whether the database has been mended.
#[derive(PartialEq)]
enum Polling {
    Stops,
    Tries,
}

/// What is wrong, and how the daemon takes it.
struct Trouble {
    /// What is done to the tables first.
    prepare: &'static str,
    /// Whom the daemon connects as.
    role: &'static str,
    /// What it says.
    problem: &'static str,
    polling: Polling,
}

/// Events that come while something is broken become no dead letters, and are stored when it is mended.
async fn check(cluster: &Cluster, trouble: Trouble, break_it: impl AsyncFn(&Database), mend: impl AsyncFn(&Database)) {
    let Trouble { prepare, role, problem, polling } = trouble;
    let stack = Stack::start_on(Database::on(cluster).await, &["events"]).await;
    stack.database.apply(&sample_catalog()).await;
    stack.database.execute(prepare).await;
    let queue = stack.queue("events").await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    let proxy = Proxy::before(&stack.database.url).await;
    let url = proxy.url.replace("postgres@", &format!("{role}@"));
    let settings = [("DATABASE_URL", url.as_str()), ("AWS_ENDPOINT_URL", &endpoint.url), ("VISIBILITY_TIMEOUT", "2")];
    let daemon = stack.daemon(QUEUES, &settings).await;
    daemon.ready().await;
    send(&queue, [event("before")]).await;
    stack.at_rest(&queue).await;

    break_it(&stack.database).await;
    send(&queue, (0..EVENTS).map(|number| event(&format!("amid-{number}")))).await;
    daemon.says(problem).await;
    eventually("what was in flight is handed back", async || (counted(&daemon, "in_flight_events", "").await == 0).then_some(())).await;
    if polling == Polling::Stops {
        let (receives, connections) = (endpoint.requests("ReceiveMessage"), proxy.connections());
        eventually("the daemon looks three times", async || (proxy.connections() >= connections + 3).then_some(())).await;
        daemon.says(problem).await;
        assert_eq!(endpoint.requests("ReceiveMessage"), receives, "received while nothing can be stored");
    }
    mend(&stack.database).await;
    daemon.ready().await;
    stack.at_rest(&queue).await;
    println!("{problem}: a message was received {} times at most", endpoint.handed_out_max());
    assert_each_stored_once(&stack.database, EVENTS + 1).await;
    assert_eq!(daemon.stop().await, 0);
}

fn cluster() -> Cluster {
    block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_was_revoked_costs_no_event() {
    let prepare = "create role writer login; grant select, insert, update, delete on all tables in schema public to writer";
    let revoke = async |database: &Database| database.execute("revoke insert on message from writer").await;
    let grant = async |database: &Database| database.execute("grant insert on message to writer").await;
    let trouble = Trouble { prepare, role: "writer", problem: "SQLSTATE 42501", polling: Polling::Stops };
    check(&cluster(), trouble, revoke, grant).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_was_renamed_costs_no_event() {
    let rename = async |database: &Database| database.execute("alter table message rename column subject to topic").await;
    let rename_back = async |database: &Database| database.execute("alter table message rename column topic to subject").await;
    let trouble = Trouble { prepare: "", role: "postgres", problem: "SQLSTATE 42703", polling: Polling::Stops };
    check(&cluster(), trouble, rename, rename_back).await;
}

/// A small disk of the test's own; gone when this is dropped.
struct Disk(Directory);

impl Disk {
    /// None, and a message, where this process may not mount.
    fn mount() -> Option<Self> {
        let disk = Directory::create();
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m,mode=0777", "tmpfs"]).arg(&disk.0).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(disk));
        }
        eprintln!("skipped: a full disk takes the right to mount one");
        None
    }

    fn filler(&self) -> std::path::PathBuf {
        self.0.0.join("filler")
    }

    fn fill(&self) {
        assert!(std::fs::write(self.filler(), vec![0; 32 << 20]).is_err(), "the disk is not full");
    }

    /// A directory on it, for Postgres.
    fn directory_like(&self, example: &Path) -> String {
        use std::os::unix::fs::MetadataExt as _;
        let directory = self.0.0.join("messages");
        std::fs::create_dir(&directory).expect("a directory");
        let owner = std::fs::metadata(example).expect("the data of Postgres");
        std::os::unix::fs::chown(&directory, Some(owner.uid()), Some(owner.gid())).expect("handed over");
        directory.display().to_string()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(&self.0.0).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_costs_no_event() {
    let Some(disk) = Disk::mount() else { return };
    let cluster = cluster();
    let data = Database::on(&cluster).await.rows("select current_setting('data_directory')").await.remove(0);
    let directory = disk.directory_like(Path::new(&data));
    let tablespace = format!("create tablespace small location '{directory}'");
    Database::on(&cluster).await.execute(&tablespace).await;
    let fill = async |_: &Database| disk.fill();
    let make_room = async |_: &Database| std::fs::remove_file(disk.filler()).expect("removed");
    // So that the next row takes a new page, for which there is no room.
    let prepare = "alter table message set tablespace small, set (fillfactor = 10)";
    let trouble = Trouble { prepare, role: "postgres", problem: "SQLSTATE 53100", polling: Polling::Tries };
    check(&cluster, trouble, fill, make_room).await;
}
