//! Who reads a tenant's rows: logins of the tenant's own people. A row of `tenant_reader` binds each to its tenants, which the policies of the
//! tables ask by the name of the role.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::audit::Audit;

/// Why a role does not become a reader.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// Of the tenant's name there is none.
    #[error("there is no tenant {0:?}; `processor tenant list` shows which there are")]
    Tenant(String),
    /// Of the role's name there is none.
    #[error("there is no role {0:?}; make it first by `create role NAME login`, in Postgres")]
    Role(String),
    /// It would see other tenants' rows all the same.
    #[error("the role {role:?} {harm}; name a login that may do nothing else")]
    Harm {
        /// Which role.
        role: String,
        /// What it is or may.
        harm: String,
    },
    /// `migrate` could not make it.
    #[error("the role event_processor_reader is not there; run `processor migrate`, which makes it or prints the statements that do")]
    Group,
    /// It was no reader of that tenant's.
    #[error("the role {role:?} is no reader of tenant {tenant_id:?}; `select * from tenant_reader` shows who is")]
    Nothing {
        /// Which role.
        role: String,
        /// Whose rows.
        tenant_id: String,
    },
    /// Postgres does not answer.
    #[error("the database {}", crate::database::describe(.0))]
    Database(#[from] sqlx::Error),
}

/// A role that reads a tenant's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Whether it did not before.
    pub is_new: bool,
    /// What is left to do for somebody who may, where this user may not make the role a member of the readers' group.
    pub statement_left: Option<String>,
}

/// Lets a role read a tenant's rows, beside those of the tenants whose rows it reads already.
///
/// # Errors
/// [`ReaderError`].
pub async fn grant_reader(connection: &mut PgConnection, tenant_id: &str, role: &str, audit: &Audit) -> Result<Granted, ReaderError> {
    let found = sqlx::query_file!("src/reader/role.sql", tenant_id, role).fetch_one(&mut *connection).await?;
    if !found.is_tenant {
        return Err(ReaderError::Tenant(tenant_id.to_owned()));
    }
    if !found.is_role {
        return Err(ReaderError::Role(role.to_owned()));
    }
    if let Some(harm) = found.harm {
        return Err(ReaderError::Harm { role: role.to_owned(), harm });
    }
    if !found.has_group {
        return Err(ReaderError::Group);
    }
    let mut transaction = connection.begin().await?;
    let granted = sqlx::query_file!("src/reader/grant.sql", tenant_id, role).execute(&mut *transaction).await?.rows_affected();
    audit.record(&mut transaction, &BTreeMap::from([("readers", granted)]), true).await?;
    transaction.commit().await?;
    let statement_left = if found.is_reader { None } else { make_member(connection, found.statement).await? };
    Ok(Granted { is_new: granted > 0, statement_left })
}

/// By the user's own right: those who run commands have none over roles. A member that no row binds reads nothing, so this comes last.
async fn make_member(connection: &mut PgConnection, statement: String) -> Result<Option<String>, sqlx::Error> {
    sqlx::raw_sql("reset role").execute(&mut *connection).await?;
    match sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(connection).await {
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => Ok(Some(statement)),
        answered => answered.map(|_| None),
    }
}

/// Keeps a tenant's rows from a role that read them.
///
/// # Errors
/// [`ReaderError`].
pub async fn revoke_reader(connection: &mut PgConnection, tenant_id: &str, role: &str, audit: &Audit) -> Result<(), ReaderError> {
    let mut transaction = connection.begin().await?;
    let revoked = sqlx::query_file!("src/reader/revoke.sql", tenant_id, role).execute(&mut *transaction).await?.rows_affected();
    if revoked == 0 {
        return Err(ReaderError::Nothing { role: role.to_owned(), tenant_id: tenant_id.to_owned() });
    }
    audit.record(&mut transaction, &BTreeMap::from([("readers", revoked)]), true).await?;
    transaction.commit().await?;
    Ok(())
}
