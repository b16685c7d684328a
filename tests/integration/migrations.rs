//! A database that an earlier build has filled is migrated while that build goes on to write.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use event_processor::store;
use sqlx::Connection as _;
use sqlx::migrate::Migrator;

use crate::stack::{Database, eventually};

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

/// As an earlier build's `catalog apply` leaves it.
const CATALOG: &str = "
insert into tenant (tenant_id, name) values ('platform', 'Platform');
insert into event_type (tenant_id, event_type) values ('platform', 'monitor-app');
insert into event_schema (tenant_id, event_type, schema_version, bundle, digest) values ('platform', 'monitor-app', 1, '{}', sha256(''));
insert into client (tenant_id, client_id, name) values ('platform', 'client-1', 'Client 1')";

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
    database.execute(CATALOG).await;
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

/// The last migration of the build that had no senders yet, whose deliveries had a state.
const BEFORE_THE_HAND_OFF: i64 = 29;

/// What that build did for an event with one recipient, in one transaction.
const STORE_WITH_KEYS: &str = "
begin;
insert into message (
    tenant_id, source, event_id, event_type, schema_version, client_id, payload, payload_hash, queue, sqs_message_id, catalog_generation
) values ('platform', 'earlier', gen_random_uuid(), 'monitor-app', 1, 'client-1', '1', sha256('1'), 'events', 'm', 1);
insert into delivery (tenant_id, source, event_id, client_id)
select tenant_id, source, event_id, client_id from message where stored_xid = pg_current_xact_id();
commit";

#[tokio::test]
async fn deliveries_of_a_build_without_senders_are_kept_while_it_goes_on_to_store() {
    let database = Database::create_empty().await;
    migrate_to(&database, BEFORE_THE_HAND_OFF).await;
    database.execute(CATALOG).await;
    for _ in 0..4 {
        database.execute(STORE_WITH_KEYS).await;
    }
    // Somebody had a sender of his own.
    let outcomes = "update delivery d set state = n.state, attempts = 3, last_error = 'no'
         from (select event_id, (array['delivered', 'dead', 'pending', 'pending'])[row_number() over (order by event_id)] as state from delivery) n
         where d.event_id = n.event_id";
    database.execute(outcomes).await;
    let has_ended = Arc::new(AtomicBool::new(false));
    let storing = async {
        let mut stored = 4;
        while !has_ended.load(Ordering::Relaxed) {
            database.execute(STORE_WITH_KEYS).await;
            stored += 1;
        }
        stored
    };
    let migrating = async {
        store::migrate(&database.settings()).await.expect("migrated");
        has_ended.store(true, Ordering::Relaxed);
    };
    let (stored, ()) = tokio::join!(storing, migrating);
    assert_eq!(database.count("select count(*) from delivery_state").await, stored);
    let done = "select state, attempts from delivery_state where state <> 'pending' order by 1";
    assert_eq!(database.rows(done).await, ["dead | 3", "delivered | 3"]);
    assert_eq!(database.count("select count(*) from claim_deliveries('one', 1000)").await, stored - 2);
}
