//! Messages that were received often: counted as begun before they are judged, so that one which ends the process is known by it.

use std::time::Duration;

use super::Session;
use super::session::SessionError;
use crate::queue::ReceivedMessage;

/// Beside the batches, and short.
const SUSPECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A message that was begun so often without an end is not begun again.
pub const TIMES_BEGUN_MAX: i32 = 3;

/// Above this, a message is counted before it is judged. Fewer receives are everyday.
pub const RECEIVES_TRUSTED_MAX: i32 = 3;

/// Counts that a message is begun; gives how often it now was without having ended.
///
/// # Errors
/// When the database does not say that it has counted.
pub async fn begin_suspect(session: &mut Session, message: &ReceivedMessage) -> Result<i32, SessionError> {
    let (queue, sqs_message_id) = key(message);
    let begin = session.run(SUSPECT_TIMEOUT, |connection| {
        Box::pin(async move { sqlx::query_file_scalar!("src/store/begin_suspect.sql", queue, sqs_message_id).fetch_one(connection).await })
    });
    begin.await
}

/// Takes back that a message was begun: it has ended, and not with a verdict.
///
/// # Errors
/// As above.
pub async fn end_suspect(session: &mut Session, message: &ReceivedMessage) -> Result<(), SessionError> {
    let (queue, sqs_message_id) = key(message);
    let end = session.run(SUSPECT_TIMEOUT, |connection| {
        Box::pin(async move { sqlx::query_file!("src/store/end_suspect.sql", queue, sqs_message_id).execute(connection).await.map(|_| ()) })
    });
    end.await
}

fn key(message: &ReceivedMessage) -> (String, String) {
    (message.queue.name.clone(), message.sqs_message_id.clone())
}
