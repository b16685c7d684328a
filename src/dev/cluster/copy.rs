//! Copies of a running cluster, for the proof that neither a failover nor a restored backup costs an event.

use anyhow::{Context, Result, bail};

use super::{Cluster, Home, utf8};

impl Cluster {
    /// Start a read-only standby, on a port of its own: it follows this cluster until it is promoted. It goes when it is let go.
    ///
    /// # Errors
    /// When this cluster cannot be copied, or the standby does not start; the text then ends with what was printed.
    pub fn standby(&self) -> Result<Self> {
        self.copy(&["--write-recovery-conf"])
    }

    /// Start what a restored backup would be, on a port of its own: it has what was committed by now, and follows nobody. It goes when it
    /// is let go.
    ///
    /// # Errors
    /// As for [`Cluster::standby`].
    pub fn restored_backup(&self) -> Result<Self> {
        self.copy(&[])
    }

    fn copy(&self, how: &[&str]) -> Result<Self> {
        Home::temporary(&self.home.binaries, |home| {
            let port = self.port.to_string();
            let from = ["--host=127.0.0.1", "--username=postgres", "--port", &port];
            let to = ["--checkpoint=fast", "--no-sync", "--pgdata", utf8(&home.data)?];
            let status = home.guarded("pg_basebackup", &[&from, &to, how].concat())?.wait().context("failed to wait for pg_basebackup")?;
            if !status.success() {
                bail!("failed to copy the cluster: pg_basebackup ended with {status} and wrote:\n{}", home.log());
            }
            home.start(&self.settings.iter().map(String::as_str).collect::<Vec<_>>())
        })
    }

    /// Make a standby take writes; it follows nobody from then on.
    ///
    /// # Errors
    /// When it is no standby or does not answer.
    pub fn promote(&self) -> Result<()> {
        let output = self.home.pg_ctl(&["promote"]).context("failed to run pg_ctl to promote Postgres")?;
        if !output.status.success() {
            bail!("failed to promote Postgres: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }
}
