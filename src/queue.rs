//! 1. Receive from SQS; hand back to SQS. What is particular to SQS stays here: others know a message, a lease of it, and how many fit into a
//! request.

mod measure;
mod credentials;
mod error;
mod attributes;
mod lease;
mod connector;
mod connection;
mod signing;
mod wire;
mod endpoint;
mod client;
mod handle;
mod receiving;
mod settling;
mod sending;
mod permissions;

pub use attributes::QueueAttributes;
pub use client::Clients;
pub use error::ClientError;
pub use handle::{MESSAGES_PER_REQUEST_MAX, Queue};
pub use lease::{Extending, Lease};
pub use receiving::{DEAD_LETTER_SOURCE, POLL_WAIT_MAX, ReceivedMessage, poll_time_max};
pub use sending::{Outgoing, SendReply};
pub use settling::BatchReply;

#[cfg(test)]
mod tests;
