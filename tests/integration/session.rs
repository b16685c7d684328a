//! Connections that fail in the middle of their work: nothing is taken for stored that is not, and nothing is deleted on doubt.

use std::sync::Arc;
use std::time::Duration;

use event_processor::candidate::{Candidate, QueueBinding};
use event_processor::settings::Format;
use event_processor::snapshot::Snapshot;
use event_processor::store::{CommitError, Decided, Entry, Failure, Purpose, Session, WRITE_TIMEOUT, commit, write};
use event_processor::validate::validate;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _};

use crate::load::{Lock, assert_each_stored_once, counted, depth, event, outcomes, requests, send};
use crate::proxy::{Fault, Proxy};
use crate::stack::{Database, Stack, WRITER_LOGIN, eventually, log_in_as, sample_catalog};

/// What the writers send to commit, apart from other texts that hold the word.
const COMMIT: &str = "commit\0";

/// Long enough for whatever does answer.
const AMPLE: Duration = Duration::from_secs(30);

/// Long enough to send a request, too short for an answer that is held back.
const SHORT: Duration = Duration::from_millis(500);

fn options(proxy: &Proxy) -> PgConnectOptions {
    proxy.url.parse().expect("a URL")
}

/// Ends every other session of the database, as a failover or an administrator does.
async fn end_sessions(database: &Database) {
    let others = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    database.execute(&format!("select pg_terminate_backend(pid) {others}")).await;
    eventually("the sessions have ended", async || (database.count(&format!("select count(*) {others}")).await == 0).then_some(())).await;
}

/// T1: a begin that is given up must not swallow what is written after it.
#[tokio::test]
async fn what_is_written_after_a_begin_that_was_given_up_stays() {
    let database = Database::create().await;
    database.execute("create table note (text text); grant select, insert on note to event_processor_writer").await;
    let proxy = Proxy::before(&database.url).await;
    let mut session = Session::new(log_in_as(WRITER_LOGIN, &proxy.url).parse().expect("a URL"));
    session.run(AMPLE, |connection| Box::pin(connection.ping())).await.expect("a connection");

    proxy.trap("begin\0", Fault::StallReply);
    let given_up = session.run(SHORT, |connection| Box::pin(async { connection.execute("begin").await })).await;
    assert!(given_up.is_err(), "the reply to begin was held back");
    proxy.mend();
    let written = session.run(AMPLE, |connection| Box::pin(async { connection.execute("insert into note values ('kept')").await })).await;
    written.expect("an insert that commits by itself");

    end_sessions(&database).await;
    assert_eq!(database.rows("select text from note").await, ["kept"], "what was reported as written is gone");
}

/// T2: the driver takes ROLLBACK, the server's answer to the commit of a failed transaction, for success.
#[tokio::test]
async fn a_commit_that_the_server_turned_into_a_rollback_is_none() {
    let database = Database::create().await;
    database.execute("create table note (text text); grant select, insert on note to event_processor_writer").await;
    let mut connection = database.connect().await;
    for (statement, is_committed) in [("select 1", true), ("select 1 / 0", false)] {
        connection.execute("begin").await.expect("begin");
        connection.execute("insert into note values ('written')").await.expect("an insert");
        let xid: String = sqlx::query_scalar("select pg_current_xact_id()::text").fetch_one(&mut connection).await.expect("an xid");
        let _swallowed = connection.execute(statement).await;
        let outcome = commit(&mut connection, &xid).await;
        assert_eq!(outcome.is_ok(), is_committed, "{statement}: {outcome:?}");
        assert!(is_committed || matches!(outcome, Err(CommitError::RolledBack)), "{statement}: {outcome:?}");
    }
    assert_eq!(database.count("select count(*) from note").await, 1);
}

