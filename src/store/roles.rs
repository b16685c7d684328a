//! The roles under which the programs and the tenants' own people work, and what each may do. Roles belong to the whole cluster: they may be
//! there already, be made by another database's `migrate` at the same time, or be for somebody else to make.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, PgConnection};

/// Makes the roles where this user may, and goes on as the tables' owner where it is a member.
///
/// # Errors
/// When Postgres does not answer.
pub async fn become_owner(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    for statement in
        [include_str!("roles/make_roles.sql"), include_str!("roles/let_owner_create.sql"), include_str!("roles/become_owner.sql")]
    {
        sqlx::raw_sql(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Gives the roles what they lack. What is left to do where this user may not: statements, for somebody who may.
///
/// # Errors
/// When Postgres does not answer, or a statement waited in vain for a lock.
pub async fn grant_rights(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    grant_missing(connection).await?;
    // What the tables' owner may not the user may, whose schema it is.
    sqlx::raw_sql("reset role").execute(&mut *connection).await?;
    grant_missing(connection).await?;
    let left: Vec<String> = missing_rights(connection, None).await?.into_iter().map(|(_, statement)| statement).collect();
    Ok((!left.is_empty()).then(|| left.join("\n")))
}

/// Where one of a role's statements is refused, what comes after it may rely on it.
async fn grant_missing(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut refused = BTreeSet::new();
    for (role, statement) in missing_rights(connection, None).await? {
        if refused.contains(&role) {
            continue;
        }
        match sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await {
            Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42501" | "42704")) => _ = refused.insert(role),
            answered => _ = answered?,
        }
    }
    Ok(())
}

/// What a role lacks to be the daemon's, as statements that give it.
///
/// # Errors
/// When Postgres does not answer.
pub async fn missing_rights_of_daemon(connection: &mut PgConnection, role_name: &str) -> Result<Vec<String>, sqlx::Error> {
    Ok(missing_rights(connection, Some(role_name)).await?.into_iter().map(|(_, statement)| statement).collect())
}

/// Roles, and the statements that they lack; of a role that is named what it lacks to be the daemon's.
async fn missing_rights(connection: &mut PgConnection, of_daemon: Option<&str>) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = sqlx::query_file!("src/store/roles/missing_rights.sql", of_daemon).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.role, row.statement)).collect())
}
