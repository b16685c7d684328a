//! How a tenant is, as an operator asks it: without counting what is large, and without a cost to events.

use std::time::Duration;

use event_processor::store::{Activity, ActivityCounts, Session, add_activity};
use serde_json::{Value, json};

use crate::load::{counted, event, outcomes, send};
use crate::stack::{Database, Directory, PROCESSOR, Stack, eventually, sample_catalog};
use crate::terminal::Terminal;

/// The tenant `acme`, which may bring so many events a second, with two types; and the sample's `platform`.
fn catalog(rate: &str) -> Directory {
    let catalog = Directory::create();
    catalog.write(
        "acme/tenant.toml",
        &format!("name = \"Acme\"\n{rate}[clients.ledger]\n[[subscriptions]]\nclient = \"ledger\"\nevents = [\"note\"]\n"),
    );
    catalog.write("acme/note/1.json", r#"{"type": "string"}"#);
    catalog.write("acme/number/1.json", r#"{"type": "integer", "minimum": 0}"#);
    catalog.write("platform/tenant.toml", "[clients.client-1]");
    catalog.write("platform/monitor-app/1.json", "{}");
    catalog
}

fn acme(event_type: &str, event_id: &str, payload: &str) -> String {
    format!(r#"{{"tenant_id":"acme","event_id":"{event_id}","event_type":"{event_type}","payload":{payload}}}"#)
}

async fn start(rate: &str) -> (Stack, Terminal) {
    let stack = Stack::start_without_catalog(&["events"]).await;
    stack.database.apply(&catalog(rate).0).await;
    let terminal = Terminal::with(stack.environment());
    (stack, terminal)
}

async fn health(terminal: &Terminal, tenant: &str) -> Value {
    let ended = terminal.run(PROCESSOR, &["tenant", "show", tenant, "--json"]).await;
    assert_eq!((ended.status, ended.errors.as_str()), (0, ""), "{ended:?}");
    ended.json()["tenant"].clone()
}

/// These members of an object.
fn members(of: &Value, names: &[&str]) -> Value {
    names.iter().map(|name| ((*name).to_owned(), of[*name].clone())).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test]
async fn what_is_it_with_this_tenant_is_answered_by_its_last_hour_its_problems_and_its_rate() {
    let (stack, terminal) = start("rate_limit = 0.01\nrate_burst = 9\n").await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon("events?trust=any", &[("FAILPOINTS", "activity_interval=return(100)"), ("DEFERRED_EVENTS_MAX", "0")]).await;
    send(&queue, [acme("note", "note-1", r#""hello""#), event("event-1")]).await;
    eventually("both are stored", async || (outcomes(&daemon, "stored").await == 2).then_some(())).await;
    let of_acme = [
        acme("note", "note-1", r#""hello""#),
        acme("note", "note-2", r#""hello""#),
        acme("note", "note-3", "3"),
        acme("number", "number-1", "-1"),
        acme("number", "number-2", "-2"),
        acme("number", "number-3", "3"),
        acme("nothing", "nothing-1", "1"),
        r#"{"tenant_id":"nobody","event_type":"note","payload":1}"#.to_owned(),
    ];
    send(&queue, of_acme).await;
    eventually("three of acme's are over its rate", async || {
        send(&queue, [acme("note", "note-1", r#""hello""#)]).await;
        (counted(&daemon, "events_over_rate_total", "acme").await >= 3).then_some(())
    })
    .await;
    stack.at_rest(&queue).await;
    let duplicates = outcomes(&daemon, "duplicate").await;
    let over_rate = counted(&daemon, "events_over_rate_total", "acme").await;
    eventually("all are told", async || {
        let health = health(&terminal, "acme").await;
        (health["duplicate_last_hour"] == duplicates && health["over_rate_last_hour"] == over_rate && health["rejected_last_hour"] == 4)
            .then_some(())
    })
    .await;

    let acme = health(&terminal, "acme").await;
    let names = ["name", "clients", "stored_last_hour", "open_dead_letters", "waiting", "rate_limit", "rate_burst", "state"];
    let expected = json!({"name": "Acme", "clients": 1, "stored_last_hour": 3, "open_dead_letters": 4, "waiting": 2, "rate_limit": 0.01, "rate_burst": 9, "state": "active"});
    assert_eq!(members(&acme, &names), expected);
    let by_type: Vec<Value> = acme["event_types"]
        .as_array()
        .expect("types")
        .iter()
        .map(|one| members(one, &["event_type", "stored", "duplicate", "rejected"]))
        .collect();
    let expected = [
        json!({"event_type": null, "stored": 0, "duplicate": 0, "rejected": 1}),
        json!({"event_type": "note", "stored": 2, "duplicate": duplicates, "rejected": 1}),
        json!({"event_type": "number", "stored": 1, "duplicate": 0, "rejected": 2}),
    ];
    assert_eq!(by_type, expected);
    let problem = members(&acme["problems"][0], &["event_type", "reason", "rule", "open"]);
    assert_eq!(problem, json!({"event_type": "number", "reason": "schema_violation", "rule": "minimum number/1.json#/minimum", "open": 2}));
    assert_eq!(acme["problems"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        members(&health(&terminal, "platform").await, &["stored_last_hour", "rejected_last_hour", "rate_limit"]),
        json!({"stored_last_hour": 1, "rejected_last_hour": 0, "rate_limit": null})
    );

    let told = terminal.run(PROCESSOR, &["tenant", "show", "acme"]).await.output;
    for line in [
        format!("rate: 0.01 events a second, 9 at once in each process; {over_rate} over it in the last hour\n"),
        "schema_violation        number                  minimum number/1.json#/minimum\n".to_owned(),
        "(none of the catalog)".to_owned(),
        "1          0         2, 66.7 %\n".to_owned(),
    ] {
        assert!(told.contains(&line), "{line} is not in {told}");
    }
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn what_a_daemon_has_counted_is_told_when_it_stops_and_an_hour_later_only_the_time_of_the_last_event_is() {
    let (stack, terminal) = start("").await;
    let queue = stack.queue("events").await;
    for stored in [1, 2] {
        let daemon = stack.daemon("events?trust=any", &[]).await;
        send(&queue, [acme("note", &format!("note-{stored}"), "\"hello\"")]).await;
        stack.at_rest(&queue).await;
        assert_eq!(daemon.stop().await, 0);
        assert_eq!(health(&terminal, "acme").await["stored_last_hour"], stored);
    }
    stack
        .database
        .execute("update tenant_activity set began_at = began_at - interval '1 hour', last_event_at = last_event_at - interval '1 hour'")
        .await;
    let acme = health(&terminal, "acme").await;
    let names = ["stored_last_hour", "rejected_share", "event_types"];
    assert_eq!(members(&acme, &names), json!({"stored_last_hour": 0, "rejected_share": null, "event_types": []}));
    assert!(acme["last_event_at"].is_string(), "{acme}");
}

#[tokio::test]
async fn several_daemons_add_to_the_same_counts_and_an_hour_old_row_of_the_ring_begins_anew() {
    let database = Database::create().await;
    let activity = |names: &[&str], stored| {
        let one = |name: &&str| Activity {
            tenant_id: (*name).to_owned(),
            event_type: "note".to_owned(),
            age: Duration::from_secs(1),
            counts: ActivityCounts { stored, ..ActivityCounts::default() },
        };
        names.iter().map(one).collect::<Vec<_>>()
    };
    let add = async |names: [&'static str; 2]| {
        let mut session = Session::new(database.settings_of_writer());
        for _ in 0..50 {
            add_activity(&mut session, Duration::from_secs(30), activity(&names, 1)).await.expect("added");
        }
    };
    // In different orders, which must not let one wait for the other and that for the one.
    tokio::join!(add(["acme", "shop"]), add(["shop", "acme"]));
    let stored = "select tenant_id, sum(stored) from tenant_activity group by 1 order by 1";
    assert_eq!(database.rows(stored).await, ["acme | 100", "shop | 100"]);
    database.execute("update tenant_activity set began_at = began_at - interval '1 hour'").await;
    let mut session = Session::new(database.settings_of_writer());
    add_activity(&mut session, Duration::from_secs(30), activity(&["acme"], 7)).await.expect("added");
    let recent = "select tenant_id, sum(stored) from tenant_activity where began_at > now() - interval '1 hour' group by 1";
    assert_eq!(database.rows(recent).await, ["acme | 7"]);
}

#[tokio::test]
async fn of_dead_letters_and_deliveries_no_more_than_10000_are_counted_and_that_is_said() {
    let stack = Stack::start(&[]).await;
    let columns = "queue, sqs_message_id, event_type, reason, body, queue_format, catalog_generation, receive_count";
    let values = "'events', n::text, 'order.paid', 'schema_violation', '', 'native', 1, 1";
    stack
        .database
        .execute(&format!("insert into dead_letter (tenant_id, {columns}) select 'shop', {values} from generate_series(1, 10500) n"))
        .await;
    // Of a message that names the tenant, as its operator has to know.
    stack
        .database
        .execute(&format!(
            "insert into dead_letter (claimed_tenant, {columns}) select 'crm', {values} from generate_series(10501, 10502) n"
        ))
        .await;
    let terminal = Terminal::with(stack.environment());
    let shop = terminal.run(PROCESSOR, &["tenant", "show", "shop"]).await.output;
    assert!(shop.contains("  10000+  ") && shop.contains("`processor dead-letter summary --tenant shop` reads all\n"), "{shop}");
    assert_eq!(health(&terminal, "crm").await["open_dead_letters"], 2);
    let list = terminal.run(PROCESSOR, &["tenant", "list"]).await.output;
    let tenants = std::fs::read_dir(sample_catalog())
        .expect("the catalog")
        .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()))
        .count();
    assert_eq!(list.lines().count(), 1 + tenants, "{list}");
    let options = stack.database.rows("select array_to_string(reloptions, ',') from pg_class where relname = 'tenant_health'").await;
    assert_eq!(options, ["security_invoker=true"]);
}
