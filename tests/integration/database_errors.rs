//! What commands say where the database is away, refuses them, or cannot be trusted.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use event_processor::database::describe;
use event_processor::dev::cluster::Cluster;
use tokio::task::block_in_place;

use crate::passwords::{begin, url_of_app};
use crate::stack::{Database, PROCESSOR, PRODUCERS, Stack, eventually, sample_catalog};
use crate::terminal::{Ended, Terminal};

/// A command on this database: how it ends.
async fn run(url: &str, line: &[&str], variables: &[(&'static str, &str)]) -> Ended {
    let mut environment = vec![("DATABASE_URL", url.to_owned())];
    environment.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
    Terminal::with(environment).run(PROCESSOR, line).await
}

/// All commands that use the database once end like this.
async fn check(url: &str, status: i32, sentence: &str) {
    let catalog = sample_catalog().display().to_string();
    for line in [&["migrate"][..], &["catalog", "apply", &catalog], &["dead-letter", "list"], &["validate", "--queue", "events"]] {
        let ended = run(url, line, &[]).await;
        assert_eq!((ended.status, ended.errors.trim_end()), (status, sentence), "{line:?}");
    }
}

/// The URL's host and port.
fn address(url: &str) -> String {
    let url = url::Url::parse(url).expect("a URL");
    format!("{}:{}", url.host_str().expect("a host"), url.port().expect("a port"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_role_or_database_is_told_in_the_words_of_postgres_and_ends_with_78() {
    let (_cluster, stack) = begin().await;
    let url = url_of_app(&stack, ":wrong");
    let at = format!("the database at {} says: ", address(&url));
    let advice = "correct user and password in DATABASE_URL, or in the password file";
    check(&url, 78, &format!("{at}password authentication failed for user \"app\" (SQLSTATE 28P01); {advice}")).await;
    let nobody = stack.database.url.replace("postgres@", "nobody@");
    check(&nobody, 78, &format!("{at}role \"nobody\" does not exist (SQLSTATE 28000); {advice}")).await;
    let nowhere = format!("{}/nowhere", stack.database.url.trim_end_matches("/postgres"));
    let advice = "create it, or correct its name in DATABASE_URL";
    check(&nowhere, 78, &format!("{at}database \"nowhere\" does not exist (SQLSTATE 3D000); {advice}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_right_is_told_in_the_words_of_postgres_and_ends_with_78() {
    let (_cluster, stack) = begin().await;
    let url = url_of_app(&stack, ":one");
    let revoke = "revoke select, insert on message, dead_letter, catalog from app; revoke all on _sqlx_migrations from app; \
                  delete from _sqlx_migrations where version = 9";
    stack.database.execute(revoke).await;
    let catalog = sample_catalog().display().to_string();
    for (line, problem) in [
        (&["dead-letter", "list"][..], "permission denied for table dead_letter"),
        (&["validate", "--queue", "events"], "permission denied for table catalog"),
        (&["catalog", "apply", &catalog], "permission denied for table catalog"),
        (&["migrate"], "permission denied for table _sqlx_migrations"),
    ] {
        let ended = run(&url, line, &[]).await;
        assert_eq!(ended.status, 78, "{line:?}: {ended:?}");
        let sentence = format!(
            "says: {problem} (SQLSTATE 42501); run `processor migrate`, which grants the roles event_processor_* what they need, or grant this to the role that DATABASE_URL names"
        );
        assert!(ended.errors.contains(&sentence), "{line:?}: {ended:?}");
    }
    stack.database.execute("grant all on _sqlx_migrations to app; grant create on schema public to app").await;
    let refused = run(&url, &["migrate"], &[]).await;
    assert!(refused.status == 78 && refused.errors.contains("migration 9 did not succeed, and nothing of it remains"), "{refused:?}");
    stack.database.execute("insert into _sqlx_migrations select 9, 'it', now(), true, '', 0").await;
    let daemon = stack.daemon("events?trust=any", &[("DATABASE_URL", &url)]).await;
    daemon.says("says: permission denied for table").await;
    assert_eq!(daemon.stop().await, 0);
}

#[tokio::test]
async fn a_database_that_is_away_is_told_with_its_address_and_what_to_do() {
    let nothing = "refuses the connection, nothing listens there; check DATABASE_URL and that Postgres runs";
    check("postgres://postgres@127.0.0.1:1/events", 69, &format!("the database at 127.0.0.1:1 {nothing}")).await;
    check("postgres://postgres@[::1]:1/events", 69, &format!("the database at [::1]:1 {nothing}")).await;
    let no_host = "is not found: no address is known for its host; check DATABASE_URL and name resolution";
    check("postgres://postgres@nowhere.invalid/events", 69, &format!("the database at nowhere.invalid:5432 {no_host}")).await;
    let no_socket = "has no socket there, or lacks a file that DATABASE_URL names; check both, and that Postgres runs";
    check("postgres:///events?host=/nowhere&user=postgres", 69, &format!("the database at /nowhere {no_socket}")).await;
    // A server of another kind.
    let stack = Stack::start(&["events"]).await;
    let url = stack.server.endpoint_url().replace("http://", "postgres://postgres@");
    check(&url, 69, &format!("the database at {} does not speak as Postgres does; check host and port in DATABASE_URL", address(&url)))
        .await;
    let daemon = stack.daemon("events?trust=any", &[("DATABASE_URL", "postgres://postgres@127.0.0.1:1/events")]).await;
    daemon.says(&format!("database: the database at 127.0.0.1:1 {nothing}")).await;
    daemon.says(&format!("catalog: cannot be read: the database {nothing}")).await;
    assert_eq!(daemon.stop().await, 0);
    let terminal = Terminal::with(stack.environment());
    let line = ["send", "--queue", "events", "--wait", "--database-url", "postgres://postgres@127.0.0.1:1/events"];
    let ended = terminal.run_on(PRODUCERS, &line, "{}").await;
    assert_eq!((ended.status, ended.errors), (69, format!("the database at 127.0.0.1:1 {nothing}\n")));
}

/// Has the server offer TLS by a certificate of this name that openssl makes, an authority's or not. None, and a message, where there is no
/// openssl.
async fn offer_tls(database: &Database, data: &Path, name: &str, constraint: &str) -> Option<()> {
    let (subject, alternative) = (format!("/CN={name}"), format!("subjectAltName=DNS:{name}"));
    let arguments = ["req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-keyout", "server.key", "-out", "server.crt"];
    let extensions = ["-subj", &subject, "-addext", &alternative, "-addext", constraint];
    let made = Command::new("openssl").args(arguments).args(extensions).current_dir(data).output();
    if !made.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: openssl makes no certificate ({made:?})");
        return None;
    }
    let owner = std::fs::metadata(data).expect("the data of Postgres");
    for file in ["server.key", "server.crt"] {
        std::os::unix::fs::chown(data.join(file), Some(owner.uid()), Some(owner.gid())).expect("handed over");
    }
    database.execute("alter system set ssl = on").await;
    database.execute("select pg_reload_conf()").await;
    Some(())
}

/// Commands on this database come to end with 69 and this sentence.
async fn says(url: &str, sentence: &str) {
    let sentence = format!("the database at {} {sentence}", address(url));
    eventually(&sentence, async || run(url, &["dead-letter", "list"], &[]).await.errors.contains(&sentence).then_some(())).await;
    check(url, 69, &sentence).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_an_unknown_issuer_and_a_wrong_name_are_told_apart() {
    let cluster = block_in_place(|| Cluster::temporary(&[])).expect("a Postgres of the test's own");
    let database = Database::on(&cluster).await;
    let url = database.url.clone();
    // An address of loopback that does not look like one.
    let as_if_remote = url.replace("127.0.0.1", "127.1");
    let at = format!("the database at {} ", address(&as_if_remote));
    let no_tls = format!("{at}offers no TLS, without which only loopback and sockets are used; set `ssl = on` there");
    check(&as_if_remote, 69, &no_tls).await;
    for mode in ["disable", "prefer", "nonsense"] {
        let ended = run(&as_if_remote, &["dead-letter", "list"], &[("PGSSLMODE", mode)]).await;
        assert_eq!((ended.status, ended.errors.trim_end()), (69, no_tls.as_str()), "PGSSLMODE={mode}");
    }
    assert_eq!(run(&url, &["dead-letter", "list"], &[("PGSSLMODE", "verify-full")]).await.status, 0, "on loopback there is no need");

    let data = database.rows("select current_setting('data_directory')").await.remove(0);
    // What is used of itself wherever the host is not loopback.
    let verified = format!("{url}?sslmode=verify-full");
    let with_authority = format!("{verified}&sslrootcert={data}/server.crt");
    let Some(()) = offer_tls(&database, Path::new(&data), "db.example.com", "basicConstraints=critical,CA:FALSE").await else { return };
    let issuer = "has a certificate whose issuer is not known here; name the authority's certificate by sslrootcert=FILE in DATABASE_URL";
    says(&verified, issuer).await;
    says(&with_authority, "has a certificate for another name; write the host in DATABASE_URL as the certificate has it").await;
    offer_tls(&database, Path::new(&data), "db.example.com", "basicConstraints=critical,CA:TRUE").await;
    let authority =
        "has a certificate that is an authority's, as openssl makes them of itself, and so proves no server; give it one without CA:TRUE";
    says(&with_authority, authority).await;
}

#[tokio::test]
async fn a_value_that_postgres_quotes_is_not_repeated() {
    let database = Database::create().await;
    for (statement, code) in [("select 'personal'::integer", "22P02"), ("do $$ begin raise 'personal'; end $$", "P0001")] {
        let refused = sqlx::raw_sql(statement).execute(&mut database.connect().await).await.expect_err("refused");
        assert!(refused.to_string().contains("personal"), "{refused}");
        assert_eq!(describe(&refused), format!("refuses a statement (SQLSTATE {code}); its own log says more"));
    }
}
