//! Claimers that are processes of their own: psql, fed with the same few lines over and over, so that they can be killed at any point.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use event_processor::dev::binaries::Binaries;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::stack::Database;

/// What a claimer does again and again: it says what it has claimed, then what of it was still its own when it was done.
const ROUND: &str = r"
select coalesce(array_agg(lease_id), '{}')::text as claimed from claim_deliveries(:'sender', 100, '2 s') \gset
\echo claimed :claimed
select pg_sleep(random() * 0.05) \g /dev/null
select coalesce(array_agg(id), '{}')::text as completed from complete_deliveries(:'claimed') as id \gset
\echo completed :completed
";

/// A psql that claims and completes until it is ended.
pub struct Claimer {
    child: Child,
    /// What all claimers have said.
    said: Arc<Mutex<Vec<String>>>,
}

impl Claimer {
    pub fn start(database: &Database, sender: &str, said: &Arc<Mutex<Vec<String>>>) -> Self {
        let program = Binaries::find().expect("Postgres").program("psql");
        let mut child = Command::new(program)
            .args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--set", &format!("sender={sender}"), &database.url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("psql starts");
        let mut stdin = child.stdin.take().expect("standard input");
        let mut lines = BufReader::new(child.stdout.take().expect("standard output")).lines();
        let saying = Arc::clone(said);
        let feeding = async move { while stdin.write_all(ROUND.as_bytes()).await.is_ok() {} };
        let reading = async move {
            while let Ok(Some(line)) = lines.next_line().await {
                saying.lock().expect("what was said").push(line);
            }
        };
        #[expect(clippy::disallowed_methods, reason = "both end with psql's standard streams")]
        {
            tokio::spawn(feeding);
            tokio::spawn(reading);
        }
        Self { child, said: Arc::clone(said) }
    }

    /// Ends it wherever it is, and starts another one of the same name.
    pub async fn kill(&mut self, database: &Database, sender: &str) {
        self.child.kill().await.expect("killed");
        *self = Self::start(database, sender, &Arc::clone(&self.said));
    }

    /// Freezes it wherever it is, or lets it go on.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).expect("a process id"))).expect("it runs");
        kill_process(pid, signal).expect("signalled");
    }

    /// Whether it runs, as it always should.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_some()
    }
}
