//! Keeping the snapshot new: at once when `catalog apply` notifies, by a slow poll when the notification was lost, on demand when the
//! store has seen a newer generation.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::postgres::PgListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Interval;

use super::{CompiledSchemas, Snapshot};
use crate::database::{self, Setting};
use crate::fault;
use crate::settings::Database;

/// What reading needs beside what all sessions do: it has its own deadline.
const SETTINGS: [Setting; 2] = [("statement_timeout", "0"), ("transaction_timeout", "0")];

/// Notifications are a hint; this is how long a change may stay unseen without one.
const POLL_INTERVAL: Duration = Duration::from_secs(30);

/// Between attempts to reach Postgres.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A server that takes longer to accept a listener is done without until the next attempt: reading must not wait for it.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A catalog that takes longer to read is not answered at all.
const LOAD_TIMEOUT: Duration = Duration::from_secs(20);

/// Notifications are heeded no more often, for anybody may notify.
const HINT_INTERVAL: Duration = Duration::from_secs(1);

/// The channel on which `catalog apply` notifies.
const CHANNEL: &str = "catalog_changed";

/// The newest good snapshot, for whoever validates.
#[derive(Debug, Clone)]
pub struct Catalog {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    reloads: mpsc::Sender<oneshot::Sender<bool>>,
}

impl Catalog {
    /// The snapshot to validate by; generation 0 as long as none was read.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Waits until a snapshot satisfies the condition. Cancel-safe.
    pub async fn wait_for(&mut self, condition: impl FnMut(&Arc<Snapshot>) -> bool) {
        // The sender lives as long as the process follows the catalog; without it there is nothing left to wait for.
        if self.snapshots.wait_for(condition).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads the catalog anew, now.
    ///
    /// Gives the newest snapshot, or none when Postgres did not answer.
    pub async fn reload(&self) -> Option<Arc<Snapshot>> {
        let (reply, answer) = oneshot::channel();
        self.reloads.send(reply).await.ok()?;
        let answer = tokio::time::timeout(2 * LOAD_TIMEOUT, answer).await;
        answer.ok()?.ok().filter(|is_loaded| *is_loaded).map(|_| self.snapshot())
    }
}

/// Reads the catalog and keeps it new.
#[derive(Debug)]
pub struct CatalogFollower {
    database: Database,
    /// To read by, kept from one time to the next: when other programs have used up the server's connections, this one is there.
    connection: Option<PgConnection>,
    tenant_labels_max: usize,
    snapshots: watch::Sender<Arc<Snapshot>>,
    reloads: mpsc::Receiver<oneshot::Sender<bool>>,
}

impl CatalogFollower {
    /// A follower that has read nothing yet, and the handle to what it will read.
    pub fn new(database: Database, tenant_labels_max: usize, room: CompiledSchemas) -> (Self, Catalog) {
        let (snapshot_sender, snapshot_receiver) = watch::channel(Arc::new(Snapshot::empty(room)));
        let (reload_sender, reload_receiver) = mpsc::channel(16);
        let follower = Self { database, connection: None, tenant_labels_max, snapshots: snapshot_sender, reloads: reload_receiver };
        (follower, Catalog { snapshots: snapshot_receiver, reloads: reload_sender })
    }

    /// Follows for as long as it is polled; `report` is told of each attempt to read: the generation, or what is wrong with the database. It may be dropped at any time.
    pub async fn run(mut self, report: impl Fn(Result<i64, String>)) {
        let mut waiting: Vec<oneshot::Sender<bool>> = Vec::new();
        let mut listener = None;
        let mut hints = database::pace(HINT_INTERVAL);
        loop {
            if listener.is_none() {
                // At the deadline the connection is lost with its pool of one, so nothing half-done is ever used again.
                let listening =
                    tokio::time::timeout(LISTEN_TIMEOUT, database::listen(&self.database.to("catalog listener"), CHANNEL)).await;
                listener = listening.ok().and_then(Result::ok);
            }
            let outcome = self.load().await;
            let told = outcome.as_ref().map(|snapshot| snapshot.generation).map_err(database::describe);
            let is_loaded = outcome.is_ok();
            match outcome {
                Ok(snapshot) => _ = self.snapshots.send_replace(Arc::new(snapshot)),
                // A server that answers is there; from one that does not, the listener may hear nothing either.
                Err(sqlx::Error::Database(_)) => {}
                Err(_) => listener = None,
            }
            report(told);
            let is_good = is_loaded && listener.is_some();
            for reply in waiting.drain(..) {
                // Whoever asked may have given up; that is no fault.
                let _ = reply.send(is_loaded);
            }
            let pause = if is_good { POLL_INTERVAL } else { RETRY_INTERVAL };
            waiting.extend(self.wait(pause, &mut listener, &mut hints).await);
        }
    }

    /// Waits until the catalog is to be read again: for so long, until somebody asks for it, or until a notification is more than a hint.
    async fn wait(&mut self, pause: Duration, listener: &mut Option<PgListener>, hints: &mut Interval) -> Option<oneshot::Sender<bool>> {
        let pause = tokio::time::sleep(pause);
        tokio::pin!(pause);
        loop {
            let is_alive = tokio::select! {
                () = &mut pause => return None,
                Some(reply) = self.reloads.recv() => return Some(reply),
                is_alive = notified(listener, hints) => is_alive,
            };
            if !is_alive {
                *listener = None;
                return None;
            }
            if !self.is_newest().await {
                return None;
            }
        }
    }

    /// Whether the catalog that was read last is the newest, as far as the kept connection can say.
    async fn is_newest(&mut self) -> bool {
        let Some(mut connection) = self.connection.take() else { return false };
        let asked = sqlx::query_file_scalar!("src/snapshot/load_generation.sql").fetch_one(&mut connection);
        let Ok(Ok(generation)) = tokio::time::timeout(LOAD_TIMEOUT, asked).await else { return false };
        self.connection = Some(connection);
        generation == self.snapshots.borrow().generation
    }

    /// At the deadline the connection is dropped with the future that owns it, so nothing half-done is ever used again.
    async fn load(&mut self) -> Result<Snapshot, sqlx::Error> {
        let kept = self.connection.take();
        let was_kept = kept.is_some();
        match self.load_within(kept).await {
            // That a session has ended does not mean that another one cannot begin.
            Err(_) if was_kept => self.load_within(None).await,
            outcome => outcome,
        }
    }

    async fn load_within(&mut self, kept: Option<PgConnection>) -> Result<Snapshot, sqlx::Error> {
        let previous = Arc::clone(&self.snapshots.borrow());
        let loading = async {
            let mut connection = match kept {
                Some(connection) => connection,
                None => database::connect(&self.database.to("catalog"), &SETTINGS).await?,
            };
            let snapshot = Snapshot::load(&mut connection, Some(&previous), self.tenant_labels_max).await?;
            fault::crash("mid_reload");
            Ok((snapshot, connection))
        };
        let deadline = tokio::time::timeout(LOAD_TIMEOUT, loading).await;
        let (snapshot, connection) = deadline.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))?;
        self.connection = Some(connection);
        Ok(snapshot)
    }
}

async fn notified(listener: &mut Option<PgListener>, hints: &mut Interval) -> bool {
    match listener {
        Some(listener) => database::notified(listener, hints).await,
        None => std::future::pending().await,
    }
}
