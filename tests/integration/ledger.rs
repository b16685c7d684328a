//! Producers under way, their ledger, and the proof that it tells.

use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::stack::{PRODUCERS, Stack, eventually, sample_catalog};
use crate::terminal::{Ended, Terminal};

/// A directory in which producers write a ledger.
pub struct Ledger {
    pub terminal: Terminal,
}

impl Ledger {
    /// An empty one, for producers and proofs on a stack.
    pub fn on(stack: &Stack) -> Self {
        Self { terminal: Terminal::with(stack.environment()) }
    }

    /// What was written so far.
    pub fn text(&self) -> String {
        std::fs::read_to_string(self.terminal.directory.0.join("ledger")).unwrap_or_default()
    }

    /// Sends the sample catalog's events with these arguments, to a queue as `QUEUES` names it.
    pub async fn send(&self, queue: &str, arguments: &str) -> Ended {
        let ended = self.terminal.run(PRODUCERS, &words(queue, arguments).iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert_eq!(ended.status, 0, "{ended:?}");
        ended
    }

    /// Begins to send; waits until the ledger has so many lines.
    pub async fn begin(&self, queue: &str, arguments: &str, lines: usize) -> Child {
        let mut command = Command::new(PRODUCERS);
        command.args(words(queue, arguments)).env_clear().envs(self.terminal.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.terminal.directory.0).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().expect("producers starts");
        eventually("the ledger grows", async || (self.text().lines().count() >= lines).then_some(())).await;
        child
    }

    /// Interrupts producers that have begun, and waits until their ledger is complete.
    pub async fn interrupt(&self, mut producers: Child) {
        let id = producers.id().expect("producers run");
        let interrupted = std::process::Command::new("/bin/sh").args(["-c", &format!("kill -INT {id}")]).status();
        assert!(interrupted.expect("sh").success());
        assert!(producers.wait().await.expect("a status").success());
    }

    /// `producers verify`, as JSON.
    pub async fn verify(&self) -> Ended {
        self.terminal.run(PRODUCERS, &["verify", "--ledger", "ledger", "--json"]).await
    }

    /// Each event is where it must be. Gives the report.
    pub async fn assert_clean(&self) -> serde_json::Value {
        let verified = self.verify().await;
        assert_eq!(verified.status, 0, "{verified:?}");
        verified.json()
    }
}

/// The words of a command that sends the sample catalog's events.
fn words(queue: &str, arguments: &str) -> Vec<String> {
    let schemas = sample_catalog().display().to_string();
    let fixed = ["--queue", queue, "--schemas", &schemas, "--ledger", "ledger"];
    fixed.into_iter().chain(arguments.split_whitespace()).map(str::to_owned).collect()
}
