//! The official test suite of JSON Schema is validated as it says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::super::{Bundle, Compiled, Documents, admit};
use super::documents;
use super::official_suite::{Group, groups, remotes};
use crate::json::read;

/// At most so many of a hundred tests may be refused with their schemas.
const REFUSED_PERCENT_MAX: usize = 3;

fn corpus() -> Option<PathBuf> {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/json-schema-test-suite");
    if !corpus.is_dir() {
        eprintln!("skipped: there is no {}", corpus.display());
        return None;
    }
    Some(corpus)
}

fn compile(path: &str, documents: &Documents) -> Result<Compiled, Vec<String>> {
    Bundle::collect(path, documents).and_then(|bundle| admit(&bundle)).map(|admitted| admitted.compiled)
}

/// What became of the suite's tests.
#[derive(Default)]
struct Counts {
    tests: usize,
    wrong: Vec<String>,
    /// By reason: how many tests, and which groups.
    refused: BTreeMap<String, (usize, Vec<String>)>,
}

impl Counts {
    fn add(&mut self, Group { name, tests, .. }: &Group, schema: Result<Compiled, Vec<String>>) {
        self.tests += tests.len();
        match schema {
            Ok(schema) => {
                let is_wrong = |test: &&Value| {
                    let text = test["data"].to_string();
                    // What Postgres cannot hold is dead-lettered before a schema is asked.
                    let node = read(text.as_bytes()).ok();
                    node.is_some_and(|node| Some(schema.is_valid(&node)) != test["valid"].as_bool())
                };
                self.wrong.extend(tests.iter().filter(is_wrong).map(|test| format!("{name}: {}", test["description"])));
            }
            Err(sentences) => {
                let (count, groups) = self.refused.entry(reason(&sentences[0])).or_default();
                *count += tests.len();
                groups.push(format!("{name}: {sentences:?}"));
            }
        }
    }
}

#[test]
fn the_official_suite_is_validated_as_it_says_or_refused_for_a_reason() {
    let Some(corpus) = corpus() else { return };
    let remotes = remotes(&corpus);
    let mut counts = Counts::default();
    for group in groups(&corpus) {
        let path = format!("{}/{}/1.json", group.tenant, group.event_type);
        let schema = group.schema.to_string();
        let readable = read(schema.as_bytes()).map(|_| ()).map_err(|defect| vec![format!("{path}: {}", defect.kind)]);
        let mut files: Vec<_> = remotes.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
        files.push((&path, schema));
        counts.add(&group, readable.and_then(|()| compile(&path, &documents(&files))));
    }
    let Counts { tests, wrong, refused } = counts;
    let refused_tests: usize = refused.values().map(|(count, _)| count).sum();
    for (reason, (count, groups)) in &refused {
        println!("{count} refused: {reason}\n  {}", groups.join("\n  "));
    }
    println!("{tests} tests, {} wrong, {refused_tests} refused", wrong.len());
    assert_eq!(wrong, Vec::<String>::new());
    assert!(refused_tests * 100 <= tests * REFUSED_PERCENT_MAX, "{refused_tests} of {tests} refused");
}

/// A sentence without what differs from schema to schema.
fn reason(sentence: &str) -> String {
    let what = sentence.split_once(": ").map_or(sentence, |(_, what)| what);
    what.split('`').step_by(2).collect::<Vec<_>>().join("...")
}
