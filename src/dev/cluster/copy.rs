//! Copies of a running cluster, for the proof that neither a failover nor a restored backup costs an event.

use anyhow::{Context, Result, bail};

use super::{Cluster, Home, utf8};

/// What a copy of a cluster is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copy {
    /// A backup that was restored: it has what was committed before, and goes its own way.
    Backup,
    /// A read-only standby: it follows the cluster until it is promoted.
    Standby,
}

impl Cluster {
    /// Start a copy of this cluster, as it is now, on a port of its own. It is gone, with its directory, when it is let go.
    ///
    /// # Errors
    /// When this cluster cannot be copied, or the copy does not start; the text then ends with what was printed.
    pub fn copy(&self, copy: Copy) -> Result<Self> {
        Home::temporary(&self.home.binaries, |home| {
            let port = self.port.to_string();
            let from = ["--host=127.0.0.1", "--username=postgres", "--port", &port];
            let mut arguments = vec!["--checkpoint=fast", "--no-sync", "--pgdata", utf8(&home.data)?];
            arguments.extend(from);
            if copy == Copy::Standby {
                arguments.push("--write-recovery-conf");
            }
            let status = home.guarded("pg_basebackup", &arguments)?.wait().context("failed to wait for pg_basebackup")?;
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