/// A commit of one row whose connection meets a fault: its outcome, and whether the row is there.
async fn check_commit(fault: Fault, is_there: bool) {
    let database = Database::create().await;
    database.execute("create table note (text text); grant select, insert on note to event_processor_writer").await;
    let proxy = Proxy::before(&database.url).await;
    let mut connection = sqlx::PgConnection::connect_with(&options(&proxy)).await.expect("a connection");
    connection.execute("begin").await.expect("begin");
    connection.execute("insert into note values ('written')").await.expect("an insert");
    let xid: String = sqlx::query_scalar("select pg_current_xact_id()::text").fetch_one(&mut connection).await.expect("an xid");
    proxy.trap(COMMIT, fault);
    let outcome = commit(&mut connection, &xid).await;
    assert!(matches!(outcome, Err(CommitError::Unknown(_))), "{outcome:?}");
    drop(connection);
    end_sessions(&database).await;
    assert_eq!(database.count("select count(*) from note").await, i64::from(is_there));
}

#[tokio::test]
async fn a_commit_without_an_answer_is_unknown_whether_it_happened_or_not() {
    check_commit(Fault::LoseReply, true).await;
    check_commit(Fault::LoseRequest, false).await;
}

/// The founding tenant's event as a queue hands it over, with its verdict.
async fn entry(database: &Database, body: &str) -> Entry<()> {
    let mut connection = database.connect().await;
    let snapshot = Snapshot::load(&mut connection, None, 10).await.expect("a catalog");
    let binding = QueueBinding { name: "events".to_owned(), tenant: None, trusts_any_sender: true, format: Format::Native };
    let candidate = Arc::new(Candidate { message_id: "m-1".to_owned(), ..Candidate::of_body(binding, body.into()) });
    let verdict = validate(Arc::clone(&candidate), &snapshot, 1 << 20).expect("a verdict");
    Entry { origin: (), decided: Decided::new(candidate, verdict, snapshot.generation) }
}

/// A batch whose commit meets a fault is not settled; tried again over a good connection, it is, as this.
async fn check_write(fault: Fault, deadline: Duration, expect: &str) {
    let database = Database::create().await;
    database.apply(&sample_catalog()).await;
    let proxy = Proxy::before(&database.url).await;
    let mut session = Session::new(log_in_as(WRITER_LOGIN, &proxy.url).parse().expect("a URL"));
    let batch = vec![entry(&database, &event("event-1")).await];

    proxy.trap(COMMIT, fault);
    let (failure, batch) = write(&mut session, deadline, &Purpose::Receive, batch).await.expect_err("nothing is settled");
    assert!(matches!(failure, Failure::Unknown(..)), "{failure}");
    proxy.mend();
    let settled = write(&mut session, AMPLE, &Purpose::Receive, batch).await.map_err(|(failure, _)| failure).expect("settled").settled;
    assert_eq!(settled[0].outcome().as_str(), expect);
    assert_each_stored_once(&database, 1).await;
}

#[tokio::test]
async fn a_batch_whose_commit_is_unknown_is_settled_when_it_comes_again() {
    check_write(Fault::LoseReply, AMPLE, "duplicate").await;
    check_write(Fault::LoseRequest, AMPLE, "stored").await;
    // The answer does not fail but never comes.
    check_write(Fault::StallReply, Duration::from_secs(2), "duplicate").await;
}

#[tokio::test]
async fn a_batch_that_is_given_up_before_its_commit_is_not_in_doubt() {
    let database = Database::create().await;
    database.apply(&sample_catalog()).await;
    let mut session = Session::new(database.settings_of_writer());
    let batch = vec![entry(&database, &event("event-1")).await];
    let lock = Lock::table(&database, "message").await;
    let (failure, batch) = write(&mut session, SHORT, &Purpose::Receive, batch).await.expect_err("the table is held shut");
    assert!(matches!(failure, Failure::Deadline), "{failure}");
    lock.release().await;
    let settled =
        write(&mut session, WRITE_TIMEOUT, &Purpose::Receive, batch).await.map_err(|(failure, _)| failure).expect("settled").settled;
    assert_eq!(settled[0].outcome().as_str(), "stored");
}

