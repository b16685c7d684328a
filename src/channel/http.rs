//! `{ channel = "http", method, url, headers, body }`: a request to any HTTP API, made by templates over the event. Where it goes is said by
//! the settings alone: no template fills scheme, host or port.

use serde_json::{Map, Value};
use url::Url;

use super::credential::{SecretReference, is_header_text, is_secret_by_name, literal_sentence};
use super::fields::Fields;
use super::target::{Origin, has_dots, origin};
use super::template::{Event, Kind, OUTPUT_BYTES_MAX, Template, TemplateError};

const METHODS: [&str; 5] = ["POST", "PUT", "PATCH", "DELETE", "GET"];

/// Headers that say how the request is sent, which is the sender's.
const HEADERS_OF_ITS_OWN: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-authorization",
];

const HEADERS_MAX: usize = 30;

/// How many texts of a body may be templates.
const TEMPLATES_MAX: usize = 100;

/// A request's settings.
#[derive(Debug)]
pub struct Http {
    /// How it is sent.
    pub method: &'static str,
    /// Where to.
    pub origin: Origin,
    url: Template,
    /// Names in small letters.
    pub headers: Vec<(String, HeaderSetting)>,
    /// What is sent.
    pub body: Option<Body>,
}

/// What a header says.
#[derive(Debug)]
pub enum HeaderSetting {
    /// Over the event.
    Text(Template),
    /// What is kept elsewhere.
    Secret(SecretReference),
}

/// What a request's body is made by.
#[derive(Debug)]
pub enum Body {
    /// A text.
    Text {
        /// The whole of it.
        template: Template,
        /// It has to be JSON.
        is_json: bool,
    },
    /// A table, whose texts are templates.
    Table(Node),
}

/// A part of a body that is a table.
#[derive(Debug)]
pub enum Node {
    /// As it is.
    Fixed(Value),
    /// A text over the event.
    Text(Template),
    /// A list.
    List(Vec<Node>),
    /// A table, in the order of its names.
    Table(Vec<(String, Node)>),
}

pub(super) fn parse(fields: &mut Fields<'_>) -> Option<Http> {
    let method = match fields.text("method", false) {
        None => Some("POST"),
        Some(text) => METHODS.into_iter().find(|method| *method == text),
    };
    if method.is_none() {
        fields.refuse("method", format!("is not supported; write one of {}", METHODS.join(", ")));
    }
    let url = fields.text("url", true).and_then(|text| {
        let origin = origin(&text).map_err(|sentence| fields.refuse("url", sentence)).ok()?;
        Some((origin, fields.compile("url", &text, Kind::Url)?))
    });
    let headers = headers(fields);
    let is_json = headers.as_ref().is_none_or(|headers| !headers.iter().any(|(name, _)| name == "content-type"));
    let body = body(fields, is_json);
    let (origin, url) = url?;
    Some(Http { method: method?, origin, url, headers: headers?, body: body? })
}

fn headers(fields: &mut Fields<'_>) -> Option<Vec<(String, HeaderSetting)>> {
    let table = match fields.value("headers") {
        None => return Some(Vec::new()),
        Some(Value::Object(table)) if table.len() <= HEADERS_MAX => table,
        Some(_) => {
            fields.refuse("headers", format!("is no table of {HEADERS_MAX} headers at most; write {{ name = \"value\" }}"));
            return None;
        }
    };
    let headers: Vec<_> = table.iter().map(|(name, value)| header(fields, name, value)).collect();
    headers.into_iter().collect()
}

fn header(fields: &mut Fields<'_>, name: &str, value: &Value) -> Option<(String, HeaderSetting)> {
    let field = format!("headers.{name}");
    let lower = name.to_ascii_lowercase();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !is_name || HEADERS_OF_ITS_OWN.contains(&lower.as_str()) {
        fields.refuse(&field, "is no header that can be set here");
        return None;
    }
    let setting = match value {
        Value::String(text) if !is_secret_by_name(&lower) => {
            if !is_header_text(text) {
                fields.refuse(&field, "has a line's end or a letter beyond ASCII, which a header cannot have");
                return None;
            }
            HeaderSetting::Text(fields.compile(&field, text, Kind::Text)?)
        }
        other => HeaderSetting::Secret(fields.secret(&field, other, true)?),
    };
    Some((lower, setting))
}

