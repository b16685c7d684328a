//! What points at something that left the catalog, and what waits for somebody who does not come.

use sqlx::PgConnection;

use super::check::Check;
use super::database::refused;
use crate::settings::QueueSetting;

const CHECK: &str = "orphans";

/// Of one kind at most so many are told one by one.
const TOLD_MAX: usize = 5;

/// Looks for them, among the catalog's queues and these.
pub async fn check(connection: &mut PgConnection, queues: &[QueueSetting], checks: &mut Vec<Check>) {
    let bound = queues.iter().filter_map(|queue| Some((queue.name.clone(), queue.tenant.as_ref()?.to_string())));
    let (names, tenants): (Vec<String>, Vec<String>) = bound.unzip();
    let found = match sqlx::query_file!("src/doctor/orphans.sql", &names, &tenants).fetch_all(connection).await {
        Ok(found) => found,
        Err(error) => {
            checks.push(refused(CHECK, &error));
            return;
        }
    };
    if found.is_empty() {
        checks.push(Check::well(CHECK, "nothing points at what left the catalog, and no delivery is overdue"));
    }
    for of_kind in found.chunk_by(|left, right| left.kind == right.kind) {
        for one in of_kind.iter().take(TOLD_MAX) {
            checks.push(Check::wrong(CHECK, sentence(&one.kind, &one.tenant_id, &one.name)));
        }
        if let Some(more) = of_kind.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
            checks.push(Check::wrong(CHECK, format_args!("{more} more of the kind of the line above")));
        }
    }
}

fn sentence(kind: &str, tenant_id: &str, name: &str) -> String {
    match kind {
        "queue" => format!(
            "the queue {name} is bound to a tenant that is not in the catalog, and not polled; apply the tenant, or correct the binding"
        ),
        "client" => format!(
            "deliveries wait for the client {name} of {tenant_id}, which left the catalog; apply it again, or give them up by \
             `processor delivery cancel --tenant {tenant_id} --client {name}`"
        ),
        "disabled" => format!(
            "deliveries wait for the client {name} of {tenant_id}, which is disabled; `processor client list --tenant {tenant_id}` says why, \
             `client resume` ends it"
        ),
        "overdue" => format!(
            "deliveries to the client {name} of {tenant_id} are overdue by ten minutes or more; see that senders run and how fast they are"
        ),
        _ => format!(
            "the tenant {tenant_id} left the catalog and has open dead letters; apply it again and replay them, or \
             `processor dead-letter discard --tenant {tenant_id} --because TEXT`"
        ),
    }
}