#[tokio::test]
async fn a_message_is_stored_with_its_deliveries_or_not_at_all() {
    let database = Database::create().await;
    database.apply(&sample_catalog()).await;
    let mut session = Session::new(database.settings_of_writer());
    let to = |client: &str| event(client).replace("\"payload\"", &format!("\"client_id\":\"{client}\",\"payload\""));
    let batch = vec![entry(&database, &to("client-1")).await, entry(&database, &to("client-2")).await];
    database.execute("create table kept as select * from client where client_id = 'client-2'").await;
    database.execute("delete from subscription where client_id = 'client-2'; delete from client where client_id = 'client-2'").await;
    let (failure, batch) = write(&mut session, AMPLE, &Purpose::Receive, batch).await.expect_err("a client is gone");
    assert!(matches!(failure, Failure::MissingReference), "{failure}");
    assert_eq!(database.count("select count(*) from message").await, 0);
    database
        .execute(
            "insert into client (tenant_id, client_id, name, retry, settings) select tenant_id, client_id, name, retry, settings from kept",
        )
        .await;
    let settled = write(&mut session, AMPLE, &Purpose::Receive, batch).await.map_err(|(failure, _)| failure).expect("settled").settled;
    assert_eq!(settled.len(), 2);
    assert_eq!(database.rows("select event_id, client_id from delivery order by 1").await, ["client-1 | client-1", "client-2 | client-2"]);
}

/// A thousand conflicts with one large event are compared within a transaction's budget, and do not keep others waiting.
#[tokio::test]
async fn what_is_too_much_to_compare_at_once_is_left_for_another_transaction() {
    let database = Database::create().await;
    database.apply(&sample_catalog()).await;
    let mut session = Session::new(database.settings_of_writer());
    let with = |event_id: &str, text: &str| event(event_id).replace("\"hello\"", &format!("\"{text}\""));
    let large = "x".repeat(900_000);
    let stored: Vec<String> = (0..12).map(|number| format!("large-{number}")).collect();
    for event_id in &stored {
        let batch = vec![entry(&database, &with(event_id, &large)).await];
        assert!(write(&mut session, AMPLE, &Purpose::Receive, batch).await.is_ok(), "stored");
    }
    let mut batch = vec![entry(&database, &event("new")).await];
    for event_id in &stored {
        batch.push(entry(&database, &with(event_id, "another")).await);
        batch.push(entry(&database, &with(event_id, &large)).await);
    }
    let first = write(&mut session, AMPLE, &Purpose::Receive, batch).await.map_err(|(failure, _)| failure).expect("settled");
    assert_eq!(first.settled[0].outcome().as_str(), "stored");
    let deferred = first.deferred.len();
    assert!((1..12).contains(&deferred), "{deferred} are left");
    let second = write(&mut session, AMPLE, &Purpose::Receive, first.deferred).await.map_err(|(failure, _)| failure).expect("settled");
    assert_eq!((second.settled.len(), second.deferred.len()), (deferred, 0));
    // All of them are one message to the queue.
    assert_eq!(database.rows("select reason from dead_letter").await, ["id_conflict"]);
    assert_eq!(database.count("select count(*) from message").await, 13);
}

/// What Postgres says of an insert condemns the event only where the event is at fault.
#[tokio::test]
async fn a_refusal_is_the_events_only_where_its_own_values_are_refused() {
    let database = Database::create().await;
    database.apply(&sample_catalog()).await;
    let mut session = Session::new(database.settings_of_writer());
    let ours = "08006 0A000 23502 23505 23P01 25006 25P03 28000 3D000 40001 40P01 42501 42703 42P01 53100 53200 53300 53400 55P03 57014 \
                57P01 57P02 57P03 57P05 58030 XX000 XX001";
    let events = [("22P05 22021 22003 23514 54000", "Refused"), ("23503", "MissingReference"), (ours, "Unavailable")];
    for (codes, expect) in events {
        for code in codes.split_whitespace() {
            let say =
                format!("create or replace function say() returns trigger language plpgsql as $$ begin raise sqlstate '{code}'; end $$");
            let trigger = "create or replace trigger say before insert on message for each row execute function say()";
            database.execute(&format!("{say}; {trigger}")).await;
            let batch = vec![entry(&database, &event(code)).await];
            let (failure, batch) = write(&mut session, AMPLE, &Purpose::Receive, batch).await.expect_err("nothing is settled");
            assert!(format!("{failure:?}").starts_with(expect), "{code}: {failure}");
            database.execute("drop trigger say on message").await;
            let settled = write(&mut session, AMPLE, &Purpose::Receive, batch)
                .await
                .map_err(|(failure, _)| failure)
                .expect("settled when it is mended")
                .settled;
            assert_eq!(settled[0].outcome().as_str(), "stored", "{code}");
        }
    }
}

