//! The role that senders use, and the contract in plain SQL.

use event_processor::dev::binaries::Binaries;
use event_processor::dev::cluster::Cluster;
use event_processor::store::migrate;
use tokio::process::Command;
use tokio::task::block_in_place;

use crate::stack::{Database, PROCESSOR, sample_catalog};
use crate::terminal::Terminal;

/// Another database of the same server.
fn with_path(url: &str, name: &str) -> String {
    let mut url = url::Url::parse(url).expect("a URL");
    url.set_path(name);
    url.to_string()
}

async fn psql(database: &Database, file: &str) -> (bool, String) {
    let program = Binaries::find().expect("Postgres").program("psql");
    let file = format!("{}/tests/{file}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(program).args(["--no-psqlrc", "--file", &file, &database.url]).output().await.expect("psql starts");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn the_contract_in_plain_sql_is_kept_for_the_role() {
    let database = Database::create().await;
    database.apply(&sample_catalog()).await;
    let (is_kept, output) = psql(&database, "hand_off.sql").await;
    assert!(is_kept && output.ends_with("the contract is kept\n"), "{output}");
}

#[tokio::test]
async fn other_roles_may_not_call_any_function() {
    let database = Database::create().await;
    let role = format!("stranger_{}", uuid::Uuid::now_v7().simple());
    database.execute(&format!("create role {role}; grant usage on schema public to {role}")).await;
    let granted = format!(
        "select proname from pg_proc where pronamespace = 'public'::regnamespace and has_function_privilege('{role}', oid, 'execute')
         and (proname ~ '^delivery_' or proname ~ '_deliveries$' or proname in ('disable_client', 'report_client'))"
    );
    assert_eq!(database.rows(&granted).await, Vec::<String>::new());
    let granted = granted.replace(&role, "event_processor_sender") + " order by 1";
    let functions = [
        "claim_deliveries",
        "complete_deliveries",
        "disable_client",
        "extend_deliveries",
        "fail_deliveries",
        "release_deliveries",
        "report_client",
    ];
    assert_eq!(database.rows(&granted).await, functions);
    let unsafe_paths = "select proname from pg_proc where pronamespace = 'public'::regnamespace and prosecdef
                        and not ('search_path=public, pg_temp' = any(proconfig))";
    assert_eq!(database.rows(unsafe_paths).await, Vec::<String>::new());
    database.execute(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_migrations_at_once_of_two_databases_of_one_cluster_make_one_role() {
    let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
    let url = cluster.url("postgres");
    let one = Database { url: url.clone(), name: None };
    one.execute("create database other").await;
    let other = Database { url: with_path(&url, "other"), name: None };
    let (one_settings, other_settings) = (one.settings(), other.settings());
    let (first, second) = tokio::join!(migrate(&one_settings), migrate(&other_settings));
    for migrated in [first, second] {
        assert_eq!(migrated.expect("migrated").statements_left, None);
    }
    for database in [&one, &other] {
        let granted = "select has_function_privilege('event_processor_sender', 'complete_deliveries(bigint[])', 'execute')";
        assert_eq!(database.rows(granted).await, ["true"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_make_roles_is_told_the_statements_and_they_are_right() {
    let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
    let administrator = Database { url: cluster.url("postgres"), name: None };
    administrator.execute("create role plain login").await;
    administrator.execute("create database events owner plain").await;
    let url = with_path(&administrator.url, "events");
    let mut of_plain = url::Url::parse(&url).expect("a URL");
    of_plain.set_username("plain").expect("a user");
    let terminal = Terminal::with(vec![("DATABASE_URL", of_plain.to_string())]);
    let migrated = terminal.run(PROCESSOR, &["migrate"]).await;
    assert_eq!(migrated.status, 0, "{migrated:?}");
    let statements = migrated.output.split_once("have somebody run who may:\n").expect("the statements").1;
    assert!(statements.contains("create role event_processor_sender nologin;\ngrant usage"), "{migrated:?}");
    Database { url, name: None }.execute(statements).await;
    let again = terminal.run(PROCESSOR, &["migrate"]).await;
    assert_eq!((again.status, again.output.as_str()), (0, "the tables are up to date\n"));
}
