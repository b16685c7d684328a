//! Links to Postgres and SQS that are cut, slow or silent while events pass: each event is stored once all the same.

use std::time::Duration;

use event_processor::queue::Queue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::daemon::Daemon;
use crate::load::{assert_each_stored_once, counted, depth, event, outcomes, requests, send, visible};
use crate::proxy::{Fault, Proxy, Toward, UNTIL_MENDED};
use crate::stack::{Stack, eventually};

const QUEUES: &str = "events?trust=any";

/// What the writers send to begin a transaction and to commit it, apart from other texts that hold the words.
const BEGIN: &str = "begin\0";
const COMMIT: &str = "commit\0";

/// What an insert carries, once its text was prepared: the values, of which this is the last that was sent.
const INSERT: &str = "late-9";

/// How long an event that was not settled is away, about.
const VISIBILITY_TIMEOUT: (&str, &str) = ("VISIBILITY_TIMEOUT", "2");

/// So many events whose ids begin like this.
fn events(name: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| event(&format!("{name}-{number}"))).collect()
}

async fn send_at_once(queue: &Queue, bodies: &[String]) {
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    assert_eq!(queue.send_batch(&bodies).await.expect("sent").accepted.len(), bodies.len());
}

/// How many of the received copies were settled: stored, or found to be stored.
async fn settled(daemon: &Daemon) -> i64 {
    outcomes(daemon, "stored").await + outcomes(daemon, "duplicate").await
}

/// Waits until the queue is at rest, and sees to it that nothing is ever deleted that was not settled before.
async fn rest(queue: &Queue, daemon: &Daemon, sent: i64) {
    eventually("the queue comes to rest", async || {
        let deleted = sent - depth(queue).await;
        let settled = settled(daemon).await;
        assert!(deleted <= settled, "{deleted} are deleted, {settled} are settled");
        (deleted == sent).then_some(())
    })
    .await;
}

/// What a cut leads to.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    /// The batch was not stored, which is certain: it is tried again at once.
    TriedAgain,
    /// Nobody knows, and it was not stored: the queue brings it again.
    UnknownAndGone,
    /// Nobody knows, and it was stored: the queue brings it again, as duplicates.
    UnknownAndStored,
}

