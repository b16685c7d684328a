//! Real schemas and real payloads.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::{Bundle, admit};
use super::{documents, violations};

/// The corpus beside the repository; nothing, with a message, where there is none.
pub(super) fn corpus() -> Option<PathBuf> {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/github");
    if !corpus.is_dir() {
        eprintln!("skipped: there is no {}", corpus.display());
        return None;
    }
    Some(corpus)
}

/// The files in the directories of a directory, as `directory/file`.
pub(super) fn files_of(directory: &Path) -> Vec<String> {
    let names = |path: PathBuf| fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").file_name().into_string());
    let directories = names(directory.to_owned()).map(|name| name.expect("UTF-8")).filter(|name| directory.join(name).is_dir());
    directories.flat_map(|inner| names(directory.join(&inner)).map(move |name| format!("{inner}/{}", name.expect("UTF-8")))).collect()
}

/// GitHub's schemas; their references count from the directory of all schemas, ours from the file's own.
pub(super) fn github_schemas(schemas: &Path) -> Vec<(String, String)> {
    let text = |path: &String| fs::read_to_string(schemas.join(path)).expect("a schema").replace("\"common/", "\"../common/");
    files_of(schemas).into_iter().map(|path| (path.clone(), text(&path))).collect()
}

#[test]
fn githubs_schemas_are_admitted_and_validate_its_payloads() {
    let Some(corpus) = corpus() else { return };
    let schemas = corpus.join("payload-schemas/api.github.com");
    let files = github_schemas(&schemas);
    let documents = documents(&files.iter().map(|(path, text)| (path.as_str(), text.clone())).collect::<Vec<_>>());
    let mut compiled = BTreeMap::new();
    for path in files_of(&schemas) {
        let admitted = Bundle::collect(&path, &documents).and_then(|bundle| admit(&bundle));
        compiled.insert(path, admitted.unwrap_or_else(|errors| panic!("{errors:?}")).compiled);
    }
    let payloads = corpus.join("payload-examples/api.github.com");
    let (mut validated, mut failed) = (0, Vec::new());
    for path in files_of(&payloads).into_iter().filter(|path| path.ends_with(".payload.json")) {
        let text = fs::read_to_string(payloads.join(&path)).expect("a payload");
        let payload: Value = serde_json::from_str(&text).expect("JSON");
        let (event, _) = path.split_once('/').expect("a directory");
        let action = payload["action"].as_str().unwrap_or("event");
        let own = compiled.get(&format!("{event}/{action}.schema.json"));
        let schema = own.or_else(|| compiled.get(&format!("{event}/event.schema.json"))).expect(&path);
        for violation in violations(schema, &text) {
            failed.push((path.clone(), violation.expected));
        }
        validated += 1;
    }
    assert_eq!(validated, 255);
    failed.sort();
    failed.dedup();
    assert_eq!(failed.len(), 2, "{failed:?}");
    assert!(failed.iter().all(|(path, expected)| path.starts_with("check_run/rerequested") && expected == "format date-time"));
}
