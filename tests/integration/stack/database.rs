//! A database for each test, on the server that all share.

use std::path::Path;

use event_processor::audit::Audit;
use event_processor::catalog::{directory, publication};
use event_processor::dev::cluster::Cluster;
use event_processor::{settings, store};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};

use super::server_url;

/// The login of the daemons, which may do what the writer's role may and nothing else, as an operator is told to make it.
pub const WRITER_LOGIN: &str = "tests_writer";

/// The same for the sender.
pub const SENDER_LOGIN: &str = "tests_sender";

/// The address for a login, where it names the superuser.
pub fn log_in_as(login: &str, url: &str) -> String {
    url.replacen("//postgres@", &format!("//{login}@"), 1)
}

/// They are of the whole server, so they may be there already, or be made by another test at the same time.
async fn make_logins(connection: &mut PgConnection) {
    // A database may have its daemon before it has its tables, and a server its logins before anything was migrated.
    let roles = [("event_processor_writer", WRITER_LOGIN), ("event_processor_sender", SENDER_LOGIN)];
    for (role, login) in roles {
        for statement in [format!("create role {role}"), format!("create role {login} login in role {role}")] {
            let tolerant = format!("do $$ begin {statement}; exception when duplicate_object or unique_violation then null; end $$");
            sqlx::raw_sql(AssertSqlSafe(tolerant)).execute(&mut *connection).await.expect("logins");
        }
    }
}

/// A database of the test's own, with the tables; dropped with it.
pub struct Database {
    pub url: String,
    /// None: it goes with a server of the test's own.
    pub name: Option<String>,
}

impl Database {
    /// With the tables.
    pub async fn create() -> Self {
        let database = Self::create_empty().await;
        store::migrate(&database.settings()).await.expect("migrations");
        database
    }

    /// On a server of the test's own, with the tables.
    pub async fn on(cluster: &Cluster) -> Self {
        let url = cluster.url("postgres");
        // Without what the URL says to programs that heed the variables of libpq: none is set here.
        Self::at(url.split('?').next().unwrap_or_default()).await
    }

    /// At this address of a server of the test's own, with the tables.
    pub async fn at(url: &str) -> Self {
        let database = Self { url: url.to_owned(), name: None };
        store::migrate(&database.settings()).await.expect("migrations");
        make_logins(&mut database.connect().await).await;
        database
    }

    /// Without any table.
    pub async fn create_empty() -> Self {
        Self::create_with("").await
    }

    /// Without any table, made with these options.
    pub async fn create_with(options: &str) -> Self {
        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        let server: PgConnectOptions = server_url().parse().expect("TEST_DATABASE_URL is a URL");
        let mut connection = server.connect().await.expect("the test server answers");
        make_logins(&mut connection).await;
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name} {options}"))).execute(&mut connection).await.expect("create database");
        let mut url = url::Url::parse(server_url()).expect("a URL");
        url.set_path(&name);
        Self { url: url.to_string(), name: Some(name) }
    }

    pub fn options(&self) -> PgConnectOptions {
        self.url.parse().expect("a URL")
    }

    /// As a command is told of it.
    pub fn settings(&self) -> settings::Database {
        self.url.parse().expect("a URL")
    }

    /// As the daemon is told of it.
    pub fn settings_of_writer(&self) -> settings::Database {
        log_in_as(WRITER_LOGIN, &self.url).parse().expect("a URL")
    }

    pub async fn connect(&self) -> PgConnection {
        self.options().connect().await.expect("the test database answers")
    }

    /// Runs statements.
    pub async fn execute(&self, sql: &str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.expect("close");
    }

    /// The rows of a query whose columns are cast to text here, joined by ` | `; null is `-`.
    pub async fn rows(&self, sql: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        let wrapped = format!("select to_jsonb(q) as row from ({sql}) q");
        // json keeps the order of the columns, jsonb would not.
        let wrapped = wrapped.replace("to_jsonb(q)", "row_to_json(q)::text");
        let rows = sqlx::query(AssertSqlSafe(wrapped)).fetch_all(&mut connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.expect("close");
        let text = |row: &sqlx::postgres::PgRow| {
            let columns: Vec<(String, serde_json::Value)> = ordered(row.get::<&str, _>("row"));
            let cells = columns.into_iter().map(|(_, value)| match value {
                serde_json::Value::Null => "-".to_owned(),
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            });
            cells.collect::<Vec<_>>().join(" | ")
        };
        rows.iter().map(text).collect()
    }

    /// A single number.
    pub async fn count(&self, sql: &str) -> i64 {
        self.rows(sql).await.first().and_then(|row| row.parse().ok()).unwrap_or_else(|| panic!("{sql}: no number"))
    }

    /// Lets nobody connect any more, and ends whoever has.
    pub async fn turn_away(&self) {
        self.allow_connections(false).await;
        let name = self.name.as_ref().expect("a name");
        server().execute(&format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")).await;
    }

    /// Lets everybody connect again.
    pub async fn let_in(&self) {
        self.allow_connections(true).await;
    }

    async fn allow_connections(&self, is_allowed: bool) {
        let name = self.name.as_ref().expect("a name");
        server().execute(&format!("alter database {name} allow_connections {is_allowed}")).await;
    }

    /// Makes a catalog directory what runs.
    pub async fn apply(&self, catalog: &Path) {
        let declaration = directory::read(catalog).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let mut connection = self.connect().await;
        publication::apply(
            &mut connection,
            &declaration,
            publication::Undeclared::Stays,
            &Audit::new("tests".to_owned(), "catalog apply", std::iter::empty()),
        )
        .await
        .expect("apply");
        connection.close().await.expect("close");
    }
}

/// The database of the server that all share, from which the others are managed.
fn server() -> Database {
    Database { url: server_url().to_owned(), name: None }
}

/// The members of a JSON object in the order of its text.
fn ordered(json: &str) -> Vec<(String, serde_json::Value)> {
    let Ok(event_processor::json::Node::Object(members)) = event_processor::json::read(json.as_bytes()) else { panic!("{json}") };
    let value = |span: std::ops::Range<usize>| serde_json::from_str(&json[span]).expect("JSON");
    members.into_iter().map(|member| (member.name.into_owned(), value(member.span))).collect()
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(name) = &self.name else { return };
        let statement = format!("drop database if exists {name} with (force)");
        let dropping = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let server: PgConnectOptions = server_url().parse().expect("a URL");
                if let Ok(mut connection) = server.connect().await {
                    let _ = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await;
                }
            });
        };
        // A runtime cannot be entered from within another one's thread.
        let _ = std::thread::spawn(dropping).join();
    }
}
