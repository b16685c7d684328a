//! The roles in Postgres: whose each program's rights are, and what readers see.

mod commands;
mod ownership;
mod readers;
mod rights;

use event_processor::dev::binaries::Binaries;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};

use crate::stack::{Database, PRODUCERS, Stack, sample_catalog};
use crate::terminal::Terminal;

/// A role of the test's own that can log in; it goes with the test, for roles belong to all databases of a server.
struct Login {
    name: String,
    url: String,
    administrator: PgConnectOptions,
}

impl Login {
    async fn create(database: &Database, options: &str) -> Self {
        let name = format!("login_{}", uuid::Uuid::now_v7().simple());
        database.execute(&format!("create role {name} login {options}")).await;
        let mut url = url::Url::parse(&database.url).expect("a URL");
        url.set_username(&name).expect("a user");
        Self { name, url: url.to_string(), administrator: database.options() }
    }

    fn database(&self) -> Database {
        Database { url: self.url.clone(), name: None }
    }

    fn terminal(&self) -> Terminal {
        Terminal::with(vec![("DATABASE_URL", self.url.clone()), ("OPERATOR", "mara".to_owned())])
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let (options, statement) = (self.administrator.clone(), format!("drop owned by {0}; drop role {0}", self.name));
        let dropping = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                if let Ok(mut connection) = options.connect().await {
                    let _ = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await;
                }
            });
        };
        // A runtime cannot be entered from within another one's thread.
        let _ = std::thread::spawn(dropping).join();
    }
}

/// The SQLSTATE that a statement ends with; `00000` where all is well.
async fn sqlstate(connection: &mut PgConnection, statement: &str) -> String {
    let outcome = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(connection).await;
    let Err(error) = outcome else { return "00000".to_owned() };
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).expect("a SQLSTATE").into_owned()
}

/// A stack with events and dead letters of two tenants, some of whose deliveries are done.
async fn stack_of_two_tenants() -> Stack {
    let stack = Stack::start(&["events"]).await;
    let queue = stack.queue("events").await;
    let terminal = Terminal::with(stack.environment());
    let schemas = sample_catalog().display().to_string();
    let line = format!("--queue events --events 80 --rate 1000 --invalid 0.3 --seed 7 --tenant shop --tenant platform --schemas {schemas}");
    let produced = terminal.run(PRODUCERS, &line.split(' ').collect::<Vec<_>>()).await;
    assert_eq!(produced.status, 0, "{produced:?}");
    let daemon = stack.daemon("events?trust=any", &[]).await;
    stack.at_rest(&queue).await;
    assert_eq!(daemon.stop().await, 0);
    stack.database.execute("select complete_deliveries(array(select lease_id from claim_deliveries('tests', 12))); analyze").await;
    stack
}

/// What `pg_dump` prints, as this user.
async fn dump(url: &str, arguments: &[&str]) -> String {
    let program = Binaries::find().expect("Postgres").program("pg_dump");
    let output = tokio::process::Command::new(program).args(arguments).arg(url).output().await.expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
