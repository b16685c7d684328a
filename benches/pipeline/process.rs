//! The processes of a measurement: this program in another role, and the daemon.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Error, Result, ensure};
use event_processor::health::ask;

use crate::ceilings::Ceiling;

/// A process that ends with its owner.
pub struct Process(Child);

impl Process {
    /// Starts this program as a server, which first says where it listens.
    pub fn serve(arguments: &[&str]) -> Result<(Self, String)> {
        let mut child = Command::new(std::env::current_exe()?).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().context("standard output")?).read_line(&mut address)?;
        Ok((Self(child), address.trim().to_owned()))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Writes a line to its standard input.
    pub fn tell(&self, line: &str) -> Result<()> {
        Ok(writeln!(self.0.stdin.as_ref().context("standard input")?, "{line}")?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running daemon.
pub struct Daemon {
    process: Process,
    address: SocketAddr,
}

impl Daemon {
    /// Starts it, and waits until it says that it has.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut log = BufReader::new(child.stderr.take().context("standard error")?);
        let process = Process(child);
        let address = address(&mut log)?;
        // Its log is read on, so that it never waits for us.
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok).filter(|line| line.contains("ERROR")) {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
        });
        Ok(Self { process, address })
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it is ready, its queues and its database found.
    pub async fn ready(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_mins(1);
        while let Err(problem) = ask(self.address, "/readyz").await {
            ensure!(Instant::now() < deadline, "the daemon is not ready: {problem}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// All its metrics.
    pub async fn scrape(&self) -> Result<String> {
        ask(self.address, "/metrics").await.map_err(Error::msg)
    }

    /// The sum of a metric's values that have one of these labels, each as `name="value"`; none where there is no such value.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<Option<f64>> {
        let text = self.scrape().await?;
        let begin = format!("event_processor_{name}{{");
        let values = text.lines().filter_map(|line| {
            let (given, value) = line.strip_prefix(&begin)?.rsplit_once("} ")?;
            given.split(',').any(|label| labels.contains(&label)).then(|| value.parse::<f64>().ok())?
        });
        Ok(values.reduce(|sum, value| sum + value))
    }

    /// Tells it to end, and waits for that.
    pub fn stop(mut self) -> Result<()> {
        let told = Command::new("kill").args(["-TERM", &self.id().to_string()]).status()?;
        ensure!(told.success() && self.process.0.wait()?.success(), "a process did not end well");
        Ok(())
    }
}

/// Where the daemon serves its metrics, which its log says once it has started.
fn address(log: &mut BufReader<ChildStderr>) -> Result<SocketAddr> {
    let mut line = String::new();
    while !line.contains("started;") {
        line.clear();
        ensure!(log.read_line(&mut line)? > 0, "the daemon ended");
    }
    let fields: serde_json::Value = serde_json::from_str(&line)?;
    Ok(fields["address"].as_str().context("the daemon's log names no address")?.parse()?)
}

/// Runs a part alone, in a process of its own; `measure` is called just before its work begins, and when it is over.
pub fn ceiling(arguments: &[&str], mut measure: impl FnMut(bool) -> Result<()>) -> Result<Ceiling> {
    let mut child = Command::new(std::env::current_exe()?).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("standard input")?;
    let mut output = BufReader::new(child.stdout.take().context("standard output")?);
    let mut line = String::new();
    output.read_line(&mut line)?;
    ensure!(line == "ready\n", "`{}` failed", arguments.join(" "));
    measure(false)?;
    writeln!(input, "go")?;
    line.clear();
    output.read_line(&mut line)?;
    measure(true)?;
    drop(input);
    ensure!(child.wait()?.success(), "`{}` failed", arguments.join(" "));
    Ok(serde_json::from_str(&line)?)
}
