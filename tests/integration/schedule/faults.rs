//! What can befall, and how it is done and undone. Each returns when its fault has shown itself.

use std::time::Duration;

use crate::daemon::Daemon;
use crate::endpoint::{Answer, Endpoint};
use crate::load::{Lock, requests, waiting_for};
use crate::proxy::{Fault as Cut, Proxy, Toward, UNTIL_MENDED};
use crate::stack::{Stack, eventually, sample_catalog};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9`, and another process in its place.
    Kill,
    /// SIGTERM, and another process in its place.
    Stop,
    /// SIGSTOP, and SIGCONT when another has taken over.
    Freeze,
    /// It ends by itself at a place of the path.
    Crash(&'static str),
    /// The request to Postgres that holds these bytes meets this.
    Database(&'static str, Cut),
    CutDatabase,
    SlowDatabase,
    SilentDatabase,
    /// The links of the moment swallow every byte; new ones do not.
    SilentLinks,
    /// What no look at the database finds: who inserts a row is refused.
    RefuseRows,
    RenameColumn,
    EndSessions,
    LockTable,
    ChangeCatalog,
    CutQueue,
    SlowQueue,
    /// What SQS answers to some requests of an operation.
    Sqs(&'static str, Answer),
}

const RECEIVE: &str = "ReceiveMessage";
const DELETE: &str = "DeleteMessageBatch";

pub const CLASSES: [Fault; 49] = [
    Fault::Kill,
    Fault::Crash("received"),
    Fault::Database("begin\0", Cut::LoseRequest),
    Fault::Sqs(RECEIVE, Answer::Throttled),
    Fault::Sqs(DELETE, Answer::FailEntries),
    Fault::CutDatabase,
    Fault::Sqs(RECEIVE, Answer::Twice),
    Fault::Crash("before_begin"),
    Fault::Database("begin\0", Cut::LoseReply),
    Fault::Sqs(RECEIVE, Answer::Unavailable),
    Fault::Sqs(DELETE, Answer::ForgetEntries),
    Fault::SlowDatabase,
    Fault::Freeze,
    Fault::Crash("after_insert"),
    Fault::Database("commit\0", Cut::LoseRequest),
    Fault::Sqs(RECEIVE, Answer::InternalFailure),
    Fault::Sqs(DELETE, Answer::RefuseHandles),
    Fault::EndSessions,
    Fault::Stop,
    Fault::Crash("before_commit"),
    Fault::Database("commit\0", Cut::LoseReply),
    Fault::Sqs(RECEIVE, Answer::LoseRequest),
    Fault::Sqs(DELETE, Answer::Pretend),
    Fault::LockTable,
    Fault::CutQueue,
    Fault::Crash("commit_sent"),
    Fault::Database("commit\0", Cut::HalveRequest),
    Fault::Sqs(RECEIVE, Answer::LoseReply),
    Fault::Sqs(DELETE, Answer::LoseReply),
    Fault::ChangeCatalog,
    Fault::SlowQueue,
    Fault::Crash("before_delete"),
    Fault::SilentDatabase,
    Fault::Sqs(RECEIVE, Answer::Drip),
    Fault::Sqs(DELETE, Answer::Unavailable),
    Fault::Sqs(RECEIVE, Answer::Never),
    Fault::Crash("mid_delete"),
    Fault::Sqs(RECEIVE, Answer::Empty),
    Fault::Sqs(DELETE, Answer::Throttled),
    Fault::Sqs(RECEIVE, Answer::Truncated),
    Fault::Crash("mid_reload"),
    Fault::Sqs(RECEIVE, Answer::Denied),
    Fault::Sqs(DELETE, Answer::Truncated),
    Fault::Sqs(RECEIVE, Answer::OverLimit),
    Fault::Sqs(DELETE, Answer::Never),
    Fault::Sqs(RECEIVE, Answer::TooManyRequests),
    Fault::SilentLinks,
    Fault::RefuseRows,
    Fault::RenameColumn,
];

const REFUSE_ROWS: &str = "
create or replace function trouble() returns trigger language plpgsql as $$ begin raise exception 'no' using errcode = '53100'; end $$;
create trigger trouble before insert on message for each row execute function trouble()";

const QUEUES: &str = "events?trust=any";
const SETTINGS: [(&str, &str); 2] = [("VISIBILITY_TIMEOUT", "2"), ("IN_FLIGHT_EVENTS_MAX", "200")];

/// A daemon between proxies, all of which misbehave when told to.
pub struct Scene {
    pub stack: Stack,
    database: Proxy,
    endpoint: Endpoint,
    queue: Proxy,
    daemon: Daemon,
}

async fn start(stack: &Stack, database: &Proxy, queue: &Proxy, failpoints: &str) -> Daemon {
    let links = [("DATABASE_URL", database.url.as_str()), ("AWS_ENDPOINT_URL", queue.url.as_str()), ("FAILPOINTS", failpoints)];
    stack.daemon(QUEUES, &links.into_iter().chain(SETTINGS).collect::<Vec<_>>()).await
}

impl Scene {
    pub async fn set(stack: Stack, database: Proxy, endpoint: Endpoint, queue: Proxy) -> Self {
        let daemon = start(&stack, &database, &queue, "").await;
        daemon.ready().await;
        Self { stack, database, endpoint, queue, daemon }
    }

    async fn restart(&mut self, failpoints: &str) {
        self.daemon = start(&self.stack, &self.database, &self.queue, failpoints).await;
    }

    /// Inflicts a fault on the daemon at work, and mends what it has done; `chance` decides on details.
    pub async fn inflict(&mut self, fault: Fault, chance: u8) {
        self.progress().await;
        match fault {
            Fault::Kill => {
                self.daemon.signal("KILL");
                self.daemon.ended().await;
                self.restart("").await;
            }
            Fault::Stop => {
                self.daemon.signal("TERM");
                assert_eq!(self.daemon.ended().await, 0);
                self.restart("").await;
            }
            Fault::Freeze => self.freeze().await,
            Fault::Crash(location) => self.crash(location, chance).await,
            Fault::Database(bytes, cut) => {
                self.database.trap_once(bytes, cut);
                eventually("the request is met", async || (self.database.sprung() > 0).then_some(())).await;
                self.database.mend();
            }
            Fault::CutDatabase => self.database.cut(),
            Fault::CutQueue => self.queue.cut(),
            Fault::SlowDatabase => self.delay(Toward::Server, Duration::from_millis(150)).await,
            Fault::SlowQueue => {
                self.queue.delay(Toward::Client, Duration::from_millis(150));
                self.progress().await;
                self.queue.mend();
            }
            Fault::SilentDatabase => self.silence().await,
            Fault::SilentLinks => {
                self.database.silence();
                self.progress().await;
                self.database.mend();
            }
            Fault::RefuseRows => self.spoil(REFUSE_ROWS, "drop trigger trouble on message").await,
            Fault::RenameColumn => {
                self.spoil("alter table message rename subject to topic", "alter table message rename topic to subject").await;
            }
            Fault::EndSessions => {
                let others = "pg_stat_activity where datname = current_database() and application_name like 'event-processor%'";
                self.stack.database.execute(&format!("select pg_terminate_backend(pid) from {others}")).await;
            }
            Fault::LockTable => {
                let lock = Lock::table(&self.stack.database, "message").await;
                waiting_for(&self.stack.database, "message", 1).await;
                lock.release().await;
            }
            Fault::ChangeCatalog => {
                self.stack.database.execute("update catalog set generation = generation + 1").await;
                self.stack.database.apply(&sample_catalog()).await;
            }
            Fault::Sqs(operation, answer) => self.misanswer(operation, answer, chance).await,
        }
    }

    /// Waits until more is stored than now.
    async fn progress(&self) {
        let stored = async || self.stack.database.count("select count(*) from message").await;
        let before = stored().await;
        eventually("more is stored", async || (stored().await > before).then_some(())).await;
    }

    async fn delay(&self, toward: Toward, delay: Duration) {
        self.database.delay(toward, delay);
        self.progress().await;
        self.database.mend();
    }

    /// Another works meanwhile and goes on afterwards.
    async fn freeze(&mut self) {
        self.daemon.signal("STOP");
        let successor = start(&self.stack, &self.database, &self.queue, "").await;
        self.progress().await;
        self.daemon.signal("CONT");
        self.progress().await;
        assert_eq!(std::mem::replace(&mut self.daemon, successor).stop().await, 0);
    }

    async fn crash(&mut self, location: &str, chance: u8) {
        self.daemon.signal("KILL");
        self.daemon.ended().await;
        self.restart(&format!("{location}={}*off->return", 1 + chance % 5)).await;
        eventually("the daemon crashes", async || {
            // The catalog is read again at each word of a change.
            self.stack.database.execute("update catalog set generation = generation + 1; select pg_notify('catalog_changed', '')").await;
            self.daemon.has_ended().then_some(())
        })
        .await;
        self.restart("").await;
    }

    /// No byte comes back from Postgres, until the daemon says so.
    async fn silence(&self) {
        self.database.delay(Toward::Client, UNTIL_MENDED);
        self.daemon.says("database").await;
        self.database.mend();
        self.daemon.ready().await;
    }

    /// Spoils the database until the daemon says so.
    async fn spoil(&self, spoil: &str, mend: &str) {
        self.stack.database.execute(spoil).await;
        self.daemon.says("database").await;
        self.stack.database.execute(mend).await;
        self.daemon.ready().await;
    }

    async fn misanswer(&self, operation: &str, answer: Answer, chance: u8) {
        let met = self.endpoint.met(answer);
        let times = usize::from(1 + chance % 2);
        self.endpoint.next(operation, &vec![answer; times]);
        eventually(&format!("{answer:?} to {operation}"), async || (self.endpoint.met(answer) >= met + times).then_some(())).await;
        if answer == Answer::Never {
            let before = requests(&self.daemon, "receive").await;
            self.endpoint.mend();
            eventually("work goes on", async || (requests(&self.daemon, "receive").await > before).then_some(())).await;
        }
    }

    pub async fn end(self) {
        assert_eq!(self.endpoint.unsigned(), 0, "requests without a signature");
        assert_eq!(self.daemon.stop().await, 0);
    }
}
