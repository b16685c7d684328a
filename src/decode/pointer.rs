//! What clients send in place of a payload that they have left in S3.

use super::reject;
use crate::candidate::Candidate;
use crate::event::{Reason, Rejection};
use crate::json::{Member, Node};

/// The first element of the array that AWS's Extended Client Libraries send, and many that follow them.
const CLASSES: [&str; 2] = ["software.amazon.payloadoffloading.PayloadS3Pointer", "com.amazon.sqs.javamessaging.MessageS3Pointer"];

/// The message attributes by which these libraries tell that the body is a pointer.
const SIZE_ATTRIBUTES: [&str; 2] = ["ExtendedPayloadSize", "SQSLargePayloadSize"];

/// Whether a body is a pointer and nothing else: `["<class>", {...}]`, `{"s3BucketName": ..., "s3Key": ...}` as .NET's client sends it, in
/// either case, or Node's `{"S3Payload": {"Bucket": ..., "Key": ...}}`.
pub(super) fn is_pointer(body: &Node<'_>) -> bool {
    match body {
        Node::Array(items) => matches!(items.as_slice(), [Node::String(class), _] if CLASSES.contains(&class.as_ref())),
        Node::Object(members) => match members.as_slice() {
            [Member { name, value: Node::Object(inner), .. }] => name == "S3Payload" && has_texts(inner, ["Bucket", "Key"]),
            [_, _] => has_texts(members, ["s3BucketName", "s3Key"]),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a body that would be the payload as it stands is a pointer: there an object may look like one and mean something else.
pub(super) fn is_pointer_for_payload(candidate: &Candidate, body: &Node<'_>) -> bool {
    let is_said = SIZE_ATTRIBUTES.iter().any(|name| candidate.attributes.contains_key(*name));
    is_pointer(body) && (is_said || matches!(body, Node::Array(_)))
}

/// What is said of one.
pub(super) fn refusal() -> Rejection {
    let advice = "the payload itself: this queue's events are stored whole, so send without the client that puts payloads into S3";
    reject(Reason::PayloadByReference, "envelope", "", advice, "pointer to S3")
}

fn has_texts(members: &[Member<'_>], names: [&str; 2]) -> bool {
    let is_text =
        |name: &str| members.iter().any(|member| member.name.eq_ignore_ascii_case(name) && matches!(member.value, Node::String(_)));
    names.into_iter().all(is_text)
}
