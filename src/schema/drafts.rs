//! The drafts' own schemas, to which references may lead as to files.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use referencing::meta;
use serde_json::Value;

use super::documents::Document;

/// Each by the path that it has in a bundle: its name without the scheme. No path of a tenant's file is like one.
pub(super) static DRAFTS: LazyLock<BTreeMap<String, Document>> = LazyLock::new(|| {
    let old: [&Value; 3] = [&meta::DRAFT4, &meta::DRAFT6, &meta::DRAFT7];
    let draft_2019: [&Value; 7] = [
        &meta::DRAFT201909,
        &meta::DRAFT201909_APPLICATOR,
        &meta::DRAFT201909_CONTENT,
        &meta::DRAFT201909_CORE,
        &meta::DRAFT201909_FORMAT,
        &meta::DRAFT201909_META_DATA,
        &meta::DRAFT201909_VALIDATION,
    ];
    let draft_2020: [&Value; 9] = [
        &meta::DRAFT202012,
        &meta::DRAFT202012_APPLICATOR,
        &meta::DRAFT202012_CONTENT,
        &meta::DRAFT202012_CORE,
        &meta::DRAFT202012_FORMAT_ANNOTATION,
        &meta::DRAFT202012_FORMAT_ASSERTION,
        &meta::DRAFT202012_META_DATA,
        &meta::DRAFT202012_UNEVALUATED,
        &meta::DRAFT202012_VALIDATION,
    ];
    let all = old.into_iter().chain(draft_2019).chain(draft_2020);
    let named = all.filter_map(|schema| {
        let name = schema.get("$id").or_else(|| schema.get("id"))?.as_str()?;
        let path = draft_path(name)?;
        Some((path.clone(), Document::of_value(&path, schema.clone(), Vec::new())))
    });
    named.collect()
});

/// The path of a draft's own schema in a bundle.
pub(super) fn draft_path(uri: &str) -> Option<String> {
    let path = uri.strip_prefix("https://").or_else(|| uri.strip_prefix("http://"))?;
    path.starts_with("json-schema.org/").then(|| path.trim_end_matches('#').to_owned())
}

/// Whether a bundle's file is the schema of a draft.
pub(super) fn is_of_draft(path: &str) -> bool {
    path.starts_with("json-schema.org/") && DRAFTS.contains_key(path)
}
