//! Events that end the process, hold it up, or have merely been received often.

use std::fmt::Write as _;

use event_processor::queue::Queue;

use crate::daemon::Daemon;
use crate::load::{depth, event, events, outcomes, requests, send, visible};
use crate::stack::{Database, Directory, Stack, eventually};

const QUEUES: &str = "events?trust=any";
pub const SHORT_LEASES: (&str, &str) = ("VISIBILITY_TIMEOUT", "1");

async fn dead_letters(database: &Database) -> Vec<String> {
    database.rows("select reason || ' ' || convert_from(body, 'UTF8') from dead_letter order by 1").await
}

/// A daemon which ends over the event `kill-me`, and soon receives it again.
pub const MORTAL: [(&str, &str); 2] = [SHORT_LEASES, ("FAILPOINTS", "poison=return(kill-me)")];

/// Starts one daemon after the other until the event that ends each of them is a dead letter. Gives the last one, and how many have ended.
pub async fn outlive(stack: &Stack, settings: &[(&'static str, &str)], mut before_each: impl AsyncFnMut()) -> (Daemon, usize) {
    let mut crashes = 0;
    loop {
        before_each().await;
        let mut daemon = stack.daemon(QUEUES, settings).await;
        let is_dead_letter = async || stack.database.count("select count(*) from dead_letter").await > 0;
        eventually("it ends the process or is a dead letter", async || (daemon.has_ended() || is_dead_letter().await).then_some(())).await;
        if is_dead_letter().await {
            return (daemon, crashes);
        }
        crashes += 1;
    }
}

#[tokio::test]
async fn an_event_that_ends_the_process_each_time_is_a_dead_letter_after_the_third_and_the_others_flow() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    send(&queue, [event("kill-me")]).await;
    let mut sent = 0;
    let send_others = async || {
        send(&queue, (sent..sent + 10).map(|number| event(&format!("other-{number}")))).await;
        sent += 10;
    };
    let (daemon, crashes) = outlive(&stack, &MORTAL, send_others).await;
    // Three receives are trusted, and three times it was begun.
    assert_eq!(crashes, 6);
    stack.at_rest(&queue).await;
    assert_eq!(dead_letters(&stack.database).await, [format!("received_too_often {}", event("kill-me"))]);
    assert_eq!(stack.database.count("select count(*) from message where event_id like 'other-%'").await, sent);
    assert_eq!(stack.database.count("select count(*) from poison_attempt").await, 0);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_killer_among_messages_that_were_all_received_often_is_found_alone() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    // One receive takes them all.
    send(&queue, (0..9).map(|number| event(&format!("neighbour-{number}"))).chain([event("kill-me")])).await;
    for _ in 0..6 {
        hand_back(&queue).await;
    }
    let all_come_again = async || {
        eventually("none is held", async || (visible(&queue).await == depth(&queue).await).then_some(())).await;
    };
    let (daemon, crashes) = outlive(&stack, &MORTAL, all_come_again).await;
    stack.at_rest(&queue).await;
    assert_eq!(dead_letters(&stack.database).await, [format!("received_too_often {}", event("kill-me"))], "condemned with it");
    assert_eq!(stack.database.count("select count(*) from message where event_id like 'neighbour-%'").await, 9);
    assert_eq!(stack.database.count("select count(*) from poison_attempt").await, 0);
    assert_eq!(crashes, 3);
    assert_eq!(daemon.stop().await, 0);
}

/// What no look at the database finds, as a full disk: only who inserts a row is refused.
const TROUBLE: &str = "
create function trouble() returns trigger language plpgsql as $$ begin raise exception 'not now' using errcode = '53100'; end $$;
create trigger trouble before insert on delivery for each row execute function trouble()";

#[tokio::test]
async fn an_event_over_which_the_validation_panics_is_a_dead_letter_after_the_third_time_and_the_daemon_lives() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let daemon = stack.daemon(QUEUES, &[SHORT_LEASES, ("FAILPOINTS", "panic=return(trip-me)")]).await;
    send(&queue, events(30).into_iter().chain([event("trip-me")])).await;
    stack.at_rest(&queue).await;
    assert_eq!(dead_letters(&stack.database).await, [format!("received_too_often {}", event("trip-me"))]);
    assert_eq!(stack.database.rows("select receive_count from dead_letter").await, ["3"]);
    assert_eq!(stack.database.count("select count(*) from message").await, 30);
    assert_eq!(stack.database.count("select count(*) from poison_attempt").await, 0);
    assert_eq!(daemon.stop().await, 0);
}

