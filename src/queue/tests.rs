//! The wire is held against the SDK: the same requests, the same signatures, and the same meaning of every reply.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::{HttpRequest, HttpResponse};
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, HttpClient, Region, RuntimeComponents, SharedHttpClient};
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageSystemAttributeName};
use aws_smithy_async::time::StaticTimeSource;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector};
use aws_smithy_types::body::SdkBody;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::error::ClientError;
use super::lease::Lease;
use super::measure::Measure;
use super::receiving::{Receive, Received, take};
use super::settling::{Batch, BatchReply, Reply, entry};
use super::signing::{Signer, sign_at};
use super::wire::{Wire, read_reply, refusal, request_body};
use crate::candidate::QueueBinding;
use crate::settings::parse_queues;

const QUEUE_URL: &str = "http://sqs.test:4566/000000000000/events";

type Headers = &'static [(&'static str, &'static str)];

/// An answer to every request, and the last request.
#[derive(Debug, Clone)]
struct Canned {
    status: u16,
    headers: Headers,
    body: String,
    request: Arc<Mutex<Option<HttpRequest>>>,
}

impl Canned {
    fn new(status: u16, headers: Headers, body: &str) -> Self {
        Self { status, headers, body: body.to_owned(), request: Arc::default() }
    }

    fn client(&self, credentials: &Credentials, time: SystemTime) -> Client {
        let config = aws_sdk_sqs::Config::builder().behavior_version(BehaviorVersion::latest()).region(Region::from_static("eu-central-1"));
        let config = config.endpoint_url("http://sqs.test:4566").credentials_provider(credentials.clone());
        let config = config.http_client(SharedHttpClient::new(self.clone())).time_source(StaticTimeSource::new(time));
        Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
    }
}

impl HttpClient for Canned {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        *self.request.lock().expect("a request") = Some(request);
        let status = self.status.try_into().expect("a status");
        let mut response = HttpResponse::new(status, SdkBody::from(self.body.clone()));
        for (name, value) in self.headers {
            response.headers_mut().insert(*name, *value);
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

fn credentials(token: Option<&str>) -> Credentials {
    Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token.map(str::to_owned), None, "test")
}

fn lease(receipt_handle: &str) -> Lease {
    Lease::new(receipt_handle.to_owned(), None)
}

/// Asks by the SDK what the wire asks by `body`, and compares the two requests. What the SDK tells of itself is signed, too, so that it is
/// lent to the wire's request.
async fn compare(operation: &'static str, body: &str, credentials: &Credentials, time: SystemTime, ask: impl AsyncFnOnce(Client)) {
    let canned = Canned::new(200, &[], "{}");
    ask(canned.client(credentials, time)).await;
    let theirs = canned.request.lock().expect("a request").take().expect("the SDK has asked");
    let text = std::str::from_utf8(theirs.body().bytes().expect("bytes")).expect("UTF-8");
    assert_eq!(serde_json::from_str::<Value>(text).ok(), serde_json::from_str::<Value>(body).ok(), "{operation}");

    let signer = Arc::new(Signer::new(None));
    let wire = Wire::new("http://sqs.test:4566/".parse().expect("a URI"), "eu-central-1".to_owned(), signer, false, Measure::default());
    let body = Bytes::from(text.to_owned());
    let mut ours = wire.request(operation, &body);
    let authorization = theirs.headers().get("authorization").expect("signed");
    let names = authorization.split("SignedHeaders=").nth(1).and_then(|rest| rest.split(',').next()).expect("names");
    let mut lent = Vec::new();
    for name in names.split(';').filter(|name| !name.starts_with("x-amz-date") && !name.starts_with("x-amz-security-token")) {
        if !ours.headers().contains_key(name) {
            lent.push(name);
            let value = HeaderValue::from_str(theirs.headers().get(name).expect("a header")).expect("text");
            ours.headers_mut().insert(HeaderName::from_bytes(name.as_bytes()).expect("a name"), value);
        }
    }
    assert!(lent.iter().all(|name| ["content-length", "x-amz-user-agent"].contains(name) || name.starts_with("amz-sdk-")), "{lent:?}");
    sign_at(&mut ours, &body, "eu-central-1", &credentials.clone().into(), time).expect("signed");
    assert_eq!(ours.method().as_str(), theirs.method());
    assert_eq!(ours.uri().to_string(), theirs.uri());
    for name in names.split(';').chain(["authorization", "x-amz-security-token"]).filter(|name| *name != "host") {
        let value = ours.headers().get(name).map(|value| value.to_str().expect("text"));
        assert_eq!(value, theirs.headers().get(name), "{name} of {operation}");
    }
    assert_eq!(ours.headers().get("host").map(HeaderValue::as_bytes), Some(&b"sqs.test:4566"[..]));
}

#[tokio::test]
async fn requests_and_their_signatures_are_those_of_the_sdk() {
    let tokens = [None, Some("FwoGZXIvYXdzEJr//////////wEaDN+/=token=="), Some("a b"), Some("")];
    for (token, seconds) in tokens.into_iter().zip([0, 1_440_938_160, 1_790_000_000, 4_102_444_799]) {
        let (credentials, time) = (credentials(token), SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        for (messages_max, wait, visibility_timeout) in [(10, 20, 60), (1, 0, 43_200)] {
            let (wait, visibility_timeout) = (Duration::from_secs(wait), Duration::from_secs(visibility_timeout));
            let body = request_body(&Receive::new(QUEUE_URL, messages_max, wait, visibility_timeout)).expect("a body");
            let names =
                ["SentTimestamp", "ApproximateReceiveCount", "SenderId", "MessageGroupId", "SequenceNumber", "MessageDeduplicationId"];
            let names =
                names.into_iter().chain(["AWSTraceHeader", "DeadLetterQueueSourceArn"]).map(MessageSystemAttributeName::from).collect();
            compare("AmazonSQS.ReceiveMessage", &body, &credentials, time, async |client| {
                let request =
                    client.receive_message().queue_url(QUEUE_URL).max_number_of_messages(i32::try_from(messages_max).expect("few"));
                let request = request.wait_time_seconds(i32::try_from(wait.as_secs()).expect("short"));
                let request = request.visibility_timeout(i32::try_from(visibility_timeout.as_secs()).expect("short"));
                request.set_message_system_attribute_names(Some(names)).message_attribute_names("All").send().await.expect("a reply");
            })
            .await;
        }
        compare_settling(&credentials, time).await;
    }
}

async fn compare_settling(credentials: &Credentials, time: SystemTime) {
    let leases = ["AQEB+/=\"\\ü\u{1F600}".to_owned(), "b".repeat(1_000)].map(|handle| lease(&handle));
    let body = request_body(&Batch::new(QUEUE_URL, leases.iter().map(|lease| entry(lease, None)))).expect("a body");
    compare("AmazonSQS.DeleteMessageBatch", &body, credentials, time, async |client| {
        let entries = leases.iter().enumerate().map(|(position, lease)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(position.to_string()).receipt_handle(lease.receipt_handle());
            entry.build().expect("an entry")
        });
        client.delete_message_batch().queue_url(QUEUE_URL).set_entries(Some(entries.collect())).send().await.expect("a reply");
    })
    .await;
    let body = request_body(&Batch::new(QUEUE_URL, leases.iter().map(|lease| entry(lease, Some(0))))).expect("a body");
    compare("AmazonSQS.ChangeMessageVisibilityBatch", &body, credentials, time, async |client| {
        let entries = leases.iter().enumerate().map(|(position, lease)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(position.to_string()).visibility_timeout(0);
            entry.receipt_handle(lease.receipt_handle()).build().expect("an entry")
        });
        client.change_message_visibility_batch().queue_url(QUEUE_URL).set_entries(Some(entries.collect())).send().await.expect("a reply");
    })
    .await;
}

