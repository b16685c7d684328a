//! Dead letters as JSON lines, whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sqlx::PgConnection;

use super::filter::{Filter, Page, State, matching};
use super::order::{batch, sorted};

/// Gives each open one that is meant to `print` as a line of JSON, with its body in base64, in the order in which they were sent. As few at a
/// time as a replay takes.
///
/// # Errors
/// When Postgres does not answer.
pub async fn export(connection: &mut PgConnection, filter: &Filter, mut print: impl FnMut(&str)) -> Result<(), sqlx::Error> {
    let ids = matching(connection, filter, State::Open, Page::default()).await?;
    let due = sorted(connection, &ids).await?;
    let mut left = due.as_slice();
    while !left.is_empty() {
        let ids: Vec<i64> = batch(left).iter().map(|due| due.dead_letter_id).collect();
        for row in sqlx::query_file!("src/dead_letter/export.sql", &ids).fetch_all(&mut *connection).await? {
            // A line break in JSON is white space: no text has one as it stands.
            let fields = row.fields.replace(['\n', '\r'], " ");
            let fields = fields.strip_suffix('}').unwrap_or(&fields);
            print(&format!("{fields},\"body\":\"{}\"}}", STANDARD.encode(&row.body)));
        }
        left = &left[ids.len()..];
    }
    Ok(())
}
