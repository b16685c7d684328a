//! Dead letters are repaired: tried, made examples, replayed, closed.
//!
//! `REPAIRED_EVENTS=5000` makes the correction's proof long, with `-- repair --nocapture` behind `cargo test --test integration`.

mod concurrent;
mod drained;
mod terms;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::load::send_many;
use crate::stack::{Directory, PROCESSOR, Stack, eventually};
use crate::terminal::{Ended, Terminal};

pub const TYPES: [&str; 3] = ["bill.sent", "bill.paid", "bill.void"];

/// `acme`'s bills, with this largest total; a client gets them all.
pub fn write_catalog(catalog: &Directory, version: u32, total_max: u32) {
    catalog.write("acme/tenant.toml", "[clients.ledger]\n[[subscriptions]]\nclient = \"ledger\"\nevents = [\"bill.*\"]\n");
    for event_type in TYPES {
        let schema = format!(r#"{{"type": "object", "properties": {{"total": {{"type": "integer", "maximum": {total_max}}}}}}}"#);
        catalog.write(&format!("acme/{event_type}/{version}.json"), &schema);
    }
}

pub fn bill(number: usize, total: u32) -> String {
    let event_type = TYPES[number % 3];
    format!(r#"{{"tenant_id":"acme","event_id":"bill-{number}","event_type":"{event_type}","payload":{{"total":{total}}}}}"#)
}

/// A stack on which bills of more than 100 are refused.
pub async fn start(queues: &[&str]) -> (Stack, Terminal, Directory) {
    let stack = Stack::start_without_catalog(queues).await;
    let catalog = Directory::create();
    write_catalog(&catalog, 1, 100);
    stack.database.apply(&catalog.0).await;
    let mut terminal = Terminal::with(stack.environment());
    terminal.environment.push(("QUEUES", "events?trust=any".to_owned()));
    (stack, terminal, catalog)
}

/// Has these bodies refused.
pub async fn refuse(stack: &Stack, bodies: &[String]) {
    let before = stack.database.count("select count(*) from dead_letter").await;
    let queue = stack.queue("events").await;
    send_many(&queue, bodies).await;
    let daemon = stack.daemon("events?trust=any", &[]).await;
    stack.at_rest(&queue).await;
    assert_eq!(daemon.stop().await, 0);
    // What the server was asked last it may still be doing: the daemon waits a second for `tenant_activity`, not longer.
    let left = "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'event-processor%'";
    eventually("the daemon's sessions have ended", async || (stack.database.count(left).await == 0).then_some(())).await;
    let refused = stack.database.count("select count(*) from dead_letter").await - before;
    assert_eq!(usize::try_from(refused), Ok(bodies.len()));
}

/// `processor dead-letter` with these arguments, separated by blanks.
pub async fn dead_letter(terminal: &Terminal, arguments: &str) -> Ended {
    let words: Vec<&str> = ["dead-letter"].into_iter().chain(arguments.split(' ')).collect();
    terminal.run(PROCESSOR, &words).await
}

/// What a replay with these arguments says became of each dead letter, and its exit status.
async fn outcomes(terminal: &Terminal, arguments: &str) -> (i32, Value, BTreeMap<i64, String>) {
    let ended = dead_letter(terminal, &format!("replay --json {arguments}")).await;
    let report = ended.json();
    let outcomes = report["dead_letters"].as_array().expect("each").iter();
    let outcomes =
        outcomes.map(|one| (one["dead_letter_id"].as_i64().expect("a number"), one["outcome"].as_str().expect("a word").to_owned()));
    let outcomes = outcomes.collect();
    (ended.status, report, outcomes)
}

/// All that the tables hold.
async fn checksums(stack: &Stack) -> Vec<String> {
    let tables = stack.database.rows("select tablename from pg_tables where schemaname = 'public' order by 1").await;
    let mut sums = Vec::new();
    for table in tables {
        let sql = format!("select coalesce(md5(string_agg(t::text, ',' order by t::text)), 'empty') from {table} t");
        sums.push(format!("{table} {}", stack.database.rows(&sql).await.join("")));
    }
    sums
}

fn events() -> usize {
    std::env::var("REPAIRED_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

const STILL_REFUSED: usize = 37;

#[tokio::test]
async fn a_correction_is_tried_made_an_example_of_applied_and_replayed_as_it_was_foretold() {
    let (stack, mut terminal, _strict) = start(&["events"]).await;
    let count = events();
    let bodies: Vec<String> = (0..count).map(|number| bill(number, if number < STILL_REFUSED { 2000 } else { 150 })).collect();
    refuse(&stack, &bodies).await;

    let problems = dead_letter(&terminal, "summary --json").await.json();
    let problems = problems.as_array().expect("problems").iter();
    let found: Vec<_> = problems.map(|one| (one["event_type"].clone(), one["rule"].clone(), one["open"].as_u64())).collect();
    assert_eq!(found.iter().filter_map(|(_, _, open)| *open).sum::<u64>(), count as u64);
    for event_type in TYPES {
        let rule = format!("maximum {event_type}/1.json#/properties/total/maximum");
        assert!(found.iter().any(|(of, by, _)| *of == event_type && *by == rule.as_str()), "{found:?}");
    }

    let before = checksums(&stack).await;
    let (status, report, _) = outcomes(&terminal, "--dry-run").await;
    assert_eq!((status, report["rejected"].as_u64()), (65, Some(count as u64)));
    let corrected = Directory::create();
    write_catalog(&corrected, 1, 100);
    write_catalog(&corrected, 2, 1000);
    let directory = corrected.0.display().to_string();
    let (status, report, foretold) = outcomes(&terminal, &format!("--dry-run --catalog {directory}")).await;
    let counts = |report: &Value| ["stored", "duplicate", "rejected"].map(|name| report[name].as_u64().expect("a count"));
    let (mended, refused) = ((count - STILL_REFUSED) as u64, STILL_REFUSED as u64);
    assert_eq!((status, counts(&report)), (65, [mended, 0, refused]));
    let refusal = &report["refusals"][0];
    assert_eq!((&refusal["instance_location"], &refusal["reason"]), (&"/total".into(), &"schema_violation".into()));
    assert!(refusal["rule"].as_str().is_some_and(|rule| rule.ends_with("/2.json#/properties/total/maximum")), "{refusal}");
    assert_eq!(checksums(&stack).await, before, "a dry run has changed something");
    let told = dead_letter(&terminal, &format!("replay --dry-run --catalog {directory}")).await;
    assert!(told.output.contains(&format!("{refused:>8}  would be refused again")) && told.output.contains("at /total"), "{told:?}");

    let number = stack.database.rows("select max(dead_letter_id)::text from dead_letter where event_type = 'bill.sent'").await.remove(0);
    let example = format!("example {number} --name large --schemas {directory}");
    assert_eq!(dead_letter(&terminal, &example).await.status, 0);
    let file = corrected.0.join("acme/bill.sent/examples/valid/large.json");
    assert_eq!(std::fs::read_to_string(file).expect("an example"), "{\"total\":150}\n");
    let again = dead_letter(&terminal, &example).await;
    assert!(again.status == 65 && again.errors.contains("is there already"), "{again:?}");
    assert_eq!(terminal.run(PROCESSOR, &["catalog", "check", &directory]).await.status, 0);

    terminal.environment.push(("OPERATOR", "night watch".to_owned()));
    assert_eq!(terminal.run(PROCESSOR, &["catalog", "apply", &directory]).await.status, 0);
    let (status, report, came_true) = outcomes(&terminal, "--all").await;
    assert_eq!((status, counts(&report)), (65, [mended, 0, refused]));
    assert_eq!(came_true, foretold);
    let sql = "select (select count(*) from message) as a, (select count(*) from delivery where client_id = 'ledger') as b, \
               (select count(*) from dead_letter where is_open) as c, (select count(*) from poison_attempt) as d";
    assert_eq!(stack.database.rows(sql).await, [format!("{mended} | {mended} | {refused} | 0")]);
    let sql = "select distinct replay_reason, replay_rule, replays, reason from dead_letter where is_open and event_type = 'bill.sent'";
    let new = "schema_violation | maximum bill.sent/2.json#/properties/total/maximum | 1 | schema_violation";
    assert_eq!(stack.database.rows(sql).await, [new]);
    let problems = dead_letter(&terminal, "summary --json --event-type bill.sent").await.json();
    assert_eq!(problems[0]["replayed_in_vain"], problems[0]["open"]);
    assert!(problems[0]["rule"].as_str().is_some_and(|rule| rule.contains("/2.json")), "{problems}");
    let (status, report, _) = outcomes(&terminal, "--all").await;
    assert_eq!((status, counts(&report)), (65, [0, 0, refused]));
    let audit = "select operator, command, arguments, counts, ended_at is not null from audit where command <> 'catalog apply' order by at";
    let replayed = |stored: u64| {
        format!(
            "night watch | dead-letter replay | [\"--json\",\"--all\"] | {{\"duplicate\":0,\"rejected\":{refused},\"stored\":{stored}}} | true"
        )
    };
    assert_eq!(stack.database.rows(audit).await, [replayed(mended), replayed(0)]);
    let applied =
        stack.database.rows("select operator, counts->>'added' from audit where command = 'catalog apply' and operator <> 'tests'").await;
    assert_eq!(applied, ["night watch | 3"]);
}

#[tokio::test]
async fn dead_letters_are_discarded_and_opened_again_and_exported_whole() {
    let (stack, terminal, _catalog) = start(&["events"]).await;
    refuse(&stack, &[bill(0, 200), bill(1, 200), "{\"a\":\n".to_owned()]).await;
    for (arguments, sentence) in [
        ("discard --because why", "say which dead letters by a filter, such as --tenant or --id, or --all for every one\n"),
        ("replay --all --tenant acme", "--all means every one, and a filter some of them; leave one of the two out\n"),
    ] {
        let refused = dead_letter(&terminal, arguments).await;
        assert_eq!((refused.status, refused.errors.as_str()), (64, sentence));
    }
    let exported = dead_letter(&terminal, "export").await;
    let lines: Vec<Value> = exported.output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((exported.status, lines.len()), (0, 3));
    assert_eq!(lines.iter().filter(|line| line["body"] == "eyJhIjoK").count(), 1, "{exported:?}");

    let discarded = dead_letter(&terminal, "discard --reason malformed_json --because nonsense").await;
    assert_eq!((discarded.status, discarded.output.as_str()), (0, "discarded 1 of 1 dead letter(s)\n"));
    let open = "select reason from dead_letter where is_open order by 1";
    assert_eq!(stack.database.rows(open).await, ["schema_violation", "schema_violation"]);
    assert_eq!(stack.database.rows("select discard_reason from dead_letter where not is_open").await, ["nonsense"]);
    let listed = dead_letter(&terminal, "list --closed --reason malformed_json").await;
    assert!(listed.output.contains("  discarded  malformed_json"), "{listed:?}");
    let reopened = dead_letter(&terminal, "reopen --all --json").await;
    assert_eq!((reopened.status, reopened.json()["changed"].as_u64()), (0, Some(1)));
    assert_eq!(stack.database.rows(open).await, ["malformed_json", "schema_violation", "schema_violation"]);
    let audit = "select command, counts, ended_at is not null from audit where command like 'dead-letter%' order by at";
    assert_eq!(
        stack.database.rows(audit).await,
        ["dead-letter discard | {\"discarded\":1} | true", "dead-letter reopen | {\"reopened\":1} | true"]
    );
}

#[tokio::test]
async fn pages_follow_one_another_and_each_filter_leaves_out_what_it_says() {
    let (stack, terminal, _catalog) = start(&["events"]).await;
    refuse(&stack, &(0..30).map(|number| bill(number, 200)).collect::<Vec<_>>()).await;
    let mut seen = Vec::new();
    let mut arguments = "list --json --limit 7".to_owned();
    loop {
        let page = dead_letter(&terminal, &arguments).await.json();
        let numbers: Vec<i64> = page.as_array().expect("a page").iter().filter_map(|one| one["dead_letter_id"].as_i64()).collect();
        let Some(last) = numbers.last() else { break };
        arguments = format!("list --json --limit 7 --before {last}");
        seen.extend(numbers);
    }
    let all =
        stack.database.rows("select d.dead_letter_id::text from dead_letter d order by d.last_seen_at desc, d.dead_letter_id desc").await;
    assert_eq!(seen.iter().map(ToString::to_string).collect::<Vec<_>>(), all);
    let message = stack.database.rows("select sqs_message_id from dead_letter where event_id = 'bill-4'").await.remove(0);
    for (filter, count) in [
        ("--tenant acme".to_owned(), 30),
        ("--tenant nobody".to_owned(), 0),
        ("--event-type bill.paid".to_owned(), 10),
        ("--rule=maximum".to_owned(), 0),
        ("--schema-version 1".to_owned(), 0),
        ("--since 1h".to_owned(), 30),
        ("--until 1h".to_owned(), 0),
        ("--until 2999-01-01T00:00:00Z --since 2000-01-01T00:00:00Z".to_owned(), 30),
        (format!("--id {} --id {}", all[0], all[1]), 2),
        (format!("--message-id {message}"), 1),
        ("--queue events --reason schema_violation".to_owned(), 30),
    ] {
        let page = dead_letter(&terminal, &format!("list --json {filter}")).await.json();
        assert_eq!(page.as_array().map(Vec::len), Some(count), "{filter}");
        let problems = dead_letter(&terminal, &format!("summary --json {filter}")).await.json();
        let open: u64 = problems.as_array().expect("problems").iter().filter_map(|one| one["open"].as_u64()).sum();
        assert_eq!(open, count as u64, "{filter}");
    }
    let unknown = dead_letter(&terminal, "list --before 999999").await;
    assert_eq!(unknown.status, 65, "{unknown:?}");
}

#[tokio::test]
async fn a_database_that_is_away_older_or_not_for_this_role_is_told_by_each_command() {
    let (stack, mut terminal, catalog) = start(&["events"]).await;
    refuse(&stack, &[bill(0, 200)]).await;
    let directory = catalog.0.display().to_string();
    let commands = [
        "dead-letter list".to_owned(),
        "dead-letter summary".to_owned(),
        "dead-letter show 1".to_owned(),
        "dead-letter export".to_owned(),
        "dead-letter replay --all".to_owned(),
        "dead-letter replay --dry-run".to_owned(),
        "dead-letter drain gone".to_owned(),
        format!("dead-letter replay --dry-run --catalog {directory}"),
        "dead-letter discard --all --because x".to_owned(),
        "dead-letter reopen --all".to_owned(),
        format!("dead-letter example 1 --name x --schemas {directory}"),
        "trace acme bill-0".to_owned(),
    ];
    let role = format!("powerless_{}", std::process::id());
    stack.database.execute(&format!("create role {role} login")).await;
    let (scheme, rest) = stack.database.url.split_once("://").expect("a URL");
    let powerless = format!("{scheme}://{role}@{}", rest.split_once('@').map_or(rest, |(_, rest)| rest));
    let away = "postgres://postgres@127.0.0.1:1/events".to_owned();
    let empty = crate::stack::Database::create_empty().await;
    for (url, status, sentence) in
        [(away, 69, "refuses the connection"), (powerless, 78, "grant"), (empty.url.clone(), 78, "processor migrate")]
    {
        terminal.environment.iter_mut().filter(|(name, _)| *name == "DATABASE_URL").for_each(|(_, value)| value.clone_from(&url));
        for command in &commands {
            let ended = terminal.run(PROCESSOR, &command.split(' ').collect::<Vec<_>>()).await;
            assert!(ended.status == status && ended.errors.contains(sentence), "{command}: {ended:?}");
        }
    }
    stack.database.execute(&format!("drop role {role}")).await;
}