/// What both make of a message: its fields as text.
async fn messages_by_the_sdk(reply: &str) -> Option<Vec<Value>> {
    let client = Canned::new(200, &[], reply).client(&credentials(None), SystemTime::now());
    let messages = client.receive_message().queue_url(QUEUE_URL).send().await.ok()?.messages.unwrap_or_default();
    let message = |message: aws_sdk_sqs::types::Message| {
        let system = message.attributes.unwrap_or_default();
        let attributes = message.message_attributes.unwrap_or_default().into_iter();
        let attributes = attributes.map(|(name, value)| (name, json!([value.data_type, value.string_value.unwrap_or_default()])));
        json!({
            "id": message.message_id.unwrap_or_default(),
            "handle": message.receipt_handle.unwrap_or_default(),
            "body": message.body.unwrap_or_default(),
            "sender": system.get(&MessageSystemAttributeName::SenderId),
            "group": system.get(&MessageSystemAttributeName::MessageGroupId),
            "attributes": attributes.collect::<serde_json::Map<_, _>>(),
        })
    };
    Some(messages.into_iter().map(message).collect())
}

fn messages_by_the_wire(reply: &str, queue: &str) -> Option<Vec<Value>> {
    let binding = Arc::new(QueueBinding::from(&parse_queues(queue).expect("a queue")[0]));
    let received = read_reply::<Received>(reply.as_bytes()).ok()?;
    let message = |entry| {
        let message = take(&binding, entry, Instant::now());
        let candidate = &message.candidate;
        let attributes = candidate.attributes.iter().map(|(name, value)| (name.clone(), json!([value.data_type, value.value])));
        json!({
            "id": candidate.message_id,
            "handle": message.lease.receipt_handle(),
            "body": String::from_utf8_lossy(&candidate.body),
            "sender": candidate.sender_id,
            "group": candidate.message_group,
            "attributes": attributes.collect::<serde_json::Map<_, _>>(),
        })
    };
    Some(received.messages.unwrap_or_default().into_iter().map(message).collect())
}

