//! Standard output and standard error that nobody reads, that are full or closed: nothing panics, and what is done stays the same.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Write as _, pipe};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::daemon::{Daemon, logging_in_as};
use crate::load::{assert_each_stored_once, counted, events, send};
use crate::stack::{Directory, PROCESSOR, PRODUCERS, Stack, WRITER_LOGIN, patience, sample_catalog};

const QUEUES: &str = "events?trust=any";

fn full() -> File {
    File::options().write(true).open("/dev/full").expect("/dev/full")
}

/// A pipe whose reader has gone.
fn broken() -> PipeWriter {
    pipe().expect("a pipe").1
}

/// A pipe that holds all that it can, and its reader, who reads nothing.
fn clogged() -> (PipeReader, PipeWriter) {
    let (reader, writer) = pipe().expect("a pipe");
    let mut filling = writer.try_clone().expect("a descriptor");
    // Ends when the reader goes.
    std::thread::spawn(move || while filling.write_all(&[b'.'; 4096]).is_ok() {});
    (reader, writer)
}

/// An address on which nobody listens. Where a daemon logs to nobody, nobody is told which one the system gave it.
fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address").to_string()
}

/// A daemon with such a standard error stores what comes, outlives a panic of its poller, counts the lines that it could not log, and ends
/// well at a SIGTERM.
async fn check_daemon(stack: &Stack, command: &mut Command, are_counted: bool) {
    let stored = usize::try_from(stack.database.count("select count(*) from message").await).expect("a count");
    let address = free_address();
    let settings = [("QUEUES", QUEUES), ("LISTEN_ADDRESS", &address), ("VISIBILITY_TIMEOUT", "2"), ("FAILPOINTS", "received=1*panic->off")];
    let environment = logging_in_as(WRITER_LOGIN, stack.environment()).into_iter().filter(|(name, _)| *name != "LISTEN_ADDRESS");
    command.env_clear().envs(environment).envs(settings);
    let daemon = Daemon::start_unheard(command, address.clone()).await;
    daemon.ready().await;
    let queue = stack.queue("events").await;
    send(&queue, events(stored + 10).split_off(stored)).await;
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, stored + 10).await;
    assert_eq!(counted(&daemon, "poller_restarts_total", "").await, 1);
    let failures = counted(&daemon, "log_write_failures_total", "").await;
    assert_eq!(failures > 0, are_counted, "{failures} lines could not be written");
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_daemon_whose_log_nobody_takes_goes_on_and_drains_when_it_is_told_to() {
    let stack = Stack::start(&["events"]).await;
    let run = |stderr: Stdio| {
        let mut command = Command::new(PROCESSOR);
        command.arg("run").stderr(stderr);
        command
    };
    check_daemon(&stack, &mut run(full().into()), true).await;
    check_daemon(&stack, &mut run(broken().into()), true).await;
    let (reader, writer) = clogged();
    // Its lines wait, and nothing waits for them.
    check_daemon(&stack, &mut run(writer.into()), false).await;
    drop(reader);
    let mut closed = Command::new("/bin/sh");
    closed.args(["-c", "exec \"$0\" run 2>&-", PROCESSOR]);
    check_daemon(&stack, &mut closed, false).await;
}

#[tokio::test]
async fn a_start_that_fails_without_a_reader_ends_with_the_status_of_its_failure() {
    for (stderr, _reader) in [(Stdio::from(full()), None), (broken().into(), None), {
        let (reader, writer) = clogged();
        (writer.into(), Some(reader))
    }] {
        let mut command = Command::new(PROCESSOR);
        let running = command.arg("run").env_clear().env("RUST_LOG", "trace").stdin(Stdio::null()).stderr(stderr).status();
        let status = tokio::time::timeout(patience(), running).await.expect("an end").expect("a status");
        assert_eq!(status.code(), Some(78));
    }
}

/// Commands, and the status with which each ends where its result can be written.
struct Commands {
    stack: Stack,
    directory: Directory,
    daemon: Daemon,
}

