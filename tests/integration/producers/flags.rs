//! What is wrong with a command is told before anything is sent.

use crate::stack::{PRODUCERS, sample_catalog};
use crate::terminal::Terminal;

#[tokio::test]
async fn a_wrong_flag_ends_with_64_and_a_wrong_value_with_78_and_what_would_be_right() {
    let terminal = Terminal::with(vec![("AWS_REGION", "us-east-1".to_owned())]);
    terminal.directory.write("there", "");
    terminal.directory.write("text", "no ledger\n");
    let schemas = sample_catalog().display().to_string();
    for (arguments, status, told) in [
        ("", 64, "--queue is missing"),
        ("--queue events --speed 7", 64, "--speed"),
        ("--queue events --size 7 --payloads there", 64, "--payloads"),
        ("verify", 64, "--ledger"),
        ("--queue events verify --ledger there", 64, "verify"),
        ("--queue a,b", 78, "one queue's name or URL"),
        ("--queue events --rate 0", 78, "from 0.01 to 100000"),
        ("--queue events --rate fast", 78, "events a second"),
        ("--queue events --invalid 1.5", 78, "from 0 to 1"),
        ("--queue events --duplicates -1", 64, "-1"),
        ("--queue events --invalid 0.6 --duplicates 0.6", 78, "above 1 together"),
        ("--queue events --events 0", 78, "whole number"),
        ("--queue events --duration soon", 78, "whole seconds"),
        ("--queue events --size 2MiB", 78, "from 1 to 1000000 bytes"),
        ("--queue events --seed x", 78, "--seed"),
        ("--queue events --tenant nobody", 78, "no tenant \"nobody\""),
        ("--queue events --tenant shop --event-type order.lost", 78, "event type \"order.lost\""),
        ("--queue events=shop --tenant crm", 78, "no event type for this queue"),
        ("--queue events --payloads nowhere", 78, "nowhere cannot be sent"),
        ("verify --ledger nowhere", 78, "nowhere cannot be used"),
        ("verify --ledger there", 78, "it has no line"),
        ("verify --ledger text", 78, "line 1 is no line of a ledger"),
    ] {
        let mut words: Vec<&str> = arguments.split_whitespace().collect();
        if arguments.starts_with("--queue events") && !arguments.contains("verify") {
            words.extend(["--schemas", &schemas]);
        }
        let ended = terminal.run(PRODUCERS, &words).await;
        assert_eq!((ended.status, ended.output.as_str()), (status, ""), "{arguments}: {ended:?}");
        assert!(ended.errors.contains(told), "{told} is not in {arguments}: {ended:?}");
    }
    let without_catalog = terminal.run(PRODUCERS, &["--queue", "events"]).await;
    assert!(without_catalog.status == 78 && without_catalog.errors.contains("name another by --schemas"), "{without_catalog:?}");
    terminal.directory.write("bare/acme/tenant.toml", "");
    terminal.directory.write("bare/acme/note/1.json", "{}");
    let without_examples = terminal.run(PRODUCERS, &["--queue", "events", "--schemas", "bare"]).await;
    assert!(without_examples.status == 78 && without_examples.errors.contains("below `examples/valid`"), "{without_examples:?}");
}
