//! Who changed what by a command: one row for each command, written in the transactions of what it counts.

use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

/// A command that changes something, as its row in `audit` tells it.
#[derive(Debug, Clone)]
pub struct Audit {
    id: Uuid,
    operator: String,
    command: &'static str,
    arguments: Vec<String>,
}

impl Audit {
    /// A command that begins now, with the arguments behind its name, as its operator runs it. Of a database's URL nothing is kept: it may
    /// hold a password.
    pub fn new(operator: String, command: &'static str, arguments: impl Iterator<Item = String>) -> Self {
        Self { id: Uuid::now_v7(), operator, command, arguments: without_passwords(arguments) }
    }

    /// Who runs it.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// Writes what the command has done so far, this transaction included: a row at the first time, the same row from then on. To be the last
    /// statement of a transaction.
    ///
    /// # Errors
    /// When Postgres does not answer or refuses.
    pub async fn record(&self, connection: &mut PgConnection, counts: &impl Serialize, has_ended: bool) -> Result<(), sqlx::Error> {
        let counts = serde_json::to_string(counts).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        let audit_id = self.id.to_string();
        sqlx::query_file!("src/audit/record.sql", audit_id, self.operator, self.command, &self.arguments, counts, has_ended)
            .execute(connection)
            .await
            .map(|_| ())
    }

    /// Writes that the command has ended, where it has changed anything.
    ///
    /// # Errors
    /// As above.
    pub async fn end(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query_file!("src/audit/end.sql", self.id.to_string()).execute(connection).await.map(|_| ())
    }
}

/// Arguments but for the values of those that may hold a password.
fn without_passwords(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let mut is_value = false;
    let mut kept = Vec::new();
    for argument in arguments {
        let is_secret = std::mem::replace(&mut is_value, argument == "--database-url");
        kept.push(match argument.strip_prefix("--database-url=") {
            Some(_) => "--database-url=...".to_owned(),
            None if is_secret => "...".to_owned(),
            None => argument,
        });
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_kept() {
        let given = ["--all", "--database-url", "postgres://a:secret@b/c", "--database-url=postgres://a:secret@b/c", "--rate", "5"];
        let kept = without_passwords(given.into_iter().map(str::to_owned));
        assert_eq!(kept, ["--all", "--database-url", "...", "--database-url=...", "--rate", "5"]);
    }
}
