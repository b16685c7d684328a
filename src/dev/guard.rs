//! Run a program that ends when our process does, however that ends.
//!
//! A small shell stands between: it holds the reading end of a pipe whose writing end only we have. When we are killed, or panic, or simply
//! let go, the kernel closes the pipe, and the shell interrupts the program. It has a process group of its own, so that a Ctrl-C on the
//! terminal reaches us alone and the program ends after we have finished with it.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};

use super::account::Account;
use crate::settings::is_of_libpq;

/// The interrupt is repeated, because a program that has only just been started still ignores it. `$$` is this shell: once it has seen the
/// program end, nobody is interrupted, for the number may be another's by then.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
log=$1 remove=$2
shift 2
exec 3<&0
"$@" 3<&- >"$log" 2>&1 &
program=$!
(
    read -r keep <&3
    while kill -0 $$ && kill -INT "$program"; do sleep 0.1; done
    [ -z "$remove" ] || [ -n "$keep" ] || rm -rf -- "$remove"
) &
wait "$program"
"#;

/// A running program. Letting go of it interrupts the program and waits for its end.
#[derive(Debug)]
pub struct Guard {
    shell: Child,
}

impl Guard {
    /// Start the program as the account, its output in the file `log`. `remove` is a directory that goes when our process has.
    ///
    /// # Errors
    /// When no shell can be started as that account.
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: &[A],
        account: Option<Account>,
        log: &Path,
        remove: Option<&Path>,
    ) -> Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "guard"]).args([log, remove.unwrap_or(Path::new(""))]);
        command.arg(program).args(arguments);
        // In English, since its output is searched; and macOS's Postgres does not start without a locale.
        command.env("LC_ALL", "C").current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        without_libpq(&mut command);
        if let Some(account) = account {
            account.apply(&mut command);
        }
        let shell = command.spawn().with_context(|| format!("failed to start /bin/sh as {account:?} to run {}", program.display()))?;
        Ok(Self { shell })
    }

    /// The program's status when it has ended.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.shell.try_wait()
    }

    /// Wait for the program to end by itself; the directory stays.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        // Not `Child::wait`, which first closes our end of the pipe and so would have the program interrupted.
        let status = loop {
            match self.ended()? {
                Some(status) => break status,
                None => std::thread::sleep(std::time::Duration::from_millis(10)),
            }
        };
        self.keep_directory();
        Ok(status)
    }

    /// Let the directory outlive this program.
    pub fn keep_directory(&mut self) {
        if let Some(pipe) = &mut self.shell.stdin {
            // A shell that is not there to read it cannot remove anything either.
            let _ = pipe.write_all(b"keep\n");
        }
    }

    /// Interrupt the program and wait until it, and the directory, are gone.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn stop(mut self) -> io::Result<ExitStatus> {
        self.end()
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        drop(self.shell.stdin.take());
        if let Some(mut output) = self.shell.stdout.take() {
            // Nothing is ever written there; its end says that the shell's helper is through as well.
            io::copy(&mut output, &mut io::sink())?;
        }
        self.shell.wait()
    }
}

/// Lets the program begin without the caller's settings of another Postgres, which its tools would heed.
pub fn without_libpq(command: &mut Command) {
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_libpq(name)) {
        command.env_remove(name);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Nobody is left to tell; the shell does its part in any case.
        let _ = self.end();
    }
}
