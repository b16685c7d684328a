//! What a kill has left behind in a home: a server without its `dev`, or the number of a process that is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use super::{Home, utf8};
use crate::dev::guard::without_libpq;

impl Home {
    /// We hold the lock, so a server that still runs here has lost its `dev` and its guard to a kill, or is just being stopped by the latter.
    pub(super) fn stop_leftover(&self) -> Result<()> {
        let Some((pid, command)) = self.postmaster().and_then(|pid| Some((pid, command_line(pid)?))) else {
            return Ok(());
        };
        if !command.contains(utf8(&self.data)?) {
            return self.disown(pid);
        }
        let home = self.directory.display();
        let output =
            self.pg_ctl_stop("fast").with_context(|| format!("failed to run pg_ctl to stop process {pid}, left over in {home}"))?;
        if self.postmaster() == Some(pid) && command_line(pid).is_some() {
            bail!("failed to stop Postgres, process {pid}, left over in {home}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Ends the server in one of the ways that Postgres has for that, and waits for it.
    pub(super) fn pg_ctl_stop(&self, mode: &str) -> Result<Output> {
        self.pg_ctl(&["stop", "--mode", mode])
    }

    /// Has the server do something, and waits until it is done.
    pub(super) fn pg_ctl(&self, action: &[&str]) -> Result<Output> {
        let mut pg_ctl = Command::new(self.binaries.program("pg_ctl"));
        pg_ctl.args(action).args(["--wait", "--pgdata", utf8(&self.data)?]).env("LC_ALL", "C").current_dir("/");
        without_libpq(&mut pg_ctl);
        if let Some(account) = self.account {
            account.apply(&mut pg_ctl);
        }
        Ok(pg_ctl.output()?)
    }

    /// The number in the process file went to another program since, or to a dead child that nobody collects; Postgres would take either for
    /// a server and refuse to start. It is replaced rather than the file removed, for the rest of it is how Postgres recognises sessions that
    /// have outlived their server.
    fn disown(&self, pid: u32) -> Result<()> {
        let file = self.process_file();
        let nobody = i32::MAX.to_string();
        fs::read_to_string(&file)
            .and_then(|text| fs::write(&file, text.replacen(&pid.to_string(), &nobody, 1)))
            .with_context(|| format!("failed to correct {}, which takes process {pid} for Postgres", file.display()))
    }

    pub(super) fn postmaster(&self) -> Option<u32> {
        fs::read_to_string(self.process_file()).ok()?.lines().next()?.trim().parse().ok()
    }

    pub(super) fn process_file(&self) -> PathBuf {
        self.data.join("postmaster.pid")
    }
}

/// How the process was called; none when there is no such process. Not every small system has `ps`, and macOS has no `/proc`.
fn command_line(pid: u32) -> Option<String> {
    let text = if Path::new("/proc/self").exists() {
        fs::read(format!("/proc/{pid}/cmdline")).ok()?
    } else {
        let output = Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output().ok()?;
        output.status.success().then_some(output.stdout)?
    };
    Some(String::from_utf8_lossy(&text).into_owned())
}
