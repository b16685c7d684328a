//! Real schemas and real payloads.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::super::{Bundle, Compiled, admit};
use super::violations;

/// The corpus beside the repository; nothing, with a message, where there is none.
fn corpus() -> Option<PathBuf> {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/github");
    if !corpus.is_dir() {
        eprintln!("skipped: there is no {}", corpus.display());
        return None;
    }
    Some(corpus)
}

/// The files in the directories of a directory, as `directory/file`.
fn files_of(directory: &Path) -> Vec<String> {
    let names = |path: PathBuf| fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").file_name().into_string());
    let directories = names(directory.to_owned()).map(|name| name.expect("UTF-8"));
    directories.flat_map(|inner| names(directory.join(&inner)).map(move |name| format!("{inner}/{}", name.expect("UTF-8")))).collect()
}

/// A schema of GitHub's; its references count from the directory of all schemas, ours from the file's own.
fn github_schema(schemas: &Path, path: &str) -> Result<Compiled, Vec<String>> {
    let bundle = Bundle::collect(path, &mut |path| {
        let text = fs::read_to_string(schemas.join(path)).map_err(|error| error.to_string())?;
        serde_json::from_str(&text.replace("\"common/", "\"../common/")).map_err(|error| error.to_string())
    });
    admit(&bundle?)
}

#[test]
fn githubs_schemas_are_admitted_and_validate_its_payloads() {
    let Some(corpus) = corpus() else { return };
    let schemas = corpus.join("payload-schemas/api.github.com");
    let mut compiled = BTreeMap::new();
    for path in files_of(&schemas) {
        let schema = github_schema(&schemas, &path).unwrap_or_else(|errors| panic!("{errors:?}"));
        compiled.insert(path, schema);
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
