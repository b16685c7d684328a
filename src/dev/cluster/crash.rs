//! A crash on purpose, for the proof that it costs no event.

use std::mem;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{Cluster, START_TIMEOUT};

impl Cluster {
    /// End Postgres as a crash does: at once, without a word to its sessions' transactions and without a checkpoint (its mode `immediate`).
    ///
    /// # Errors
    /// When Postgres does not end.
    pub fn crash(&mut self) -> Result<()> {
        let output = self.home.pg_ctl_stop("immediate").context("failed to run pg_ctl to crash Postgres")?;
        if !output.status.success() {
            bail!("failed to crash Postgres: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        while self.guard.ended().context("failed to watch Postgres")?.is_none() {
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Start Postgres again after [`Cluster::crash`], on the same port; it recovers what was committed.
    ///
    /// # Errors
    /// When Postgres does not start; the text then ends with its log.
    pub fn recover(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let guard = self.home.start_postgres(self.port, &self.settings)?;
            // The directory is the new guard's from here on.
            mem::replace(&mut self.guard, guard).keep_directory();
            let Some(status) = self.home.ended_before_ready(&mut self.guard, self.port)? else { return Ok(()) };
            let log = self.home.log();
            // Meanwhile another process's connection may have been given our port.
            if !log.contains("could not bind") || Instant::now() > deadline {
                bail!("failed to start Postgres after a crash: it ended with {status} and wrote:\n{log}");
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}
