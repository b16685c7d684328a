//! How often a message was begun without having ended (`poison_attempt`): committed before it is validated and cleared with its verdict, so
//! that one which ends the process is known by it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;

use super::batch::Decided;
use super::failure::SessionError;
use super::session::Session;
use crate::candidate::Candidate;

/// Beside the batches, and short.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// A message that was begun so often without an end is not begun again.
pub const TIMES_BEGUN_MAX: i32 = 3;

/// Above this, a message is counted before it is validated. Fewer receives are everyday.
pub const RECEIVES_TRUSTED_MAX: i32 = 3;

/// Counts that a message is begun; gives how often it now was without having ended.
///
/// # Errors
/// When the database does not say that it has counted.
pub async fn begin_poison_attempt(session: &mut Session, candidate: &Candidate) -> Result<i32, SessionError> {
    let (queue, message_id) = (candidate.queue.name.clone(), candidate.message_id.clone());
    let begin = session.run(ATTEMPT_TIMEOUT, |connection| {
        Box::pin(
            async move { sqlx::query_file_scalar!("src/store/begin_poison_attempt.sql", queue, message_id).fetch_one(connection).await },
        )
    });
    begin.await
}

/// Counts, all at once, that those of the messages are begun which were not begun before without having ended; says of each whether it was
/// counted.
///
/// # Errors
/// As above.
pub async fn begin_poison_attempts(session: &mut Session, candidates: &[Arc<Candidate>]) -> Result<Vec<bool>, SessionError> {
    let (queues, message_ids) = columns(candidates);
    let begin = session.run(ATTEMPT_TIMEOUT, |connection| {
        Box::pin(async move {
            let counted = sqlx::query_file!("src/store/begin_poison_attempts.sql", &queues, &message_ids).fetch_all(connection).await?;
            Ok(counted.into_iter().map(|row| (row.queue, row.sqs_message_id)).collect::<BTreeSet<_>>())
        })
    });
    let counted = begin.await?;
    Ok(candidates.iter().map(|candidate| counted.contains(&(candidate.queue.name.clone(), candidate.message_id.clone()))).collect())
}

/// Takes back that messages were begun: they have ended, and not with a verdict.
///
/// # Errors
/// As above.
pub async fn end_poison_attempts(session: &mut Session, candidates: &[Arc<Candidate>]) -> Result<(), SessionError> {
    let (queues, message_ids) = columns(candidates);
    let end = session.run(ATTEMPT_TIMEOUT, |connection| {
        Box::pin(async move {
            sqlx::query_file!("src/store/end_poison_attempts.sql", &queues, &message_ids).execute(connection).await.map(|_| ())
        })
    });
    end.await
}

/// What has its verdict is counted no more. Looked for only where a message came again: none is counted at its first receive.
pub async fn clear_poison_attempts(connection: &mut PgConnection, batch: &[&Decided]) -> Result<(), sqlx::Error> {
    let again = batch.iter().map(|decided| &decided.candidate).filter(|candidate| candidate.receive_count > 1);
    let keys: BTreeSet<_> = again.map(|candidate| (candidate.queue.name.as_str(), candidate.message_id.as_str())).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let (queues, message_ids): (Vec<&str>, Vec<&str>) = keys.into_iter().unzip();
    sqlx::query_file!("src/store/clear_poison_attempts.sql", &queues as _, &message_ids as _).execute(connection).await?;
    Ok(())
}

fn columns(candidates: &[Arc<Candidate>]) -> (Vec<String>, Vec<String>) {
    candidates.iter().map(|candidate| (candidate.queue.name.clone(), candidate.message_id.clone())).unzip()
}
