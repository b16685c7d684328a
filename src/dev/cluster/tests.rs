//! With a real Postgres, so these need its binaries; each cluster is temporary or in a temporary directory.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use super::*;

/// Set for the copy of this test program that is there to be killed: the home it starts a cluster in, or `temporary`.
const HOLD: &str = "EVENT_PROCESSOR_TEST_HOLD_CLUSTER";

/// Not a test but the other process of the tests below: it starts a cluster, says where, and waits to be killed.
#[test]
fn hold_a_cluster_when_asked_to() {
    let Some(home) = env::var_os(HOLD) else { return };
    let cluster = if home == "temporary" {
        Cluster::temporary(&["fsync=off"]).unwrap()
    } else {
        Cluster::start(&Binaries::find().unwrap(), Path::new(&home), &["fsync=off"]).unwrap()
    };
    println!("\nholding {} {}", cluster.port, cluster.home.directory.display());
    loop {
        thread::park();
    }
}

fn hold(home: &Path) -> (Child, u16, PathBuf) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "dev::cluster::tests::hold_a_cluster_when_asked_to", "--nocapture"])
        .env(HOLD, home)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.starts_with("holding ")).expect("a cluster was started");
    let [_, port, home] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    (child, port.parse().unwrap(), home.into())
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn within_seconds(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A directory that is gone after the test, also a failed one.
struct TemporaryHome(PathBuf);

impl TemporaryHome {
    fn new() -> Self {
        Self(temporary_parent().join(format!("event-processor-test-{}", Uuid::now_v7().simple())))
    }
}

impl Drop for TemporaryHome {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_temporary_cluster_leaves_nothing_behind() {
    let cluster = Cluster::temporary(&["fsync=off"]).unwrap();
    let (home, port) = (cluster.home.directory.clone(), cluster.port());
    assert!(listens(port));
    cluster.stop().unwrap();
    assert!(!listens(port) && !home.exists());
}

#[test]
fn a_cluster_recovers_from_a_crash_on_its_port_and_leaves_nothing_behind() {
    let mut cluster = Cluster::temporary(&[]).unwrap();
    let (home, port) = (cluster.home.directory.clone(), cluster.port());
    for _ in 0..2 {
        cluster.crash().unwrap();
        assert!(!listens(port) && home.exists());
        cluster.recover().unwrap();
        assert!(listens(port) && cluster.home.log().contains("was interrupted"), "{}", cluster.home.log());
    }
    cluster.stop().unwrap();
    assert!(!listens(port) && !home.exists());
}

#[test]
fn a_kill_of_its_process_leaves_nothing_of_a_temporary_cluster() {
    let (child, port, home) = hold(Path::new("temporary"));
    assert!(listens(port) && home.exists());
    kill(child);
    within_seconds("the cluster is gone", || !listens(port) && !home.exists());
}

#[test]
fn a_home_is_started_again_after_a_kill_and_never_twice() {
    let home = TemporaryHome::new();
    let binaries = Binaries::find().unwrap();
    let (child, _, _) = hold(&home.0);
    let error = Cluster::start(&binaries, &home.0, &[]).unwrap_err().to_string();
    assert!(error.contains("another process runs the cluster in"), "{error}");
    kill(child);
    let again = Cluster::start(&binaries, &home.0, &[]).unwrap();
    assert!(listens(again.port()));
    again.stop().unwrap();
}

#[test]
fn a_process_number_that_went_to_another_program_is_no_obstacle() {
    let home = TemporaryHome::new();
    let binaries = Binaries::find().unwrap();
    Cluster::start(&binaries, &home.0, &["fsync=off"]).unwrap().stop().unwrap();
    let prepared = Home::prepare(&binaries, &home.0, false).unwrap();
    let mut command = Command::new("/bin/sleep");
    command.arg("100");
    if let Some(account) = prepared.account {
        // Postgres is not misled by a process that it may not signal.
        account.apply(&mut command);
    }
    let mut other = command.spawn().unwrap();
    let file = prepared.process_file();
    fs::write(&file, format!("{}\n/elsewhere\n1\n1\n..\n127.0.0.1\n 1 1\nready\n", other.id())).unwrap();
    if let Some(account) = prepared.account {
        account.give(&file).unwrap();
    }
    let started = Cluster::start(&binaries, &home.0, &["fsync=off"]);
    let spared = other.try_wait().unwrap().is_none();
    kill(other);
    started.unwrap().stop().unwrap();
    assert!(spared);
}

#[test]
fn what_postgres_wrote_is_in_the_error() {
    let error = Cluster::temporary(&["nonsense=1"]).unwrap_err().to_string();
    assert!(error.contains("unrecognized configuration parameter \"nonsense\""), "{error}");
}

#[test]
fn a_home_has_its_port_again_unless_another_has_taken_it() {
    let home = TemporaryHome::new();
    let binaries = Binaries::find().unwrap();
    let start = || Cluster::start(&binaries, &home.0, &["fsync=off"]).unwrap();
    let first = start();
    let port = first.port();
    first.stop().unwrap();
    let again = start();
    assert_eq!(again.port(), port);
    again.stop().unwrap();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    let elsewhere = start();
    assert!(elsewhere.port() != port && listens(elsewhere.port()));
    drop(taken);
    elsewhere.stop().unwrap();
}
