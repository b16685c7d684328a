//! `{ channel = "email", from, to, subject, text }`: a mail over the event.

use lettre::message::Mailbox;

use super::fields::Fields;
use super::template::{Kind, Template};

/// A mail's settings.
#[derive(Debug)]
pub struct Email {
    /// Whose it is; no template, for the sender's operator says by the domain who may.
    pub from: Mailbox,
    /// One address, with or without a name.
    pub to: Template,
    /// One line.
    pub subject: Template,
    /// What it says.
    pub text: Template,
}

pub(super) fn parse(fields: &mut Fields<'_>) -> Option<Email> {
    let from = fields.text("from", true).and_then(|text| {
        let mailbox = text.parse().ok();
        if mailbox.is_none() {
            fields.refuse("from", "is no address; write one as \"Shop <hello@shop.example>\"");
        }
        mailbox
    });
    let [to, subject, text] = ["to", "subject", "text"].map(|name| fields.template(name, Kind::Text));
    Some(Email { from: from?, to: to?, subject: subject?, text: text? })
}

/// The domain of a mailbox, in small letters.
pub fn domain_of(mailbox: &Mailbox) -> String {
    mailbox.email.domain().to_ascii_lowercase()
}
