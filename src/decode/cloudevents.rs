//! CloudEvents 1.0: structured, the whole event a JSON object, or binary, the data alone in the body and the rest in message attributes.
//!
//! The specification allows an event without data. Here it has no payload that could be held against a schema, and is refused.

use std::borrow::Cow;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::fields::{EVENT_TYPE_BYTES_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX, constant, event_id, mismatch, missing, name, time, wrong_field};
use super::{Found, Kept, pointer, reject, value, within};
use crate::candidate::{Candidate, MessageAttribute};
use crate::event::{Envelope, PayloadText, Reason, Rejection};
use crate::json::{Member, Node};

/// What every event has.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// Before an attribute's name in binary mode.
const PREFIX: &str = "ce-";

/// The content type of the data, as the message attribute of its event's own.
const DATA_CONTENT_TYPE: &str = "ce-datacontenttype";

/// Reads a message in whichever mode it is.
pub(super) fn read<'text>(message: &'text Candidate, data: &'text OnceLock<String>) -> Result<Found<'text>, Rejection> {
    if !message.attributes.contains_key("ce-specversion") {
        return structured(&message.body, super::object(&message.body)?, None, data);
    }
    let body = value(&message.body);
    if body.as_ref().is_ok_and(|body| pointer::is_pointer_for_payload(message, body)) {
        return Err(pointer::refusal());
    }
    let is_event = |body: &Node<'_>| matches!(body, Node::Object(members) if REQUIRED.iter().all(|name| find(members, name).is_some()));
    let is_structured = body.as_ref().is_ok_and(is_event);
    check_content_types(message, is_structured)?;
    match body? {
        Node::Object(members) if is_structured => {
            check_agreement(message, &members)?;
            let content_type = message.attributes.get(DATA_CONTENT_TYPE).map(|attribute| attribute.value.as_str());
            structured(&message.body, members, content_type, data)
        }
        payload => binary(message, payload),
    }
}

/// Beside data alone `content-type`, however it is written, and `ce-datacontenttype` say the same thing; beside a whole event the first is
/// that of the body.
fn check_content_types(message: &Candidate, is_structured: bool) -> Result<(), Rejection> {
    let is_content_type = |name: &str| name.eq_ignore_ascii_case("content-type") || name == DATA_CONTENT_TYPE;
    let content_types: Vec<_> = message.attributes.iter().filter(|(name, _)| is_content_type(name)).collect();
    let differs = |pair: &&[(&String, &MessageAttribute)]| media_type(&pair[0].1.value) != media_type(&pair[1].1.value);
    if let Some([(name, _), (other, _)]) = content_types.windows(2).find(differs).filter(|_| !is_structured) {
        let expected = format!("the content type that the message attribute `{name}` names, or only one of the two");
        return Err(reject(Reason::EnvelopeMismatch, "envelope", &format!("/{other}"), &expected, "string"));
    }
    match content_types.iter().find(|(_, attribute)| !is_json(&attribute.value)) {
        Some((name, _)) => Err(reject(Reason::UnsupportedContentType, "envelope", &format!("/{name}"), JSON_ONLY, "string")),
        None => Ok(()),
    }
}

