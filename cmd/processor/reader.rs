//! `processor tenant grant-reader` and `revoke-reader`.

use clap::Args;
use event_processor::output::print;
use event_processor::reader::{Granted, ReaderError, grant_reader, revoke_reader};
use event_processor::settings::{DatabaseSettings, OperatorSettings};

use crate::{Failure, audit, connect, print_json};

#[derive(Args)]
pub struct ReaderSettings {
    /// Whose rows.
    tenant: String,
    /// Which role, by its name in Postgres; a login that may do nothing else.
    role: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseSettings,
    #[command(flatten)]
    operator: OperatorSettings,
}

pub async fn grant(settings: ReaderSettings) -> Result<(), Failure> {
    let ReaderSettings { tenant, role, json, database, operator } = settings;
    let mut connection = connect(&database).await?;
    let granted = grant_reader(&mut connection, &tenant, &role, &audit(&operator, "tenant grant-reader")).await.map_err(failure)?;
    let Granted { is_new, statement_left } = granted;
    if json {
        return print_json(&serde_json::json!({
            "tenant_id": tenant, "role_name": role, "is_new": is_new, "statement_left": statement_left,
        }));
    }
    print(format_args!("role {role} reads the rows of tenant {tenant}{}", if is_new { " from now on" } else { ", as it did" }));
    if let Some(statement) = statement_left {
        print(format_args!("as soon as somebody who may has run:\n{statement};"));
    }
    Ok(())
}

pub async fn revoke(settings: ReaderSettings) -> Result<(), Failure> {
    let ReaderSettings { tenant, role, json, database, operator } = settings;
    let mut connection = connect(&database).await?;
    revoke_reader(&mut connection, &tenant, &role, &audit(&operator, "tenant revoke-reader")).await.map_err(failure)?;
    if json {
        return print_json(&serde_json::json!({ "tenant_id": tenant, "role_name": role }));
    }
    print(format_args!("role {role} reads no rows of tenant {tenant} any more"));
    Ok(())
}

fn failure(error: ReaderError) -> Failure {
    match error {
        ReaderError::Database(error) => error.into(),
        ReaderError::Group => Failure::setting(error),
        found => Failure { sentence: found.to_string(), status: 65 },
    }
}
