//! What the server's library does otherwise than SQS, put right.
//!
//! - A message's group is taken on standard queues, too, as SQS does since it has fair queues. It is forgotten: this server hands out in the
//!   order in which it was sent to.
//! - A receive that asks for no message, or for more than ten, is refused: the library would hand out one, or ten.

use std::pin::Pin;

use hyper::Response;
use hyper::body::Bytes;
use rustack_sqs_core::handler::RustackSqsHandler;
use rustack_sqs_http::body::SqsResponseBody;
use rustack_sqs_http::dispatch::SqsHandler;
use rustack_sqs_model::error::SqsError;
use rustack_sqs_model::operations::SqsOperation;
use serde::Deserialize;
use serde_json::Value;

const GROUP: &str = "MessageGroupId";

/// The library's handler, put right.
#[derive(Debug)]
pub struct Corrected(pub RustackSqsHandler);

/// What handlers give.
type Handling = Pin<Box<dyn Future<Output = Result<Response<SqsResponseBody>, SqsError>> + Send>>;

impl SqsHandler for Corrected {
    fn handle_operation(&self, operation: SqsOperation, body: Bytes) -> Handling {
        let body = match operation {
            SqsOperation::SendMessage | SqsOperation::SendMessageBatch => without_group(&body).unwrap_or(body),
            SqsOperation::ReceiveMessage if !asks_for_ten_at_most(&body) => {
                let refused = SqsError::invalid_parameter_value("MaxNumberOfMessages must be from 1 to 10.");
                return Box::pin(async { Err(refused) });
            }
            _ => body,
        };
        self.0.handle_operation(operation, body)
    }
}

/// A request to a standard queue without its messages' groups, where it has any.
fn without_group(body: &Bytes) -> Option<Bytes> {
    let has_group = body.windows(GROUP.len()).any(|window| window == GROUP.as_bytes());
    let mut request: Value = has_group.then(|| serde_json::from_slice(body).ok())??;
    if request["QueueUrl"].as_str().is_none_or(|url| url.strip_suffix(".fifo").is_some()) {
        return None;
    }
    request.as_object_mut()?.remove(GROUP);
    let entries = request.get_mut("Entries").and_then(Value::as_array_mut).into_iter().flatten();
    entries.filter_map(Value::as_object_mut).for_each(|entry| _ = entry.remove(GROUP));
    Some(request.to_string().into())
}

fn asks_for_ten_at_most(body: &Bytes) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Receive {
        max_number_of_messages: Option<i64>,
    }
    let asked = serde_json::from_slice::<Receive>(body).ok().and_then(|receive| receive.max_number_of_messages);
    asked.is_none_or(|messages| (1..=10).contains(&messages))
}
