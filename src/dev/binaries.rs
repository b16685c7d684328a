//! Find the programs of a Postgres server on this machine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The oldest major version that the schema and its queries are written for.
pub const MAJOR_VERSION_MIN: u32 = 15;

/// Where packages put the server when they leave it off the PATH: a directory, how its entries of interest begin (the `bin` below them is meant).
const PLACES: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql@"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

/// A directory that holds `initdb`, `postgres` and `pg_ctl` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
    major_version: u32,
}

/// No server that is new enough; the older ones are named, since one who has one of them would wonder.
#[derive(Debug, Default, thiserror::Error)]
pub struct NoBinaries {
    passed_over: Vec<Binaries>,
}

impl fmt::Display for NoBinaries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "found no Postgres server of version {MAJOR_VERSION_MIN} or later, neither pg_ctl on the PATH nor in the places of the usual packages"
        )?;
        for (index, older) in self.passed_over.iter().enumerate() {
            let lead = if index == 0 { "; too old: " } else { ", " };
            write!(formatter, "{lead}{older}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Binaries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Postgres {} in {}", self.major_version, self.directory.display())
    }
}

impl Binaries {
    /// The server that the PATH names, else the newest in the places of the usual packages.
    ///
    /// # Errors
    /// When there is none, or only older ones than [`MAJOR_VERSION_MIN`].
    pub fn find() -> Result<Self, NoBinaries> {
        let mut packaged: Vec<_> = packaged_directories().iter().filter_map(|directory| Self::at(directory)).collect();
        packaged.sort_by_key(|binaries| std::cmp::Reverse(binaries.major_version));
        let found: Vec<_> = path_directories().iter().filter_map(|directory| Self::at(directory)).chain(packaged).collect();
        match found.iter().find(|binaries| binaries.major_version >= MAJOR_VERSION_MIN) {
            Some(binaries) => Ok(binaries.clone()),
            None => Err(NoBinaries { passed_over: found }),
        }
    }

    /// The directory's server, when all of its programs are there and `postgres` tells its version.
    #[must_use]
    pub fn at(directory: &Path) -> Option<Self> {
        if !["pg_ctl", "initdb", "postgres"].iter().all(|program| directory.join(program).is_file()) {
            return None;
        }
        let output = Command::new(directory.join("postgres")).arg("--version").output().ok()?;
        let major_version = major_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self { directory: directory.to_owned(), major_version })
    }

    /// The path of one of the programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The first number of the version, which is what a data directory is bound to.
    #[must_use]
    pub fn major_version(&self) -> u32 {
        self.major_version
    }
}

/// Each `pg_ctl` on the PATH, followed to where it really lies: packages link that one program and leave its siblings behind.
fn path_directories() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .filter_map(|directory| directory.join("pg_ctl").canonicalize().ok())
        .filter_map(|pg_ctl| pg_ctl.parent().map(Path::to_owned))
        .collect()
}

fn packaged_directories() -> Vec<PathBuf> {
    let mut directories = Vec::new();
    for (parent, prefix) in PLACES {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        directories
            .extend(entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).map(|entry| entry.path().join("bin")));
    }
    directories
}

/// From `postgres (PostgreSQL) 15.18 (Debian ...)`, `... 16beta1` or `... 17devel`.
fn major_version(output: &str) -> Option<u32> {
    let version = output.strip_prefix("postgres (PostgreSQL) ")?;
    let digits = version.find(|character: char| !character.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_what_postgres_prints() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 16beta1\n"), Some(16));
        assert_eq!(major_version("postgres (PostgreSQL) 17"), Some(17));
        assert_eq!(major_version("psql 15.1"), None);
    }

    #[test]
    fn servers_that_are_too_old_are_named() {
        let older = Binaries { directory: "/usr/lib/postgresql/13/bin".into(), major_version: 13 };
        let text = NoBinaries { passed_over: vec![older] }.to_string();
        assert!(text.ends_with("; too old: Postgres 13 in /usr/lib/postgresql/13/bin"), "{text}");
    }
}
