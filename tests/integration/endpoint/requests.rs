//! What requests hold, and who is waiting for an answer.

use std::time::Duration;

use serde_json::Value;

use super::Front;

/// A receive that waits for the server, also where its client breaks off.
pub(super) struct Receiving<'a>(pub(super) &'a Front);

impl<'a> Receiving<'a> {
    pub(super) fn begin(front: &'a Front) -> Self {
        let mut state = front.state();
        state.receiving += 1;
        state.receiving_peak = state.receiving_peak.max(state.receiving);
        Self(front)
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.state().receiving -= 1;
    }
}

/// The entries of a batch: id and receipt handle.
pub(super) fn entries(request: &Value) -> impl Iterator<Item = (&Value, &str)> {
    let entries = request["Entries"].as_array().into_iter().flatten();
    entries.map(|entry| (&entry["Id"], entry["ReceiptHandle"].as_str().unwrap_or_default()))
}

/// The messages of a batch that is sent: body and group.
pub(super) fn groups(request: &Value) -> impl Iterator<Item = (String, Option<String>)> {
    let entries = request["Entries"].as_array().into_iter().flatten();
    entries.filter_map(|entry| Some((entry["MessageBody"].as_str()?.to_owned(), entry["MessageGroupId"].as_str().map(str::to_owned))))
}

/// The id of the key in what SigV4 puts into `Authorization`.
pub(super) fn key_of(authorization: &str) -> Option<String> {
    let part = |name: &str| authorization.split([' ', ',']).find_map(|part| part.strip_prefix(name)).unwrap_or_default();
    let is_hex = part("Signature=").len() == 64 && part("Signature=").chars().all(|character| character.is_ascii_hexdigit());
    let is_whole = authorization.starts_with("AWS4-HMAC-SHA256 ") && part("SignedHeaders=").contains("host") && is_hex;
    let (key, scope) = part("Credential=").split_once('/')?;
    (is_whole && scope.ends_with("/sqs/aws4_request")).then(|| key.to_owned())
}

/// For how long a request, or an entry of one, hides a message.
pub(super) fn seconds(request: &Value) -> Duration {
    Duration::from_secs(request["VisibilityTimeout"].as_u64().unwrap_or_default())
}
