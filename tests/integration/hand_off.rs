//! The hand-off to a sender: what `tests/hand_off.sql` says, and what it cannot say about many senders at once.

mod chaos;
mod claimers;
mod commands;
mod examples;
mod fairness;
mod groups;
mod pauses;
mod poison;
mod role;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sqlx::{PgConnection, Row as _};

use crate::stack::Database;

/// A number that a long form sets by a variable.
fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// A source of chance, by a seed that is printed and can be given.
fn chance() -> StdRng {
    let seed = std::env::var("HAND_OFF_SEED").map_or_else(|_| rand::random(), |text| text.parse().expect("HAND_OFF_SEED is a number"));
    println!("HAND_OFF_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Tenants `t0`, `t1` ... with clients `c0`, `c1` ... each, whose deliveries are tried so often, a second apart.
async fn with_tenants(tenants: usize, clients: usize, attempts: usize) -> Database {
    let database = Database::create().await;
    let (last_tenant, last_client) = (tenants - 1, clients - 1);
    let statements = format!(
        "insert into tenant (tenant_id, name) select 't' || t, 't' from generate_series(0, {last_tenant}) t;
         insert into event_type (tenant_id, event_type) select tenant_id, 'e' from tenant;
         insert into event_schema (tenant_id, event_type, schema_version, bundle, digest) select tenant_id, 'e', 1, '{{}}', sha256('') from tenant;
         insert into client (tenant_id, client_id, name, retry)
         select tenant_id, 'c' || c, 'c', jsonb_build_object('schedule_ms', array_fill(1000, array[{attempts} - 1]))
         from tenant, generate_series(0, {last_client}) c"
    );
    database.execute(&statements).await;
    database
}

/// Stores events numbered from..to of one tenant, one after the other to its clients.
async fn store(database: &Database, tenant: &str, numbers: std::ops::Range<usize>, clients: usize) {
    let (from, last) = (numbers.start, numbers.end - 1);
    let statements = format!(
        "insert into message (tenant_id, source, event_id, event_type, schema_version, payload, payload_hash, queue, sqs_message_id, catalog_generation)
         select '{tenant}', '', 'e' || n, 'e', 1, to_json(n), sha256(''), 'q', 'm', 1 from generate_series({from}, {last}) n;
         insert into delivery (tenant_id, source, event_id, client_id)
         select '{tenant}', '', 'e' || n, 'c' || n % {clients} from generate_series({from}, {last}) n"
    );
    database.execute(&statements).await;
}

/// What is claimed, as pairs of the lease and the event, `tenant/event`.
async fn claim(connection: &mut PgConnection, sender: &str, batch_max: i32, lease: &str) -> Vec<(i64, String)> {
    let claim = "select lease_id, tenant_id || '/' || event_id as event from claim_deliveries($1, $2, $3::text::interval)";
    let claimed = sqlx::query(claim).bind(sender).bind(batch_max).bind(lease).fetch_all(connection).await.expect("claimed");
    claimed.iter().map(|row| (row.get("lease_id"), row.get("event"))).collect()
}

/// Completes leases; gives those that were.
async fn complete(connection: &mut PgConnection, leases: &[i64]) -> Vec<i64> {
    sqlx::query_scalar("select complete_deliveries($1)").bind(leases).fetch_all(connection).await.expect("completed")
}

/// Fails leases; gives those that were.
async fn fail(connection: &mut PgConnection, leases: &[i64]) -> Vec<i64> {
    let errors = vec!["no"; leases.len()];
    sqlx::query_scalar("select fail_deliveries($1, $2)").bind(leases).bind(errors).fetch_all(connection).await.expect("failed")
}

/// As if this much time had gone by.
async fn pass_time(database: &Database, time: &str) {
    let statements = format!(
        "update delivery set due_at = due_at - interval '{time}' where due_at < '9999-01-01';
         update delivery_mark set due_from = due_from - interval '{time}', next_from = next_from - interval '{time}'"
    );
    database.execute(&statements).await;
}
