//! A FIFO queue as AWS has it where the embedded server has less: one receive may bring several messages of a group, in their order, and
//! nothing more of a group while one of its messages is in flight.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

struct Message {
    number: usize,
    body: String,
    visible_at: Instant,
    receives: usize,
    sent_at: String,
}

type Groups = BTreeMap<String, Vec<Message>>;

/// A server on a port of its own, with one queue; it ends with its owner.
pub struct FifoServer {
    pub url: String,
    queue: Arc<Queue>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct Queue {
    groups: Mutex<Groups>,
    deleted: Notify,
    sent: AtomicUsize,
}

impl FifoServer {
    /// With these bodies on its queue, by group, each group in its order.
    pub async fn with(bodies: BTreeMap<String, Vec<String>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let queue = Arc::<Queue>::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&queue), url.clone()));
        let server = Self { url, queue, _accepting: accepting };
        for (group, bodies) in bodies {
            for body in bodies {
                server.send(&group, body);
            }
        }
        server
    }

    /// Puts one more body on its queue, as the last of a group; gives its message's id.
    pub fn send(&self, group: &str, body: String) -> String {
        let mut groups = self.queue.groups.lock().expect("the groups");
        let number = self.queue.sent.fetch_add(1, Ordering::Relaxed);
        let sent_at = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock").as_millis().to_string();
        groups.entry(group.to_owned()).or_default().push(Message { number, body, visible_at: Instant::now(), receives: 0, sent_at });
        message_id(number)
    }

    /// Waits until every message was deleted.
    pub async fn at_rest(&self) {
        loop {
            let deleted = self.queue.deleted.notified();
            if self.queue.groups.lock().expect("the groups").values().all(Vec::is_empty) {
                return;
            }
            deleted.await;
        }
    }
}

fn message_id(number: usize) -> String {
    format!("message-{number}")
}

async fn accept(listener: TcpListener, queue: Arc<Queue>, url: String) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (queue, url) = (Arc::clone(&queue), url.clone());
        connections.spawn(async move {
            let service = service_fn(|request| queue.answer(request, &url));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Queue {
    async fn answer(&self, request: Request<Incoming>, url: &str) -> Result<Response<Full<Bytes>>, Infallible> {
        let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let body = request.into_body().collect().await.expect("a request").to_bytes();
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let reply = match target.trim_start_matches("AmazonSQS.") {
            "GetQueueUrl" => json!({"QueueUrl": format!("{url}/000000000000/events.fifo")}),
            "ReceiveMessage" => self.receive(&body).await,
            "DeleteMessageBatch" => self.each_entry(&body, |messages, position, _| _ = messages.remove(position)),
            "ChangeMessageVisibilityBatch" => self.each_entry(&body, |messages, position, entry| {
                messages[position].visible_at = Instant::now() + Duration::from_secs(entry["VisibilityTimeout"].as_u64().expect("seconds"));
            }),
            _ => json!({"Attributes": {"QueueArn": "arn:aws:sqs:us-east-1:000000000000:events.fifo", "MessageRetentionPeriod": "345600"}}),
        };
        Ok(Response::new(Full::new(Bytes::from(reply.to_string()))))
    }

    async fn receive(&self, request: &Value) -> Value {
        let deadline = Instant::now() + Duration::from_secs(request["WaitTimeSeconds"].as_u64().unwrap_or(0));
        loop {
            let messages = self.take(request);
            if !messages.is_empty() || Instant::now() >= deadline {
                return json!({"Messages": messages});
            }
            let _ = tokio::time::timeout(Duration::from_millis(20), self.deleted.notified()).await;
        }
    }

    /// Up to five of each group that has none in flight.
    fn take(&self, request: &Value) -> Vec<Value> {
        let messages_max = usize::try_from(request["MaxNumberOfMessages"].as_u64().unwrap_or(1)).expect("a small number");
        let visibility_timeout = Duration::from_secs(request["VisibilityTimeout"].as_u64().expect("seconds"));
        let now = Instant::now();
        let mut taken = Vec::new();
        let mut groups = self.groups.lock().expect("the groups");
        for (group, messages) in groups.iter_mut().filter(|(_, messages)| messages.iter().all(|message| message.visible_at <= now)) {
            let room = messages_max - taken.len();
            for message in messages.iter_mut().take(room.min(5)) {
                message.visible_at = now + visibility_timeout;
                message.receives += 1;
                taken.push(json!({
                    "MessageId": message_id(message.number),
                    "ReceiptHandle": format!("{} {group} {}", message.number, message.receives),
                    "Body": message.body,
                    "Attributes": {
                        "ApproximateReceiveCount": message.receives.to_string(),
                        "SentTimestamp": message.sent_at,
                        "MessageGroupId": group,
                        "SequenceNumber": format!("{:020}", message.number),
                    },
                }));
            }
        }
        taken
    }

    /// Does something to each message that is still there and was not received again since.
    fn each_entry(&self, request: &Value, change: impl Fn(&mut Vec<Message>, usize, &Value)) -> Value {
        let mut groups = self.groups.lock().expect("the groups");
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in request["Entries"].as_array().expect("entries") {
            let handle: Vec<&str> = entry["ReceiptHandle"].as_str().expect("a handle").split(' ').collect();
            let messages = groups.get_mut(handle[1]).expect("a group");
            let is_meant = |message: &Message| message.number.to_string() == handle[0] && message.receives.to_string() == handle[2];
            match messages.iter().position(is_meant) {
                Some(position) => {
                    change(messages, position, entry);
                    successful.push(json!({"Id": entry["Id"]}));
                }
                None => failed.push(json!({"Id": entry["Id"], "SenderFault": true, "Code": "ReceiptHandleIsInvalid"})),
            }
        }
        self.deleted.notify_waiters();
        json!({"Successful": successful, "Failed": failed})
    }
}
