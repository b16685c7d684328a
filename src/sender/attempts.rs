//! One attempt at one delivery, by the channel that its client's settings choose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use serde_json::json;
use sqlx::types::time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::claimed::{ClientKey, Delivery};
use super::mail::Mails;
use super::outcome::{Ending, Failed};
use super::requests::Requests;
use super::secrets::Secrets;
use super::signature::{self, Key};
use super::traced::Traced;
use crate::channel::{Channel, Event, HeaderSetting, Http, SecretReference, Webhook};
use crate::spans::Spans;

/// For how many clients settings are kept as they were read; then all are read anew.
const KEPT_MAX: usize = 10_000;

/// Settings as they were read, or what is wrong with them.
type Read = Result<Channel, String>;

/// What attempts are made with.
pub(super) struct Attempts {
    pub(super) requests: Requests,
    pub(super) mails: Mails,
    pub(super) secrets: Secrets,
    pub(super) spans: Spans,
    pub(super) channels: Mutex<HashMap<ClientKey, (String, Arc<Read>)>>,
}

/// A request, or why there is none.
type Prepared = Result<Request<Full<Bytes>>, Failed>;

impl Attempts {
    /// Tries once; also says by which channel, for metrics.
    pub(super) async fn attempt(&self, delivery: &Delivery) -> (&'static str, Ending) {
        let traced = Traced::begin(&self.spans, delivery);
        let (channel, ending) = self.attempt_by_channel(delivery, &traced).await;
        traced.end(channel, &ending);
        (channel, ending)
    }

    async fn attempt_by_channel(&self, delivery: &Delivery, traced: &Traced) -> (&'static str, Ending) {
        let read = self.channel(delivery);
        let channel = match read.as_ref() {
            Ok(channel) => channel,
            Err(problems) => return ("unknown", Ending::Failed(Failed::for_good(problems.clone()))),
        };
        let prepared = match channel {
            Channel::Webhook(webhook) => self.webhook(webhook, delivery).await,
            Channel::Http(http) => self.http(http, delivery).await,
            Channel::Email(mail) => {
                let ending = match event(delivery) {
                    Ok(event) => self.mails.send(mail, delivery, &event).await,
                    Err(failed) => Ending::Failed(failed),
                };
                return (channel.name(), ending);
            }
        };
        let ending = match prepared {
            Ok(mut request) => {
                traced.tell(&mut request);
                self.requests.send(request).await
            }
            Err(failed) => Ending::Failed(failed),
        };
        (channel.name(), ending)
    }

    fn channel(&self, delivery: &Delivery) -> Arc<Read> {
        let mut kept = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((settings, read)) = kept.get(&delivery.client)
            && *settings == delivery.settings
        {
            return Arc::clone(read);
        }
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let read = Arc::new(read(&delivery.settings));
        kept.insert(delivery.client.clone(), (delivery.settings.clone(), Arc::clone(&read)));
        read
    }

    async fn secret(&self, delivery: &Delivery, reference: &SecretReference) -> Result<super::secrets::Secret, Failed> {
        let secret = self.secrets.get(&delivery.client.tenant_id, &reference.name).await;
        // It may be put there later.
        secret.map_err(|error| Failed::again(format!("not sent: {error}")))
    }