/// The body is an event; attributes beside it may repeat it, but not contradict it.
fn check_agreement(message: &Candidate, members: &[Member<'_>]) -> Result<(), Rejection> {
    for member in members {
        let Some(attribute) = message.attributes.get(&format!("{PREFIX}{}", member.name)) else { continue };
        let text = match &member.value {
            Node::String(text) => text.as_bytes(),
            Node::Null => continue,
            _ => &message.body[member.span.clone()],
        };
        let is_same = match &member.value {
            Node::String(text) if member.name == "datacontenttype" => media_type(text) == media_type(&attribute.value),
            _ => text == attribute.value.as_bytes(),
        };
        if !is_same {
            return Err(mismatch(member, &format!("what the message attribute `{PREFIX}{}` says, or only one of the two", member.name)));
        }
    }
    Ok(())
}

fn binary<'text>(message: &'text Candidate, payload: Node<'text>) -> Result<Found<'text>, Rejection> {
    let mut envelope = Envelope { payload: PayloadText::InBody(0..message.body.len()), ..Envelope::default() };
    let of_event = message.attributes.iter().filter_map(|(name, attribute)| Some((name, name.strip_prefix(PREFIX)?, attribute)));
    for (name, attribute_name, attribute) in of_event {
        // Told as if it were a member, by the name that it has.
        let member = Member { name: Cow::Borrowed(name), value: Node::String(Cow::Borrowed(&attribute.value)), span: 0..0 };
        if attribute.data_type.starts_with("Binary") {
            return Err(wrong_field(&member, "a message attribute of type String"));
        }
        read_attribute(&mut envelope, attribute_name, &member)?;
    }
    let lacking = REQUIRED.iter().find(|name| !message.attributes.contains_key(&format!("{PREFIX}{name}")));
    if let Some(name) = lacking {
        let expected = format!("a message attribute `{PREFIX}{name}`");
        return Err(reject(Reason::InvalidEnvelope, "envelope", "", &expected, "nothing"));
    }
    Ok(Found { envelope, payload, others: Kept::default(), notification: Kept::default() })
}

/// Reads an event that is an object. `content_type` is that of its data where it names none itself; `data` is room for what it has in base64.
pub(super) fn structured<'text>(
    text_read: &'text [u8],
    members: Vec<Member<'text>>,
    content_type: Option<&str>,
    data: &'text OnceLock<String>,
) -> Result<Found<'text>, Rejection> {
    let mut envelope = Envelope::default();
    let mut payload = None;
    let mut others = Kept::of(text_read);
    let missing = missing(&members, &REQUIRED);
    // None: nothing says so.
    let has_json = match find(&members, "datacontenttype") {
        Some(Node::String(content_type)) => Some(is_json(content_type)),
        _ => content_type.map(is_json),
    };
    let mut room = Some(data);
    for member in members {
        if read_attribute(&mut envelope, &member.name, &member)? {
            continue;
        }
        match (member.name.as_ref(), &member.value) {
            // Unlike data that are null, it is unset.
            ("data_base64", Node::Null) => {}
            ("data" | "data_base64", _) if payload.is_some() => {
                return Err(mismatch(&member, "either `data` or `data_base64`, not both"));
            }
            ("data" | "data_base64", _) if has_json == Some(false) => return Err(unsupported(&member, JSON_ONLY)),
            ("data_base64", _) if has_json.is_none() => return Err(unsupported(&member, NO_CONTENT_TYPE)),
            ("data", _) => {
                envelope.payload = PayloadText::InBody(member.span);
                payload = Some(member.value);
            }
            ("data_base64", _) => {
                let Some(room) = room.take() else { continue };
                let decoded = decode_base64(&member)?;
                let text = room.get_or_init(|| decoded);
                envelope.payload = PayloadText::Unwrapped(text.clone());
                payload = Some(value(text.as_bytes()).map_err(|rejection| within("data_base64", rejection))?);
            }
            _ => others.push(member),
        }
    }
    if let Some(missing) = missing {
        return Err(missing);
    }
    let no_data = "a field `data` or `data_base64`: an event without data has no payload";
    let payload = payload.ok_or_else(|| reject(Reason::InvalidEnvelope, "envelope", "", no_data, "object"))?;
    Ok(Found { envelope, payload, others, notification: Kept::default() })
}

fn unsupported(member: &Member<'_>, expected: &str) -> Rejection {
    reject(Reason::UnsupportedContentType, "envelope", &format!("/{}", member.name), expected, member.value.type_name())
}

