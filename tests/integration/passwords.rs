//! Passwords that change while the daemon runs, and files that hold them.

use std::os::unix::fs::PermissionsExt as _;

use event_processor::dev::cluster::Cluster;
use tokio::task::block_in_place;

use crate::load::{assert_each_stored_once, event, send};
use crate::stack::{Database, Directory, PROCESSOR, Stack, eventually, sample_catalog};
use crate::terminal::Terminal;

const QUEUES: &str = "events?trust=any";

/// A server on which the role `app` needs its password, and a stack with the sample catalog on it.
pub async fn begin() -> (Cluster, Stack) {
    let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
    let stack = Stack::start_on(Database::on(&cluster).await, &["events"]).await;
    stack.database.apply(&sample_catalog()).await;
    let role = "create role app login password 'one'; grant select, insert, update, delete on all tables in schema public to app";
    stack.database.execute(role).await;
    let hba_file = stack.database.rows("select current_setting('hba_file')").await.remove(0);
    let rules = std::fs::read_to_string(&hba_file).expect("the rules");
    std::fs::write(&hba_file, format!("host all app 127.0.0.1/32 scram-sha-256\n{rules}")).expect("written");
    stack.database.execute("select pg_reload_conf()").await;
    let url = url_of_app(&stack, ":wrong");
    eventually("the password is asked for", async || {
        let ended = Terminal::with(vec![("DATABASE_URL", url.clone())]).run(PROCESSOR, &["dead-letter", "list"]).await;
        (ended.status != 0).then_some(())
    })
    .await;
    (cluster, stack)
}

/// The database's URL for the role `app`, with this behind its name.
pub fn url_of_app(stack: &Stack, password: &str) -> String {
    stack.database.url.replace("postgres@", &format!("app{password}@"))
}

/// What this variable names is a file with the password, and the daemon goes on as soon as it has the new one.
async fn check_rotation(variable: &'static str, text: impl Fn(&Stack, &str) -> String) {
    let (_cluster, stack) = begin().await;
    let directory = Directory::create();
    let file = directory.0.join("secret");
    let write = |password: &str| {
        std::fs::write(&file, text(&stack, password)).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its owner's alone");
    };
    write("one");
    let url = if variable == "PGPASSFILE" { url_of_app(&stack, "") } else { String::new() };
    let file_name = file.display().to_string();
    let settings = [("DATABASE_URL", url.as_str()), (variable, &file_name), ("VISIBILITY_TIMEOUT", "2")];
    let daemon = stack.daemon(QUEUES, &settings).await;
    daemon.ready().await;
    let queue = stack.queue("events").await;
    send(&queue, [event("before")]).await;
    stack.at_rest(&queue).await;

    let rotate = "alter role app password 'two'; select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app'";
    stack.database.execute(rotate).await;
    send(&queue, [event("amid")]).await;
    daemon.says("says: password authentication failed for user \"app\"").await;
    write("two");
    daemon.ready().await;
    stack.at_rest(&queue).await;
    assert_each_stored_once(&stack.database, 2).await;
    assert!(!daemon.log().contains("app:"), "a password was logged");
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_rotated_in_the_file_of_the_url_needs_no_restart() {
    check_rotation("DATABASE_URL_FILE", |stack, password| url_of_app(stack, &format!(":{password}")) + "\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_rotated_in_the_password_file_needs_no_restart() {
    check_rotation("PGPASSFILE", |_, password| format!("*:*:*:app:{password}\n")).await;
}

#[tokio::test]
async fn the_file_of_the_url_is_checked_as_the_url_is() {
    let directory = Directory::create();
    directory.write("other", "mysql://someone:s3cret@db/events\n");
    directory.write("remote", "postgres://someone:s3cret@db.example.com/events?sslmode=disable\r\n");
    let name_of = |file: &str| directory.0.join(file).display().to_string();
    let form = "write a URL as postgres://user:password@host:5432/database; special characters in the password percent-encoded";
    for (file, problem) in [
        ("missing", "it cannot be read (No such file or directory (os error 2)); name a file that holds the URL"),
        ("other", form),
        ("remote", "sslmode=disable would let others on the way read or change events"),
    ] {
        let terminal = Terminal::with(vec![("DATABASE_URL_FILE", name_of(file))]);
        for line in [&["run"][..], &["migrate"], &["dev", "--queue-port", "0", "--listen-address", "127.0.0.1:0"], &["dead-letter", "list"]]
        {
            let ended = terminal.run(PROCESSOR, line).await;
            let sentence = format!("the value of DATABASE_URL_FILE (--database-url-file) is {:?}: {problem}", name_of(file));
            assert!(ended.status == 78 && ended.errors.starts_with(&sentence), "{line:?}: {ended:?}");
            assert!(!ended.errors.contains("s3cret"), "{ended:?}");
        }
    }
    let both = vec![("DATABASE_URL", "postgres://localhost/events".to_owned()), ("DATABASE_URL_FILE", name_of("other"))];
    let ended = Terminal::with(both).run(PROCESSOR, &["migrate"]).await;
    let sentence = "DATABASE_URL and DATABASE_URL_FILE are both set; keep one of them\n";
    assert_eq!((ended.status, ended.errors.as_str()), (78, sentence));
}
