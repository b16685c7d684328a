//! What SNS sends to a queue that subscribes without raw message delivery: an event in a string, in the native format or as a CloudEvent.
//! What asks to confirm a subscription is a dead letter; no URL in a message is ever fetched.

use std::borrow::Cow;

use super::fields::{constant, event_id, missing, missing_field, time, wrong_field};
use super::{Found, Kept, Unwrapped, cloudevents, native, object, within};
use smol_str::SmolStr;

use crate::event::{PayloadText, Rejection};
use crate::json::{Member, Node};

/// What every notification has.
const REQUIRED: [&str; 5] = ["Type", "MessageId", "TopicArn", "Message", "Timestamp"];

pub(super) fn read<'text>(
    text_read: &'text [u8],
    members: Vec<Member<'text>>,
    unwrapped: &'text Unwrapped,
) -> Result<Found<'text>, Rejection> {
    let is_notification = members.iter().any(|member| member.name == "Type" && member.value == Node::String("Notification".into()));
    let missing = missing(&members, &REQUIRED);
    let mut room = Some(unwrapped);
    let mut found = None;
    let mut message_id = SmolStr::default();
    let mut notification = Kept::of(text_read);
    for member in members {
        match (member.name.as_ref(), &member.value) {
            ("Type", _) => check_type(&member)?,
            ("MessageId", _) => message_id = event_id(&member)?.unwrap_or_default(),
            ("TopicArn", value) => check_topic(&member, value)?,
            ("Timestamp", _) => _ = time(&member)?,
            ("Message", Node::String(_)) => {
                // What the text of another type says is not an event.
                if let (Node::String(text), Some(room)) = (member.value, room.take().filter(|_| is_notification)) {
                    found = Some(read_message(text, room).map_err(|rejection| within("Message", rejection))?);
                }
                continue;
            }
            ("Message", Node::Null) => {}
            ("Message", _) => return Err(wrong_field(&member, "a string that holds an event")),
            _ => {}
        }
        if member.name != "Type" {
            notification.push(member);
        }
    }
    match (missing, found) {
        (None, Some(mut found)) => {
            // The same in every copy that SNS sends, which SQS's own id is not.
            if found.envelope.event_id.is_empty() {
                found.envelope.event_id = message_id;
            }
            Ok(Found { notification, ..found })
        }
        (missing, _) => Err(missing.unwrap_or_else(|| missing_field("Message"))),
    }
}

fn read_message<'text>(text: Cow<'_, str>, unwrapped: &'text Unwrapped) -> Result<Found<'text>, Rejection> {
    let Unwrapped { message, data } = unwrapped;
    let inner = message.get_or_init(|| text.into_owned()).as_bytes();
    let members = object(inner)?;
    let has = |name: &str| members.iter().any(|member| member.name == name);
    let mut found = match has("specversion") && !has("event_type") {
        true => cloudevents::structured(inner, members, None, data),
        false => native::read(inner, members),
    }?;
    // The place in the unescaped text would say nothing about the body.
    if matches!(found.envelope.payload, PayloadText::InBody(_)) {
        found.envelope.payload = PayloadText::Unwrapped(found.envelope.payload.of(inner).to_owned());
    }
    Ok(found)
}

fn check_type(member: &Member<'_>) -> Result<(), Rejection> {
    match &member.value {
        Node::String(text) if text == "SubscriptionConfirmation" || text == "UnsubscribeConfirmation" => {
            let advice = "\"Notification\"; this asks to confirm a subscription's begin or end, and its URL is never visited: confirm it \
                          yourself (`aws sns confirm-subscription`), or subscribe the queue as its owner, which needs no confirmation";
            Err(wrong_field(member, advice))
        }
        _ => constant(member, "Notification"),
    }
}

/// `arn:aws:sns:...`, in whichever partition.
fn check_topic(member: &Member<'_>, value: &Node<'_>) -> Result<(), Rejection> {
    let is_topic = |text: &str| {
        let mut parts = text.split(':');
        parts.next() == Some("arn") && parts.next().is_some_and(|partition| partition.starts_with("aws")) && parts.next() == Some("sns")
    };
    match value {
        Node::Null => Ok(()),
        Node::String(text) if is_topic(text) => Ok(()),
        _ => Err(wrong_field(member, "the ARN of an SNS topic, arn:aws:sns:...")),
    }
}
