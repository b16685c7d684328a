//! `processor doctor` finds what was set up wrongly, says what to do about it, and says nothing else of a good set-up.

mod changes;
mod settings;

use event_processor::dev::cluster::Cluster;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::task::block_in_place;

use crate::endpoint::{Answer, Endpoint};
use crate::load::catalog_of_acme;
use crate::pooler::Pooler;
use crate::stack::{Database, Directory, PROCESSOR, Stack, eventually, patience, sample_catalog};
use crate::terminal::{Ended, Terminal, copy};

/// A stack whose server is the test's own, and a terminal in which the catalog's files are at hand.
struct Practice {
    cluster: Cluster,
    stack: Stack,
}

impl Practice {
    async fn start() -> Self {
        let cluster = block_in_place(|| Cluster::temporary(&["max_connections=30"])).expect("a Postgres of the test's own");
        let stack = Stack::start_on(Database::on(&cluster).await, &["events", "platform-events"]).await;
        stack.database.apply(&sample_catalog()).await;
        Self { cluster, stack }
    }

    /// In these surroundings; an empty variable is not there.
    fn terminal(&self, variables: &[(&'static str, &str)]) -> Terminal {
        let mut environment = self.stack.environment();
        environment.push(("QUEUES", "events?trust=any,platform-events=platform".to_owned()));
        for (name, value) in variables {
            environment.retain(|(other, _)| other != name);
            environment.push((name, (*value).to_owned()));
        }
        environment.retain(|(_, value)| !value.is_empty());
        let terminal = Terminal::with(environment);
        copy(&sample_catalog(), &terminal.directory.0.join("schemas"));
        terminal
    }

    async fn doctor(&self, variables: &[(&'static str, &str)]) -> Ended {
        self.terminal(variables).run(PROCESSOR, &["doctor"]).await
    }

    /// The doctor's line for this check tells this, and the exit status is this.
    async fn finds(&self, name: &str, variables: &[(&'static str, &str)], status: i32, check: &str, told: &str) {
        let found = eventually(name, async || {
            let ended = self.doctor(variables).await;
            has_line(&ended, check, told).then_some(ended)
        });
        let Ok(ended) = tokio::time::timeout(patience() / 2, found).await else {
            panic!("{name}: no line of {check} tells {told:?}: {:#?}", self.doctor(variables).await);
        };
        assert_eq!((ended.status, ended.errors.as_str()), (status, ""), "{name}: {ended:?}");
    }

    /// All is well, and no more is said.
    async fn is_quiet(&self, after: &str) {
        eventually(&format!("all is well after {after}"), async || {
            let ended = self.doctor(&[]).await;
            (ended.status == 0 && ended.output.lines().all(|line| line.starts_with("ok "))).then_some(())
        })
        .await;
    }
}

fn has_line(ended: &Ended, check: &str, told: &str) -> bool {
    let is_meant = |line: &str| !line.starts_with("ok ") && line.split_whitespace().nth(1) == Some(check) && line.contains(told);
    ended.output.lines().any(is_meant)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_good_set_up_it_says_nothing_but_that_it_is_good_and_changes_nothing() {
    let practice = Practice::start().await;
    crate::load::send(&practice.stack.queue("events").await, crate::load::events(3)).await;
    let counts = "select (select generation from catalog) as generation, (select count(*) from audit) as audited";
    let before = practice.stack.database.rows(counts).await;
    let ended = practice.doctor(&[]).await;
    let checks: Vec<&str> = ended.output.lines().filter_map(|line| line.strip_prefix("ok ")?.split_whitespace().next()).collect();
    let expected = ["settings", "database", "upkeep", "catalog", "files", "orphans", "credentials", "queue", "queue"];
    assert_eq!((ended.status, ended.errors.as_str(), checks.as_slice()), (0, "", expected.as_slice()), "{ended:?}");
    assert_eq!(ended.output.lines().count(), expected.len(), "{ended:?}");
    assert_eq!(practice.stack.database.rows(counts).await, before);
    let queue = practice.stack.queue("events").await;
    assert_eq!(crate::load::visible(&queue).await, 3, "something was received");
    let received = queue.receive(10, std::time::Duration::ZERO, std::time::Duration::from_secs(1)).await.expect("the queue answers");
    assert!(received.iter().all(|message| message.candidate.receive_count == 1), "something was received before");

    let json = practice.terminal(&[]).run(PROCESSOR, &["doctor", "--json"]).await.json();
    let is_well = |check: &Value| check["state"] == "well" && check["sentence"].is_string();
    assert!(json.as_array().is_some_and(|checks| checks.len() == expected.len() && checks.iter().all(is_well)), "{json}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_planted_misconfiguration_is_found_with_what_to_do() {
    let practice = Practice::start().await;
    practice.stack.database.execute("create database unmigrated").await;
    practice.stack.database.execute("create database latin encoding 'LATIN1' locale 'C' template template0").await;
    practice.stack.database.execute("create role newcomer login").await;
    for (name, attributes) in settings::QUEUES {
        practice.stack.clients.create_queue(name, attributes).await.expect("a queue");
    }
    let (unmigrated, latin) = (practice.cluster.url("unmigrated"), practice.cluster.url("latin"));
    let newcomer = practice.cluster.url("postgres").replace("postgres@", "newcomer@");
    let stranger = practice.cluster.url("postgres").replace("postgres@", "stranger@");
    for settings::Setting { name, variables, status, check, told } in settings::SETTINGS {
        let url = |value: &str| match value {
            "UNMIGRATED" => unmigrated.clone(),
            "LATIN" => latin.clone(),
            "NEWCOMER" => newcomer.clone(),
            "STRANGER" => stranger.clone(),
            value => value.to_owned(),
        };
        let variables: Vec<(&'static str, String)> = variables.iter().map(|(name, value)| (*name, url(value))).collect();
        let variables: Vec<(&'static str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        practice.finds(name, &variables, *status, check, told).await;
    }
    practice.is_quiet("wrong settings").await;
    for changes::Change { name, plant, undo, check, told } in changes::CHANGES {
        for statement in *plant {
            practice.stack.database.execute(statement).await;
        }
        practice.finds(name, &[], 65, check, told).await;
        for statement in *undo {
            practice.stack.database.execute(statement).await;
        }
        practice.is_quiet(name).await;
    }
    println!("{} planted settings and {} planted changes were found", settings::SETTINGS.len(), changes::CHANGES.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_in_the_way_in_the_database_is_found() {
    let practice = Practice::start().await;
    let mut open = practice.stack.database.connect().await;
    sqlx::raw_sql("begin; set application_name = 'report of a year'; select count(*) from message")
        .execute(&mut open)
        .await
        .expect("a transaction");
    let told = "report of a year has a transaction open for 0 min (idle in transaction), which keeps vacuum from its work; end it there, or by \
                `select pg_terminate_backend(";
    practice.finds("an old transaction", &[("FAILPOINTS", "transaction_time_max=return(1)")], 65, "transactions", told).await;
    let mut others = Vec::new();
    for _ in 0..18 {
        others.push(practice.stack.database.connect().await);
    }
    let told = "are free of max_connections, and a process may need 11; close those of other programs, or raise it";
    practice.finds("few connections", &[], 65, "connections", told).await;
    drop((open, others));
    practice.is_quiet("others have left").await;

    let settings = "pool_mode = transaction\nserver_reset_query_always = 1\nignore_startup_parameters = options,extra_float_digits";
    let Some(pooler) = Pooler::before(&practice.stack.database.url, settings).await else { return };
    practice.finds("a pooler that shares sessions", &[("DATABASE_URL", &pooler.url)], 65, "database", "to session pooling").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_is_behind_is_found() {
    let practice = Practice::start().await;
    let standby = block_in_place(|| practice.cluster.standby()).expect("a standby");
    let mut of_standby = PgConnection::connect(&standby.url("postgres")).await.expect("a connection to the standby");
    sqlx::raw_sql("select pg_wal_replay_pause()").execute(&mut of_standby).await.expect("a pause");
    // Anything that is written makes a standby say how far it is.
    let write = "select pg_logical_emit_message(true, 'doctor', '')";
    let behind = "select count(*) from pg_stat_replication where replay_lag > interval '2 seconds'";
    eventually("the standby is behind", async || {
        practice.stack.database.execute(write).await;
        (practice.stack.database.count(behind).await == 1).then_some(())
    })
    .await;
    let seconds_max = [("FAILPOINTS", "replication_lag_max=return(1000)")];
    let told = " s behind, which a failover to it would lose; see its disk, its network and its queries";
    practice.finds("a standby that is behind", &seconds_max, 65, "replication", told).await;
    sqlx::raw_sql("select pg_wal_replay_resume()").execute(&mut of_standby).await.expect("an end of the pause");
    eventually("the standby has caught up, and nothing is told of it", async || {
        practice.stack.database.execute(write).await;
        (practice.doctor(&seconds_max).await.status == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permissions_that_are_lacking_are_named() {
    let practice = Practice::start().await;
    let endpoint = Endpoint::before(&practice.stack.server.endpoint_url()).await;
    for (operation, permission) in [
        ("ReceiveMessage", "sqs:ReceiveMessage"),
        ("DeleteMessageBatch", "sqs:DeleteMessage"),
        ("ChangeMessageVisibilityBatch", "sqs:ChangeMessageVisibility"),
    ] {
        endpoint.always(operation, Answer::Denied);
        let told = format!("events: this process may not {permission}; allow it on the queue, in the IAM policy");
        practice.finds(operation, &[("AWS_ENDPOINT_URL", &endpoint.url)], 65, "queue", &told).await;
        endpoint.mend();
    }
    endpoint.always("GetQueueAttributes", Answer::Denied);
    practice.finds("GetQueueAttributes", &[("AWS_ENDPOINT_URL", &endpoint.url)], 65, "queue", "events: access is denied (").await;
    endpoint.mend();
    endpoint.always("ReceiveMessage", Answer::Unavailable);
    practice.finds("SQS is away", &[("AWS_ENDPOINT_URL", &endpoint.url)], 69, "queue", "events: SQS fails (").await;
    assert_eq!(endpoint.handed_out(), (0, 0));
}

#[tokio::test]
async fn files_that_are_not_what_runs_are_told_with_what_to_do() {
    let stack = Stack::start_without_catalog(&["events"]).await;
    let mut environment = stack.environment();
    environment.push(("QUEUES", "events?trust=any".to_owned()));
    let terminal = Terminal::with(environment);
    let catalog = catalog_of_acme();
    let path = catalog.0.display().to_string();
    let check = async |check: &str, told: &str| {
        let ended = terminal.run(PROCESSOR, &["doctor", &path]).await;
        assert!(ended.status == 65 && has_line(&ended, check, told), "{told}: {ended:#?}");
    };
    check("catalog", "none was applied, and until then nothing is polled; run `processor catalog apply DIR`").await;
    check("files", "tenant acme and 2 more would be new or changed; run `processor catalog apply`").await;
    stack.database.apply(&catalog.0).await;
    let good = terminal.run(PROCESSOR, &["doctor", &path]).await;
    assert_eq!(good.status, 0, "{good:?}");
    catalog.write("acme/tenant.toml", "rate_limit = 5\n");
    check("files", "acme tenant acme would be new or changed; run `processor catalog apply`").await;
    catalog.write("acme/tenant.toml", "");
    catalog.write("acme/note/1.json", r#"{"type": "integer"}"#);
    check("files", "declare a new version").await;
    catalog.write("acme/note/1.json", "{");
    check("files", &format!("`processor catalog check {path}` tells all")).await;
    catalog.write("acme/note/1.json", r#"{"type": "string"}"#);
    let smaller = Directory::create();
    smaller.write("another/tenant.toml", "");
    stack.database.apply(&smaller.0).await;
    check("files", "is active without being there; `processor catalog apply --prune` deactivates it").await;
}