    async fn webhook(&self, webhook: &Webhook, delivery: &Delivery) -> Prepared {
        let mut keys = Vec::new();
        for reference in &webhook.secrets {
            let secret = self.secret(delivery, reference).await?;
            let key = Key::parse(secret.reveal()).ok_or_else(|| {
                let (name, tenant) = (&reference.name, &delivery.client.tenant_id);
                Failed::again(format!("not sent: the secret {name} of tenant {tenant} is not whsec_ and the base64 of 24 to 64 bytes"))
            })?;
            keys.push(key);
        }
        let event_type = json!(delivery.event_type);
        let received_at = json!(text_of(Some(delivery.received_at)));
        let body = format!(r#"{{"type":{event_type},"timestamp":{received_at},"data":{}}}"#, delivery.payload);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let mut request = Request::post(webhook.url.as_str())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &delivery.webhook_id)
            .header("webhook-timestamp", now);
        if !keys.is_empty() {
            request = request.header("webhook-signature", signature::header(&keys, &delivery.webhook_id, now, &body));
        }
        finish(request, body)
    }

    async fn http(&self, http: &Http, delivery: &Delivery) -> Prepared {
        let event = event(delivery)?;
        let refused = |error: crate::channel::RequestError| Failed::for_good(error.to_string());
        let mut request = Request::builder()
            .method(Method::from_bytes(http.method.as_bytes()).unwrap_or_default())
            .uri(http.url(&event).map_err(refused)?.as_str());
        let body = http.body.as_ref().map(|body| body.render(&event).map_err(refused)).transpose()?;
        let has_type = http.headers.iter().any(|(name, _)| name == CONTENT_TYPE.as_str());
        if http.body.as_ref().is_some_and(crate::channel::Body::is_json) && !has_type {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, setting) in &http.headers {
            let value = match setting {
                HeaderSetting::Text(template) => {
                    let text = Http::header(name, template, &event).map_err(refused)?;
                    HeaderValue::from_str(&text).ok()
                }
                HeaderSetting::Secret(reference) => {
                    let secret = self.secret(delivery, reference).await?;
                    let value = HeaderValue::from_str(&format!("{}{}", reference.prefix, secret.reveal())).ok();
                    value.map(|mut value| {
                        value.set_sensitive(true);
                        value
                    })
                }
            };
            let value =
                value.ok_or_else(|| Failed::again(format!("not sent: settings.headers.{name} names a secret that no header can have")))?;
            request = request.header(HeaderName::from_bytes(name.as_bytes()).map_err(|_| no_request())?, value);
        }
        finish(request, body.unwrap_or_default())
    }
}

fn finish(request: hyper::http::request::Builder, body: String) -> Prepared {
    let agent = concat!("event-processor/", env!("CARGO_PKG_VERSION"));
    let has_agent = request.headers_ref().is_some_and(|headers| headers.contains_key(USER_AGENT));
    let request = if has_agent { request } else { request.header(USER_AGENT, agent) };
    request.body(Full::new(body.into())).map_err(|_| no_request())
}

fn no_request() -> Failed {
    Failed::for_good("settings make no request: the URL or a header cannot be sent")
}

/// What is wrong with settings is said in one sentence.
fn read(settings: &str) -> Read {
    let Ok(serde_json::Value::Object(table)) = serde_json::from_str(settings) else { return Err("settings are no table".to_owned()) };
    if table.is_empty() {
        return Err("the client has no settings, so there is nowhere to deliver to; say in tenant.toml where".to_owned());
    }
    Channel::parse(&table).map_err(|problems| {
        let sentences = problems.iter().map(|problem| format!("settings.{} {}", problem.field, problem.sentence));
        sentences.collect::<Vec<_>>().join("; ")
    })
}

/// A time as the conventions want it.
fn text_of(time: Option<OffsetDateTime>) -> Option<String> {
    time.and_then(|time| time.format(&Rfc3339).ok())
}

/// What templates are over.
fn event(delivery: &Delivery) -> Result<Event, Failed> {
    let unread = |_| Failed::for_good("the event's payload cannot be read by templates");
    let payload: serde_json::Value = serde_json::from_str(&delivery.payload).map_err(unread)?;
    let attributes: serde_json::Value = serde_json::from_str(&delivery.attributes).map_err(unread)?;
    Ok(Event::new(&json!({
        "tenant_id": &*delivery.client.tenant_id,
        "client_id": &*delivery.client.client_id,
        "source": delivery.source,
        "event_id": delivery.event_id,
        "event_type": delivery.event_type,
        "schema_version": delivery.schema_version,
        "subject": delivery.subject,
        "occurred_at": text_of(delivery.occurred_at),
        "received_at": text_of(Some(delivery.received_at)),
        "payload": payload,
        "attributes": attributes,
        "webhook_id": delivery.webhook_id,
        "attempt": delivery.attempt,
    })))
}
