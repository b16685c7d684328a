//! An SQS endpoint that misbehaves by script: it stands before the real queue server, counts what passes, and answers as it was told to.

mod answer;
mod counts;
mod requests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use answer::Answer;
use answer::{Body, Reply, lost};
use requests::{Receiving, entries, groups, key_of, seconds};

/// Whom the endpoint says that a body came from; none: it does not say.
pub type Sender = fn(body: &str) -> Option<&'static str>;

#[derive(Default)]
struct State {
    /// What the next requests of an operation meet, in this order.
    next: HashMap<String, VecDeque<Answer>>,
    /// What the requests of an operation meet by turns; none: the server's own answer.
    turns: HashMap<String, Vec<Option<Answer>>>,
    sender: Option<Sender>,
    trace_header: Option<&'static str>,
    in_flight_max: Option<usize>,
    requests: BTreeMap<String, usize>,
    met: BTreeMap<Answer, usize>,
    /// When a request met anything but the server's own answer.
    met_at: Vec<Instant>,
    /// How often each message was handed out, by SQS's id of it.
    handed_out: HashMap<String, usize>,
    /// SQS's id of the message, by receipt handle.
    handles: HashMap<String, String>,
    /// Until when each message that was handed out and not deleted is not visible, by SQS's id of it.
    in_flight: HashMap<String, Instant>,
    /// The most that were so at once.
    in_flight_peak: usize,
    /// Receives that wait for their reply, and the most that did so at once.
    receiving: usize,
    receiving_peak: usize,
    /// How many entries there were in batches of an operation.
    entries: HashMap<String, usize>,
    /// How often each message was extended or handed back, by SQS's id of it.
    extended: HashMap<String, usize>,
    /// How often one was that had been deleted.
    extended_late: usize,
    unsigned: usize,
    /// What was sent in batches, and in which group.
    groups: Vec<(String, Option<String>)>,
    /// The ids of the keys that requests were signed by, in the order in which they were seen first.
    keys: Vec<String>,
    refuses_old_keys: bool,
}

/// What a request is answered by.
struct Front {
    server: String,
    state: Mutex<State>,
    mended: watch::Sender<u32>,
}

/// An endpoint on a port of its own; it ends with its owner.
pub struct Endpoint {
    pub url: String,
    inner: Arc<Front>,
    _accepting: JoinSet<()>,
}

impl Endpoint {
    /// Before the queue server at a URL.
    pub async fn before(url: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = url.trim_start_matches("http://").to_owned();
        let inner = Arc::new(Front { server, state: Mutex::default(), mended: watch::Sender::new(0) });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&inner)));
        Self { url: format!("http://{address}"), inner, _accepting: accepting }
    }

    /// The next requests of an operation meet these, in this order.
    pub fn next(&self, operation: &str, answers: &[Answer]) {
        self.inner.state().next.entry(operation.to_owned()).or_default().extend(answers);
    }

    /// From now on all requests of an operation meet this.
    pub fn always(&self, operation: &str, answer: Answer) {
        self.by_turns(operation, &[Some(answer)]);
    }

    /// From now on the requests of an operation meet these by turns; none: the server's own answer.
    pub fn by_turns(&self, operation: &str, answers: &[Option<Answer>]) {
        self.inner.state().turns.insert(operation.to_owned(), answers.to_vec());
    }

    /// From now on only the key is good that was seen last.
    pub fn refuse_old_keys(&self) {
        self.inner.state().refuses_old_keys = true;
    }

    /// Forwards everything again, and lets go of those that wait for an answer.
    pub fn mend(&self) {
        let mut state = self.inner.state();
        state.next.clear();
        state.turns.clear();
        self.inner.mended.send_modify(|mended| *mended += 1);
    }

    /// Says of each body that it came from this sender.
    pub fn set_sender(&self, sender: Sender) {
        self.inner.state().sender = Some(sender);
    }

    /// Says of each message that it belongs to this trace of X-Ray's, where it is asked.
    pub fn set_trace_header(&self, trace_header: &'static str) {
        self.inner.state().trace_header = Some(trace_header);
    }

    /// Hands nothing out while so many messages are in flight.
    pub fn set_in_flight_max(&self, messages: usize) {
        self.inner.state().in_flight_max = Some(messages);
    }
}