/// One attribute of an event's context, whose name in the specification is given: whether a column holds all that it says.
fn read_attribute(envelope: &mut Envelope, attribute_name: &str, member: &Member<'_>) -> Result<bool, Rejection> {
    match attribute_name {
        "specversion" => constant(member, "1.0")?,
        "id" => envelope.event_id = event_id(member)?.unwrap_or_default(),
        "source" => envelope.source = name(member, TEXT_BYTES_MAX)?.unwrap_or_default(),
        "type" => envelope.event_type = name(member, EVENT_TYPE_BYTES_MAX)?.unwrap_or_default(),
        "subject" => envelope.subject = name(member, TEXT_BYTES_MAX)?,
        "time" => envelope.occurred_at = time(member)?,
        "tenantid" => envelope.tenant_id = name(member, NAME_BYTES_MAX)?,
        "clientid" => envelope.client_id = name(member, NAME_BYTES_MAX)?,
        "dataschema" => {
            // As long as all that is kept may be.
            envelope.schema_version = name(member, super::ATTRIBUTES_BYTES_MAX)?.as_deref().and_then(version_of);
            return Ok(false);
        }
        "datacontenttype" => return name(member, TEXT_BYTES_MAX).map(|_| false),
        _ => return Ok(false),
    }
    Ok(true)
}

/// The version that a schema's URI ends with: `https://example.com/order.created/2`. A number beyond all versions is one that nobody has.
fn version_of(data_schema: &str) -> Option<i64> {
    let path = data_schema.split(['?', '#']).next().unwrap_or_default();
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => path,
    };
    let segment = path.rsplit('/').next().filter(|segment| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(segment.parse().unwrap_or(i64::MAX))
}

const JSON_ONLY: &str = "data whose content type is JSON: application/json, or one that ends in +json";

const NO_CONTENT_TYPE: &str =
    "a `datacontenttype` of JSON, such as application/json: data in base64 may be anything; or the JSON itself as `data`";

/// A content type without its parameters, as it is compared.
fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a content type is that of JSON: its subtype is `json` or ends in `+json`.
fn is_json(content_type: &str) -> bool {
    media_type(content_type).split_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

fn decode_base64(member: &Member<'_>) -> Result<String, Rejection> {
    let wrong = || wrong_field(member, "a string in base64, padded");
    let Node::String(text) = &member.value else { return Err(wrong()) };
    let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| wrong())?;
    String::from_utf8(bytes).map_err(|error| within("data_base64", value(error.as_bytes()).err().unwrap_or_else(wrong)))
}

fn find<'m, 'text>(members: &'m [Member<'text>], name: &str) -> Option<&'m Node<'text>> {
    members.iter().find(|member| member.name == name).map(|member| &member.value)
}

#[cfg(test)]
mod tests {
    use super::{is_json, version_of};

    #[test]
    fn a_version_is_the_last_segment_of_a_schemas_path_where_that_is_an_integer() {
        for (data_schema, expected) in [
            ("https://example.com/order.created/2", Some(2)),
            ("https://example.com/order.created/02?draft=7#/3", Some(2)),
            ("/schemas/10", Some(10)),
            ("3", Some(3)),
            ("https://example.com/a/99999999999999999999", Some(i64::MAX)),
            ("https://example.com/order.created/2.json", None),
            ("https://example.com/order.created/v2", None),
            ("https://example.com/2/", None),
            ("https://example.com/-2", None),
            ("https://2", None),
            ("urn:order:2", None),
        ] {
            assert_eq!(version_of(data_schema), expected, "{data_schema}");
        }
    }

    #[test]
    fn json_is_known_by_its_media_type() {
        for content_type in ["application/json", "text/json", "Application/JSON ; charset=utf-8", "application/vnd.shop+json;v=1"] {
            assert!(is_json(content_type), "{content_type}");
        }
        for content_type in ["", "json", "application/xml", "application/jsonl", "application/json-seq", "text/plain; a=b+json"] {
            assert!(!is_json(content_type), "{content_type}");
        }
    }
}
