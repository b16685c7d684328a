//! `processor dev`, and the README's tasks pasted one after the other while it runs.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::stack::{Directory, PROCESSOR, PRODUCERS, eventually, sample_catalog};
use crate::terminal::copy;

/// The tasks that a newcomer does while `dev` runs, by their headings.
const TASKS: [&str; 9] = [
    "Send an event",
    "Look at it",
    "Add your tenant",
    "Break it, and see why",
    "Mend it",
    "What is it with this tenant?",
    "Take what your producers already send",
    "Let a tenant's own people read",
    "Prove that nothing is lost",
];

/// `dev` in a directory of its own, on ports that the system gives.
pub struct Dev {
    pub child: Child,
    pub directory: Directory,
    output: Arc<Mutex<String>>,
}

impl Dev {
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// With these variables.
    pub fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let directory = Directory::create();
        copy(&sample_catalog(), &directory.0.join("schemas"));
        Self::start_in(directory, arguments, variables)
    }

    /// With these files below `schemas` in place of the sample catalog's.
    pub fn start_with_catalog(arguments: &[&str], files: &[(&str, &str)]) -> Self {
        let directory = Directory::create();
        for (name, text) in files {
            directory.write(&format!("schemas/{name}"), text);
        }
        Self::start_in(directory, arguments, &[])
    }

    /// In a directory that is there.
    pub fn start_in(directory: Directory, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(PROCESSOR);
        command.args(["dev", "--queue-port", "0", "--receiver-port", "0", "--listen-address", "127.0.0.1:0"]).args(arguments);
        for name in ["DATABASE_URL", "QUEUES", "QUEUE_NAME", "AWS_ENDPOINT_URL"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        let errors = std::fs::File::create(directory.0.join("errors")).expect("a file");
        let spawned =
            command.current_dir(&directory.0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).kill_on_drop(true).spawn();
        let mut child = spawned.expect("dev starts");
        let mut lines = BufReader::new(child.stdout.take().expect("standard output")).lines();
        let output = Arc::new(Mutex::new(String::new()));
        let writing = Arc::clone(&output);
        let reading = async move {
            while let Ok(Some(line)) = lines.next_line().await {
                writing.lock().expect("the output").push_str(&(line + "\n"));
            }
        };
        #[expect(clippy::disallowed_methods, reason = "it ends with dev's standard output")]
        tokio::spawn(reading);
        Self { child, directory, output }
    }

    /// Starts again what was interrupted.
    pub fn start_again(mut self) -> Self {
        let directory = std::mem::replace(&mut self.directory, Directory::create());
        Self::start_in(directory, &[], &[])
    }

    pub fn output(&self) -> String {
        self.output.lock().expect("the output").clone()
    }

    /// What it wrote to standard error.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.directory.0.join("errors")).expect("the errors")
    }

    pub async fn says(&self, text: &str) {
        eventually(&format!("dev says {text}"), async || self.output().contains(text).then_some(())).await;
    }

    pub async fn interrupt(&mut self) -> i32 {
        let id = self.child.id().expect("dev runs").to_string();
        std::process::Command::new("/bin/sh").args(["-c", &format!("kill -INT {id}")]).status().expect("sh");
        self.child.wait().await.expect("a status").code().unwrap_or(-1)
    }
}

impl Drop for Dev {
    /// Where `dev` runs as root its cluster lies outside of the directory, as the one who runs Postgres may not enter that.
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        if let Ok(home) = std::fs::read_to_string(self.directory.0.join(".dev/cluster")) {
            let _ = std::fs::remove_dir_all(home.trim_end());
        }
    }
}

/// The shell blocks below a heading.
fn blocks(readme: &str, heading: &str) -> Vec<String> {
    let section = readme.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("the README has no `{heading}`"));
    let section = section.split("\n## ").next().unwrap_or_default();
    section.split("```sh\n").skip(1).filter_map(|rest| Some(rest.split("```").next()?.to_owned())).collect()
}

