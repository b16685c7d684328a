//! Links to Postgres that swallow every byte, and a server's process that stands still: the writers notice and go on, and wait for nothing
//! but a server that is at work.

use event_processor::dev::cluster::Cluster;
use event_processor::queue::Queue;
use tokio::task::block_in_place;
use tokio::time::Instant;

use crate::daemon::Daemon;
use crate::load::{WRITERS, assert_each_stored_once, counted, event, occupy_writers, outcomes, send};
use crate::proxy::{Fault, Proxy, Toward, UNTIL_MENDED};
use crate::stack::{Database, Stack, eventually};

const QUEUES: &str = "events?trust=any";

/// Short, so that what was handed back comes soon; a lease that is at work is extended.
const VISIBILITY_TIMEOUT: (&str, &str) = ("VISIBILITY_TIMEOUT", "2");

/// Both writers store an event each.
async fn use_both_writers(stack: &Stack, queue: &Queue, name: &str) {
    occupy_writers(&stack.database, queue, name).await.release().await;
    stack.at_rest(queue).await;
}

/// A daemon whose writers both have connections, by a proxy.
async fn begin(database: Database) -> (Stack, Queue, Proxy, Daemon) {
    let stack = Stack::start_on(database, &["events"]).await;
    stack.database.apply(&crate::stack::sample_catalog()).await;
    let queue = stack.queue("events").await;
    let proxy = Proxy::before(&stack.database.url).await;
    let daemon = stack.daemon(QUEUES, &[("DATABASE_URL", &proxy.url), VISIBILITY_TIMEOUT]).await;
    daemon.ready().await;
    use_both_writers(&stack, &queue, "before").await;
    (stack, queue, proxy, daemon)
}

fn events(name: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| event(&format!("{name}-{number}")))
}

/// How many events are stored.
async fn stored(stack: &Stack) -> usize {
    usize::try_from(stack.database.count("select count(*) from message").await).expect("a count")
}

/// Waits until so many are stored, and says how long that took.
async fn progress(stack: &Stack, count: usize, since: Instant, what: &str) {
    eventually(what, async || (stored(stack).await >= count).then_some(())).await;
    println!("{what}: {:.1?}", since.elapsed());
}

#[tokio::test]
async fn writers_whose_links_fall_silent_go_on_by_new_ones() {
    let (stack, queue, proxy, daemon) = begin(Database::create().await).await;
    proxy.silence();
    let since = Instant::now();
    send(&queue, events("amid", 40)).await;
    progress(&stack, WRITERS + 1, since, "the first event by a new link").await;
    progress(&stack, WRITERS + 40, since, "all events by new links").await;
    assert_eq!(outcomes(&daemon, "released").await, 0, "handed back where a new link would have done");
    use_both_writers(&stack, &queue, "after").await;
    proxy.mend();
    assert_each_stored_once(&stack.database, 2 * WRITERS + 40).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn rows_that_a_silent_link_holds_are_freed_for_those_who_try_again() {
    let (stack, queue, proxy, daemon) = begin(Database::create().await).await;
    proxy.trap_once("amid-0", Fault::StallReply);
    let since = Instant::now();
    send(&queue, events("amid", 1)).await;
    eventually("the insert is sent", async || (proxy.sprung() == 1).then_some(())).await;
    // The server has inserted the row, and hears nothing more, not even that the writer has given up.
    proxy.silence();
    progress(&stack, WRITERS + 1, since, "the row that a silent link held").await;
    stack.at_rest(&queue).await;
    proxy.mend();
    assert_each_stored_once(&stack.database, WRITERS + 1).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_commit_whose_answer_is_swallowed_is_settled_by_redelivery() {
    let (stack, queue, proxy, daemon) = begin(Database::create().await).await;
    proxy.trap_once("commit\0", Fault::StallReply);
    let since = Instant::now();
    send(&queue, events("amid", 1)).await;
    eventually("the commit is given up", async || (counted(&daemon, "commits_unknown_total", "").await == 1).then_some(())).await;
    println!("a commit without an answer was given up after {:.1?}", since.elapsed());
    stack.at_rest(&queue).await;
    assert_eq!(outcomes(&daemon, "duplicate").await, 1);
    proxy.mend();
    assert_each_stored_once(&stack.database, WRITERS + 1).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_server_that_nobody_reaches_is_noticed_and_used_again() {
    let (stack, queue, proxy, daemon) = begin(Database::create().await).await;
    for toward in [Toward::Server, Toward::Client] {
        proxy.delay(toward, UNTIL_MENDED);
    }
    let since = Instant::now();
    send(&queue, events("amid", 40)).await;
    daemon.says("database: the database").await;
    println!("silence was noticed after {:.1?}", since.elapsed());
    assert_eq!(daemon.get("/livez").await.0, 200);
    assert_eq!(stored(&stack).await, WRITERS);
    proxy.mend();
    let since = Instant::now();
    send(&queue, events("after", 40)).await;
    progress(&stack, WRITERS + 1, since, "the first event after the silence").await;
    stack.at_rest(&queue).await;
    println!("all after the silence: {:.1?}", since.elapsed());
    use_both_writers(&stack, &queue, "again").await;
    assert_each_stored_once(&stack.database, 2 * WRITERS + 80).await;
    assert_eq!(daemon.stop().await, 0);
}

/// A process that stands still; it goes on when this is dropped.
struct Stopped(i64);

impl Stopped {
    fn still(process: i64) -> Self {
        signal("STOP", process);
        Self(process)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("CONT", self.0);
    }
}

fn signal(name: &str, process: i64) {
    // A process that has ended meanwhile needs no signal.
    let _ = std::process::Command::new("/bin/sh").args(["-c", &format!("kill -{name} {process}")]).status();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_whose_servers_process_stands_still_goes_on_by_another() {
    let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
    let (stack, queue, _proxy, daemon) = begin(Database::on(&cluster).await).await;
    let writers = "from pg_stat_activity where application_name = 'event-processor writer' and query like '%pg_xact_status%'";
    let still = Stopped::still(stack.database.count(&format!("select max(pid) {writers}")).await);
    let since = Instant::now();
    send(&queue, events("amid", 40)).await;
    progress(&stack, WRITERS + 40, since, "all events beside an idle process that stands still").await;
    use_both_writers(&stack, &queue, "after").await;
    drop(still);
    assert_each_stored_once(&stack.database, 2 * WRITERS + 40).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_goes_on_while_the_others_process_stands_still_amid_its_work() {
    let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
    let (stack, queue, _proxy, daemon) = begin(Database::on(&cluster).await).await;
    let lock = occupy_writers(&stack.database, &queue, "amid").await;
    let waiting = "select min(pid) from pg_locks where relation = 'message'::regclass and not granted";
    let still = Stopped::still(stack.database.count(waiting).await);
    lock.release().await;
    let since = Instant::now();
    send(&queue, events("more", 40)).await;
    progress(&stack, 2 * WRITERS - 1 + 40, since, "all other events beside a working process that stands still").await;
    drop(still);
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, 2 * WRITERS + 40).await;
    assert_eq!(daemon.stop().await, 0);
}
