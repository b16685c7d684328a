//! The role that senders use. Roles belong to the whole cluster: it may be there already, be made by another database's `migrate` at the same
//! time, or be for somebody else to make.

use sqlx::{AssertSqlSafe, PgConnection};

/// Makes the role and grants it the functions. Gives what is left to do where this user may not: statements, for somebody who may.
///
/// # Errors
/// When Postgres does not answer.
pub async fn ensure_sender_role(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::raw_sql(include_str!("make_sender_role.sql")).execute(&mut *connection).await?;
    let schema = sqlx::query_file_scalar!("src/store/sender_role_schema.sql").fetch_one(&mut *connection).await?;
    let grants = include_str!("grant_sender_role.sql").replace("SCHEMA", &schema);
    let state = sqlx::query_file!("src/store/sender_role_state.sql").fetch_one(&mut *connection).await?;
    if state.exists && !state.is_granted {
        match sqlx::raw_sql(AssertSqlSafe(grants.clone())).execute(&mut *connection).await {
            Err(sqlx::Error::Database(_)) => {}
            granted => return granted.map(|_| None),
        }
    }
    let creation = if state.exists { "" } else { "create role event_processor_sender nologin;\n" };
    Ok((!state.is_granted).then(|| format!("{creation}{}", grants.trim_end())))
}
