//! The official test suite of JSON Schema: each group is a schema, each of its tests a payload.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::{Bundle, Compiled, Documents, admit};
use super::documents;
use crate::json::read;

/// The drafts' directories in the suite.
const DRAFTS: [(&str, &str); 5] = [
    ("draft4", "http://json-schema.org/draft-04/schema#"),
    ("draft6", "http://json-schema.org/draft-06/schema#"),
    ("draft7", "http://json-schema.org/draft-07/schema#"),
    ("draft2019-09", "https://json-schema.org/draft/2019-09/schema"),
    ("draft2020-12", "https://json-schema.org/draft/2020-12/schema"),
];

/// At most so many of a hundred tests may be refused with their schemas.
const REFUSED_PERCENT_MAX: usize = 3;

/// Here formats are checked; the groups in which they only describe expect otherwise.
const ANNOTATIONS: &str = "format.json";

fn corpus() -> Option<PathBuf> {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/json-schema-test-suite");
    if !corpus.is_dir() {
        eprintln!("skipped: there is no {}", corpus.display());
        return None;
    }
    Some(corpus)
}

/// Files below a directory, with their paths from it.
fn files_below(directory: &Path, prefix: &str) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files.extend(files_below(&entry.path(), &format!("{path}/")));
        } else {
            files.push((path, entry.path()));
        }
    }
    files.sort();
    files
}

fn json_of(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON")
}

/// What remote references resolve to, as shared definitions, each with its URL as name.
fn remotes(corpus: &Path) -> Vec<(String, String)> {
    let mut remotes = Vec::new();
    for (path, file) in files_below(&corpus.join("remotes"), "") {
        let mut schema = json_of(&file);
        schema["$id"] = json!(format!("http://localhost:1234/{path}"));
        remotes.push((format!("common/{}", path.replace('/', "-")), schema.to_string()));
    }
    remotes
}

/// A group's schema in its draft, where it does not name one itself.
fn schema_of(group: &Value, draft: &str) -> Value {
    let mut schema = group["schema"].clone();
    if let Some(keywords) = schema.as_object_mut() {
        keywords.entry("$schema").or_insert_with(|| json!(draft));
    }
    schema
}

fn compile(documents: &Documents) -> Result<Compiled, Vec<String>> {
    Bundle::collect("group/1.json", documents).and_then(|bundle| admit(&bundle)).map(|admitted| admitted.compiled)
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
    fn add(&mut self, name: &str, schema: Result<Compiled, Vec<String>>, tests: &[Value]) {
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
    for (draft, uri) in DRAFTS {
        let directory = corpus.join("tests").join(draft);
        let required = files_below(&directory, "").into_iter().filter(|(path, _)| !path.starts_with("optional/") && path != ANNOTATIONS);
        let formats = files_below(&directory.join("optional/format"), "optional/format/");
        for (path, file) in required.chain(formats) {
            for group in json_of(&file).as_array().expect("groups") {
                let mut files: Vec<_> = remotes.iter().map(|(path, text)| (path.as_str(), text.clone())).collect();
                let schema = schema_of(group, uri).to_string();
                let readable = read(schema.as_bytes()).map(|_| ()).map_err(|defect| vec![format!("group/1.json: {}", defect.kind)]);
                files.push(("group/1.json", schema));
                let compiled = readable.and_then(|()| compile(&documents(&files)));
                counts.add(&format!("{draft}/{path}: {}", group["description"]), compiled, group["tests"].as_array().expect("tests"));
            }
        }
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