#[tokio::test]
async fn replies_mean_what_they_mean_to_the_sdk() {
    let large = format!(r#"{{"Messages":[{{"MessageId":"1","ReceiptHandle":"a","Body":"{}"}}]}}"#, r#"\"é\\"#.repeat(200_000));
    for (reply, messages) in [
        ("", Some(0)),
        ("{}", Some(0)),
        (r#"{"Messages":[]}"#, Some(0)),
        (r#"{"Messages":null}"#, Some(0)),
        (
            r#"{"Other":{"deep":[1,{}]},"Messages":[{"Body":"b","Extra":[null],"MessageId":"1","ReceiptHandle":"a","MD5OfBody":"0"}]}"#,
            Some(1),
        ),
        (
            r#"{"Messages":[{"ReceiptHandle":"\u00e4\ud83d\ude00\/\n","MessageId":"1","Body":"{\"a\":\"\\u0041\"}","Attributes":null}]}"#,
            Some(1),
        ),
        (
            r#"{"Messages":[{"MessageId":"1","Attributes":{"SenderId":"AIDA","Unknown":"x","MessageGroupId":"g","SentTimestamp":"1"}}]}"#,
            Some(1),
        ),
        (
            r#"{"Messages":[{"MessageAttributes":{"t":{"DataType":"String","StringValue":"é","StringListValues":[]}},"Body":null}]}"#,
            Some(1),
        ),
        (r#"{"Messages":[{"Body":"a"},{"Body":"b"}], "Messages2": 1}"#, Some(2)),
        (&large, Some(1)),
        (r#"{"Messages":[{"Body":"#, None),
        ("<html>", None),
    ] {
        let ours = messages_by_the_wire(reply, "events.fifo");
        assert_eq!(ours.as_ref().map(Vec::len), messages, "{reply:.200}");
        assert_eq!(ours, messages_by_the_sdk(reply).await, "{reply:.200}");
    }
    let fair = messages_by_the_wire(r#"{"Messages":[{"Attributes":{"MessageGroupId":"acme"}}]}"#, "events").expect("a message");
    assert_eq!(fair[0]["group"], Value::Null, "the group of a standard queue's message is no place in an order");
}

#[test]
fn replies_to_batches_may_leave_out_what_is_empty() {
    for (reply, successful, refused) in [
        ("{}", vec![], vec![]),
        (r#"{"Successful":null,"Failed":[]}"#, vec![], vec![]),
        (
            r#"{"Failed":[{"Message":"m","SenderFault":true,"Code":"ReceiptHandleIsInvalid","Id":"3"},{"Id":"4","SenderFault":false,"Code":"x"}],"Successful":[{"Id":"0","x":1},{"Id":"2"}]}"#,
            vec![0, 2],
            vec![(3, "receipt_handle_invalid")],
        ),
        (r#"{"Failed":[{"SenderFault":true,"Code":"InvalidParameterValue","Id":"0"}]}"#, vec![], vec![(0, "refused")]),
    ] {
        let reply = BatchReply::from(read_reply::<Reply>(reply.as_bytes()).expect("a reply"));
        assert_eq!((reply.successful, reply.refused), (successful, refused));
    }
}

#[tokio::test]
async fn refusals_are_those_of_the_sdk() {
    const OLDER: Headers = &[("x-amzn-query-error", "AWS.SimpleQueueService.NonExistentQueue;Sender")];
    let cases: [(u16, Headers, &str); 14] = [
        (400, &[], r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}"#),
        (400, OLDER, r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"none"}"#),
        (400, &[], r#"{"__type":"com.amazon.coral.service#RequestThrottled","Message":"slow down"}"#),
        (403, &[], r#"{"__type":"com.amazonaws.sqs#OverLimit"}"#),
        (403, &[("x-amzn-errortype", "AccessDeniedException:http://internal.amazon.com/coral/")], r#"{"message":null}"#),
        (403, &[], r#"{"code":"ExpiredToken","__type":"Other","errorMessage":"it has ended"}"#),
        (500, &[], r#"{"__type":"InternalFailure","message":7}"#),
        (503, &[], ""),
        (502, &[], "<html>bad gateway</html>"),
        (429, &[], "{}"),
        (401, &[], "no"),
        (404, &[], "not found"),
        (302, &[("location", "https://login.test/")], ""),
        (200, &[], r#"{"Messages":7}"#),
    ];
    for (status, headers, body) in cases {
        let client = Canned::new(status, headers, body).client(&credentials(None), SystemTime::now());
        let theirs = ClientError::from(client.receive_message().queue_url(QUEUE_URL).send().await.expect_err("a refusal"));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        let ours = match status {
            200 => read_reply::<Received>(body.as_bytes()).map(|_| ()).expect_err("no reply"),
            _ => refusal(StatusCode::from_u16(status).expect("a status"), &map, body.as_bytes()),
        };
        assert_eq!((ours.to_string(), ours.class()), (theirs.to_string(), theirs.class()), "{status} {body}");
    }
}
