//! A database as its operators handle it: its log in the ordinary course of things, a dump and what is restored from it.

use event_processor::dev::binaries::Binaries;
use event_processor::dev::cluster::Cluster;
use tokio::process::Command;
use tokio::task::block_in_place;

use crate::load::{event, events, outcomes, send, send_many};
use crate::stack::{Database, Stack, sample_catalog};

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