/// Waits until so many sessions of the database wait for another one's rows.
async fn waiting(database: &Database, sessions: i64) {
    let sql =
        "select count(distinct pid) from pg_locks join pg_stat_activity using (pid) where datname = current_database() and not granted";
    eventually("sessions wait for rows", async || (database.count(sql).await == sessions).then_some(())).await;
}

/// T10: of two batches with the same events, one would wait for the other and the other for it, had each its own order.
#[tokio::test]
async fn batches_in_opposite_orders_do_not_deadlock() {
    let database = Database::create().await;
    database.apply(&sample_catalog()).await;
    let batch = async |event_ids: &[&str]| {
        let mut batch = Vec::new();
        for event_id in event_ids {
            batch.push(entry(&database, &event(event_id)).await);
        }
        batch
    };
    let (first, second) = (batch(&["a", "m", "z"]).await, batch(&["z", "a"]).await);
    let mut sessions = [Session::new(database.settings_of_writer()), Session::new(database.settings_of_writer())];
    let mut third = database.connect().await;
    let insert = "begin; insert into message \
         (tenant_id, source, event_id, event_type, schema_version, payload, payload_hash, queue, sqs_message_id, catalog_generation) \
         values ('platform', '', 'm', 'monitor-app', 1, 'null', sha256(''), 'events', 'm-2', 1)";
    sqlx::raw_sql(insert).execute(&mut third).await.expect("the row between the others");

    let [one, other] = &mut sessions;
    let second_follows = async {
        // Each waits before the next step, so that the steps come in this order and no other.
        waiting(&database, 1).await;
        let let_go = async {
            waiting(&database, 2).await;
            third.execute("rollback").await.expect("rollback");
        };
        tokio::join!(write(other, AMPLE, &Purpose::Receive, second), let_go).0
    };
    let (first, second) = tokio::join!(write(one, AMPLE, &Purpose::Receive, first), second_follows);
    for (settled, outcomes) in [(first, ["stored"; 3].as_slice()), (second, ["duplicate"; 2].as_slice())] {
        let settled = settled.map_err(|(failure, _)| failure).expect("settled").settled;
        assert_eq!(settled.iter().map(|settled| settled.outcome().as_str()).collect::<Vec<_>>(), outcomes);
    }
    assert_each_stored_once(&database, 3).await;
}

#[tokio::test]
async fn the_daemon_deletes_nothing_whose_commit_is_unknown() {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let proxy = Proxy::before(&stack.database.url).await;
    let daemon = stack.daemon("events?trust=any", &[("DATABASE_URL", &proxy.url)]).await;
    daemon.ready().await;

    proxy.trap(COMMIT, Fault::LoseReply);
    send(&queue, [event("event-1")]).await;
    let done = async || requests(&daemon, "release").await + requests(&daemon, "delete").await;
    eventually("the event is handed back", async || (done().await == 1).then_some(())).await;
    assert_eq!(requests(&daemon, "delete").await, 0, "deleted although nobody knows");
    assert_eq!(counted(&daemon, "commits_unknown_total", "").await, 1);
    assert_eq!(outcomes(&daemon, "released").await, 1);
    assert_eq!(depth(&queue).await, 1, "the event was deleted from the queue");
    assert_each_stored_once(&stack.database, 1).await;

    // It comes again only after half a minute and more; a second message with the same event does at once.
    proxy.mend();
    send(&queue, [event("event-1")]).await;
    eventually("the same event is a duplicate", async || (outcomes(&daemon, "duplicate").await == 1).then_some(())).await;
    eventually("the duplicate is deleted, the other stays", async || (depth(&queue).await == 1).then_some(())).await;
    assert_each_stored_once(&stack.database, 1).await;
    assert_eq!(daemon.stop().await, 0);
}