impl Commands {
    async fn start() -> Self {
        let stack = Stack::start(&["events"]).await;
        let daemon = stack.daemon(QUEUES, &[]).await;
        daemon.ready().await;
        let directory = Directory::create();
        directory.write("good.json", r#"{"tenant_id":"platform","event_type":"monitor-app","payload":"a"}"#);
        directory.write("bad.json", "Hello World");
        directory.write("broken/acme/tenant.toml", "nonsense = 1");
        let queue = stack.queue("events").await;
        queue.send("Hello World").await.expect("sent");
        stack.at_rest(&queue).await;
        Self { stack, directory, daemon }
    }

    /// Runs a command line to its end: the status, and standard error where that is a pipe.
    async fn run(&self, line: &str, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> (i32, String) {
        let mut words = line.split(' ');
        let program = if words.next() == Some("producers") { PRODUCERS } else { PROCESSOR };
        let mut command = Command::new(program);
        command.args(words).env_clear().envs(self.stack.environment()).env("LISTEN_ADDRESS", &self.daemon.address).env("RUST_LOG", "error");
        command.current_dir(&self.directory.0).stdin(Stdio::null()).stdout(stdout).stderr(stderr).kill_on_drop(true);
        let ended = command.spawn().expect("it starts").wait_with_output();
        let ended = tokio::time::timeout(patience(), ended).await.unwrap_or_else(|_| panic!("{line} goes on")).expect("a status");
        (ended.status.code().unwrap_or(-1), String::from_utf8_lossy(&ended.stderr).into_owned())
    }
}

#[tokio::test]
async fn a_command_whose_result_cannot_be_written_says_so_and_ends_with_74_and_a_broken_pipe_is_no_fault() {
    let commands = Commands::start().await;
    let schemas = sample_catalog().display().to_string();
    let validate = "processor validate --queue events?trust=any";
    let lines = [
        ("processor --help".to_owned(), 0),
        ("processor --version".to_owned(), 0),
        ("processor dead-letter list --help".to_owned(), 0),
        ("processor migrate".to_owned(), 0),
        (format!("processor catalog check {schemas}"), 0),
        (format!("processor catalog check {schemas} --json"), 0),
        ("processor catalog check broken --json".to_owned(), 65),
        (format!("processor catalog apply {schemas}"), 0),
        (format!("{validate} good.json"), 0),
        (format!("{validate} good.json --json"), 0),
        (format!("{validate} bad.json"), 65),
        (format!("{validate} bad.json --json"), 65),
        ("processor dead-letter list".to_owned(), 0),
        ("processor dead-letter list --json".to_owned(), 0),
        ("processor dead-letter show 1".to_owned(), 0),
        ("processor health".to_owned(), 0),
        ("producers --help".to_owned(), 0),
        ("producers --version".to_owned(), 0),
        (format!("producers --queue {QUEUES} --events 3 --rate 100 --schemas {schemas} --ledger LEDGER"), 0),
        // Before others send what the ledger lacks.
        ("producers verify --ledger ledger-1".to_owned(), 0),
        ("producers send good.json --queue events --wait".to_owned(), 0),
        ("producers send bad.json --queue events --wait".to_owned(), 65),
    ];
    let sentence = "what was to be printed could not be written to standard output (No space left on device (os error 28)); apart from that \
                    the command did its work\n";
    for (line, status) in &lines {
        // A ledger is never written over.
        let line = |number: u8| line.replace("LEDGER", &format!("ledger-{number}"));
        let (ended, errors) = commands.run(&line(1), full(), Stdio::piped()).await;
        assert_eq!((ended, errors.as_str()), (74, sentence), "{}", line(1));
        let (ended, errors) = commands.run(&line(2), broken(), Stdio::piped()).await;
        assert_eq!((ended, errors.as_str()), (*status, ""), "{}", line(2));
        assert_eq!(commands.run(&line(3), Stdio::null(), full()).await.0, *status, "{}", line(3));
        assert_eq!(commands.run(&line(4), Stdio::null(), broken()).await.0, *status, "{}", line(4));
        assert_eq!(commands.run(&line(5), full(), full()).await.0, 74, "{}", line(5));
    }
    let sent = commands.stack.database.count("select count(*) from message where source like 'producers-%'").await;
    assert_eq!(sent, 5 * 3, "what could not be told was not done");
    for (line, status) in [("processor nonsense", 64), ("processor catalog check broken", 65), ("producers", 64), ("producers verify", 64)]
    {
        for (stdout, stderr) in [(Stdio::null(), Stdio::from(full())), (broken().into(), broken().into())] {
            assert_eq!(commands.run(line, stdout, stderr).await.0, status, "{line}");
        }
    }
    assert_eq!(commands.daemon.stop().await, 0);
}

#[tokio::test]
async fn dev_whose_output_nobody_reads_does_its_work() {
    let (reader, clogged) = clogged();
    for (stdout, stderr, status) in [(Stdio::from(full()), Stdio::from(full()), 74), (clogged.into(), broken().into(), 0)] {
        let directory = Directory::create();
        crate::terminal::copy(&sample_catalog(), &directory.0.join("schemas"));
        let mut command = Command::new(PROCESSOR);
        command.args(["dev", "--queue-port", "0", "--listen-address", "127.0.0.1:0", "--exit-after-sample"]);
        for name in ["DATABASE_URL", "QUEUES", "QUEUE_NAME", "AWS_ENDPOINT_URL"] {
            command.env_remove(name);
        }
        let running = command.current_dir(&directory.0).stdin(Stdio::null()).stdout(stdout).stderr(stderr).status();
        let ended = tokio::time::timeout(patience().max(Duration::from_mins(2)), running).await.expect("an end").expect("a status");
        if let Ok(home) = std::fs::read_to_string(directory.0.join(".dev/cluster")) {
            let _ = std::fs::remove_dir_all(home.trim_end());
        }
        assert_eq!(ended.code(), Some(status));
    }
    drop(reader);
}
