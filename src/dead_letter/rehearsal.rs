//! What a replay would do: the same verdicts and comparisons, and nothing written.

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::kept::{Terms, read_open};
use super::order;
use super::replay::{Selection, due};
use super::report::Report;
use super::settling::SettlingError;
use super::verdicts::Verdicts;
use crate::progress::Progress;
use crate::settings::QueueSetting;
use crate::snapshot::Snapshot;
use crate::store::{Foresight, Settlement, TIMES_BEGUN_MAX};
use crate::validate::reject_unread;

/// Says of the open ones that are meant what would become of each by this catalog. True when it came to the end.
///
/// # Errors
/// [`SettlingError`]
pub async fn rehearse(
    connection: &mut PgConnection,
    snapshot: &Snapshot,
    configured: &[QueueSetting],
    body_bytes_max: usize,
    selection: &Selection,
    report: &mut Report,
    stop: &CancellationToken,
) -> Result<bool, SettlingError> {
    let verdicts = Verdicts::start(body_bytes_max)?;
    let due = due(connection, selection, report).await?;
    let count = |due: &[_]| u64::try_from(due.len()).unwrap_or(u64::MAX);
    let mut progress = Progress::new("tried", Some(count(&due)), None);
    let mut foresight = Foresight::default();
    let mut left = due.as_slice();
    while !left.is_empty() && !stop.is_cancelled() {
        let batch = order::batch(left);
        let ids: Vec<i64> = batch.iter().map(|due| due.dead_letter_id).collect();
        let kept = read_open(connection, &ids, &Terms { configured, of_catalog: &snapshot.queues }).await?;
        let begun = sqlx::query_file_scalar!("src/dead_letter/begun.sql", &ids, TIMES_BEGUN_MAX).fetch_all(&mut *connection).await?;
        // What a replay would not begin is not begun here either.
        let (unread, read): (Vec<_>, Vec<_>) = kept.into_iter().partition(|one| begun.contains(&one.number));
        let rejected = Settlement::Rejected(Box::new(reject_unread()));
        for one in unread {
            report.count(one.number, &rejected);
        }
        verdicts.rehearse(connection, snapshot, &mut foresight, read, report).await?;
        left = &left[batch.len()..];
        progress.show(count(&due) - count(left));
    }
    progress.end();
    Ok(left.is_empty())
}