/// Receives the queue's few messages and hands them back, as another consumer would.
async fn hand_back(queue: &Queue) {
    let second = std::time::Duration::from_secs(1);
    let messages = queue.receive(10, second, 60 * second).await.expect("the queue answers");
    for message in messages {
        queue.set_visibility(&[(&message.lease, std::time::Duration::ZERO)]).await.expect("handed back");
    }
}

#[tokio::test]
async fn an_event_that_was_received_fifty_times_by_no_fault_of_its_own_is_stored() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    send(&queue, [event("patient")]).await;
    for _ in 0..44 {
        hand_back(&queue).await;
    }
    // What the daemon validates cannot be stored now: it is begun, validated and handed back, more often than three times.
    stack.database.execute(TROUBLE).await;
    let daemon = stack.daemon(QUEUES, &[SHORT_LEASES]).await;
    eventually("it is handed back again and again", async || (requests(&daemon, "release").await >= 5).then_some(())).await;
    stack.database.execute("drop trigger trouble on delivery").await;
    stack.at_rest(&queue).await;
    assert_eq!(stack.database.rows("select event_id from message").await, ["patient"]);
    assert_eq!(dead_letters(&stack.database).await, [""; 0]);
    eventually("it is under suspicion no more", async || {
        (stack.database.count("select count(*) from poison_attempt").await == 0).then_some(())
    })
    .await;
    assert_eq!(daemon.stop().await, 0);
}

