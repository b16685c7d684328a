//! Have the platform's own package manager install a Postgres server.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::account::we_are_root;
use super::binaries::{Binaries, NoBinaries};
use crate::output::{flush, tell, tell_as_is};

/// What each package manager has to be told, the first of them that is on the PATH.
///
/// Debian's package makes a cluster on port 5432 and starts it, unless its configuration says otherwise beforehand: nobody asked for that one.
const INSTALLATIONS: [(&str, &[&[&str]]); 4] = [
    (
        "apt-get",
        &[
            &["apt-get", "update"],
            &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends", "postgresql-common"],
            &["sed", "-i", "s/^#create_main_cluster = true/create_main_cluster = false/", "/etc/postgresql-common/createcluster.conf"],
            &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends", "postgresql"],
        ],
    ),
    ("dnf", &[&["dnf", "install", "-y", "postgresql-server"]]),
    ("apk", &[&["apk", "add", "postgresql"]]),
    ("brew", &[&["brew", "install", "postgresql@17"]]),
];

/// The commands that install a Postgres server on this platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    commands: Vec<Vec<String>>,
}

/// The commands as a user would type them, one a line.
impl fmt::Display for Installation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for command in &self.commands {
            writeln!(formatter, "{}", typed(command))?;
        }
        Ok(())
    }
}

impl Installation {
    /// For this platform, when it has one of the package managers.
    #[must_use]
    pub fn find() -> Option<Self> {
        let (manager, commands) = INSTALLATIONS.iter().find(|(manager, _)| on_path(manager).is_some())?;
        // Homebrew refuses to run as root; the others need it.
        let sudo = *manager != "brew" && !we_are_root() && on_path("sudo").is_some();
        Some(Self::new(commands, sudo))
    }

    fn new(commands: &[&[&str]], sudo: bool) -> Self {
        let prefix: &[&str] = if sudo { &["sudo"] } else { &[] };
        let words = |command: &&[&str]| prefix.iter().chain(*command).map(|&word| word.to_owned()).collect();
        Self { commands: commands.iter().map(words).collect() }
    }

    /// Run the commands, with their output shown.
    ///
    /// # Errors
    /// When one of them fails: the later ones are not run then.
    pub fn run(&self) -> Result<()> {
        for command in &self.commands {
            let line = typed(command);
            tell(format_args!("+ {line}"));
            flush();
            let status = Command::new(&command[0]).args(&command[1..]).status().with_context(|| format!("failed to run `{line}`"))?;
            if !status.success() {
                bail!("failed to install Postgres: `{line}` ended with {status}; run it yourself, as a user who may, and start again");
            }
        }
        Ok(())
    }
}

/// Install a server because `missing`: at once when `install` says so, else after a yes on the terminal.
///
/// # Errors
/// When nobody said yes, the package manager failed or is unknown, or what it installs is too old. The text says what to do instead.
pub fn install(missing: &NoBinaries, install: bool) -> Result<Binaries> {
    let Some(installation) = Installation::find() else {
        bail!("{missing}. Install one, or set DATABASE_URL to an empty database on this machine");
    };
    if !install && !agreed(missing, &installation)? {
        bail!(
            "{missing}. Install it with\n{installation}or run this again with --install, which does so; or set DATABASE_URL to an empty database on this machine"
        );
    }
    installation.run()?;
    Binaries::find().context("the package was installed, and still: install a newer server by hand")
}

fn agreed(missing: &NoBinaries, installation: &Installation) -> Result<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(false);
    }
    tell_as_is(format!("{missing}.\nThis would install it:\n{installation}Run that now? [y/N] "));
    flush();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("failed to read the answer from the terminal")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}

/// As typed into a shell: quoted where a word needs it.
fn typed(command: &[String]) -> String {
    let quoted = |word: &String| {
        if word.contains([' ', '#', '^']) { format!("'{word}'") } else { word.clone() }
    };
    command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_shown_as_they_can_be_pasted() {
        let (_, debian) = INSTALLATIONS[0];
        insta::assert_snapshot!(Installation::new(debian, true), @"
        sudo apt-get update
        sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql-common
        sudo sed -i 's/^#create_main_cluster = true/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
        sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql
        ");
    }
}