/// Ten events pass, then one request of the next ten's is cut, then ten more pass.
async fn check(bytes: &str, fault: Fault, expect: Expect) {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let proxy = Proxy::before(&stack.database.url).await;
    let daemon = stack.daemon(QUEUES, &[("DATABASE_URL", &proxy.url), VISIBILITY_TIMEOUT]).await;
    daemon.ready().await;
    send_at_once(&queue, &events("early", 10)).await;
    rest(&queue, &daemon, 10).await;

    proxy.trap_once(bytes, fault);
    send_at_once(&queue, &events("late", 10)).await;
    eventually("the connection is cut", async || (proxy.sprung() == 1).then_some(())).await;
    send_at_once(&queue, &events("later", 10)).await;
    rest(&queue, &daemon, 30).await;

    let is_unknown = expect != Expect::TriedAgain;
    assert_eq!(counted(&daemon, "commits_unknown_total", "").await, i64::from(is_unknown));
    let released = outcomes(&daemon, "released").await;
    assert_eq!(released > 0, is_unknown, "{released} came again");
    let duplicates = if expect == Expect::UnknownAndStored { released } else { 0 };
    let found = (outcomes(&daemon, "stored").await, outcomes(&daemon, "duplicate").await);
    // What was deleted on doubt would have no outcome but that it was handed back.
    assert_eq!(found, (30 - duplicates, duplicates), "stored, duplicate");
    assert_each_stored_once(&stack.database, 30).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_connection_cut_before_begin_arrives_loses_and_doubles_nothing() {
    check(BEGIN, Fault::LoseRequest, Expect::TriedAgain).await;
}

#[tokio::test]
async fn a_connection_cut_amid_an_insert_loses_and_doubles_nothing() {
    check(INSERT, Fault::HalveRequest, Expect::TriedAgain).await;
}

#[tokio::test]
async fn a_connection_cut_after_an_insert_loses_and_doubles_nothing() {
    check(INSERT, Fault::LoseReply, Expect::TriedAgain).await;
}

#[tokio::test]
async fn a_connection_cut_on_the_way_of_a_commit_leaves_it_unknown_and_loses_nothing() {
    check(COMMIT, Fault::LoseRequest, Expect::UnknownAndGone).await;
}

#[tokio::test]
async fn a_connection_cut_on_the_way_of_a_commits_answer_leaves_it_unknown_and_doubles_nothing() {
    check(COMMIT, Fault::LoseReply, Expect::UnknownAndStored).await;
}

#[tokio::test]
async fn connections_cut_again_and_again_lose_and_double_nothing() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let postgres = Proxy::before(&stack.database.url).await;
    let sqs = Proxy::before(&stack.server.endpoint_url()).await;
    let settings = [("DATABASE_URL", &*postgres.url), ("AWS_ENDPOINT_URL", &sqs.url), ("IN_FLIGHT_EVENTS_MAX", "20"), VISIBILITY_TIMEOUT];
    let daemon = stack.daemon(QUEUES, &settings).await;
    daemon.ready().await;
    let mut stored = 0;
    for round in 0..5 {
        send(&queue, events(&format!("round-{round}"), 100)).await;
        postgres.cut();
        sqs.cut();
        eventually("more is stored", async || {
            let before = std::mem::replace(&mut stored, stack.database.count("select count(*) from message").await);
            (stored > before).then_some(())
        })
        .await;
        postgres.cut();
        sqs.cut();
    }
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, 500).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_slow_link_to_postgres_loses_and_doubles_nothing() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let proxy = Proxy::before(&stack.database.url).await;
    let daemon = stack.daemon(QUEUES, &[("DATABASE_URL", &proxy.url)]).await;
    daemon.ready().await;
    for toward in [Toward::Server, Toward::Client] {
        proxy.delay(toward, Duration::from_millis(300));
    }
    send(&queue, events("slow", 200)).await;
    eventually("some are stored by the slow link", async || (settled(&daemon).await > 0).then_some(())).await;
    proxy.mend();
    rest(&queue, &daemon, 200).await;
    assert_eq!((outcomes(&daemon, "released").await, outcomes(&daemon, "duplicate").await), (0, 0));
    assert_each_stored_once(&stack.database, 200).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn deletes_whose_replies_never_come_lose_and_double_nothing() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let proxy = Proxy::before(&stack.server.endpoint_url()).await;
    let daemon = stack.daemon(QUEUES, &[("AWS_ENDPOINT_URL", &proxy.url), VISIBILITY_TIMEOUT]).await;
    daemon.ready().await;
    proxy.trap("DeleteMessageBatch", Fault::StallReply);
    send(&queue, events("event", 50)).await;
    stack.at_rest(&queue).await;
    // The daemon does not know yet that it has deleted them.
    assert_eq!(requests(&daemon, "delete").await, 0);
    proxy.mend();
    eventually("the deletes are answered", async || (requests(&daemon, "delete").await >= 5).then_some(())).await;
    assert_eq!(counted(&daemon, "delete_failures_total", "").await, 0);
    assert_each_stored_once(&stack.database, 50).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn events_whose_leases_end_on_a_silent_link_lose_and_double_nothing() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let proxy = Proxy::before(&stack.server.endpoint_url()).await;
    let daemon = stack.daemon(QUEUES, &[("AWS_ENDPOINT_URL", &proxy.url), VISIBILITY_TIMEOUT]).await;
    daemon.ready().await;
    proxy.delay(Toward::Client, UNTIL_MENDED);
    send(&queue, events("event", 50)).await;
    eventually("a poll has taken some", async || (visible(&queue).await < 50).then_some(())).await;
    eventually("their leases have ended", async || (visible(&queue).await == 50).then_some(())).await;
    assert_eq!(counted(&daemon, "messages_received_total", "").await, 0, "the link was not silent");
    proxy.mend();
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, 50).await;
    assert_eq!(daemon.stop().await, 0);
}

/// Answers one connection's first bytes with the same bytes, then ends, and gives up its port.
async fn echo_once(listener: TcpListener) {
    let (mut stream, _) = listener.accept().await.expect("a connection");
    let mut buffer = [0; 4];
    stream.read_exact(&mut buffer).await.expect("four bytes");
    stream.write_all(&buffer).await.expect("an answer");
}

/// What comes back for four bytes; nothing where the connection is ended instead.
async fn ask(address: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("the proxy listens");
    let mut reply = Vec::new();
    // A server that is away may make either fail.
    let _ = stream.write_all(b"ping").await;
    let _ = stream.read_to_end(&mut reply).await;
    reply
}

#[tokio::test]
async fn a_proxy_goes_on_when_its_server_was_away() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = listener.local_addr().expect("an address");
    let proxy = Proxy::before(&format!("http://{server}")).await;
    let address = proxy.url.trim_start_matches("http://");
    assert_eq!(tokio::join!(ask(address), echo_once(listener)).0, b"ping");
    assert_eq!(ask(address).await, b"");
    let listener = TcpListener::bind(server).await.expect("the port again");
    assert_eq!(tokio::join!(ask(address), echo_once(listener)).0, b"ping");
}
