//! A suite that cannot fail proves nothing: each bug that `src/fault.rs` can plant makes the test that is named here fail.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use futures_util::StreamExt as _;
use tokio::process::Command;
use tokio::time::Instant;

use crate::stack::{patience, server_url};

/// Bugs, each with the test that has to find it.
const CAUGHT: &[(&str, &str)] = &[
    ("delete_before_commit", "shutdown::a_daemon_killed_amid_its_transactions_loses_nothing"),
    ("delete_on_unknown", "session::the_daemon_deletes_nothing_whose_commit_is_unknown"),
    ("endless_patience", "silence::writers_whose_links_fall_silent_go_on_by_new_ones"),
    ("hot_polls", "queue_trouble::polls_in_vain_are_repeated_seldom_and_said_once_and_work_goes_on_soon_after"),
    ("ignored_failed", "acknowledging::what_sqs_did_not_delete_is_tried_again"),
    ("kept_connection", "session::what_is_written_after_a_begin_that_was_given_up_stays"),
    ("key_without_tenant", "identity::both_events_in_one_batch"),
    ("loss_on_sigterm", "shutdown::what_a_poll_brings_after_the_signal_is_handed_back_at_once"),
    ("no_groups", "groups::within_a_group_no_event_is_committed_after_a_later_one"),
    ("no_heartbeat", "leases::what_waits_for_the_database_is_extended_and_comes_only_once"),
    ("no_watchdog", "watchdog::a_receive_that_never_returns_is_given_up_and_its_poller_started_anew"),
    ("no_isolation", "refusals::three_offenders_in_a_batch_of_a_thousand_cost_the_others_nothing"),
    ("open_gate", "outages::a_failed_write_stops_polling_before_it_is_tried_again"),
    ("stale_read_only_pool", "failover::a_writer_leaves_a_connection_that_is_read_only"),
    ("swallowed_error", "session::a_commit_that_the_server_turned_into_a_rollback_is_none"),
    ("synchronous_commit_off", "failover::what_a_session_commits_is_on_disk_whatever_the_database_prefers"),
    ("unsorted_keys", "session::batches_in_opposite_orders_do_not_deadlock"),
    ("wrong_schema_version", "verdicts::every_reason_is_met_by_three_bodies_or_more"),
];

/// Bugs that are looked for at once.
const BUGS_AT_ONCE: usize = 3;

/// What a test with a bug waits for in vain, it waits for so many seconds.
const PATIENCE: &str = "15";

/// Runs a test alone with this bug: whether it passes, and what is printed.
async fn run_with(bug: &str, test: &str) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test]).stdin(Stdio::null()).kill_on_drop(true);
    command.env("FAILPOINTS", format!("{bug}=return")).env("TEST_DATABASE_URL", server_url()).env("TEST_PATIENCE", PATIENCE);
    let ended = tokio::time::timeout(3 * patience(), command.output()).await;
    let output = ended.expect("the test ends").expect("the test starts");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[tokio::test]
async fn each_planted_bug_is_caught_by_its_test() {
    // Most of the time each waits for what never comes.
    let running = futures_util::stream::iter(CAUGHT).map(async |&(bug, test)| {
        let began = Instant::now();
        let (passes, printed) = run_with(bug, test).await;
        let failure = printed.lines().skip_while(|line| !line.contains("panicked at")).nth(1).unwrap_or("passes");
        println!("{bug}: {test} ran for {:.1?}: {failure}", began.elapsed());
        (passes || failure == "passes").then_some(bug)
    });
    let at_large: Vec<&str> = running.buffer_unordered(BUGS_AT_ONCE).filter_map(async |bug| bug).collect().await;
    assert_eq!(at_large, Vec::<&str>::new(), "not caught");
}

#[test]
fn each_bug_that_can_be_planted_has_its_test() {
    let mut plantable = BTreeSet::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("src") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let text = std::fs::read_to_string(path).expect("a source");
                let names = text.split("has_bug(\"").skip(1).filter_map(|rest| rest.split('"').next());
                plantable.extend(names.map(str::to_owned));
            }
        }
    }
    assert_eq!(plantable, CAUGHT.iter().map(|(bug, _)| (*bug).to_owned()).collect());
}
