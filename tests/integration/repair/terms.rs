//! A replay goes by the terms that a message was received under, and by the catalog of today.

use super::{bill, dead_letter, refuse, start, write_catalog};
use crate::endpoint::Endpoint;
use crate::load::send;
use crate::stack::{Directory, PROCESSOR, Stack};
use crate::terminal::Terminal;

async fn reasons(stack: &Stack) -> Vec<String> {
    stack.database.rows("select event_id, coalesce(replay_reason, '-'), is_open from dead_letter order by 1").await
}

#[tokio::test]
async fn a_replay_is_no_way_round_authorisation() {
    let catalog = Directory::create();
    catalog.write("acme/tenant.toml", "allowed_senders = [\"AIDACKCEVSQ6C2EXAMPLE\"]\n[clients.ledger]\n");
    catalog.write("acme/note/1.json", r#"{"maximum": 1}"#);
    catalog.write("gone/tenant.toml", "allowed_senders = [\"AIDACKCEVSQ6C2EXAMPLE\"]");
    catalog.write("gone/note/1.json", r#"{"maximum": 1}"#);
    let stack = Stack::start_without_catalog(&["events"]).await;
    stack.database.apply(&catalog.0).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    endpoint.set_sender(|body| Some(if body.contains("forbidden") { "AIDAOTHERCEVSQEXAMPLE" } else { "AIDACKCEVSQ6C2EXAMPLE" }));
    let event = |tenant: &str, event_id: &str, client: &str| {
        format!(r#"{{"tenant_id":"{tenant}","event_type":"note","event_id":"{event_id}","client_id":{client},"payload":2}}"#)
    };
    let queue = stack.queue("events").await;
    let bodies = [
        event("acme", "forbidden", "null"),
        event("acme", "good", "null"),
        event("acme", "to-client", "\"ledger\""),
        event("gone", "to-gone", "null"),
    ];
    send(&queue, bodies).await;
    let daemon = stack.daemon("events", &[("AWS_ENDPOINT_URL", &endpoint.url)]).await;
    stack.at_rest(&queue).await;
    assert_eq!(daemon.stop().await, 0);
    catalog.write("acme/note/2.json", "{}");
    catalog.write("gone/note/2.json", "{}");
    stack.database.apply(&catalog.0).await;
    stack.database.execute("update tenant set active = false where tenant_id = 'gone'").await;
    stack.database.execute("update client set active = false").await;
    let mut terminal = Terminal::with(stack.environment());
    // A queue that trusts anybody today did not when these were received.
    terminal.environment.push(("QUEUES", "events?trust=any".to_owned()));
    let replayed = dead_letter(&terminal, "replay --all").await;
    assert_eq!(replayed.status, 65, "{replayed:?}");
    assert_eq!(stack.database.rows("select event_id from message").await, ["good"]);
    assert_eq!(
        reasons(&stack).await,
        [
            "forbidden | unauthorized_sender | true",
            "good | - | false",
            "to-client | unknown_client | true",
            "to-gone | unknown_tenant | true"
        ]
    );
    // None of its flags names a tenant for an event.
    let help = dead_letter(&terminal, "replay --help").await.output;
    assert!(!help.contains("--as") && help.matches("--tenant").count() == 1, "{help}");
}

#[tokio::test]
async fn trust_that_was_withdrawn_counts_no_more() {
    let (stack, mut terminal, catalog) = start(&["events"]).await;
    refuse(&stack, &[bill(0, 200), bill(1, 200)]).await;
    stack.database.execute("update dead_letter set queue_trusts_any_sender = null where event_id = 'bill-1'").await;
    write_catalog(&catalog, 2, 1000);
    stack.database.apply(&catalog.0).await;
    terminal.environment.push(("QUEUES", "events".to_owned()));
    assert_eq!(dead_letter(&terminal, "replay --all").await.status, 65);
    assert_eq!(reasons(&stack).await, ["bill-0 | unauthorized_sender | true", "bill-1 | unauthorized_sender | true"]);
    terminal.environment.push(("QUEUES", "others".to_owned()));
    assert_eq!(dead_letter(&terminal, "replay --all").await.status, 65);
    assert_eq!(
        reasons(&stack).await,
        ["bill-0 | - | false", "bill-1 | unauthorized_sender | true"],
        "what was recorded counts, nothing else"
    );
}

#[tokio::test]
async fn of_a_faulty_event_and_its_correction_under_one_id_a_person_chooses() {
    let (stack, terminal, catalog) = start(&["events"]).await;
    refuse(&stack, &[bill(0, 200), bill(0, 300), bill(3, 200), bill(3, 200)]).await;
    write_catalog(&catalog, 2, 1000);
    stack.database.apply(&catalog.0).await;
    let numbers = stack.database.rows("select dead_letter_id::text from dead_letter where event_id = 'bill-0' order by 1").await;
    let tried = dead_letter(&terminal, "replay --dry-run").await;
    assert!(tried.status == 65 && numbers.iter().all(|number| tried.output.contains(number.as_str())), "{tried:?}");
    let replayed = dead_letter(&terminal, "replay --all --json").await;
    let report = replayed.json();
    assert_eq!((replayed.status, &report["stored"], &report["duplicate"]), (65, &1.into(), &1.into()), "equal ones are no question");
    assert_eq!(report["skipped"].as_array().map(Vec::len), Some(2));
    assert_eq!(stack.database.rows("select event_id from message").await, ["bill-3"]);
    let correction = stack.database.rows("select dead_letter_id::text from dead_letter where body like '%300%'").await.remove(0);
    assert_eq!(dead_letter(&terminal, &format!("replay --id {correction}")).await.status, 0);
    assert_eq!(stack.database.rows("select payload->>'total' from message where event_id = 'bill-0'").await, ["300"]);
    let rest = dead_letter(&terminal, "replay --all --json").await;
    assert_eq!((rest.status, &rest.json()["refusals"][0]["reason"]), (65, &"id_conflict".into()));
}

#[tokio::test]
async fn an_event_that_ends_its_replay_is_not_begun_a_fourth_time_and_the_others_are_stored() {
    let (stack, mut terminal, catalog) = start(&["events"]).await;
    let bodies: Vec<String> = (0..20).map(|number| bill(number, if number == 7 { 777 } else { 200 })).collect();
    refuse(&stack, &bodies).await;
    write_catalog(&catalog, 2, 1000);
    stack.database.apply(&catalog.0).await;
    terminal.environment.push(("FAILPOINTS", "poison=return(777)".to_owned()));
    let mut crashes = 0;
    let ended = loop {
        let ended = dead_letter(&terminal, "replay --all").await;
        if ended.status >= 0 {
            break ended;
        }
        crashes += 1;
        assert!(crashes < 10, "it ends its replay again and again");
    };
    assert_eq!((crashes, ended.status), (3, 65), "{ended:?}");
    assert_eq!(stack.database.count("select count(*) from message").await, 19);
    let open = stack.database.rows("select event_id, replay_reason from dead_letter where is_open").await;
    assert_eq!(open, ["bill-7 | received_too_often"]);
    // Nor is it the next time, until it was discarded and opened again.
    let tried = dead_letter(&terminal, "replay --dry-run --json").await.json();
    assert_eq!(tried["refusals"][0]["reason"], "received_too_often");
    assert_eq!(dead_letter(&terminal, "replay --all").await.status, 65);
    assert_eq!(dead_letter(&terminal, "discard --all --because later").await.status, 0);
    assert_eq!(dead_letter(&terminal, "reopen --all").await.status, 0);
    terminal.environment.pop();
    assert_eq!(dead_letter(&terminal, "replay --all").await.status, 0);
    assert_eq!(stack.database.count("select count(*) from poison_attempt").await, 0);
}

#[tokio::test]
async fn an_events_story_is_told_from_its_refusal_to_its_coming_again() {
    let (stack, terminal, catalog) = start(&["events"]).await;
    let queue = stack.queue("events").await;
    send(&queue, [bill(0, 200)]).await;
    // It is refused, and its delete never arrives.
    let settings = [("VISIBILITY_TIMEOUT", "1"), ("FAILPOINTS", "commit_sent=return")];
    let mut daemon = stack.daemon("events?trust=any", &settings).await;
    crate::stack::eventually("it crashes after the commit", async || daemon.has_ended().then_some(())).await;
    write_catalog(&catalog, 2, 1000);
    stack.database.apply(&catalog.0).await;
    assert_eq!(dead_letter(&terminal, "replay --all").await.status, 0);
    let daemon = stack.daemon("events?trust=any", &settings[..1]).await;
    stack.at_rest(&queue).await;
    assert_eq!(daemon.stop().await, 0);
    let told = terminal.run(PROCESSOR, &["trace", "acme", "bill-0"]).await;
    let steps: Vec<&str> = told.output.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!((told.status, steps.as_slice()), (0, ["sent", "refused", "replayed", "stored", "waits", "again"].as_slice()), "{told:?}");
    let json = terminal.run(PROCESSOR, &["trace", "acme", "bill-0", "--source", "", "--json"]).await.json();
    assert_eq!(json.as_array().map(Vec::len), Some(6));
    let unknown = terminal.run(PROCESSOR, &["trace", "acme", "none"]).await;
    assert!(unknown.status == 65 && unknown.errors.contains("nothing is known of an event"), "{unknown:?}");
}
