//! Many events at once, a store that is held shut, and what must be true of each event afterwards.

use event_processor::queue::Queue;
use futures_util::StreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::daemon::Daemon;
use crate::stack::{Database, Directory, eventually};

/// An event of the tenant `platform`, which has one subscriber for it.
pub fn event(event_id: &str) -> String {
    format!(r#"{{"tenant_id":"platform","event_id":"{event_id}","event_type":"monitor-app","payload":"hello"}}"#)
}

/// So many of them, each with an id of its own.
pub fn events(count: usize) -> Vec<String> {
    (0..count).map(|number| event(&format!("event-{number}"))).collect()
}

/// A catalog of a test's own, in which the tenant `acme` has the event type `note`, any text.
pub fn catalog_of_acme() -> Directory {
    let catalog = Directory::create();
    catalog.write("acme/tenant.toml", "");
    catalog.write("acme/note/1.json", r#"{"type": "string"}"#);
    catalog
}

/// Sends bodies, several at a time.
pub async fn send(queue: &Queue, bodies: impl IntoIterator<Item = String>) {
    let sending = futures_util::stream::iter(bodies).map(async |body| queue.send(&body).await.expect("sent"));
    sending.buffer_unordered(16).for_each(async |_| {}).await;
}

/// Sends bodies in batches, where there are thousands of them.
pub async fn send_many(queue: &Queue, bodies: &[String]) {
    let batches = futures_util::stream::iter(bodies.chunks(10)).map(async |batch| {
        let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
        let reply = queue.send_batch(&batch).await.expect("sent");
        assert_eq!(reply.accepted.len(), batch.len(), "{reply:?}");
    });
    batches.buffer_unordered(8).for_each(async |()| {}).await;
}

/// How many messages the queue has, waiting or held.
pub async fn depth(queue: &Queue) -> i64 {
    queue.depth().await.expect("the queue answers").iter().map(|(_, messages)| messages).sum()
}

/// How many messages of the queue can be received now.
pub async fn visible(queue: &Queue) -> i64 {
    let depth = queue.depth().await.expect("the queue answers");
    depth.iter().filter(|(state, _)| *state == "visible").map(|(_, messages)| messages).sum()
}

/// Each of so many events is one message with one delivery, and none is a dead letter.
pub async fn assert_each_stored_once(database: &Database, count: usize) {
    let found = database
        .rows(
            "select (select count(*) from message) as messages, (select count(distinct event_id) from message) as events, \
             (select count(*) from delivery) as deliveries, (select count(*) from dead_letter) as dead_letters",
        )
        .await;
    assert_eq!(found, [format!("{count} | {count} | {count} | 0")], "messages | events | deliveries | dead letters");
}

/// A metric that counts, summed over the series with this label; its name without the prefix.
pub async fn counted(daemon: &Daemon, name: &str, label: &str) -> i64 {
    let sum = daemon.metric(&format!("event_processor_{name}"), label).await;
    // A sum of no series is minus zero.
    format!("{:.0}", sum + 0.0).parse().expect("a number")
}

/// Of a queue's trouble there is one line in ten seconds at most.
pub fn assert_quiet(daemon: &Daemon, queue: &str) {
    let lines = daemon.log_of(queue);
    let warnings: Vec<_> = lines.iter().filter(|(_, line)| !line.contains(r#""message":"ready""#)).collect();
    for pair in warnings.windows(2) {
        // Midnight may lie between.
        let apart = (pair[1].0 - pair[0].0).rem_euclid(86_400.0);
        assert!(apart > 9.9, "{apart} s apart: {lines:#?}");
    }
    println!("{queue}: {} lines, {} of them warnings", lines.len(), warnings.len());
}

/// How many requests of a kind the daemon has sent to the queue.
pub async fn requests(daemon: &Daemon, operation: &str) -> i64 {
    counted(daemon, "sqs_requests_total", &format!(r#"operation="{operation}""#)).await
}

/// How many received copies of events have had this outcome.
pub async fn outcomes(daemon: &Daemon, outcome: &str) -> i64 {
    counted(daemon, "events_total", &format!(r#"outcome="{outcome}""#)).await
}

/// Holds a table shut until it is released or dropped.
pub struct Lock {
    connection: PgConnection,
}

impl Lock {
    pub async fn table(database: &Database, table: &str) -> Self {
        Self::by(database, &format!("lock table {table} in access exclusive mode")).await
    }

    /// What a statement locks.
    pub async fn by(database: &Database, statement: &str) -> Self {
        let mut connection = database.connect().await;
        sqlx::raw_sql(AssertSqlSafe(format!("begin; {statement}"))).execute(&mut connection).await.expect("the lock");
        Self { connection }
    }

    pub async fn release(self) {
        self.connection.close().await.expect("close");
    }
}

/// Waits until so many sessions wait for a table's lock.
pub async fn waiting_for(database: &Database, table: &str, sessions: i64) {
    let sql = format!(
        "select count(*) from pg_locks where not granted and relation = '{table}'::regclass \
         and database = (select oid from pg_database where datname = current_database())"
    );
    eventually("sessions wait for the lock", async || (database.count(&sql).await >= sessions).then_some(())).await;
}

/// How many writers a daemon has for what is no small part of what it writes.
pub const WRITERS: usize = 2;

/// Sends an event to each writer of the daemon; they wait for the table until the lock is released.
pub async fn occupy_writers(database: &Database, queue: &Queue, name: &str) -> Lock {
    let lock = Lock::table(database, "message").await;
    for writer in 1..=WRITERS {
        send(queue, [event(&format!("{name}-{writer}"))]).await;
        waiting_for(database, "message", i64::try_from(writer).expect("a small number")).await;
    }
    lock
}
