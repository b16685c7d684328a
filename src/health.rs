//! Whether the daemon lives, whether it is ready, and its metrics, over HTTP.

mod server;
mod service_manager;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::output::problem_and_advice;

pub use server::{Health, listen, serve};
pub use service_manager::tell_service_manager;

/// Between two lines about a part at least: what fails and succeeds by turns must not fill the log.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What stands in the way of work, by the part that it concerns. Of the queues one is enough to be ready; of what else there is, all is
/// needed. And whether the process is alive at all.
#[derive(Debug, Default)]
pub struct Readiness {
    parts: Mutex<BTreeMap<String, Part>>,
    /// Why it is not.
    not_alive: Mutex<Option<&'static str>>,
}

/// What is said of a part before it was probed.
pub const NOT_KNOWN: &str = "not known yet";

/// What readiness calls a queue: this, and its name.
const QUEUE: &str = "queue ";

/// What readiness calls a queue.
pub fn queue_part(queue: &str) -> String {
    format!("{QUEUE}{queue}")
}

fn log(part: &str, problem: Option<&str>) {
    let queue = part.strip_prefix(QUEUE);
    let part = queue.is_none().then_some(part);
    match problem.map(problem_and_advice) {
        None => tracing::info!(queue, part, "ready"),
        Some((problem, advice)) => tracing::warn!(queue, part, problem, advice, "not ready"),
    }
}

#[derive(Debug, Default)]
struct Part {
    problem: Option<String>,
    /// The problem that was logged last.
    logged: Option<String>,
    logged_at: Option<Instant>,
}

impl Part {
    /// Whether a line about it may be logged now; that one then is the last.
    fn may_log(&mut self, now: Instant) -> bool {
        let is_quiet = self.logged_at.is_none_or(|at| now - at >= LOG_INTERVAL);
        if is_quiet {
            self.logged_at = Some(now);
        }
        is_quiet
    }
}

impl Readiness {
    fn with<T>(&self, part: &str, change: impl FnOnce(&mut Part) -> T) -> T {
        // A panic elsewhere leaves the map whole.
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        change(parts.entry(part.to_owned()).or_default())
    }

    /// Records how a part is; what changes is logged, once in ten seconds at most. What goes unlogged is made up for when the part's state is
    /// recorded the next time.
    pub fn set(&self, part: &str, state: Result<(), String>) {
        self.set_at(part, state, Instant::now());
    }

    fn set_at(&self, part: &str, state: Result<(), String>, now: Instant) {
        let problem = state.err();
        self.with(part, |known| {
            let is_ordinary = known.logged_at.is_none() && problem.is_none();
            let is_news = known.problem != problem || (known.logged != problem && known.logged_at.is_some());
            known.problem.clone_from(&problem);
            // That a part comes up as it was expected to does not keep its first trouble from being told.
            if !is_news || !(is_ordinary || known.may_log(now)) {
                return;
            }
            log(part, problem.as_deref());
            known.logged = problem;
        });
    }

    /// Records what stands in the way in the ordinary course of things, at the start or the end; not worth a warning.
    pub fn expect(&self, part: &str, problem: &str) {
        self.with(part, |known| known.problem = Some(problem.to_owned()));
    }

    /// Forgets a part that there is no more.
    pub fn forget(&self, part: &str) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).remove(part);
    }

    /// Whether another line about a part may be logged now.
    pub fn may_log(&self, part: &str) -> bool {
        self.with(part, |known| known.may_log(Instant::now()))
    }

    /// Records whether the process makes progress; where it does not, its supervisor is to start it anew.
    pub fn set_alive(&self, state: Result<(), &'static str>) {
        let mut not_alive = self.not_alive.lock().unwrap_or_else(PoisonError::into_inner);
        if let (None, Some(problem)) = (*not_alive, state.err()) {
            let (problem, advice) = problem_and_advice(problem);
            tracing::error!(problem, advice, "not alive");
        }
        *not_alive = state.err();
    }

    fn not_alive(&self) -> Option<&'static str> {
        *self.not_alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether work is done: on one queue at least, where there are some.
    pub fn is_serving(&self) -> bool {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let (queues, others): (Vec<_>, Vec<_>) = parts.iter().partition(|(part, _)| part.starts_with(QUEUE));
        let has_problem = |(_, known): &(&String, &Part)| known.problem.is_some();
        !others.iter().any(has_problem) && (queues.is_empty() || !queues.iter().all(has_problem))
    }

    /// Whether a part is known, and nothing stands in its way.
    fn is_ready(&self, part: &str) -> bool {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.get(part).is_some_and(|known| known.problem.is_none())
    }

    /// What is not ready, a line for each part.
    pub fn problems(&self) -> Vec<String> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().filter_map(|(part, known)| Some(format!("{part}: {}", known.problem.as_ref()?))).collect()
    }
}

/// Asks a daemon on this machine for one of its paths: the text of its answer, as an error where that is not 200.
///
/// # Errors
/// What it says, or that it does not answer.
pub async fn ask(address: SocketAddr, path: &str) -> Result<String, String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let exchange = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n").as_bytes()).await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        Ok::<_, std::io::Error>(reply)
    };
    let reply = tokio::time::timeout(Duration::from_secs(5), exchange).await;
    let reply =
        reply.map_err(|_| format!("no answer from {address} within 5 s"))?.map_err(|error| format!("no answer from {address}: {error}"))?;
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    if head.split(' ').nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(body.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Result<(), String> {
        Err(text.to_owned())
    }

    /// The problem that the log told last.
    fn logged(readiness: &Readiness) -> Option<String> {
        readiness.with("queue", |part| part.logged.clone())
    }

    #[test]
    fn one_queue_is_enough_and_of_everything_else_all_is_needed() {
        let readiness = Readiness::default();
        assert!(readiness.is_serving(), "what has no queues, as a sender");
        readiness.set("database", problem("is away"));
        assert!(!readiness.is_serving());
        readiness.set("database", Ok(()));
        readiness.set(&queue_part("a"), problem("does not exist"));
        assert!(!readiness.is_serving(), "no queue at all");
        readiness.set(&queue_part("b"), Ok(()));
        assert!(readiness.is_serving());
        assert_eq!(readiness.problems(), ["queue a: does not exist"], "it is named all the same");
        readiness.expect("shutdown", "draining");
        assert!(!readiness.is_serving());
    }

    #[test]
    fn what_alternates_is_logged_once_in_ten_seconds_and_where_it_comes_to_rest() {
        let readiness = Readiness::default();
        let began = Instant::now();
        let at = |second| began + Duration::from_secs(second);
        readiness.expect("queue", "not known yet");
        readiness.set_at("queue", Ok(()), began);
        let mut told = Vec::new();
        for second in 0..25 {
            readiness.set_at("queue", problem(&format!("trouble {second}")), at(second));
            told.push(logged(&readiness).expect("a problem"));
        }
        told.dedup();
        assert_eq!(told, ["trouble 0", "trouble 10", "trouble 20"]);
        assert_eq!(readiness.problems(), ["queue: trouble 24"], "what is shown is never late");
        readiness.set_at("queue", Ok(()), at(25));
        assert_eq!((logged(&readiness).as_deref(), readiness.problems().len()), (Some("trouble 20"), 0));
        readiness.set_at("queue", Ok(()), at(30));
        assert_eq!(logged(&readiness), None, "that it is ready was never told");
    }
}
