//! Stands in for the applications that send events: bodies, and attributes beside them.

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::MessageAttributeValue;

use crate::stack::Stack;

/// A message attribute: name and value.
pub type Attribute = (String, MessageAttributeValue);

/// An attribute of a type that SQS knows by this name.
pub fn attribute(name: &str, data_type: &str, value: &str) -> Attribute {
    let value = MessageAttributeValue::builder().data_type(data_type).string_value(value).build().expect("an attribute");
    (name.to_owned(), value)
}

/// An attribute of bytes.
pub fn binary_attribute(name: &str, bytes: &[u8]) -> Attribute {
    let bytes = aws_sdk_sqs::primitives::Blob::new(bytes);
    let value = MessageAttributeValue::builder().data_type("Binary").binary_value(bytes).build().expect("an attribute");
    (name.to_owned(), value)
}

/// Where a message has its place on a FIFO queue.
pub struct Group {
    pub group: &'static str,
    pub deduplication_id: &'static str,
}

/// Sends to a stack's queues by the bare SDK.
pub struct Producer(aws_sdk_sqs::Client);

impl Producer {
    pub fn of(stack: &Stack) -> Self {
        let configuration = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(stack.server.endpoint_url())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http());
        Self(aws_sdk_sqs::Client::from_conf(configuration.build()))
    }

    /// Sends a message; gives SQS's id of it.
    pub async fn send(&self, queue: &str, body: &str, attributes: &[Attribute]) -> String {
        self.send_in(None, queue, body, attributes).await
    }

    /// Sends a message in a group, as SQS's fair queues have it.
    pub async fn send_fairly(&self, group: &str, queue: &str, body: &str) {
        let url = self.0.get_queue_url().queue_name(queue).send().await.expect("the queue is there").queue_url;
        self.0.send_message().set_queue_url(url).message_group_id(group).message_body(body).send().await.expect("sent");
    }

    /// Sends a message to its place in a group.
    pub async fn send_in(&self, group: Option<Group>, queue: &str, body: &str, attributes: &[Attribute]) -> String {
        let url = self.0.get_queue_url().queue_name(queue).send().await.expect("the queue is there").queue_url;
        let attributes = attributes.iter().cloned().collect();
        let request = self.0.send_message().set_queue_url(url).message_body(body).set_message_attributes(Some(attributes));
        let (group, deduplication_id) = group.map(|location| (location.group, location.deduplication_id)).unzip();
        let request = request.set_message_group_id(group.map(str::to_owned));
        let request = request.set_message_deduplication_id(deduplication_id.map(str::to_owned));
        let reply = request.send().await.unwrap_or_else(|error| panic!("{body:.200}: {error:?}"));
        reply.message_id.expect("an id")
    }
}
