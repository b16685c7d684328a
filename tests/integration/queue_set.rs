//! Queues that the catalog names come and go while the daemon runs.
//!
//! `CATALOG_QUEUES=300` adds and removes so many, each a tenant's own.

use std::fmt::Write as _;

use crate::load::{catalog_of_acme, counted, event, requests, send};
use crate::stack::{PROCESSOR, Stack, eventually};
use crate::terminal::Terminal;

async fn stored(stack: &Stack) -> i64 {
    stack.database.count("select count(*) from message").await
}

fn note(event_id: &str) -> String {
    format!(r#"{{"event_id":"{event_id}","event_type":"note","payload":"a"}}"#)
}

#[tokio::test]
async fn a_queue_is_polled_once_the_catalog_names_it_by_its_terms_and_no_more_once_it_is_pruned() {
    let catalog = catalog_of_acme();
    let stack = Stack::start_without_catalog(&["acme-events", "shared"]).await;
    stack.database.apply(&catalog.0).await;
    let daemon = stack.daemon("", &[]).await;
    let says = async |text: &'static str| {
        eventually(text, async || daemon.get("/readyz").await.1.contains(text).then_some(())).await;
    };
    says("queues: none is named, neither in QUEUES nor in the catalog's queues.toml").await;
    let terminal = Terminal::with(stack.environment());
    let apply = async |queues: &str, flags: &[&str]| {
        catalog.write("queues.toml", queues);
        let directory = catalog.0.display().to_string();
        let ended = terminal.run(PROCESSOR, &[&["catalog", "apply", &directory], flags].concat()).await;
        assert_eq!(ended.status, 0, "{ended:?}");
        ended.output
    };
    let bound = "[[queues]]\nname = \"acme-events\"\ntenant = \"acme\"\n";
    let told = apply(bound, &[]).await;
    assert!(told.contains("  queues.toml: 1 added, 0 changed, 0 unchanged\n    + queue acme-events"), "{told}");
    let queue = stack.queue("acme-events").await;
    send(&queue, [note("one")]).await;
    eventually("it is polled", async || (stored(&stack).await == 1).then_some(())).await;
    daemon.ready().await;

    // Two more ways to name a queue; and what is received under other terms goes by these.
    let url = stack.queue("shared").await.url().to_owned();
    let terminal_with_endpoint = format!("{bound}[[queues]]\nurl = \"{url}\"\ntrust = \"any\"\n");
    apply(&terminal_with_endpoint, &[]).await;
    let shared = stack.queue("shared").await;
    send(&shared, [note("two").replace("{\"event_id", "{\"tenant_id\":\"acme\",\"event_id")]).await;
    eventually("the shared one is polled", async || (stored(&stack).await == 2).then_some(())).await;
    apply(&terminal_with_endpoint.replace("trust = \"any\"\n", ""), &[]).await;
    eventually("it is polled by its new terms", async || {
        send(&shared, [note("three").replace("{\"event_id", "{\"tenant_id\":\"acme\",\"event_id")]).await;
        (stack.database.count("select count(*) from dead_letter where reason = 'unauthorized_sender'").await > 0).then_some(())
    })
    .await;

    let told = apply(bound, &[]).await;
    assert!(told.contains("? queue shared"), "what left the files stays, and is told: {told}");
    let told = apply(bound, &["--prune"]).await;
    assert!(told.contains("- queue shared"), "{told}");
    eventually("it is polled no more", async || daemon.log().contains("not polled any more").then_some(())).await;
    eventually("nothing is shown of it", async || {
        let metrics = daemon.get("/metrics").await.1;
        (!metrics.contains("event_processor_last_poll_timestamp_seconds{queue=\"shared\"}")).then_some(())
    })
    .await;
    // Its last long poll has ended by now, or ends with this one.
    stack.at_rest(&shared).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_queue_that_is_named_twice_is_told_and_polled_as_queues_says() {
    let catalog = catalog_of_acme();
    catalog.write("queues.toml", "[[queues]]\nname = \"events\"\ntenant = \"acme\"\n");
    let stack = Stack::start_without_catalog(&["events"]).await;
    stack.database.apply(&catalog.0).await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    let is_told = async || daemon.get("/readyz").await.1.contains("queue events of the catalog: is in QUEUES, too").then_some(());
    eventually("it is told", is_told).await;
    send(&stack.queue("events").await, [event("x").replace("platform", "acme").replace("monitor-app", "note")]).await;
    eventually("it is polled", async || (stored(&stack).await == 1).then_some(())).await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn what_is_wrong_in_queues_toml_is_told_where() {
    let stack = Stack::start_without_catalog(&[]).await;
    let terminal = Terminal::with(stack.environment());
    for (text, sentence) in [
        ("[[queues]]\nname = \"a\"\n[[queues]]\nname = \"a\"\n", "queue 2: a is declared twice"),
        ("[[queues]]\nurl = \"https://example.com/1/a\"\n", "is neither at a host of SQS nor at AWS_ENDPOINT_URL"),
        ("[[queues]]\nname = \"a\"\nurl = \"https://sqs.eu-central-1.amazonaws.com/123456789012/a\"\n", "has either a name or a url"),
        ("[[queues]]\nname = \"a\"\ntrust = \"some\"\n", "`some` is no trust"),
        ("[[queues]]\nname = \"a\"\nformat = \"xml\"\n", "`xml` is no format"),
        ("[[queues]]\nname = \"a\"\ncolour = \"red\"\n", "colour is not a field"),
        ("[[queue]]\nname = \"a\"\n", "queue: is not a field"),
        ("[[queues]\n", "is not a list of queues"),
    ] {
        let catalog = catalog_of_acme();
        catalog.write("queues.toml", text);
        let checked = terminal.run(PROCESSOR, &["catalog", "check", &catalog.0.display().to_string()]).await;
        assert!(
            checked.status == 65 && checked.output.contains("queues.toml: ") && checked.output.contains(sentence),
            "{text}: {checked:?}"
        );
    }
}

#[tokio::test]
async fn many_queues_are_polled_and_left_by_an_apply() {
    let count: usize = std::env::var("CATALOG_QUEUES").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let catalog = catalog_of_acme();
    let stack = Stack::start_without_catalog(&[]).await;
    let mut queues = String::new();
    for number in 0..count {
        catalog.write(&format!("tenant-{number}/tenant.toml"), "");
        catalog.write(&format!("tenant-{number}/note/1.json"), r#"{"type": "string"}"#);
        write!(queues, "[[queues]]\nname = \"queue-{number}\"\ntenant = \"tenant-{number}\"\n").expect("a text");
        stack.clients.create_queue(&format!("queue-{number}"), &[]).await.expect("a queue");
    }
    stack.database.apply(&catalog.0).await;
    let daemon = stack.daemon("", &[]).await;
    catalog.write("queues.toml", &queues);
    stack.database.apply(&catalog.0).await;
    for number in 0..count {
        send(&stack.queue(&format!("queue-{number}")).await, [note("once")]).await;
    }
    eventually("each is polled", async || (stored(&stack).await == i64::try_from(count).expect("a number")).then_some(())).await;
    stack.database.execute("update queue set active = false").await;
    stack.database.execute("update catalog set generation = generation + 1").await;
    stack.database.execute("select pg_notify('catalog_changed', '')").await;
    eventually("none is polled", async || (counted(&daemon, "last_poll_timestamp_seconds", "queue").await == 0).then_some(())).await;
    let before = requests(&daemon, "receive").await;
    send(&stack.queue("queue-0").await, [note("later")]).await;
    assert!(requests(&daemon, "receive").await <= before + i64::try_from(count).expect("a number"), "polling goes on");
    println!("{count} queues: {} MiB", daemon.metric("process_resident_memory_bytes", "").await / 1_048_576.0);
    assert_eq!(daemon.stop().await, 0);
}
