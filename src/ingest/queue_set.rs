//! Which queues are polled: those of QUEUES for as long as the process runs, and those of the catalog as it has them.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::polls::Polls;
use crate::health::{NOT_KNOWN, queue_part};
use crate::settings::QueueSetting;
use crate::window::InFlight;

/// What readiness calls it where there is none.
const NO_QUEUES: &str = "queues";

/// The queues of a process.
pub struct QueueSet {
    pub configured: Vec<QueueSetting>,
    pub polls: Arc<Polls>,
    pub received: mpsc::Sender<Vec<InFlight>>,
}

/// A queue that is polled, until told otherwise.
struct Polled {
    setting: QueueSetting,
    stop: CancellationToken,
}

impl QueueSet {
    /// Polls what is wanted until told to stop, and waits for the polls under way. An error is a task that panicked.
    ///
    /// # Panics
    /// Where one of its tasks has.
    pub async fn run(self) {
        let mut catalog = self.polls.catalog.clone();
        let mut tasks = JoinSet::new();
        let mut polled: HashMap<String, Polled> = HashMap::new();
        let mut names: HashMap<Id, String> = HashMap::new();
        while !self.polls.stop.is_cancelled() {
            let snapshot = catalog.snapshot();
            let wanted = self.wanted(&snapshot.queues);
            polled.retain(|name, one| {
                let is_wanted = wanted.contains(&one.setting);
                if !is_wanted {
                    one.stop.cancel();
                    self.forget(name);
                }
                is_wanted
            });
            let is_none = wanted.is_empty();
            for setting in wanted {
                if !polled.contains_key(&setting.name) {
                    let stop = self.polls.stop.child_token();
                    self.polls.expect(&setting.name);
                    let task = tasks.spawn(Arc::clone(&self.polls).run(setting.clone(), self.received.clone(), stop.clone()));
                    names.insert(task.id(), setting.name.clone());
                    polled.insert(setting.name.clone(), Polled { setting, stop });
                }
            }
            self.tell_none(is_none, snapshot.generation);
            tokio::select! {
                () = self.polls.stop.cancelled() => {}
                () = catalog.wait_for(|newer| newer.queues != snapshot.queues || (snapshot.generation == 0 && newer.generation > 0)) => {}
                Some(ended) = tasks.join_next_with_id() => self.end(&ended, &mut names, &polled),
            }
        }
        while let Some(ended) = tasks.join_next().await {
            resume(ended);
        }
    }

    /// Those of QUEUES, then those of the catalog; one that both name is polled as QUEUES says, and told of as one that is not ready.
    fn wanted(&self, of_catalog: &[QueueSetting]) -> Vec<QueueSetting> {
        let mut wanted = self.configured.clone();
        for setting in of_catalog {
            let is_twice = self.configured.iter().any(|configured| configured.name == setting.name);
            let part = format!("queue {} of the catalog", setting.name);
            if is_twice {
                let problem = "is in QUEUES, too, and polled as that says; name it in one of the two".to_owned();
                self.polls.readiness.set(&part, Err(problem));
            } else {
                wanted.push(setting.clone());
            }
        }
        wanted
    }

    fn tell_none(&self, is_none: bool, generation: i64) {
        if is_none && generation == 0 {
            self.polls.readiness.expect(NO_QUEUES, NOT_KNOWN);
        } else if is_none {
            let problem = "none is named, neither in QUEUES nor in the catalog's queues.toml; name one";
            self.polls.readiness.set(NO_QUEUES, Err(problem.to_owned()));
        } else {
            self.polls.readiness.forget(NO_QUEUES);
        }
    }

    /// A queue that has left: what is in flight of it goes on.
    fn forget(&self, name: &str) {
        tracing::info!(queue = name, "not polled any more: its entry has left the catalog, or has changed");
        self.polls.readiness.forget(&queue_part(name));
        self.polls.metrics.forget_queue(name);
    }

    fn end(&self, ended: &Result<(Id, ()), JoinError>, names: &mut HashMap<Id, String>, polled: &HashMap<String, Polled>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let name = names.remove(&id).unwrap_or_default();
        if !polled.contains_key(&name) {
            // The last polls of one that has left have told of it once more.
            self.forget(&name);
        }
        if let Err(error) = ended {
            assert!(!error.is_panic(), "polling {name} has panicked");
        }
    }
}

/// A panic of a task is one of whoever waits for it.
fn resume(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}
