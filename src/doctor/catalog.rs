//! The catalog: whether one was applied, and whether it is what the files say.

use std::path::Path;

use sqlx::{Connection as _, PgConnection};

use super::check::Check;
use super::database::{lacks_right, refused};
use crate::audit::Audit;
use crate::catalog::directory;
use crate::catalog::publication::{PublicationError, Report, TenantReport, Undeclared, apply};
use crate::settings::QueueSetting;
use crate::snapshot::Snapshot;

const CHECK: &str = "catalog";

/// Looks at it; gives the queues that it names, where it can be read.
pub async fn check(connection: &mut PgConnection, directory: Option<&Path>, checks: &mut Vec<Check>) -> Option<Vec<QueueSetting>> {
    let snapshot = match Snapshot::load(connection, None, 0).await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            checks.push(refused(CHECK, &error));
            return None;
        }
    };
    checks.push(match snapshot.generation {
        0 => Check::wrong(CHECK, "none was applied, and until then nothing is polled; run `processor catalog apply DIR`"),
        generation => Check::well(CHECK, format_args!("generation {generation} can be read")),
    });
    if let Some(directory) = directory {
        checks.push(compare(connection, directory).await);
    }
    Some(snapshot.queues)
}

/// What an `apply` of the files would change: it is done, and undone.
async fn compare(connection: &mut PgConnection, directory: &Path) -> Check {
    const CHECK: &str = "files";
    let path = directory.display();
    let declaration = match directory::read(directory) {
        Ok(declaration) => declaration,
        Err(problems) => {
            let first = problems.first().map_or_else(String::new, ToString::to_string);
            let others = problems.len().saturating_sub(1);
            return Check::wrong(CHECK, format_args!("{first} (and {others} more); `processor catalog check {path}` tells all"));
        }
    };
    let comparing = async {
        let mut transaction = connection.begin().await?;
        let audit = Audit::new("doctor".to_owned(), "doctor", std::iter::empty());
        let report = apply(&mut transaction, &declaration, Undeclared::Stays, &audit).await;
        transaction.rollback().await?;
        report
    };
    match comparing.await {
        Ok(report) => match difference(&report) {
            None => Check::well(CHECK, format_args!("{path} is what runs")),
            Some(difference) => Check::wrong(CHECK, format_args!("{path} is not what runs: {difference}")),
        },
        Err(error @ PublicationError::PublishedVersionsChanged(_)) => {
            let told = error.to_string();
            let versions: Vec<&str> = told.lines().skip(1).map(str::trim).collect();
            Check::wrong(CHECK, format_args!("published versions are otherwise in {path}: {}; declare a new version", versions.join(", ")))
        }
        Err(PublicationError::Database(error)) if lacks_right(&error) => {
            Check::skipped(CHECK, "this role may not apply a catalog, by which files are compared; ask as one that may")
        }
        Err(PublicationError::Database(error) | PublicationError::CommitUnknown(error)) => refused(CHECK, &error),
    }
}

/// How many things differ, the first of them by name, and what to do.
fn difference(report: &Report) -> Option<String> {
    let all = |items: fn(&TenantReport) -> &Vec<_>| -> Vec<String> {
        let of_tenant =
            |tenant| items(tenant).iter().map(|item| format!("{} {item}", tenant.tenant_id).trim_start().to_owned()).collect::<Vec<_>>();
        report.tenants.iter().flat_map(of_tenant).collect()
    };
    let unapplied = [all(|tenant| &tenant.added), all(|tenant| &tenant.changed)].concat();
    let undeclared = all(|tenant| &tenant.undeclared);
    let told = |items: &[String]| match items {
        [one] => one.clone(),
        items => format!("{} and {} more", items.first().map_or("", String::as_str), items.len().saturating_sub(1)),
    };
    match (unapplied.as_slice(), undeclared.as_slice()) {
        ([], []) => None,
        ([], undeclared) => {
            Some(format!("{} is active without being there; `processor catalog apply --prune` deactivates it", told(undeclared)))
        }
        (unapplied, _) => Some(format!("{} would be new or changed; run `processor catalog apply`", told(unapplied))),
    }
}