/// The tenant `acme` with these event types, whose schemas were not admitted: they are put where published ones are.
pub async fn plant(stack: &Stack, schemas: &[(&str, String)]) {
    let catalog = Directory::create();
    catalog.write("acme/tenant.toml", "");
    for (event_type, _) in schemas {
        catalog.write(&format!("acme/{event_type}/1.json"), &format!(r#"{{"title": "{event_type}"}}"#));
    }
    stack.database.apply(&catalog.0).await;
    for (event_type, schema) in schemas {
        let path = format!("{event_type}/1.json");
        let bundle = format!(r#"{{"root": "{path}", "files": {{"{path}": {schema}}}}}"#).replace('\'', "''");
        let location = format!("tenant_id = 'acme' and event_type = '{event_type}'");
        let sql = format!("update event_schema set bundle = '{bundle}', digest = sha256('planted {event_type}') where {location}");
        stack.database.execute(&sql).await;
    }
    stack.database.execute("update catalog set generation = generation + 1").await;
    stack.database.execute("select pg_notify('catalog_changed', '')").await;
}

/// Each definition applies the one before it twice, or once, to the same value.
pub fn chain(links: usize, times: usize, innermost: &str) -> String {
    let mut definitions = format!(r#""d0": {innermost}"#);
    for link in 1..=links {
        let reference = format!(r##"{{"$ref": "#/$defs/d{}"}}"##, link - 1);
        write!(definitions, r#", "d{link}": {{"allOf": [{}]}}"#, vec![reference; times].join(", ")).expect("a text");
    }
    format!(r##"{{"$defs": {{{definitions}}}, "$ref": "#/$defs/d{links}"}}"##)
}

pub fn event_of_acme(event_type: &str, event_id: &str, payload: &str) -> String {
    format!(r#"{{"tenant_id":"acme","event_id":"{event_id}","event_type":"{event_type}","payload":{payload}}}"#)
}

async fn threads(daemon: &Daemon) -> f64 {
    daemon.metric("process_threads", "").await
}

#[tokio::test]
async fn slow_schemas_are_quarantined_their_events_become_dead_letters_and_the_others_flow() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    plant(&stack, &[("slow", chain(40, 2, r#"{"type": "array"}"#)), ("slower", chain(60, 2, r#"{"maxItems": 50000}"#))]).await;
    let settings = [SHORT_LEASES, ("FAILPOINTS", "validation_time_max=return(300);quarantine_time=return(1000)")];
    let daemon = stack.daemon(QUEUES, &settings).await;
    daemon.ready().await;
    let before = threads(&daemon).await;
    // Large, so that it may take many steps: a small one has used up its own before anyone loses patience.
    let payload = format!("[{}0]", "0,".repeat(20_000));
    let offenders =
        (0..20).map(|number| event_of_acme(if number % 2 == 0 { "slow" } else { "slower" }, &format!("slow-{number}"), &payload));
    send(&queue, offenders.chain(events(200))).await;
    eventually("the others are stored", async || (stack.database.count("select count(*) from message").await == 200).then_some(())).await;
    stack.at_rest(&queue).await;
    let reasons = stack.database.rows("select reason, tenant_id, count(*) from dead_letter group by 1, 2").await;
    assert_eq!(reasons, ["validation_timeout | acme | 20"]);
    let more = threads(&daemon).await - before;
    assert!(more < 2.5, "{more} threads more than before");
    assert_eq!(stack.database.count("select count(*) from poison_attempt").await, 0);
    assert!(daemon.log().contains("its schema is quarantined"), "none was given up");
    assert_eq!(daemon.get("/livez").await.0, 200);
}

#[tokio::test]
async fn a_tenants_slow_event_quarantines_no_schema_of_another_from_the_same_template() {
    let catalog = Directory::create();
    for tenant in ["acme", "twin"] {
        catalog.write(&format!("{tenant}/tenant.toml"), "");
        catalog.write(&format!("{tenant}/note/1.json"), r#"{"type": "string"}"#);
    }
    let stack = Stack::start_without_catalog(&["events"]).await;
    stack.database.apply(&catalog.0).await;
    let queue = stack.queue("events").await;
    // Long beyond the end of this test the schema is quarantined.
    let settings = [SHORT_LEASES, ("FAILPOINTS", "slow=return(2000 take-your-time);validation_time_max=return(300)")];
    let daemon = stack.daemon(QUEUES, &settings).await;
    let of_acme = |event_id: &str| event_of_acme("note", event_id, "\"a\"");
    send(&queue, [of_acme("take-your-time")]).await;
    eventually("the event is given up", async || daemon.log().contains("its schema is quarantined").then_some(())).await;
    let of_twin = |number: i32| of_acme(&format!("event-{number}")).replace("acme", "twin");
    send(&queue, (0..50).map(of_twin).chain([of_acme("behind-it")])).await;
    eventually("the other tenant's events are stored", async || (outcomes(&daemon, "stored").await == 50).then_some(())).await;
    eventually("those of the first go back", async || (outcomes(&daemon, "released").await == 2).then_some(())).await;
    assert_eq!(stack.database.rows("select tenant_id, count(*) from message group by 1").await, ["twin | 50"]);
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_deep_payload_under_a_long_chain_of_references_does_not_end_the_process() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    // Each level of the payload goes through the whole chain.
    let chain = chain(1000, 1, r##"{"type": "array", "items": {"$ref": "#/$defs/d1000"}}"##);
    plant(&stack, &[("deep", chain)]).await;
    let daemon = stack.daemon(QUEUES, &[SHORT_LEASES]).await;
    let deep = |innermost: &str| format!("{}{innermost}{}", "[".repeat(60), "]".repeat(60));
    send(&queue, [event_of_acme("deep", "valid", &deep("")), event_of_acme("deep", "invalid", &deep("0")), event("other")]).await;
    stack.at_rest(&queue).await;
    assert_eq!(stack.database.rows("select event_id from message order by 1").await, ["other", "valid"]);
    assert_eq!(stack.database.rows("select reason, event_id from dead_letter").await, ["schema_violation | invalid"]);
    assert_eq!(daemon.stop().await, 0);
}
