//! `queues.toml`: the queues that are polled beside those of QUEUES.

use serde::Deserialize;

use super::files::{Files, SCHEMA_BYTES_MAX, line_and_column};
use crate::settings::{QueueSetting, is_reached_with_signatures, parse_queue_fields};

/// How many queues one process polls.
const QUEUES_MAX: usize = 1_000;

#[derive(Deserialize)]
struct QueuesFile {
    #[serde(default)]
    queues: Vec<QueueFields>,
    #[serde(flatten)]
    others: toml::Table,
}

#[derive(Deserialize)]
struct QueueFields {
    name: Option<String>,
    url: Option<String>,
    tenant: Option<String>,
    format: Option<String>,
    trust: Option<String>,
    #[serde(flatten)]
    others: toml::Table,
}

/// The queues that the file declares; what is wrong with it is noted.
pub(super) fn read(files: &mut Files<'_>, path: &str) -> Vec<QueueSetting> {
    let Some(bytes) = files.bytes(path, SCHEMA_BYTES_MAX) else { return Vec::new() };
    let Ok(text) = String::from_utf8(bytes) else {
        files.refuse(path, "is not UTF-8; save it as UTF-8");
        return Vec::new();
    };
    let file: QueuesFile = match toml::from_str(&text) {
        Ok(file) => file,
        Err(error) => {
            let location = error.span().map_or_else(String::new, |span| line_and_column(text.as_bytes(), span.start) + ": ");
            files.refuse(path, format!("is not a list of queues: {location}{}", error.message().replace('\n', "; ")));
            return Vec::new();
        }
    };
    for field in file.others.keys() {
        files.refuse(path, format!("{field}: is not a field; each queue is a table [[queues]]"));
    }
    if file.queues.len() > QUEUES_MAX {
        files.refuse(path, format!("declares {} queues; at most {QUEUES_MAX} are polled", file.queues.len()));
    }
    let mut queues: Vec<QueueSetting> = Vec::new();
    for (number, fields) in (1..).zip(file.queues) {
        match setting(fields) {
            Err(problem) => files.refuse(path, format!("queue {number}: {problem}")),
            Ok(queue) if queues.iter().any(|other| other.name == queue.name) => {
                files.refuse(path, format!("queue {number}: {} is declared twice; declare it once", queue.name));
            }
            Ok(queue) => queues.push(queue),
        }
    }
    queues.sort_by(|left, right| left.name.cmp(&right.name));
    queues
}

fn setting(fields: QueueFields) -> Result<QueueSetting, String> {
    if let Some(field) = fields.others.keys().next() {
        return Err(format!("{field} is not a field; known here: name, url, tenant, format, trust"));
    }
    let address = match (fields.name, fields.url) {
        (Some(name), None) if !name.contains("://") => name,
        (None, Some(url)) if is_reached_with_signatures(&url) => url,
        (None, Some(url)) => {
            return Err(format!(
                "{url} is neither at a host of SQS nor at AWS_ENDPOINT_URL, and requests there would be signed with this process's \
                 credentials; correct the URL"
            ));
        }
        (Some(_), None) => return Err("a URL stands in `url`".to_owned()),
        (Some(_), Some(_)) | (None, None) => return Err("has either a name or a url".to_owned()),
    };
    parse_queue_fields(&address, fields.tenant.as_deref(), fields.trust.as_deref(), fields.format.as_deref())
}
