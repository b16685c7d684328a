//! Another server at the same address: a standby before and after its promotion, a backup from before a commit, a server that is read-only
//! for a while.

use std::time::Duration;

use event_processor::dev::cluster::Cluster;
use event_processor::store::Session;
use tokio::task::block_in_place;
use tokio::time::Instant;

use crate::endpoint::{Answer, Endpoint};
use crate::ledger::Ledger;
use crate::load::{WRITERS, assert_each_stored_once, event, occupy_writers, outcomes, send};
use crate::proxy::Proxy;
use crate::stack::{Database, Stack, eventually, sample_catalog};

const QUEUES: &str = "events?trust=any";
const VISIBILITY_TIMEOUT: (&str, &str) = ("VISIBILITY_TIMEOUT", "2");

/// A cluster of the test's own, and a stack that reaches it by a proxy.
async fn begin() -> (Cluster, Proxy, Stack) {
    let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
    let proxy = Proxy::before(&cluster.url("postgres")).await;
    let stack = Stack::start_on(Database::at(&proxy.url).await, &["events"]).await;
    stack.database.apply(&sample_catalog()).await;
    (cluster, proxy, stack)
}

async fn stored(stack: &Stack) -> i64 {
    stack.database.count("select count(*) from message").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_under_load_costs_no_event() {
    let (mut primary, proxy, stack) = begin().await;
    let standby = block_in_place(|| primary.standby()).expect("a standby");
    // Without it, what the standby has not heard of would be lost with the primary.
    stack.database.execute("alter system set synchronous_standby_names = '*'").await;
    stack.database.execute("select pg_reload_conf()").await;
    let daemon = stack.daemon(QUEUES, &[VISIBILITY_TIMEOUT]).await;
    daemon.ready().await;
    let ledger = Ledger::on(&stack);
    let producers = ledger.begin(QUEUES, "--rate 150 --invalid 0 --duplicates 0", 1).await;
    eventually("enough is stored", async || (stored(&stack).await >= 200).then_some(())).await;

    proxy.redirect(&standby.url("postgres"));
    block_in_place(|| primary.crash()).expect("the primary ends");
    daemon.says("read-only").await;
    assert_eq!(daemon.get("/livez").await.0, 200);
    let kept = stored(&stack).await;
    block_in_place(|| standby.promote()).expect("a primary");
    let since = Instant::now();
    eventually("more is stored", async || (stored(&stack).await > kept).then_some(())).await;
    println!("first commit {:.1?} after the promotion", since.elapsed());
    ledger.interrupt(producers).await;
    let report = ledger.assert_clean().await;
    println!("all {} of {} stored {:.1?} after the promotion", report["stored"], report["sent"], since.elapsed());
    assert_eq!(stack.database.count("select count(*) from dead_letter").await, 0);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_a_restored_backup_lacks_is_stored_again() {
    let (mut cluster, proxy, stack) = begin().await;
    let backup = block_in_place(|| cluster.restored_backup()).expect("a backup");
    let queue = stack.queue("events").await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    endpoint.always("DeleteMessageBatch", Answer::Unavailable);
    let daemon = stack.daemon(QUEUES, &[("AWS_ENDPOINT_URL", &endpoint.url), VISIBILITY_TIMEOUT]).await;
    daemon.ready().await;
    send(&queue, [event("event-1")]).await;
    eventually("the event is stored", async || (outcomes(&daemon, "stored").await == 1).then_some(())).await;
    assert_eq!(Database::at(&backup.url("postgres")).await.count("select count(*) from message").await, 0, "it is from before the commit");

    proxy.redirect(&backup.url("postgres"));
    block_in_place(|| cluster.crash()).expect("Postgres ends");
    eventually("the event is stored again", async || (outcomes(&daemon, "stored").await == 2).then_some(())).await;
    endpoint.mend();
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, 1).await;
    assert_eq!(daemon.stop().await, 0);
}

/// T7: a connection that was opened while the server was read-only stays so, and must not be kept.
#[tokio::test]
async fn a_writer_leaves_a_connection_that_is_read_only() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon(QUEUES, &[VISIBILITY_TIMEOUT]).await;
    daemon.ready().await;
    let name = stack.database.rows("select current_database()").await.remove(0);
    stack.database.execute(&format!("alter database {name} set default_transaction_read_only = on")).await;
    // Each writer opens its connection now.
    occupy_writers(&stack.database, &queue, "amid").await.release().await;
    daemon.says("read-only").await;
    stack.database.execute(&format!("begin read write; alter database {name} reset default_transaction_read_only; commit")).await;
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, WRITERS).await;
    assert_eq!(daemon.stop().await, 0);
}

/// T9: a server that acknowledges what is not on disk yet loses it in a crash.
#[tokio::test]
async fn what_a_session_commits_is_on_disk_whatever_the_database_prefers() {
    let database = Database::create().await;
    let name = database.rows("select current_database()").await.remove(0);
    database.execute(&format!("alter database {name} set synchronous_commit = off")).await;
    let mut session = Session::new(database.settings_of_writer());
    let asking = session.run(Duration::from_secs(30), |connection| {
        Box::pin(async { sqlx::query_scalar("select current_setting('synchronous_commit')").fetch_one(connection).await })
    });
    let setting: String = asking.await.expect("an answer");
    assert_eq!(setting, "on");
}
