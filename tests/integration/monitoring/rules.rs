//! The rules by themselves: they are well formed, do what their unit tests say, and each alert has its place in the runbook.

use std::collections::BTreeSet;

use super::file;
use crate::deployments::tool;

fn path(name: &str) -> String {
    format!("{}/deployments/prometheus/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What stands behind this word, line by line.
fn values<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.trim_start().trim_start_matches("- ").strip_prefix(word)).collect()
}

#[tokio::test]
async fn the_rules_are_well_formed_and_do_what_their_tests_say() {
    for arguments in [["check", "rules", &path("rules.yaml")], ["test", "rules", &path("rules.test.yaml")]] {
        let Some((status, said)) = tool("promtool", &arguments).await else { return };
        assert!(status == 0 && said.contains("SUCCESS"), "{said}");
    }
    let (rules, tests) = (file("prometheus/rules.yaml"), file("prometheus/rules.test.yaml"));
    let tested: BTreeSet<&str> = values(&tests, "alertname: ").into_iter().collect();
    // That nobody is there at all is tested by an expression.
    let alerts: BTreeSet<&str> = values(&rules, "alert: ").into_iter().collect();
    assert_eq!(tested, alerts, "tested, and there");
}

#[test]
fn each_alert_has_a_section_in_the_runbook_that_says_what_to_do_and_each_section_an_alert() {
    let (rules, runbook) = (file("prometheus/rules.yaml"), file("runbook.md"));
    let linked: BTreeSet<String> = values(&rules, "runbook_url: runbook.md#").into_iter().map(str::to_owned).collect();
    assert_eq!(values(&rules, "runbook_url: ").len(), values(&rules, "alert: ").len());
    let sections: Vec<&str> = runbook.split("\n## ").skip(1).collect();
    let anchors: BTreeSet<String> = sections.iter().map(|section| section.lines().next().expect("a title").to_lowercase()).collect();
    assert_eq!(linked, anchors, "linked, and there");
    for section in sections {
        for part in ["**Means** ", "**Look at** ", "**Do** "] {
            assert!(section.contains(part), "{part}in {section}");
        }
    }
}
