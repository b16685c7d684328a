//! The map in `src/lib.rs` is the architecture: the order of the modules is the direction in which data flows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which modules may name an outside crate; all others reach it through them.
const HOMES: &[(&str, &[&str])] = &[
    ("aws_config", &["queue"]),
    ("aws_credential_types", &["queue"]),
    ("aws_sdk_sqs", &["queue"]),
    ("aws_smithy_http_client", &["queue"]),
    ("crossbeam_channel", &["output", "ingest"]),
    ("aws_smithy_runtime_api", &["queue"]),
    ("aws_types", &["queue"]),
    ("fail", &["fault"]),
    ("governor", &["producers"]),
    ("hyper", &["health"]),
    ("hyper_util", &["health", "dev"]),
    ("jsonschema", &["schema"]),
    ("regex_syntax", &["schema"]),
    ("prometheus", &["metrics"]),
    ("rustack_sqs_core", &["dev"]),
    ("rustix", &["health", "ingest"]),
    ("sqlx", &["settings", "database", "catalog", "snapshot", "store", "ingest", "dead_letter", "trace", "producers", "dev"]),
    ("testcontainers", &["dev"]),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The modules in the order of the map.
fn modules(map: &str) -> Vec<&str> {
    map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect()
}

/// The text of each module, its files below `src/<module>/` included.
fn texts() -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut directories = vec![source()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("src") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(source()).expect("below src");
                let module = relative.iter().next().and_then(|name| name.to_str()).expect("UTF-8").trim_end_matches(".rs");
                texts.entry(module.to_owned()).or_default().push_str(&std::fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    texts
}

/// Uses that go against the map, as sentences.
fn upward_uses(map: &str, texts: &BTreeMap<String, String>) -> Vec<String> {
    let modules = modules(map);
    let mut found = Vec::new();
    for (position, module) in modules.iter().enumerate() {
        let text = texts.get(*module).map(String::as_str).unwrap_or_default();
        for below in &modules[position + 1..] {
            if text.contains(&format!("crate::{below}::")) || text.contains(&format!("crate::{below};")) {
                found.push(format!("{module} uses {below}, which is declared below it"));
            }
        }
    }
    found
}

/// Outside crates that are named away from their homes, as sentences.
fn strays(texts: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for &(outside, homes) in HOMES {
        for (module, text) in texts.iter().filter(|(module, _)| !homes.contains(&module.as_str())) {
            if text.contains(&format!("{outside}::")) {
                found.push(format!("{module} names {outside}, whose home is {}", homes.join(", ")));
            }
        }
    }
    found
}

#[test]
fn a_module_uses_only_modules_above_it_and_outside_crates_stay_at_home() {
    let map = std::fs::read_to_string(source().join("lib.rs")).expect("src/lib.rs");
    let mut texts = texts();
    texts.remove("lib");
    let declared: Vec<String> = modules(&map).into_iter().map(str::to_owned).collect();
    let unlisted: Vec<&String> = texts.keys().filter(|module| !declared.contains(module)).collect();
    assert!(unlisted.is_empty(), "not on the map: {unlisted:?}");
    assert_eq!(upward_uses(&map, &texts), Vec::<String>::new());
    assert_eq!(strays(&texts), Vec::<String>::new());
}

#[test]
fn a_use_against_the_map_is_found() {
    let texts = [("queue", "use crate::store::Settled;"), ("store", "use crate::queue::Queue; use jsonschema::Validator;")];
    let texts = texts.map(|(module, text)| (module.to_owned(), text.to_owned())).into();
    assert_eq!(upward_uses("pub mod queue;\npub mod store;\n", &texts), ["queue uses store, which is declared below it"]);
    assert_eq!(strays(&texts), ["store names jsonschema, whose home is schema"]);
}

#[test]
fn one_http_and_one_tls_stack_is_built() {
    let lock = include_str!("../../Cargo.lock");
    // What the SDK's own `rustls` feature brings is old and has open advisories; a second provider of cryptography would have to be chosen
    // between at run time.
    for (name, versions) in [("hyper", 1), ("h2", 1), ("rustls", 1), ("ring", 1), ("aws-lc-rs", 0), ("openssl", 0)] {
        assert_eq!(lock.matches(&format!("name = \"{name}\"\n")).count(), versions, "versions of {name}");
    }
}
