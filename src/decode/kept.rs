//! `message.attributes`: what came along with a payload and has no column of its own. Nothing that was accepted is dropped.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;
use smol_str::SmolStr;

use crate::candidate::{Candidate, MessageAttribute};
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
    traceparent(candidate, &Kept::default())
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

/// The trace that the event belongs to, in W3C's form, from the message's attribute or the event's field of that name.
pub(super) fn traceparent(candidate: &Candidate, others: &Kept<'_>) -> Option<SmolStr> {
    let attribute = ["traceparent", "ce-traceparent"].iter().find_map(|name| candidate.attributes.get(*name));
    let field = others.members.iter().find(|member| member.name == "traceparent").and_then(|member| match &member.value {
        Node::String(text) => Some(text.as_ref()),
        _ => None,
    });
    let is_traceparent = |text: &&str| {
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        lengths == [2, 32, 16, 2] && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'))
    };
    attribute.map(|attribute| attribute.value.as_str()).or(field).filter(is_traceparent).map(SmolStr::new)
}
