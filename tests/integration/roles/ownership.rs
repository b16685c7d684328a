//! Whose the tables are, where they were made by a user who could not make roles.

use event_processor::dev::cluster::Cluster;
use tokio::task::block_in_place;

use crate::load::{assert_each_stored_once, event, send};
use crate::stack::{Database, PROCESSOR, Stack, sample_catalog};
use crate::terminal::Terminal;

const OWNERS: &str = "select distinct pg_get_userbyid(relowner)::text from pg_class where relnamespace = 'public'::regnamespace";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_another_owner_go_on_working_and_are_handed_to_the_owners_role_when_somebody_does_so() {
    let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
    let administrator = Database { url: cluster.url("postgres"), name: None };
    administrator.execute("create role app login").await;
    administrator.execute("create database events owner app").await;
    let administrator = Database { url: cluster.url("events"), name: None };
    let of_app = administrator.url.replace("postgres@", "app@");
    let terminal = Terminal::with(vec![("DATABASE_URL", of_app.clone())]);
    let migrated = terminal.run(PROCESSOR, &["migrate"]).await;
    let statements = migrated.output.split_once("have somebody run who may:\n").expect("the statements").1;
    let catalog = sample_catalog().display().to_string();
    assert_eq!(terminal.run(PROCESSOR, &["catalog", "apply", &catalog]).await.status, 0);

    let app = Database { url: of_app, name: None };
    let stack = Stack::start_on(app, &["events"]).await;
    let queue = stack.queue("events").await;
    let mut stored = 0;
    let mut check = async |has_owner_rights: bool, owner: &str| {
        let daemon = stack.daemon("events?trust=any", &[]).await;
        send(&queue, [event(&format!("event-{stored}"))]).await;
        stack.at_rest(&queue).await;
        stored += 1;
        assert_each_stored_once(&administrator, stored).await;
        assert_eq!(daemon.log().contains("works with the rights of the tables' owner"), has_owner_rights, "{}", daemon.log());
        assert_eq!(daemon.stop().await, 0);
        assert_eq!(administrator.rows(OWNERS).await, [owner]);
    };
    check(true, "app").await;

    administrator.execute(statements).await;
    administrator.execute("grant event_processor_owner, event_processor_writer, event_processor_operator to app").await;
    let migrated = terminal.run(PROCESSOR, &["migrate"]).await;
    assert_eq!((migrated.status, migrated.output.as_str()), (0, "the tables are up to date\n"));
    check(false, "app").await;

    // As the README has it.
    administrator
        .execute("grant usage, create on schema public to event_processor_owner; reassign owned by app to event_processor_owner")
        .await;
    let migrated = terminal.run(PROCESSOR, &["migrate"]).await;
    assert_eq!((migrated.status, migrated.output.as_str()), (0, "the tables are up to date\n"));
    check(false, "event_processor_owner").await;
    assert_eq!(terminal.run(PROCESSOR, &["catalog", "apply", &catalog]).await.status, 0);
}
