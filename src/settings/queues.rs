//! The list of queues as `QUEUES` names them.

use crate::event::{TenantId, is_name};

/// In what form a queue's events arrive. The texts stand in `dead_letter.queue_format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// The processor's own fields.
    #[default]
    Native,
    /// CloudEvents 1.0, structured or binary.
    CloudEvents,
    /// What SNS sends to a queue without raw message delivery; in it, native events or CloudEvents.
    Sns,
    /// What EventBridge sends to a queue.
    EventBridge,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Native, Self::CloudEvents, Self::Sns, Self::EventBridge];

    /// The format as it is set and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::CloudEvents => "cloudevents",
            Self::Sns => "sns",
            Self::EventBridge => "eventbridge",
        }
    }
}

/// One queue of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSetting {
    /// The queue's name: what dead letters, metrics and logs call it.
    pub name: String,
    /// Its URL, where the list gave one.
    pub url: Option<String>,
    /// The tenant that it is bound to; none: tenants share it.
    pub tenant: Option<TenantId>,
    /// On a shared queue: whether every sender may write for every tenant.
    pub trusts_any_sender: bool,
    /// In what form its events arrive.
    pub format: Format,
}

/// Reads `name-or-URL[=tenant][?trust=any][&format=FORMAT]`, comma-separated. Empty text names no queue.
///
/// # Errors
/// A sentence that says which entry is wrong and what would be right.
pub fn parse_queues(text: &str) -> Result<Vec<QueueSetting>, String> {
    let mut queues: Vec<QueueSetting> = Vec::new();
    for entry in text.split(',').map(str::trim) {
        if entry.is_empty() && text.trim().is_empty() {
            continue;
        }
        let queue = parse_queue(entry).map_err(|problem| format!("in `{entry}`, {problem}"))?;
        if queues.iter().any(|other| other.name == queue.name) {
            return Err(format!("the queue `{}` is listed twice; name each once", queue.name));
        }
        queues.push(queue);
    }
    Ok(queues)
}

fn parse_queue(entry: &str) -> Result<QueueSetting, String> {
    let (address, options) = entry.split_once('?').unwrap_or((entry, ""));
    let (address, tenant) = match address.split_once('=') {
        Some((address, tenant)) => (address, Some(tenant)),
        None => (address, None),
    };
    let (mut trust, mut format) = (None, None);
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("trust", "any")) => trust = Some("any"),
            Some(("format", _)) if format.is_some() => return Err("`format` is given twice; a queue has one".into()),
            Some(("format", name)) => format = Some(name),
            _ => {
                return Err(format!("`{option}` is no option; those are trust=any and format=, one of {}", formats()));
            }
        }
    }
    parse_queue_fields(address, tenant, trust, format)
}

/// A queue by its fields: where it is, whose, and under which terms.
///
/// # Errors
/// A sentence that says what is wrong and what would be right.
pub fn parse_queue_fields(address: &str, tenant: Option<&str>, trust: Option<&str>, format: Option<&str>) -> Result<QueueSetting, String> {
    let (name, url) = parse_address(address)?;
    if let Some(tenant) = tenant.filter(|tenant| !is_name(tenant)) {
        return Err(format!("`{tenant}` is no tenant's name: those begin with a-z or 0-9, then a-z 0-9 . _ - up to 100 in all"));
    }
    let trusts_any_sender = match (trust, tenant) {
        (None, _) => false,
        (Some("any"), None) => true,
        (Some("any"), Some(_)) => return Err("`trust=any` does nothing on a queue that is bound to a tenant; remove one of the two".into()),
        (Some(trust), _) => return Err(format!("`{trust}` is no trust; there is `any`, or leave it out")),
    };
    let by_name = |name: &str| Format::ALL.into_iter().find(|format| format.as_str() == name);
    let format = match format {
        None => Format::default(),
        Some(name) => by_name(name).ok_or_else(|| format!("`{name}` is no format; those are {}", formats()))?,
    };
    Ok(QueueSetting { name, url, tenant: tenant.map(TenantId::new), trusts_any_sender, format })
}

fn formats() -> String {
    Format::ALL.map(Format::as_str).join(", ")
}

/// A queue's name, and its URL where one was given: the name is the last part of its path.
fn parse_address(address: &str) -> Result<(String, Option<String>), String> {
    if address.starts_with("arn:") {
        return Err(without_arn(address));
    }
    let Some((_, path)) = address.split_once("://") else {
        return check_name(address).map(|name| (name, None));
    };
    let is_queue_url = address.starts_with("http") && path.split('/').filter(|part| !part.is_empty()).count() >= 3;
    if !is_queue_url || url::Url::parse(address).is_err() {
        return Err("the URL is not a queue's; that looks like https://sqs.eu-central-1.amazonaws.com/123456789012/events".into());
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    check_name(name).map(|name| (name, Some(address.to_owned())))
}

/// What to write in place of an ARN, which does not say where to ask for its queue.
fn without_arn(arn: &str) -> String {
    let ["arn", partition, "sqs", region, account, name] = arn.split(':').collect::<Vec<_>>()[..] else {
        return "an ARN of something else than a queue; write the queue's name or URL".to_owned();
    };
    let url = match partition {
        "aws" | "aws-us-gov" => format!("its URL, https://sqs.{region}.amazonaws.com/{account}/{name}, or "),
        "aws-cn" => format!("its URL, https://sqs.{region}.amazonaws.com.cn/{account}/{name}, or "),
        _ => String::new(),
    };
    format!("an ARN does not say where to ask for the queue; write {url}its name, {name}, with AWS_REGION={region}")
}

/// SQS: letters, digits, `-` and `_`, at most 80, `.fifo` included.
fn check_name(name: &str) -> Result<String, String> {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if stem.is_empty() || name.len() > 80 || !stem.bytes().all(is_allowed) {
        return Err(format!("`{name}` is no queue's name: 1-80 letters, digits, - and _"));
    }
    Ok(name.to_owned())
}
