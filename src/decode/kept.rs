//! `message.attributes`: what came along with a payload and has no column of its own. Nothing that was accepted is dropped.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use smol_str::{SmolStr, format_smolstr};

use crate::candidate::{Candidate, MessageAttribute};
use crate::event::TraceContext;
use crate::json::{Member, Node};

/// Members of an object that are kept as they are written.
#[derive(Default)]
pub(super) struct Kept<'text> {
    text: &'text [u8],
    members: Vec<Member<'text>>,
}

impl<'text> Kept<'text> {
    /// None yet, of an object in this text.
    pub(super) fn of(text: &'text [u8]) -> Self {
        Self { text, members: Vec::new() }
    }

    /// Keeps one more.
    pub(super) fn push(&mut self, member: Member<'text>) {
        self.members.push(member);
    }

    fn by_name(&self) -> BTreeMap<&str, &RawValue> {
        // Each span is a value that was read, so it is JSON.
        let raw = |member: &Member<'_>| serde_json::from_slice::<&RawValue>(&self.text[member.span.clone()]).ok();
        self.members.iter().filter_map(|member| Some((member.name.as_ref(), raw(member)?))).collect()
    }
}

#[derive(Serialize)]
struct Surroundings<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    fields: BTreeMap<&'a str, &'a RawValue>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    notification: BTreeMap<&'a str, &'a RawValue>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_attributes: &'a BTreeMap<String, MessageAttribute>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    system_attributes: &'a BTreeMap<String, String>,
}

/// The SQS message's attributes alone, for a body that could not be read.
pub fn message_attributes(candidate: &Candidate) -> String {
    attributes(candidate, &Kept::default(), &Kept::default())
}

/// The trace that the SQS message's attributes name, for a body that could not be read.
pub fn message_traceparent(candidate: &Candidate) -> Option<SmolStr> {
    traceparent(candidate, &Kept::default(), &Kept::default())
}

pub(super) fn attributes(candidate: &Candidate, others: &Kept<'_>, notification: &Kept<'_>) -> String {
    let attributes = Surroundings {
        fields: others.by_name(),
        notification: notification.by_name(),
        message_attributes: &candidate.attributes,
        system_attributes: &candidate.system_attributes,
    };
    serde_json::to_string(&attributes).unwrap_or_else(|_| "{}".to_owned())
}

/// The trace that the event belongs to, in W3C's form: by the message's attribute, or the event's field, or the attribute of SNS's message, of
/// that name, else by what X-Ray has set. The sender finds the same in what is kept.
pub(super) fn traceparent(candidate: &Candidate, others: &Kept<'_>, notification: &Kept<'_>) -> Option<SmolStr> {
    let attribute = |name| candidate.attributes.get(name).map(|attribute| attribute.value.as_str());
    let of_sns = || text(members(members(&notification.members, "MessageAttributes")?, "traceparent")?, "Value");
    let context = [attribute("traceparent"), attribute("ce-traceparent"), text(&others.members, "traceparent"), of_sns()];
    let of_xray = || TraceContext::parse_xray(candidate.system_attributes.get("AWSTraceHeader")?);
    let context = context.into_iter().flatten().find_map(TraceContext::parse).or_else(of_xray)?;
    Some(format_smolstr!("{context}"))
}

fn text<'a>(members: &'a [Member<'_>], name: &str) -> Option<&'a str> {
    members.iter().find(|member| member.name == name).and_then(|member| match &member.value {
        Node::String(text) => Some(text.as_ref()),
        _ => None,
    })
}

fn members<'a, 'text>(members: &'a [Member<'text>], name: &str) -> Option<&'a [Member<'text>]> {
    members.iter().find(|member| member.name == name).and_then(|member| match &member.value {
        Node::Object(members) => Some(members.as_slice()),
        _ => None,
    })
}
