//! The units under a real systemd, in a container of `systemd-nspawn`, where one can be started: as root, and not everywhere then.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::isolation::{apply_template, event_of};
use crate::load::send;
use crate::sender::Deliveries;
use crate::stack::{Directory, PROCESSOR, SENDER, SENDER_LOGIN, Stack, WRITER_LOGIN, eventually, log_in_as};

/// Inside: starts the unit, says ever again how it is, and does with it what it is told to.
const DRIVER: &str = "systemctl start --no-block $UNIT
while sleep 0.1; do
  systemctl show $UNIT -p ActiveState -p SubState -p Result -p NRestarts -p StatusText >/observed/new
  mv /observed/new /observed/state
  if [ -e /observed/order ]; then systemctl $(cat /observed/order) $UNIT; rm /observed/order; fi
done
";

/// A unit as it is committed, and what it reads in `/etc/event-processor`.
struct Unit {
    name: &'static str,
    login: &'static str,
    database_url: &'static str,
    environment: &'static str,
}

const DAEMON: Unit = Unit { name: "event-processor", login: WRITER_LOGIN, database_url: "database-url", environment: "environment" };
const OF_SENDER: Unit =
    Unit { name: "event-processor-sender", login: SENDER_LOGIN, database_url: "sender-database-url", environment: "sender.environment" };

/// A machine of its own, but for the network and the system's programs.
struct Machine {
    root: Directory,
    observed: Directory,
    container: Option<Child>,
}

impl Machine {
    /// With a unit and its settings.
    fn create(unit: &Unit, database_url: &str, environment: &str) -> Self {
        let (root, observed) = (Directory::create(), Directory::create());
        for directory in ["usr/local/bin", "var", "run", "tmp", "proc", "sys", "dev", "root"] {
            std::fs::create_dir_all(root.0.join(directory)).expect("a directory");
        }
        for link in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{link}"), root.0.join(link)).expect("a link");
        }
        for file in ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/ld.so.cache"] {
            root.write(&file[1..], "");
            std::fs::copy(file, root.0.join(&file[1..])).expect("the system's own");
        }
        root.write("etc/machine-id", "");
        root.write("etc/os-release", "ID=test\n");
        root.write(&format!("etc/event-processor/{}", unit.database_url), &log_in_as(unit.login, database_url));
        root.write(&format!("etc/event-processor/{}", unit.environment), environment);
        let file = format!("{}.service", unit.name);
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("deployments").join(&file);
        root.write(&format!("etc/systemd/system/{file}"), &std::fs::read_to_string(committed).expect("the unit"));
        // The test need not wait for half a minute.
        root.write(&format!("etc/systemd/system/{file}.d/test.conf"), "[Service]\nWatchdogSec=1s\n");
        let driver = format!("[Service]\nEnvironment=UNIT={}\nExecStart=/bin/sh /observed/driver\n", unit.name);
        root.write("etc/systemd/system/driver.service", &driver);
        observed.write("driver", DRIVER);
        Self { root, observed, container: None }
    }

    fn nspawn(&self) -> Command {
        let mut command = Command::new("systemd-nspawn");
        command.args(["--quiet", "--register=no", "--keep-unit", "--console=pipe", "-D"]).arg(&self.root.0);
        for directory in ["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/share", "/etc/ssl"]
            .into_iter()
            .filter(|path| Path::new(path).exists())
        {
            command.arg(format!("--bind-ro={directory}"));
        }
        for (program, name) in [(PROCESSOR, "processor"), (SENDER, "sender")] {
            command.arg(format!("--bind-ro={program}:/usr/local/bin/{name}"));
        }
        command.arg(format!("--bind={}:/observed", self.observed.0.display()));
        command.env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1").stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Starts it. None, and a message, where no container can be started.
    async fn boot(mut self) -> Option<Self> {
        let tried = self.nspawn().arg("/bin/true").output().await;
        let problem = match &tried {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = problem {
            eprintln!("skipped: systemd-nspawn can start no container here: {problem}");
            return None;
        }
        let mut command = self.nspawn();
        command.args(["--boot", "systemd.unit=driver.service"]).stdout(Stdio::null()).stderr(Stdio::null());
        self.container = Some(command.spawn().expect("systemd-nspawn starts"));
        Some(self)
    }

    /// Has systemd do this with the unit.
    fn order(&self, verb: &str) {
        // Written beside it first: half an order is none.
        self.observed.write("written", verb);
        std::fs::rename(self.observed.0.join("written"), self.observed.0.join("order")).expect("renamed");
    }

    /// Waits until systemd says all of this about the unit.
    async fn says(&self, lines: &[&str]) {
        eventually(&format!("systemd says {lines:?}"), async || {
            let state = std::fs::read_to_string(self.observed.0.join("state")).unwrap_or_default();
            lines.iter().all(|line| state.lines().any(|one| one.starts_with(line))).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_unit_is_started_when_there_is_a_catalog_started_anew_when_it_is_stuck_and_stopped_in_order() {
    let stack = Stack::start_without_catalog(&["events"]).await;
    let queue = stack.queue("events").await;
    let settings = stack.environment().into_iter().filter(|(name, _)| *name != "DATABASE_URL");
    let mut environment = settings.map(|(name, value)| format!("{name}={value}\n")).collect::<Vec<_>>().concat();
    environment += "QUEUES=events?trust=any\nFAILPOINTS=slow=return(600000 stuck);progress_interval=return(20)\n";
    let Some(machine) = Machine::create(&DAEMON, &stack.database.url, &environment).boot().await else { return };
    machine.says(&["ActiveState=activating", "SubState=start", "StatusText=catalog: none was applied"]).await;

    let event_types: Vec<String> = (0..12).map(|number| format!("type-{number}")).collect();
    apply_template(&stack, &["acme"], &event_types.iter().map(String::as_str).collect::<Vec<_>>()).await;
    machine.says(&["ActiveState=active", "SubState=running", "StatusText=ready", "NRestarts=0"]).await;

    send(&queue, event_types.iter().map(|event_type| event_of("acme", event_type, &format!("stuck-{event_type}")))).await;
    machine.says(&["Result=watchdog"]).await;
    machine.says(&["ActiveState=active", "SubState=running", "NRestarts=1"]).await;

    machine.order("stop");
    machine.says(&["ActiveState=inactive", "Result=success"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_senders_unit_is_started_when_its_database_is_there_and_started_anew_when_claims_are_never_answered() {
    let deliveries = Deliveries::create().await;
    // Its secrets are JSON, and no concern of systemd's.
    let settings = deliveries.environment().into_iter().filter(|(name, _)| !["DATABASE_URL", "SENDER_SECRETS"].contains(name));
    let environment = settings.map(|(name, value)| format!("{name}={value}\n")).collect::<Vec<_>>().concat();
    deliveries.database.turn_away().await;
    let Some(machine) = Machine::create(&OF_SENDER, &deliveries.database.url, &environment).boot().await else { return };
    machine.says(&["ActiveState=activating", "SubState=start", "StatusText=database: "]).await;

    deliveries.database.let_in().await;
    machine.says(&["ActiveState=active", "SubState=running", "StatusText=ready", "NRestarts=0"]).await;

    let stuck = "FAILPOINTS=hung_claim=3*off->return;care_interval=return(1)\n";
    machine.root.write(&format!("etc/event-processor/{}", OF_SENDER.environment), &(environment + stuck));
    machine.order("restart --no-block");
    machine.says(&["Result=watchdog"]).await;
    machine.says(&["ActiveState=active", "SubState=running", "Result=success"]).await;
}