/// The outer option: whether it is well-formed.
#[expect(clippy::option_option, reason = "none is a body, too")]
fn body(fields: &mut Fields<'_>, is_json: bool) -> Option<Option<Body>> {
    match fields.value("body") {
        None => Some(None),
        Some(Value::String(text)) => {
            let kind = if is_json { Kind::Json } else { Kind::Text };
            Some(Some(Body::Text { template: fields.compile("body", text, kind)?, is_json }))
        }
        Some(value @ (Value::Object(_) | Value::Array(_))) => {
            let mut templates = 0;
            let node = node(fields, "body", value, &mut templates)?;
            if templates > TEMPLATES_MAX {
                fields.refuse("body", format!("has more than {TEMPLATES_MAX} templates"));
                return None;
            }
            Some(Some(Body::Table(node)))
        }
        Some(_) => {
            fields.refuse("body", "is neither a text nor a table");
            None
        }
    }
}

fn node(fields: &mut Fields<'_>, field: &str, value: &Value, templates: &mut usize) -> Option<Node> {
    Some(match value {
        Value::String(text) if text.contains(['{', '}']) => {
            *templates += 1;
            Node::Text(fields.compile(field, text, Kind::Text)?)
        }
        Value::String(text) if is_secret_by_name(field.rsplit('.').next().unwrap_or_default()) && !text.is_empty() => {
            fields.refuse(field, literal_sentence());
            return None;
        }
        Value::Array(items) => Node::List(items.iter().map(|item| node(fields, field, item, templates)).collect::<Option<_>>()?),
        Value::Object(members) => {
            let member =
                |(name, value): (&String, &Value)| Some((name.clone(), node(fields, &format!("{field}.{name}"), value, templates)?));
            Node::Table(members.iter().map(member).collect::<Option<_>>()?)
        }
        fixed => Node::Fixed(fixed.clone()),
    })
}

/// What came of templates that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A template could not be filled in.
    #[error("settings.{0} {1}")]
    Template(String, TemplateError),
    /// What it gave is of no use.
    #[error("settings.{0} {1}")]
    Result(String, &'static str),
}

impl Http {
    /// The URL over an event.
    ///
    /// # Errors
    /// That it cannot be filled in, or would lead elsewhere.
    pub fn url(&self, event: &Event) -> Result<Url, RequestError> {
        let wrong = |sentence| RequestError::Result("url".to_owned(), sentence);
        let text = self.url.render(event).map_err(|error| RequestError::Template("url".to_owned(), error))?;
        let url = Url::parse(&text).map_err(|_| wrong("is no URL once it is filled in"))?;
        if !self.origin.has(&url) {
            return Err(wrong("leads elsewhere once it is filled in"));
        }
        if has_dots(&text) {
            return Err(wrong("has `.` or `..` as a part of its path once it is filled in"));
        }
        Ok(url)
    }

    /// The text of a header over an event.
    ///
    /// # Errors
    /// That it cannot be filled in, or is no header's.
    pub fn header(name: &str, template: &Template, event: &Event) -> Result<String, RequestError> {
        let field = || format!("headers.{name}");
        let text = template.render(event).map_err(|error| RequestError::Template(field(), error))?;
        let is_fine = is_header_text(&text) && text.len() <= 4096;
        if is_fine { Ok(text) } else { Err(RequestError::Result(field(), "is not a header's text once it is filled in")) }
    }
}

impl Body {
    /// The body over an event.
    ///
    /// # Errors
    /// That it cannot be filled in, or is not JSON where it should be.
    pub fn render(&self, event: &Event) -> Result<String, RequestError> {
        let failed = |error| RequestError::Template("body".to_owned(), error);
        match self {
            Self::Text { template, is_json } => {
                let text = template.render(event).map_err(failed)?;
                if *is_json && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err() {
                    let sentence = "is not JSON once it is filled in; what {{ }} prints is JSON already, quotes included";
                    return Err(RequestError::Result("body".to_owned(), sentence));
                }
                Ok(text)
            }
            Self::Table(node) => {
                let mut room = OUTPUT_BYTES_MAX;
                Ok(node.render(event, &mut room).map_err(failed)?.to_string())
            }
        }
    }

    /// What `content-type` says where the settings do not.
    pub fn is_json(&self) -> bool {
        !matches!(self, Self::Text { is_json: false, .. })
    }
}

impl Node {
    /// All templates together print no more than one may.
    fn render(&self, event: &Event, room: &mut usize) -> Result<Value, TemplateError> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Text(template) => {
                let text = template.render(event)?;
                *room = room.checked_sub(text.len()).ok_or(TemplateError::Output)?;
                text.into()
            }
            Self::List(items) => Value::Array(items.iter().map(|item| item.render(event, room)).collect::<Result<_, _>>()?),
            Self::Table(members) => {
                let member = |(name, node): &(String, Self)| Ok((name.clone(), node.render(event, room)?));
                Value::Object(members.iter().map(member).collect::<Result<Map<_, _>, _>>()?)
            }
        })
    }
}