async fn accept(listener: TcpListener, endpoint: Arc<Front>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let endpoint = Arc::clone(&endpoint);
        connections.spawn(async move {
            let service = service_fn(|request| endpoint.answer(request));
            // A connection that is broken off is what a script asks for.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Front {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the endpoint's state")
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, std::io::Error> {
        let (head, body) = request.into_parts();
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let operation = header("x-amz-target").trim_start_matches("AmazonSQS.").to_owned();
        let mut body: Value = body.collect().await.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok()).unwrap_or_default();
        *self.state().entries.entry(operation.clone()).or_default() += body["Entries"].as_array().map_or(0, Vec::len);
        self.state().groups.extend(groups(&body));
        let key = key_of(&header("authorization")).filter(|_| !header("x-amz-date").is_empty());
        let answer = self.take_answer(&operation, key);
        let mended = self.mended.subscribe();
        if let Some(reply) = answer.and_then(Answer::instead) {
            return Ok(reply.into_response(answer, mended));
        }
        if answer == Some(Answer::LoseRequest) {
            return Err(lost());
        }
        let withheld = answer.map(|answer| answer.withhold(&mut body)).unwrap_or_default();
        let receiving = (operation == "ReceiveMessage").then(|| Receiving::begin(self));
        let mut reply = self.forward(&operation, &body).await;
        drop(receiving);
        let is_idle = operation == "ReceiveMessage" && reply.body["Messages"].as_array().is_none_or(Vec::is_empty);
        let answer = answer.filter(|answer| !(is_idle && answer.needs_content() && self.give_back(&operation, *answer)));
        if reply.status == StatusCode::OK {
            withheld.put_into(&mut reply.body);
            self.observe(&operation, &body, answer, &mut reply.body);
        }
        if answer == Some(Answer::LoseReply) { Err(lost()) } else { Ok(reply.into_response(answer, mended)) }
    }

    /// What the request meets; counts it.
    fn take_answer(&self, operation: &str, key: Option<String>) -> Option<Answer> {
        let mut state = self.state();
        let number = state.requests.entry(operation.to_owned()).or_default();
        *number += 1;
        let number = *number;
        let Some(key) = key else {
            state.unsigned += 1;
            return Some(Answer::Denied);
        };
        if !state.keys.contains(&key) {
            state.keys.push(key.clone());
        }
        let is_full = state.in_flight_max.is_some_and(|max| state.in_flight() >= max);
        let next = state.next.get_mut(operation).and_then(VecDeque::pop_front);
        let scripted = next.or_else(|| state.turns.get(operation).and_then(|turns| turns[number % turns.len()]));
        let is_old = state.refuses_old_keys && state.keys.last() != Some(&key);
        let answer = match () {
            () if is_old => Some(Answer::Expired),
            () if is_full && operation == "ReceiveMessage" => Some(Answer::OverLimit),
            () => scripted,
        };
        if let Some(answer) = answer {
            state.met_at.push(Instant::now());
            *state.met.entry(answer).or_default() += 1;
        }
        answer
    }

    /// An answer that could not show itself is kept for the next request.
    fn give_back(&self, operation: &str, answer: Answer) -> bool {
        let mut state = self.state();
        *state.met.entry(answer).or_default() -= 1;
        state.met_at.pop();
        if state.turns.get(operation).is_none_or(|turns| !turns.contains(&Some(answer))) {
            state.next.entry(operation.to_owned()).or_default().push_front(answer);
        }
        true
    }

    async fn forward(&self, operation: &str, body: &Value) -> Reply {
        if body["Entries"].as_array().is_some_and(Vec::is_empty) {
            return Reply { status: StatusCode::OK, body: json!({"Successful": [], "Failed": []}) };
        }
        let stream = TcpStream::connect(&self.server).await.expect("the queue server listens");
        let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        let request = Request::post("/")
            .header("host", &self.server)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("AmazonSQS.{operation}"))
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("a request");
        let exchange = async {
            let response = client.send_request(request).await.expect("the queue server answers");
            let status = response.status();
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            Reply { status, body: serde_json::from_slice(&body).unwrap_or_else(|_| json!({})) }
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            reply = &mut exchange => reply,
            _ = connection => exchange.await,
        }
    }

    /// Counts what passes, and alters what is handed out.
    fn observe(&self, operation: &str, request: &Value, answer: Option<Answer>, reply: &mut Value) {
        let mut state = self.state();
        match operation {
            "ReceiveMessage" if !matches!(answer, Some(Answer::LoseReply | Answer::Truncated)) => {
                if answer == Some(Answer::Twice)
                    && let Some(messages) = reply["Messages"].as_array_mut()
                {
                    messages.extend(messages.clone());
                }
                let names = request["MessageSystemAttributeNames"].as_array().into_iter().flatten();
                let is_asked = names.into_iter().any(|name| name == "AWSTraceHeader");
                for message in reply["Messages"].as_array_mut().into_iter().flatten() {
                    if let Some(trace_header) = state.trace_header.filter(|_| is_asked) {
                        message["Attributes"]["AWSTraceHeader"] = json!(trace_header);
                    }
                    let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
                    *state.handed_out.entry(text("MessageId")).or_default() += 1;
                    state.handles.insert(text("ReceiptHandle"), text("MessageId"));
                    state.in_flight.insert(text("MessageId"), Instant::now() + seconds(request));
                    state.in_flight_peak = state.in_flight_peak.max(state.in_flight());
                    let Some(sender) = state.sender else { continue };
                    match sender(&text("Body")) {
                        Some(sender) => message["Attributes"]["SenderId"] = json!(sender),
                        None => _ = message["Attributes"].as_object_mut().and_then(|attributes| attributes.remove("SenderId")),
                    }
                }
            }
            "DeleteMessageBatch" => {
                let is_deleted =
                    |id: &Value| reply["Successful"].as_array().is_some_and(|deleted| deleted.iter().any(|entry| entry["Id"] == *id));
                for (_, handle) in entries(request).filter(|(id, _)| is_deleted(id)) {
                    if let Some(id) = state.handles.get(handle).cloned() {
                        state.in_flight.remove(&id);
                    }
                }
            }
            "ChangeMessageVisibilityBatch" => {
                for entry in request["Entries"].as_array().into_iter().flatten() {
                    let handle = entry["ReceiptHandle"].as_str().unwrap_or_default();
                    match state.handles.get(handle).filter(|id| state.in_flight.contains_key(*id)).cloned() {
                        Some(id) => {
                            *state.extended.entry(id.clone()).or_default() += 1;
                            state.in_flight.insert(id, Instant::now() + seconds(entry));
                        }
                        None => state.extended_late += 1,
                    }
                }
            }
            _ => {}
        }
    }
}
