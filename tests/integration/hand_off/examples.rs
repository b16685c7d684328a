//! What the documentation shows, run: a sender in a few lines of Python, and a read model.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::stack::{Database, Directory, eventually, sample_catalog};

/// A Python that has the driver, or nothing and a message.
async fn python() -> Option<&'static str> {
    for python in ["python3", "/usr/bin/python3"] {
        let checking = Command::new(python).args(["-c", "import psycopg"]).stderr(Stdio::null()).status().await;
        if checking.is_ok_and(|status| status.success()) {
            return Some(python);
        }
    }
    eprintln!("skipped: there is no Python with psycopg 3 here");
    None
}

fn start(python: &str, program: &PathBuf, database: &Database) -> Child {
    let mut command = Command::new(python);
    command.arg(program).env("DATABASE_URL", &database.url).stdin(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("Python starts")
}

/// Orders of the shop: created, and of each third also paid, and of each seventh canceled.
async fn store_orders(database: &Database, numbers: std::ops::Range<i64>) {
    let (from, last) = (numbers.start, numbers.end - 1);
    let event = |name: &str, every: i64, payload: &str| {
        format!(
            "with stored as (
                insert into message (tenant_id, source, event_id, event_type, schema_version, payload, payload_hash, queue, sqs_message_id,
                    catalog_generation)
                select 'shop', '{name}', n::text, 'order.{name}', 1, {payload}, sha256(''), 'q', 'm', 1
                from (select n, lpad(to_hex(n), 32, '0')::uuid as order_id from generate_series({from}, {last}) n) o where n % {every} = 0
                returning tenant_id, source, event_id
            )
            insert into delivery (tenant_id, source, event_id, client_id)
            select tenant_id, source, event_id, client_id from stored, unnest('{{billing,warehouse}}'::text[]) as client_id"
        )
    };
    let lines = "json_build_array(json_build_object('sku', 'A' || n, 'quantity', n), json_build_object('sku', 'B', 'quantity', 2))";
    let created = format!("json_build_object('order_id', order_id, 'customer_id', order_id, 'lines', {lines})");
    database.execute(&event("canceled", 7, "json_build_object('order_id', order_id)")).await;
    database.execute(&event("paid", 3, "json_build_object('order_id', order_id)")).await;
    database.execute(&event("created", 1, &created)).await;
}

#[tokio::test]
async fn the_read_model_equals_the_events_after_it_was_killed_ten_times() {
    let Some(python) = python().await else { return };
    let database = Database::create().await;
    database.apply(&sample_catalog()).await;
    let program = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/deployments/examples/read_model.py"));
    let done = "select count(*) from delivery_log where outcome = 'delivered'";
    for round in 0..10 {
        store_orders(&database, round * 100 + 1..round * 100 + 101).await;
        let before = database.count(done).await;
        let mut consumer = start(python, &program, &database);
        eventually("it is at work", async || (database.count(done).await > before).then_some(())).await;
        consumer.kill().await.expect("killed");
        // What it had under way comes again when its lease ends.
        super::pass_time(&database, "10 min").await;
    }
    let _consumer = start(python, &program, &database);
    eventually("all is applied", async || (database.count("select count(*) from delivery").await == 0).then_some(())).await;
    let orders = "select count(*) || ' ' || count(customer_id) || ' ' || count(*) filter (where status = 'created') || ' '
                    || count(*) filter (where status = 'paid') || ' ' || count(*) filter (where status = 'canceled') from read_model.orders";
    let of_events = "select count(*) || ' ' || count(*) || ' ' || count(*) filter (where n % 3 > 0 and n % 7 > 0) || ' '
                       || count(*) filter (where n % 3 = 0 and n % 7 > 0) || ' ' || count(*) filter (where n % 7 = 0)
                     from generate_series(1, 1000) n";
    assert_eq!(database.rows(orders).await, database.rows(of_events).await);
    let items = "select count(*) || ' ' || sum(quantity) from read_model.item";
    assert_eq!(database.rows(items).await, ["2000 502500"]);
}

/// The program in the README, as it stands there.
fn sender_of_the_readme() -> String {
    let readme = include_str!("../../../README.md");
    let page = readme.split_once("## Write a sender").expect("the page").1;
    let program = page.split_once("```python\n").and_then(|(_, rest)| rest.split_once("```")).expect("the program").0;
    assert!(program.lines().count() <= 15, "it fits into fifteen lines");
    program.to_owned()
}

/// Takes one request, answers it with this status, and gives its head and body.
async fn receive(listener: &TcpListener, status: &str) -> String {
    let (mut stream, _) = listener.accept().await.expect("a request");
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).await.expect("read");
        assert!(read > 0, "the request ends early: {}", String::from_utf8_lossy(&request));
        request.extend_from_slice(&bytes[..read]);
    }
    stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes()).await.expect("answered");
    String::from_utf8(request).expect("UTF-8")
}

#[tokio::test]
async fn the_sender_of_the_readme_delivers_and_tries_again_what_was_refused() {
    let Some(python) = python().await else { return };
    let database = super::with_tenants(1, 1, 50).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("its address"));
    database.execute(&format!("update client set settings = jsonb_build_object('url', '{url}')")).await;
    database.execute("insert into event_type (tenant_id, event_type) values ('t0', 'greeting')").await;
    super::store(&database, "t0", 7..8, 1).await;
    database.execute("update message set payload = '{\"n\": 7}'").await;
    let directory = Directory::create();
    directory.write("sender.py", &sender_of_the_readme());
    let _sender = start(python, &directory.0.join("sender.py"), &database);
    let refused = receive(&listener, "503 Service Unavailable").await;
    assert!(refused.starts_with("POST /hook ") && refused.to_lowercase().contains("webhook-id: msg_"), "{refused}");
    let delivered = receive(&listener, "204 No Content").await;
    assert!(delivered.ends_with(r#""data": {"n": 7}}"#), "{delivered}");
    eventually("it is over", async || (database.count("select count(*) from delivery").await == 0).then_some(())).await;
    let story = "select attempt, outcome, error from delivery_log order by id";
    assert_eq!(database.rows(story).await, ["1 | failed | HTTP Error 503: Service Unavailable", "2 | delivered | -"]);
}
