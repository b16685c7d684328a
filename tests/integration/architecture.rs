//! The map in `src/lib.rs` is the architecture: the order of the modules is the direction in which data flows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which modules may name an outside crate; all others reach it through them.
const HOMES: &[(&str, &[&str])] = &[
    ("aws_config", &["queue"]),
    ("aws_credential_types", &["queue"]),
    ("aws_sdk_sqs", &["queue"]),
    ("aws_sigv4", &["queue"]),
    ("aws_smithy_http_client", &["queue"]),
    ("async_trait", &["spans"]),
    ("crossbeam_channel", &["output", "validation"]),
    ("aws_smithy_runtime_api", &["queue"]),
    ("aws_smithy_types", &["queue"]),
    ("aws_types", &["queue"]),
    ("fail", &["fault"]),
    ("governor", &["ingest", "dead_letter", "producers"]),
    ("http_body_util", &["queue", "sender", "spans", "dev"]),
    ("httpdate", &["queue", "sender"]),
    ("hyper", &["queue", "health", "sender", "dev"]),
    ("hyper_rustls", &["queue", "sender", "spans"]),
    ("hyper_util", &["queue", "health", "dev", "sender", "spans"]),
    ("indicatif", &["progress"]),
    ("jsonschema", &["schema"]),
    ("jsonschema_regex", &["schema"]),
    ("lettre", &["channel", "sender"]),
    ("minijinja", &["channel"]),
    ("nix", &["settings", "dev"]),
    ("opentelemetry", &["spans"]),
    ("opentelemetry_http", &["spans"]),
    ("opentelemetry_otlp", &["spans"]),
    ("opentelemetry_sdk", &["spans"]),
    ("percent_encoding", &["schema", "settings", "channel"]),
    ("referencing", &["schema"]),
    ("ring", &["certificates", "sender"]),
    ("regex_automata", &["schema"]),
    ("regex_syntax", &["schema"]),
    ("prometheus", &["metrics"]),
    ("rustack_sqs_core", &["dev"]),
    ("rustack_sqs_http", &["dev"]),
    ("rustack_sqs_model", &["dev"]),
    ("rustls", &["certificates"]),
    ("rustls_native_certs", &["certificates"]),
    ("rustix", &["progress", "health", "validation", "producers", "dev", "settings"]),
    (
        "sqlx",
        &[
            "settings",
            "database",
            "audit",
            "catalog",
            "snapshot",
            "store",
            "dead_letter",
            "delivery",
            "client",
            "reader",
            "trace",
            "doctor",
            "producers",
            "dev",
            "sender",
        ],
    ),
    ("testcontainers", &["dev"]),
    ("tower_service", &["queue", "sender"]),
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

/// Whether a source has a path that begins with an outside crate; `std::os::unix` is none of `nix`.
fn names_crate(text: &str, outside: &str) -> bool {
    let begins =
        |(position, _): (usize, &str)| !text[..position].ends_with(|character: char| character.is_alphanumeric() || character == '_');
    text.match_indices(&format!("{outside}::")).any(begins)
}

/// Outside crates that are named away from their homes, as sentences.
fn strays(texts: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for &(outside, homes) in HOMES {
        for (module, text) in texts.iter().filter(|(module, _)| !homes.contains(&module.as_str())) {
            if names_crate(text, outside) {
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

/// Modules whose files, too, are in the order in which they use each other, as the module's own file lists them.
const ORDERED_WITHIN: [&str; 5] = ["queue", "store", "validation", "ingest", "sender"];

/// What a file imports from its parent: the names behind each `super::`, but for its tests.
fn names_of_the_parent(text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut names = Vec::new();
    for rest in text.split("super::").skip(1) {
        let listed = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default(),
            None => rest.split(|character: char| !character.is_alphanumeric() && character != '_').next().unwrap_or_default(),
        };
        names.extend(listed.split(',').map(|name| name.trim().split("::").next().unwrap_or_default().to_owned()));
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Uses within a module that go against the order in which it lists its files, as sentences.
fn upward_uses_within(module: &str, map: &str, texts: &BTreeMap<String, String>) -> Vec<String> {
    let listed: Vec<&str> =
        map.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')).collect();
    let mut found = Vec::new();
    for (position, file) in listed.iter().enumerate() {
        let text = texts.get(*file).map(String::as_str).unwrap_or_default();
        for name in names_of_the_parent(text).into_iter().filter(|name| !listed[..position].contains(&name.as_str())) {
            found.push(format!("{module}/{file} uses {name}, which is not declared above it"));
        }
    }
    found
}

#[test]
fn within_a_module_a_file_uses_only_files_above_it_and_nothing_of_its_parent() {
    let mut found = Vec::new();
    for module in ORDERED_WITHIN {
        let map = std::fs::read_to_string(source().join(format!("{module}.rs"))).expect("the module's own file");
        let mut texts = BTreeMap::new();
        for entry in std::fs::read_dir(source().join(module)).expect("its files") {
            let path = entry.expect("an entry").path();
            if let Some(file) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".rs")) {
                texts.insert(file.to_owned(), std::fs::read_to_string(&path).expect("a source"));
            }
        }
        found.extend(upward_uses_within(module, &map, &texts));
    }
    assert_eq!(found, Vec::<String>::new());
}

/// Every Rust file of the repository, from its top.
pub fn files() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut directories: Vec<PathBuf> = ["src", "cmd", "tests", "benches"].map(|name| top.join(name)).into();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

#[test]
fn no_file_is_longer_than_300_lines() {
    let lines = |path: &Path| std::fs::read_to_string(path).expect("a source").lines().count();
    let long: Vec<(PathBuf, usize)> =
        files().into_iter().map(|path| (path.clone(), lines(&path))).filter(|(_, lines)| *lines > 300).collect();
    assert_eq!(long, []);
}

#[test]
fn a_use_against_the_map_is_found() {
    let texts =
        [("queue", "use crate::store::Settled;"), ("store", "use crate::queue::Queue; use std::os::unix::fs; use jsonschema::Validator;")];
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
