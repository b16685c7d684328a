//! Commands as a person types them: in a directory, with an environment and perhaps something on standard input.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::stack::Directory;

/// How a command ended.
#[derive(Debug, PartialEq)]
pub struct Ended {
    pub status: i32,
    pub output: String,
    pub errors: String,
}

impl Ended {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.output).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A place to run commands in: a directory of its own, and an environment without anything else.
pub struct Terminal {
    pub directory: Directory,
    pub environment: Vec<(&'static str, String)>,
}

impl Terminal {
    pub fn with(environment: Vec<(&'static str, String)>) -> Self {
        Self { directory: Directory::create(), environment }
    }

    /// Runs a command to its end.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> Ended {
        self.run_on(program, arguments, "").await
    }

    /// Runs a command with this on standard input.
    pub async fn run_on(&self, program: &str, arguments: &[&str], input: &str) -> Ended {
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("standard input");
        // A command that reads nothing may have ended already.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let ended = tokio::time::timeout(std::time::Duration::from_mins(1), child.wait_with_output()).await;
        let output = ended.unwrap_or_else(|_| panic!("{arguments:?} goes on")).expect("a status");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Ended { status: output.status.code().unwrap_or(-1), output: text(output.stdout), errors: text(output.stderr) }
    }
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a file");
        }
    }
}
