//! The files of the official test suite of JSON Schema: each group is a schema, each of its tests a payload. The integration tests read them
//! by this file too.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The drafts' directories in the suite, which are the tenants' names as well.
pub const DRAFTS: [(&str, &str); 5] = [
    ("draft4", "http://json-schema.org/draft-04/schema#"),
    ("draft6", "http://json-schema.org/draft-06/schema#"),
    ("draft7", "http://json-schema.org/draft-07/schema#"),
    ("draft2019-09", "https://json-schema.org/draft/2019-09/schema"),
    ("draft2020-12", "https://json-schema.org/draft/2020-12/schema"),
];

/// Here formats are checked; the groups in which they only describe expect otherwise.
const ANNOTATIONS: &str = "format.json";

/// A group of the suite.
pub struct Group {
    pub tenant: &'static str,
    pub event_type: String,
    pub name: String,
    /// In its draft, where it does not name one itself.
    pub schema: Value,
    pub tests: Vec<Value>,
}

/// The groups, required ones and those of formats, but for those in which formats only describe.
pub fn groups(corpus: &Path) -> Vec<Group> {
    let mut groups = Vec::new();
    for (tenant, draft) in DRAFTS {
        let files = files_below(&corpus.join("tests").join(tenant), "");
        let counts = |path: &str| path != ANNOTATIONS && (!path.starts_with("optional/") || path.starts_with("optional/format/"));
        for (path, file) in files.into_iter().filter(|(path, _)| counts(path)) {
            for (index, group) in json_of(&file).as_array().expect("groups").iter().enumerate() {
                let mut schema = group["schema"].clone();
                if let Some(keywords) = schema.as_object_mut() {
                    keywords.entry("$schema").or_insert_with(|| json!(draft));
                }
                let event_type = format!("{}.{index}", path.trim_end_matches(".json").replace('/', "."));
                let name = format!("{tenant}/{path}: {}", group["description"]);
                groups.push(Group { tenant, event_type, name, schema, tests: group["tests"].as_array().expect("tests").clone() });
            }
        }
    }
    groups
}

/// What remote references lead to, as shared definitions, each with its URL as name: path and text.
pub fn remotes(corpus: &Path) -> Vec<(String, String)> {
    let named = |(path, file): (String, PathBuf)| {
        let mut schema = json_of(&file);
        schema["$id"] = json!(format!("http://localhost:1234/{path}"));
        (format!("common/{}", path.replace('/', "-")), schema.to_string())
    };
    files_below(&corpus.join("remotes"), "").into_iter().map(named).collect()
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
