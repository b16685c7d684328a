//! Which tenant a body names that is no event of its queue's format: for the people who look for it, and for nothing else.

use smol_str::SmolStr;

use super::fields::NAME_BYTES_MAX;
use crate::candidate::Candidate;
use crate::json::{self, Member, Node};
use crate::settings::Format;

/// The tenant, where the body can be read so far.
pub(super) fn tenant(candidate: &Candidate) -> Option<SmolStr> {
    let attribute = candidate.attributes.get("ce-tenantid").map(|attribute| attribute.value.as_str());
    let claimed = match candidate.queue.format {
        Format::Native => of_object(&candidate.body, &["tenant_id"]),
        Format::CloudEvents => attribute.map(SmolStr::new).or_else(|| of_object(&candidate.body, &["tenantid"])),
        Format::Sns => of_object(&candidate.body, &["Message"]).and_then(|text| of_object(text.as_bytes(), &["tenant_id", "tenantid"])),
        // Its events name none.
        Format::EventBridge => None,
    };
    claimed.filter(|claimed| (1..=NAME_BYTES_MAX).contains(&claimed.len()) && !claimed.contains('\0'))
}

/// The text in the first of these members that an object has.
fn of_object(text: &[u8], names: &[&str]) -> Option<SmolStr> {
    let Ok(Node::Object(members)) = json::read(text) else { return None };
    let text = |member: &Member<'_>| match &member.value {
        Node::String(text) => Some(SmolStr::new(text)),
        _ => None,
    };
    names.iter().find_map(|name| members.iter().find(|member| member.name == *name).and_then(text))
}
