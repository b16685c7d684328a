//! Mails, by the one server that the operator has named.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::claimed::Delivery;
use super::outcome::{Ending, Failed};
use crate::channel::{Email, Event, domain_of};
use crate::settings::{Domains, SmtpEncryption, SmtpUrl, WrongSetting};

/// How long the server may take for one mail, all steps together.
const MAIL_TIME_MAX: Duration = Duration::from_secs(15);

/// Answers that speak of us and not of the mail: the server wants to know who we are.
const ABOUT_US: [u16; 5] = [530, 534, 535, 538, 554];

/// Sends mails.
pub(super) struct Mails {
    transport: Option<AsyncSmtpTransport<Tokio1Executor>>,
    domains: Domains,
}

impl Mails {
    pub(super) fn new(server: Option<&SmtpUrl>, domains: Domains) -> Result<Self, WrongSetting> {
        let transport = match server.filter(|server| !server.host.is_empty()) {
            None => None,
            Some(server) => Some(transport(server)?),
        };
        Ok(Self { transport, domains })
    }

    /// Sends one.
    pub(super) async fn send(&self, mail: &Email, delivery: &Delivery, event: &Event) -> Ending {
        let message = match self.message(mail, delivery, event) {
            Ok(message) => message,
            Err(sentence) => return Ending::Failed(Failed::for_good(sentence)),
        };
        let Some(transport) = &self.transport else {
            return Ending::Failed(Failed::again("not sent: SMTP_URL is not set; set it to the server that takes mails"));
        };
        match tokio::time::timeout(MAIL_TIME_MAX, transport.send(message)).await {
            Ok(Ok(_)) => Ending::Delivered,
            Ok(Err(error)) => Ending::Failed(failed(&error)),
            Err(_) => Ending::Failed(Failed::again(format!("the mail server did not answer within {} s", MAIL_TIME_MAX.as_secs()))),
        }
    }

    fn message(&self, mail: &Email, delivery: &Delivery, event: &Event) -> Result<Message, String> {
        let domain = domain_of(&mail.from);
        if !self.domains.contain(&domain) {
            return Err(format!("settings.from is at {domain}, and SENDER_FROM_DOMAINS does not name it"));
        }
        let filled =
            |field: &str, template: &crate::channel::Template| template.render(event).map_err(|error| format!("settings.{field} {error}"));
        let to: Mailbox =
            filled("to", &mail.to)?.trim().parse().map_err(|_| "settings.to is no address once it is filled in".to_owned())?;
        let subject = filled("subject", &mail.subject)?;
        if subject.contains(char::is_control) || subject.len() > 998 {
            return Err("settings.subject is more than a line once it is filled in".to_owned());
        }
        let built = Message::builder()
            .from(mail.from.clone())
            .to(to)
            .subject(subject)
            // The same at each attempt, so that whoever gets it twice can tell.
            .message_id(Some(format!("<{}@{domain}>", delivery.webhook_id)))
            .header(ContentType::TEXT_PLAIN)
            .body(filled("text", &mail.text)?);
        built.map_err(|_| "settings make no mail: its parts do not fit together".to_owned())
    }
}

fn transport(server: &SmtpUrl) -> Result<AsyncSmtpTransport<Tokio1Executor>, WrongSetting> {
    let parameters = || {
        let parameters = TlsParameters::new(server.host.clone());
        parameters.map_err(|_| {
            WrongSetting("the value of SMTP_URL (--smtp-url) is (not shown): its host is no name that a certificate can have".to_owned())
        })
    };
    let tls = match server.encryption {
        SmtpEncryption::Whole => Tls::Wrapper(parameters()?),
        SmtpEncryption::Upgraded => Tls::Required(parameters()?),
        SmtpEncryption::None => Tls::None,
    };
    let mut builder =
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host).port(server.port).tls(tls).timeout(Some(MAIL_TIME_MAX));
    if let Some((user, password)) = &server.credentials {
        builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
    }
    Ok(builder.build())
}

/// The code alone: what a server writes beside it may repeat the address.
fn failed(error: &lettre::transport::smtp::Error) -> Failed {
    let Some(code) = error.status().map(u16::from) else {
        return Failed::again(format!("the mail server cannot be talked to ({})", kind_of(error)));
    };
    let sentence = format!("the mail server answered {code}");
    if error.is_permanent() && !ABOUT_US.contains(&code) { Failed::for_good(sentence) } else { Failed::again(sentence) }
}

fn kind_of(error: &lettre::transport::smtp::Error) -> String {
    if error.is_timeout() {
        return "it does not answer".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
