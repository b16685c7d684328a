//! Catalogs that change while the daemon runs.

use crate::load::{catalog_of_acme, counted, depth, outcomes, requests, send, visible};
use crate::proxy::{Fault, Proxy};
use crate::stack::{PROCESSOR, Stack, eventually};
use crate::terminal::Terminal;

/// What the daemon sends to hear of changes.
const LISTEN: &str = "LISTEN ";

fn note(event_id: &str, more: &str) -> String {
    format!(r#"{{"event_id":"{event_id}","payload":"four",{more}}}"#)
}

#[tokio::test]
async fn what_was_applied_without_the_daemon_hearing_of_it_validates_the_events_that_follow_at_once() {
    let catalog = catalog_of_acme();
    catalog.write("acme/short/1.json", r#"{"maxLength": 3}"#);
    let stack = Stack::start_without_catalog(&["notes"]).await;
    stack.database.apply(&catalog.0).await;
    let queue = stack.queue("notes").await;
    let proxy = Proxy::before(&stack.database.url).await;
    proxy.trap(LISTEN, Fault::StallAfterReply);
    let daemon = stack.daemon("notes?trust=any", &[("DATABASE_URL", &proxy.url)]).await;
    daemon.ready().await;

    catalog.write("acme/tenant.toml", "[clients.new]\n");
    catalog.write("acme/memo/1.json", r#"{"type": "string"}"#);
    catalog.write("acme/note/2.json", r#"{"type": "string", "minLength": 1}"#);
    catalog.write("acme/short/2.json", r#"{"maxLength": 4}"#);
    catalog.write("another/tenant.toml", "");
    catalog.write("another/note/1.json", r#"{"type": "string"}"#);
    stack.database.apply(&catalog.0).await;
    assert_eq!(counted(&daemon, "catalog_generation", "").await, 1, "the daemon has heard of the change");
    let bodies = [
        note("client", r#""tenant_id":"acme","event_type":"note","client_id":"new""#),
        note("schema", r#""tenant_id":"acme","event_type":"short""#),
        note("tenant", r#""tenant_id":"another","event_type":"note""#),
        note("type", r#""tenant_id":"acme","event_type":"memo""#),
        note("version", r#""tenant_id":"acme","event_type":"note","schema_version":2"#),
    ];
    // The first alone: by the rest the daemon may know.
    let [first, rest @ ..] = bodies;
    send(&queue, [first]).await;
    stack.at_rest(&queue).await;
    send(&queue, rest).await;
    stack.at_rest(&queue).await;

    assert_eq!(stack.database.rows("select reason, event_id from dead_letter").await, Vec::<String>::new());
    let stored = stack.database.rows("select event_id, catalog_generation from message order by event_id").await;
    assert_eq!(stored, ["client | 2", "schema | 2", "tenant | 2", "type | 2", "version | 2"]);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_queue_bound_to_a_tenant_that_is_missing_is_polled_once_the_tenant_is_applied() {
    let catalog = catalog_of_acme();
    let stack = Stack::start_without_catalog(&["x"]).await;
    let queue = stack.queue("x").await;
    send(&queue, [note("early", r#""event_type":"note""#), "Hello World".to_owned()]).await;
    let daemon = stack.daemon("x=acmee", &[]).await;
    daemon.says("catalog: none was applied").await;

    stack.database.apply(&catalog.0).await;
    daemon.says("queue x: its tenant acmee is not in the catalog: it is not polled; correct QUEUES or apply the tenant").await;
    assert_eq!((requests(&daemon, "receive").await, visible(&queue).await), (0, 2));

    catalog.write("acmee/tenant.toml", "");
    catalog.write("acmee/note/1.json", r#"{"type": "string"}"#);
    stack.database.apply(&catalog.0).await;
    stack.at_rest(&queue).await;
    daemon.ready().await;
    assert_eq!(stack.database.rows("select tenant_id, event_id from message").await, ["acmee | early"]);
    assert_eq!(stack.database.rows("select reason, receive_count from dead_letter").await, ["malformed_json | 1"]);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_stricter_version_validates_as_soon_as_it_is_notified() {
    let catalog = catalog_of_acme();
    let stack = Stack::start_without_catalog(&["notes"]).await;
    stack.database.apply(&catalog.0).await;
    let queue = stack.queue("notes").await;
    let daemon = stack.daemon("notes=acme", &[]).await;
    daemon.ready().await;
    send(&queue, [note("before", r#""event_type":"note""#)]).await;
    stack.at_rest(&queue).await;

    // Four in a row, which the slow poll alone would take minutes to see.
    let mut generation = 1;
    eventually("four generations are loaded, each before the next is applied", async || {
        if counted(&daemon, "catalog_generation", "").await < generation {
            return None;
        }
        if generation == 5 {
            return Some(());
        }
        generation += 1;
        catalog.write(&format!("acme/note/{generation}.json"), &format!(r#"{{"type": "string", "maxLength": {}}}"#, 8 - generation));
        stack.database.apply(&catalog.0).await;
        None
    })
    .await;
    send(&queue, [note("after", r#""event_type":"note""#)]).await;
    stack.at_rest(&queue).await;

    assert_eq!(stack.database.rows("select event_id, schema_version, catalog_generation from message").await, ["before | 1 | 1"]);
    let dead_letters = stack.database.rows("select event_id, reason, rule, catalog_generation from dead_letter").await;
    assert_eq!(dead_letters, ["after | schema_violation | maxLength note/5.json#/maxLength | 5"]);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_server_that_never_answers_listen_does_not_keep_the_catalog_from_being_read() {
    let catalog = catalog_of_acme();
    let stack = Stack::start_without_catalog(&["notes"]).await;
    stack.database.apply(&catalog.0).await;
    let queue = stack.queue("notes").await;
    send(&queue, [note("early", r#""event_type":"note""#)]).await;
    let proxy = Proxy::before(&stack.database.url).await;
    proxy.trap(LISTEN, Fault::StallReply);
    let daemon = stack.daemon("notes=acme", &[("DATABASE_URL", &proxy.url)]).await;
    stack.at_rest(&queue).await;
    assert_eq!(stack.database.rows("select event_id from message").await, ["early"]);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_stored_event_that_comes_again_under_a_stricter_version_is_a_duplicate() {
    let catalog = catalog_of_acme();
    let stack = Stack::start_without_catalog(&["notes"]).await;
    stack.database.apply(&catalog.0).await;
    let queue = stack.queue("notes").await;
    let proxy = Proxy::before(&stack.server.endpoint_url()).await;
    proxy.trap("DeleteMessageBatch", Fault::LoseRequest);
    let mut daemon = stack.daemon("notes=acme", &[("AWS_ENDPOINT_URL", &proxy.url), ("VISIBILITY_TIMEOUT", "2")]).await;
    send(&queue, [note("e", r#""event_type":"note""#)]).await;
    eventually("the event is stored", async || (outcomes(&daemon, "stored").await == 1).then_some(())).await;
    daemon.signal("KILL");
    daemon.ended().await;
    assert_eq!(depth(&queue).await, 1, "the event was deleted from the queue");

    catalog.write("acme/note/2.json", r#"{"type": "string", "maxLength": 3}"#);
    stack.database.apply(&catalog.0).await;
    let successor = stack.daemon("notes=acme", &[]).await;
    stack.at_rest(&queue).await;
    assert_eq!((outcomes(&successor, "duplicate").await, counted(&successor, "events_total", "").await), (1, 1));
    let stored = stack.database.rows("select event_id, schema_version, catalog_generation from message").await;
    assert_eq!(stored, ["e | 1 | 1"]);
    assert_eq!(stack.database.count("select count(*) from dead_letter").await, 0);
    // The same payload under another id: the stricter version does validate.
    send(&queue, [note("new", r#""event_type":"note""#)]).await;
    stack.at_rest(&queue).await;
    assert_eq!(stack.database.rows("select event_id, reason from dead_letter").await, ["new | schema_violation"]);
    assert_eq!(successor.stop().await, 0);
}

#[tokio::test]
async fn a_queue_of_a_tenant_that_was_pruned_is_left_alone_until_the_tenant_is_back() {
    let catalog = catalog_of_acme();
    catalog.write("gone/tenant.toml", "");
    catalog.write("gone/note/1.json", r#"{"type": "string"}"#);
    let stack = Stack::start_without_catalog(&["x"]).await;
    stack.database.apply(&catalog.0).await;
    let queue = stack.queue("x").await;
    let daemon = stack.daemon("x=gone", &[]).await;
    daemon.ready().await;
    // While the daemon polls.
    std::fs::remove_dir_all(catalog.0.join("gone")).expect("removed");
    let terminal = Terminal::with(stack.environment());
    let pruned = terminal.run(PROCESSOR, &["catalog", "apply", catalog.0.to_str().expect("UTF-8"), "--prune"]).await;
    assert!(pruned.status == 0 && pruned.output.contains("- tenant gone"), "{pruned:?}");
    let generation = async || counted(&daemon, "catalog_generation", "").await;
    eventually("the daemon has heard of it", async || (generation().await == 2).then_some(())).await;
    send(&queue, [note("waiting", r#""event_type":"note""#)]).await;
    daemon.says("queue x: its tenant gone is not in the catalog: it is not polled; correct QUEUES or apply the tenant").await;
    assert_eq!(stack.database.count("select count(*) from dead_letter").await, 0);
    eventually("the event is back on its queue", async || (visible(&queue).await == 1).then_some(())).await;

    catalog.write("gone/tenant.toml", "");
    catalog.write("gone/note/1.json", r#"{"type": "string"}"#);
    stack.database.apply(&catalog.0).await;
    stack.at_rest(&queue).await;
    assert_eq!(stack.database.rows("select tenant_id, event_id from message").await, ["gone | waiting"]);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_tenant_from_before_its_name_was_reserved_has_no_label_of_its_own() {
    let catalog = catalog_of_acme();
    catalog.write("zoo/tenant.toml", "");
    catalog.write("zoo/note/1.json", r#"{"type": "string"}"#);
    let stack = Stack::start_without_catalog(&["notes"]).await;
    stack.database.apply(&catalog.0).await;
    for name in ["other", "unknown"] {
        stack
            .database
            .execute(&format!(
                "insert into tenant select '{name}', name, allowed_senders from tenant where tenant_id = 'acme';
                 insert into event_type select '{name}', event_type from event_type where tenant_id = 'acme';
                 insert into event_schema
                 select '{name}', event_type, schema_version, bundle, digest from event_schema where tenant_id = 'acme'"
            ))
            .await;
    }
    let queue = stack.queue("notes").await;
    // The labels that there are go to those that can have one.
    let daemon = stack.daemon("notes?trust=any", &[("TENANT_LABELS_MAX", "2")]).await;
    let of = |tenant: &str| note("e", &format!(r#""event_type":"note","tenant_id":"{tenant}""#));
    send(&queue, [of("acme"), of("other"), of("unknown"), of("zoo"), of("nobody")]).await;
    stack.at_rest(&queue).await;
    let labels = async |tenant: &str| counted(&daemon, "events_total", &format!("tenant=\"{tenant}\"")).await;
    assert_eq!((labels("acme").await, labels("zoo").await), (1, 1));
    assert_eq!((labels("other").await, labels("unknown").await), (2, 1));
    assert_eq!(daemon.stop().await, 0);
}