/// Stand-ins on the PATH: `cargo run` without building anew, and an `awslocal` that sends by `producers`, as the real one may be absent.
fn stand_ins(directory: &Directory) {
    let cargo =
        format!("#!/bin/sh\nshift 2\nif [ \"$1\" = --bin ]; then shift 3; exec {PRODUCERS} \"$@\"; fi\nshift; exec {PROCESSOR} \"$@\"\n");
    let awslocal = format!("#!/bin/sh\nfor body; do :; done\nprintf %s \"$body\" | {PRODUCERS} send --queue \"${{4##*/}}\" --wait\n");
    for (name, script) in [("cargo", cargo), ("awslocal", awslocal)] {
        directory.write(&format!("bin/{name}"), &script);
        let path = directory.0.join("bin").join(name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    }
}

async fn paste(dev: &Dev, script: &str) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let servers = "/usr/lib/postgresql/15/bin";
    let output = Command::new("/bin/sh")
        .args(["-c", script])
        .current_dir(&dev.directory.0)
        .env("PATH", format!("{}/bin:{path}:{servers}", dev.directory.0.display()))
        .env_remove("DATABASE_URL")
        .output()
        .await
        .expect("a shell");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn each_task_of_the_readme_works_when_it_is_pasted() {
    let readme = include_str!("../../README.md");
    let mut dev = Dev::start(&[]);
    stand_ins(&dev.directory);
    dev.says("In another terminal").await;
    let mut printed = String::new();
    for task in TASKS {
        let blocks = blocks(readme, task);
        assert!(!blocks.is_empty(), "`{task}` has nothing to paste");
        // One shell for a task, which begins with what an earlier task has set.
        let script = format!("set -a; . .dev/env; set +a\n{}", blocks.join("\n"));
        printed = format!("{printed}## {task}\n{}\n", paste(&dev, &script).await);
    }
    for expected in [
        "stored for tenant platform as event",
        "order.created",
        "catalog generation ",
        "invoice.sent/1.json#/properties/total/minimum",
        ": schema_violation; `processor dead-letter show",
        "      id  last seen             state     reason",
        ": schema_violation (open)\n",
        "at /total: expected at least 0, found number",
        "rejected: schema_violation",
        "stored for tenant acme as event",
        "minimum invoice.sent/1.json#/properties/total/minimum\n",
        "         1  would be stored\n",
        "wrote proposed/acme/invoice.sent/examples/valid/credit.json",
        "         1  stored\n",
        "  replayed    dead letter ",
        "  event_type         Order Created",
        "  payload            {\"order\": 7}",
        "rate: no limit\n",
        "role acme_reporting reads the rows of tenant acme from now on",
        " tenant_id | count \n-----------+-------\n acme      |     2\n(1 row)",
        "every event is accounted for, and the queue rests",
    ] {
        assert!(printed.contains(expected), "no `{expected}` in\n{printed}");
    }
    assert_eq!(printed.matches("stored for tenant acme as event").count(), 1, "{printed}");
    assert_eq!(printed.matches("stored for tenant platform as event").count(), 2, "{printed}");
    assert_eq!(dev.interrupt().await, 0);
    assert!(!dev.directory.0.join(".dev/env").exists(), "what dev started is still announced");
}

#[tokio::test]
async fn dev_ends_with_zero_when_every_sample_event_is_accounted_for() {
    let mut dev = Dev::start(&["--exit-after-sample"]);
    let status = dev.child.wait().await.expect("a status").code();
    assert_eq!(status, Some(0), "{}{}", dev.output(), dev.errors());
    assert!(!dev.errors().contains("set-up"), "its own queues are not as the daemon wants them: {}", dev.errors());
    for tenant in ["platform", "shop", "onboarding", "crm", "customers"] {
        assert!(dev.output().contains(&format!("\n{tenant} ")), "{}", dev.output());
    }
    for sort in ["sent  stored  duplicate  rejected by reason", "schema_violation 1", "id_conflict 1", "\n(unknown) ", "unknown_tenant 1"] {
        assert!(dev.output().contains(sort), "no `{sort}` in {}", dev.output());
    }
}

#[tokio::test]
async fn a_second_dev_in_the_same_directory_says_who_runs_there() {
    let mut dev = Dev::start(&[]);
    dev.says("In another terminal").await;
    let second =
        Command::new(PROCESSOR).args(["dev", "--queue-port", "0"]).current_dir(&dev.directory.0).output().await.expect("it starts");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    let id = dev.child.id().expect("dev runs");
    assert!(said.contains(&format!("another `processor dev` (process {id}) runs in this directory")), "{said}");
    assert_eq!(second.status.code(), Some(69));
    assert_eq!(dev.interrupt().await, 0);
}

#[tokio::test]
async fn what_is_saved_under_schemas_is_applied_and_its_errors_are_shown() {
    let mut dev = Dev::start(&[]);
    dev.says("In another terminal").await;
    dev.directory.write("schemas/acme/tenant.toml", "nonsense = 1");
    dev.says("schemas/acme/tenant.toml").await;
    dev.says("what ran before goes on").await;
    dev.directory.write("schemas/acme/tenant.toml", "name = \"Acme\"\n");
    dev.says("new or changed: acme").await;
    assert_eq!(dev.interrupt().await, 0);
}
