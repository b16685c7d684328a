//! What a request may meet.

use std::io;
use std::time::Duration;

use futures_util::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// An answer other than the server's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// 400, as SQS throttles.
    Throttled,
    /// 429, as a proxy throttles.
    TooManyRequests,
    InternalFailure,
    Unavailable,
    Denied,
    /// The key is not good any more.
    Expired,
    MissingQueue,
    /// Too many messages are in flight.
    OverLimit,
    /// The connection ends before the request is carried out.
    LoseRequest,
    /// The request is carried out, and the connection ends.
    LoseReply,
    /// The reply comes in small pieces with pauses between.
    Drip,
    /// The reply does not come until the endpoint is mended.
    Never,
    /// 200 and `{}`; the request is not carried out.
    Empty,
    /// The reply is carried out; its text breaks off.
    Truncated,
    /// Every second entry of a batch, the first among them, fails by SQS's own fault.
    FailEntries,
    /// Every second entry of a batch, the first among them, is neither carried out nor named in the reply.
    ForgetEntries,
    /// Every entry's receipt handle is said to be stale.
    RefuseHandles,
    /// Every entry is said to be carried out, and is not.
    Pretend,
    /// Each message of a reply is in it twice.
    Twice,
}

/// The connection is to end without a reply.
pub fn lost() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

/// Entries of a batch that the server does not get to see.
#[derive(Default)]
pub struct Withheld {
    successful: Vec<Value>,
    failed: Vec<Value>,
}

impl Withheld {
    pub fn put_into(self, reply: &mut Value) {
        for (list, entries) in [("Successful", self.successful), ("Failed", self.failed)] {
            if entries.is_empty() {
                continue;
            }
            match reply[list].as_array_mut() {
                Some(listed) => listed.extend(entries),
                None => reply[list] = Value::Array(entries),
            }
        }
    }
}

impl Answer {
    /// The reply to a request that is not carried out.
    pub fn instead(self) -> Option<Reply> {
        let error = |status: u16, code: &str| {
            let body = json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": "as the test wants it"});
            Some(Reply { status: StatusCode::from_u16(status).expect("a status"), body })
        };
        match self {
            Self::Throttled => error(400, "RequestThrottled"),
            Self::TooManyRequests => error(429, "TooManyRequestsException"),
            Self::InternalFailure => error(500, "InternalFailure"),
            Self::Unavailable => error(503, "ServiceUnavailable"),
            Self::Denied => error(403, "AccessDeniedException"),
            Self::Expired => error(403, "ExpiredToken"),
            Self::MissingQueue => error(400, "QueueDoesNotExist"),
            Self::OverLimit => error(403, "OverLimit"),
            Self::Empty | Self::Never => Some(Reply { status: StatusCode::OK, body: json!({}) }),
            _ => None,
        }
    }

    /// Whether it shows only in a reply that has something to tell.
    pub fn needs_content(self) -> bool {
        matches!(self, Self::LoseReply | Self::Drip | Self::Truncated | Self::Twice)
    }

    /// Takes entries out of a batch that the server is not to see.
    pub fn withhold(self, request: &mut Value) -> Withheld {
        let mut withheld = Withheld::default();
        let Some(entries) = request["Entries"].as_array_mut() else { return withheld };
        let mut number = 0;
        entries.retain(|entry| {
            number += 1;
            let failed = |code: &str, is_senders: bool| json!({"Id": entry["Id"], "Code": code, "SenderFault": is_senders});
            match self {
                Self::FailEntries if number % 2 == 1 => withheld.failed.push(failed("InternalError", false)),
                Self::ForgetEntries if number % 2 == 1 => {}
                Self::RefuseHandles => withheld.failed.push(failed("ReceiptHandleIsInvalid", true)),
                Self::Pretend => withheld.successful.push(json!({"Id": entry["Id"]})),
                _ => return true,
            }
            false
        });
        withheld
    }
}

/// A reply before it is written.
pub struct Reply {
    pub status: StatusCode,
    pub body: Value,
}

impl Reply {
    pub fn into_response(self, answer: Option<Answer>, mut mended: watch::Receiver<u32>) -> Response<Body> {
        let mut text = self.body.to_string();
        if answer == Some(Answer::Truncated) {
            text.truncate(text.len() / 2);
        }
        mended.mark_unchanged();
        let pieces: Vec<Bytes> = match answer {
            Some(Answer::Drip) => text.into_bytes().chunks(64).map(Bytes::copy_from_slice).collect(),
            _ => vec![text.into()],
        };
        let stream = futures_util::stream::iter(pieces).then(move |piece| {
            let mut mended = mended.clone();
            async move {
                match answer {
                    Some(Answer::Drip) => tokio::time::sleep(Duration::from_millis(5)).await,
                    // Without an endpoint nobody waits.
                    Some(Answer::Never) => _ = mended.changed().await,
                    _ => {}
                }
                Ok(Frame::data(piece))
            }
        });
        let response = Response::builder().status(self.status).header("content-type", "application/x-amz-json-1.0");
        response.body(StreamBody::new(stream).boxed_unsync()).expect("a response")
    }
}
