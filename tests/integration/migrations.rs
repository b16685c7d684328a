//! A database that an earlier build has filled is migrated while that build goes on to write.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_processor::store;
use sqlx::Connection as _;
use sqlx::migrate::Migrator;

use crate::stack::{Database, eventually, sample_catalog};

/// The last migration of the build that had Postgres make the deliveries.
const OF_THE_EARLIER_BUILD: i64 = 9;

/// What that build did for an event with one recipient, in one transaction.
const STORE: &str = "
begin;
select set_config('event_processor.makes_deliveries', 'on', true);
insert into message (
    tenant_id, source, event_id, event_type, schema_version, client_id, payload, payload_hash, queue, sqs_message_id, catalog_generation, recipients
) values ('platform', 'earlier', gen_random_uuid(), 'monitor-app', 1, 'client-1', '1', sha256('1'), 'events', 'm', 1, '{client-1}');
commit";

async fn migrate_to(database: &Database, version: i64) {
    let mut migrator = Migrator::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).await.expect("migrations");
    let earlier = migrator.migrations.iter().filter(|migration| migration.version <= version).cloned().collect::<Vec<_>>();
    migrator.migrations = earlier.into();
    let mut connection = database.connect().await;
    migrator.run_direct(None, &mut connection, false).await.expect("migrated");
    connection.close().await.expect("close");
}

/// Stores events as the earlier build did, until it is refused; gives how many it has stored, and what it was told.
async fn store_until_refused(database: &Database, has_begun: &AtomicBool) -> (i64, String) {
    let mut stored = 0;
    loop {
        let mut connection = database.connect().await;
        match sqlx::raw_sql(STORE).execute(&mut connection).await {
            Ok(_) => stored += 1,
            Err(error) => {
                let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).expect("a SQLSTATE");
                return (stored, code.into_owned());
            }
        }
        has_begun.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn the_database_of_an_earlier_build_is_migrated_beside_it_and_no_event_loses_its_deliveries() {
    let database = Database::create_empty().await;
    migrate_to(&database, OF_THE_EARLIER_BUILD).await;
    // Which this build's `apply` writes into, and that one's did not.
    database.execute(include_str!("../../migrations/0017_audit.sql")).await;
    database.apply(&sample_catalog()).await;
    database.execute("drop table audit").await;
    let columns = "queue, sqs_message_id, reason, body, attributes, queue_format, catalog_generation, receive_count";
    database
        .execute(&format!("insert into dead_letter ({columns}) values ('q', 'm', 'too_large', '', '{{\"fields\": {{}}}}', 'native', 1, 1)"))
        .await;
    let has_begun = Arc::new(AtomicBool::new(false));
    let migrating = async {
        eventually("the earlier build writes", async || has_begun.load(Ordering::Relaxed).then_some(())).await;
        store::migrate(&database.settings()).await.expect("migrated");
    };
    let ((stored, code), ()) = tokio::join!(store_until_refused(&database, &has_begun), migrating);
    // undefined_column: it pauses until it is replaced.
    assert!(stored > 0 && code == "42703", "{stored} stored, then {code}");
    assert_eq!(database.count("select count(*) from message").await, stored);
    assert_eq!(database.count("select count(*) from message join delivery using (tenant_id, source, event_id)").await, stored);
    assert_eq!(database.rows("select reason, attributes from dead_letter").await, ["too_large | {\"fields\":{}}"]);
}
