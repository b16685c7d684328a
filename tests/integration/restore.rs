//! A database as its operators handle it: its log in the ordinary course of things, a dump and what is restored from it.

use event_processor::dev::binaries::Binaries;
use event_processor::dev::cluster::Cluster;
use tokio::process::Command;
use tokio::task::block_in_place;

use crate::load::{event, events, outcomes, send, send_many};
use crate::stack::{Database, Stack, eventually, sample_catalog};

const QUEUES: &str = "events?trust=any";

async fn run(program: &str, arguments: &[&str]) {
    let program = Binaries::find().expect("Postgres").program(program);
    let output = Command::new(&program).args(arguments).output().await.expect("it starts");
    assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_leave_no_error_in_the_log_and_what_is_restored_from_a_dump_is_gone_on_with() {
    let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
    let database = Database::on(&cluster).await;
    database.apply(&sample_catalog()).await;
    let stack = Stack::start_on(database, &["events"]).await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon(QUEUES, &[]).await;
    send_many(&queue, &events(900)).await;
    send_many(&queue, &events(100)).await;
    send(&queue, ["Hello World".to_owned()]).await;
    stack.at_rest(&queue).await;
    assert_eq!((outcomes(&daemon, "stored").await, outcomes(&daemon, "duplicate").await), (900, 100));
    assert_eq!(daemon.stop().await, 0);
    let errors = "select line from regexp_split_to_table(pg_read_file(current_setting('data_directory') || '/../log'), '\n') as line \
                  where line ~ '(ERROR|FATAL|PANIC)'";
    assert_eq!(stack.database.rows(errors).await, Vec::<String>::new());

    let file = std::env::temp_dir().join(format!("event-processor-test-{}.sql", uuid::Uuid::now_v7().simple()));
    let path = file.to_str().expect("UTF-8").to_owned();
    run("pg_dump", &["--file", &path, &stack.database.url]).await;
    stack.database.execute("create database restored").await;
    let restored = cluster.url("restored");
    run("psql", &["--quiet", "--set", "ON_ERROR_STOP=1", "--file", &path, &restored]).await;
    std::fs::remove_file(&file).expect("the dump is removed");
    let daemon = stack.daemon(QUEUES, &[("DATABASE_URL", &restored)]).await;
    daemon.ready().await;
    send(&queue, [event("event-1"), event("another")]).await;
    stack.at_rest(&queue).await;
    assert_eq!((outcomes(&daemon, "stored").await, outcomes(&daemon, "duplicate").await), (1, 1));
    assert_eq!(Database::at(&restored).await.count("select count(*) from delivery").await, 901);
    assert_eq!(daemon.stop().await, 0);
}

const TABLES: &str = "select string_agg(relname, ', ') as names from pg_class
     where relkind = 'r' and relnamespace = current_schema()::regnamespace and relname <> '_sqlx_migrations'";

/// `deployments/operations.md`, "Switch over by logical replication".
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_switch_over_by_logical_replication_dead_letters_are_written_and_deliveries_claimed() {
    let clusters = [0, 1].map(|_| block_in_place(|| Cluster::temporary(&["wal_level=logical"])).expect("a Postgres of the test's own"));
    let [old, new] = [Database::on(&clusters[0]).await, Database::on(&clusters[1]).await];
    old.apply(&sample_catalog()).await;
    let stack = Stack::start_on(old, &["events"]).await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon(QUEUES, &[]).await;
    send_many(&queue, &events(100)).await;
    send_many(&queue, &vec!["Hello World".to_owned(); 20]).await;
    stack.at_rest(&queue).await;
    stack.database.execute("select count(*) from claim_deliveries('before', 10)").await;

    let names = stack.database.rows(TABLES).await;
    stack.database.execute(&format!("create publication everything for table {}", names[0])).await;
    new.execute(&format!("truncate {}", names[0])).await;
    new.execute(&format!("create subscription everything connection '{}' publication everything", stack.database.url)).await;
    assert_eq!(daemon.stop().await, 0);
    let counts =
        "select (select count(*) from message) as m, (select count(*) from dead_letter) as l, (select count(*) from delivery) as d,
         (select count(*) from catalog) as c";
    let is_behind = "select count(*) from pg_subscription_rel where srsubstate <> 'r'";
    eventually("each table has caught up", async || (new.count(is_behind).await == 0).then_some(())).await;
    let copied = stack.database.rows(counts).await;
    eventually("all is copied", async || (new.rows(counts).await == copied).then_some(())).await;
    new.execute("drop subscription everything").await;

    new.execute(include_str!("../../deployments/after-switch-over.sql")).await;
    let daemon = stack.daemon(QUEUES, &[("DATABASE_URL", &new.url)]).await;
    daemon.ready().await;
    send_many(&queue, &vec!["Hello World".to_owned(); 20]).await;
    send(&queue, [event("event-1"), event("another")]).await;
    stack.at_rest(&queue).await;
    assert_eq!(new.rows(counts).await, ["101 | 40 | 101 | 1"], "messages | dead letters | deliveries | catalog");
    assert_eq!(new.count("select count(*) from claim_deliveries('after', 1000)").await, 91);
    assert_eq!(daemon.stop().await, 0);
}
