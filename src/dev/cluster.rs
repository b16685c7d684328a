//! A Postgres cluster of our own, for `dev` and for the tests.
//!
//! It listens on loopback only, trusts whoever reaches it there, and lives in one directory, its home: `data` is Postgres's, `log` what its
//! latest start has printed, `port` the port that it had then. Nothing here is asynchronous: starting takes a second or two, once; async callers use `spawn_blocking`.

use std::fs::{self, File, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use super::account::{Account, prepare_home, temporary_parent};
use super::binaries::Binaries;
use super::guard::Guard;

mod copy;
mod crash;
mod leftover;

/// Long enough for the recovery after a crash; a start that works takes well under a second.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Between choosing a free port and Postgres's taking it, somebody else may.
const ATTEMPTS_MAX: u32 = 5;

/// A running cluster. It stops when this is let go or our process ends, however that happens.
#[derive(Debug)]
pub struct Cluster {
    // Declared in the order in which they have to go: the lock is held until Postgres has ended.
    guard: Guard,
    home: Home,
    port: u16,
    settings: Vec<String>,
    _lock: File,
}

/// What it takes to start a cluster.
#[derive(Debug)]
struct Home {
    binaries: Binaries,
    directory: PathBuf,
    data: PathBuf,
    account: Option<Account>,
    temporary: bool,
}

impl Cluster {
    /// Start the cluster that lives in `home`, made anew when there is none. `settings` are Postgres's, each as `name=value`.
    ///
    /// # Errors
    /// When another process runs it, its data is of another major version, or Postgres does not start; the text then ends with its log.
    pub fn start(binaries: &Binaries, home: &Path, settings: &[&str]) -> Result<Self> {
        Home::prepare(binaries, home, false)?.start(settings)
    }

    /// Start a cluster that is gone, with its directory, when this is let go or our process ends.
    ///
    /// # Errors
    /// When there are no binaries, or as for [`Cluster::start`].
    pub fn temporary(settings: &[&str]) -> Result<Self> {
        Home::temporary(&Binaries::find()?, |home| home.start(settings))
    }

    /// The address of one of its databases, as the superuser `postgres`. It says that there is no encryption, for the environment of whoever
    /// uses it may ask for some.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The port on 127.0.0.1: the one of the latest start where that is free. The socket in the home bears its number too.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stop Postgres as its `fast` mode does (sessions are ended, what was committed is on disk) and wait for it.
    ///
    /// # Errors
    /// When Postgres had ended otherwise.
    pub fn stop(self) -> Result<()> {
        let status = self.guard.stop().context("failed to wait for Postgres")?;
        if !status.success() {
            bail!("Postgres ended with {status}; its log is {}", self.home.directory.join("log").display());
        }
        Ok(())
    }
}

impl Home {
    /// A cluster in a directory that goes with it.
    fn temporary(binaries: &Binaries, start: impl FnOnce(Self) -> Result<Cluster>) -> Result<Cluster> {
        let home = temporary_parent().join(format!("event-processor-{}", Uuid::now_v7().simple()));
        let started = Self::prepare(binaries, &home, true).and_then(start);
        if started.is_err() {
            // What is wrong has been said; a directory that stays behind would only distract from it.
            let _ = fs::remove_dir_all(&home);
        }
        started
    }

    fn prepare(binaries: &Binaries, directory: &Path, temporary: bool) -> Result<Self> {
        let account = prepare_home(directory)?;
        // Absolute, because Postgres runs in another directory than we do.
        let directory = directory.canonicalize().with_context(|| format!("failed to look at {}", directory.display()))?;
        Ok(Self { binaries: binaries.clone(), data: directory.join("data"), directory, account, temporary })
    }

    fn start(self, settings: &[&str]) -> Result<Cluster> {
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let lock = self.lock()?;
        self.create_data()?;
        for attempt in 1.. {
            self.stop_leftover()?;
            let port = match self.latest_port().filter(|_| attempt == 1) {
                Some(port) => port,
                None => free_port(0)?,
            };
            let mut guard = self.start_postgres(port, &settings)?;
            let Some(status) = self.ended_before_ready(&mut guard, port)? else {
                fs::write(self.port_file(), port.to_string()).with_context(|| format!("failed to write {}", self.port_file().display()))?;
                return Ok(Cluster { guard, home: self, port, settings, _lock: lock });
            };
            guard.keep_directory();
            let log = self.log();
            // The latter is a server of a killed process that had not come as far as being seen by `stop_leftover`.
            let again = log.contains("could not bind") || log.contains("lock file \"postmaster.pid\" already exists");
            if attempt == ATTEMPTS_MAX || !again {
                bail!("failed to start Postgres in {}: it ended with {status} and wrote:\n{log}", self.directory.display());
            }
            thread::sleep(Duration::from_millis(50));
        }
        unreachable!("the last attempt has returned")
    }

    /// The kernel gives this up when our process ends, however it does.
    fn lock(&self) -> Result<File> {
        let home = self.directory.display();
        let lock = File::open(&self.directory).with_context(|| format!("failed to open the directory {home}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => {
                let postmaster = self.postmaster().map_or_else(|| "about to start".to_owned(), |pid| format!("process {pid}"));
                bail!("another process runs the cluster in {home} (its Postgres is {postmaster}): stop that one first, or go on using it")
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("failed to lock the directory {home}")),
        }
    }

    /// Under another name until it is complete, so that what a kill leaves half made is not taken for a cluster.
    fn create_data(&self) -> Result<()> {
        if self.data.exists() {
            return self.check_version();
        }
        let unfinished = self.directory.join("data.unfinished");
        // Older macOS and some small systems do not know C.UTF-8; C sorts the same and only knows fewer letters' cases.
        let status = match self.initialize(&unfinished, "C.UTF-8")? {
            status if status.success() => status,
            _ => self.initialize(&unfinished, "C")?,
        };
        if !status.success() {
            bail!("failed to make a cluster in {}: initdb ended with {status} and wrote:\n{}", self.directory.display(), self.log());
        }
        fs::rename(&unfinished, &self.data).with_context(|| format!("failed to rename {}", unfinished.display()))
    }

    fn initialize(&self, directory: &Path, locale: &str) -> Result<ExitStatus> {
        if directory.exists() {
            fs::remove_dir_all(directory).with_context(|| format!("failed to remove {}", directory.display()))?;
        }
        let directory = utf8(directory)?;
        let mut arguments = vec!["--pgdata", directory, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale", locale];
        if self.temporary {
            arguments.push("--no-sync");
        }
        self.guarded("initdb", &arguments)?.wait().context("failed to wait for initdb")
    }

    fn check_version(&self) -> Result<()> {
        let path = self.data.join("PG_VERSION");
        let made_by = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        if made_by.trim() != self.binaries.major_version().to_string() {
            bail!(
                "the cluster in {home} was made by Postgres {made_by}, which {found} cannot read: install Postgres {made_by} again, or remove {home} and all events in it",
                home = self.directory.display(),
                made_by = made_by.trim(),
                found = self.binaries,
            );
        }
        Ok(())
    }

    fn start_postgres(&self, port: u16, settings: &[String]) -> Result<Guard> {
        let port = format!("port={port}");
        let mut arguments = vec!["-D", utf8(&self.data)?];
        // The socket's place is relative to the data, and so within the 107 bytes for a socket's path wherever the home is.
        let ours = [port.as_str(), "listen_addresses=127.0.0.1", "unix_socket_directories=.."];
        for setting in ours.into_iter().chain(settings.iter().map(String::as_str)) {
            arguments.extend(["-c", setting]);
        }
        self.guarded("postgres", &arguments)
    }

    fn guarded(&self, program: &str, arguments: &[&str]) -> Result<Guard> {
        let remove = self.temporary.then_some(self.directory.as_path());
        Guard::start(&self.binaries.program(program), arguments, self.account, &self.directory.join("log"), remove)
    }

    fn port_file(&self) -> PathBuf {
        self.directory.join("port")
    }

    /// The port of the latest start where nobody else has it now: so what was told of it then still holds.
    fn latest_port(&self) -> Option<u16> {
        let port = fs::read_to_string(self.port_file()).ok()?.trim().parse().ok()?;
        free_port(port).ok()
    }

    /// None when it accepts connections, which Postgres notes in its process file as `pg_ctl --wait` reads it.
    fn ended_before_ready(&self, guard: &mut Guard, port: u16) -> Result<Option<ExitStatus>> {
        let deadline = Instant::now() + START_TIMEOUT;
        let port = port.to_string();
        while Instant::now() < deadline {
            if let Some(status) = guard.ended().context("failed to watch Postgres")? {
                return Ok(Some(status));
            }
            let file = fs::read_to_string(self.process_file()).unwrap_or_default();
            let lines: Vec<_> = file.lines().map(str::trim).collect();
            if lines.get(3) == Some(&port.as_str()) && matches!(lines.get(7), Some(&"ready" | &"standby")) {
                return Ok(None);
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("Postgres in {} was not ready within {START_TIMEOUT:?} and wrote:\n{}", self.directory.display(), self.log())
    }

    /// The end of what was printed last, for an error's text.
    fn log(&self) -> String {
        let log = fs::read(self.directory.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// The port where it is free; for 0 any that is.
fn free_port(port: u16) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("failed to find a free port on 127.0.0.1")?;
    Ok(listener.local_addr().context("failed to find a free port on 127.0.0.1")?.port())
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("the directory {} has a name that is not UTF-8: use another", path.display()))
}

#[cfg(test)]
mod tests;
