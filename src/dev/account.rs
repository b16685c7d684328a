//! The user that Postgres runs as, and the directory it lives in.
//!
//! Postgres refuses to run as root. Where we are root it runs as the user `postgres`, or `nobody`, who may not be able to enter the checkout
//! (below `/root`, say); so its directory then lies under [`ROOT_HOMES`], and the checkout only names it.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::unistd::User;
use sha2::{Digest, Sha256};

/// Where root's clusters live. Not `/var/tmp`: what cleans that up by age takes single files out of a data directory.
const ROOT_HOMES: &str = "/var/lib/event-processor-dev";

/// Another user than ours, to run a program as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    user_id: u32,
    group_id: u32,
}

impl Account {
    /// Let the command run as this user, with no group but the user's own.
    pub fn apply(self, command: &mut Command) {
        // The standard library also drops root's supplementary groups when it changes the user.
        command.uid(self.user_id).gid(self.group_id);
    }

    /// Make this user the owner of the file or directory.
    ///
    /// # Errors
    /// When we are not root.
    pub fn give(self, path: &Path) -> Result<()> {
        chown(path, Some(self.user_id), Some(self.group_id))
            .with_context(|| format!("failed to hand {} to user {}", path.display(), self.user_id))
    }
}

/// The directory for the cluster that belongs to the checkout of this `.dev` directory, and a file `cluster` in the latter that names it.
///
/// # Errors
/// When the `.dev` directory cannot be made or written.
pub fn home_for(dev_directory: &Path) -> Result<PathBuf> {
    let cannot_write = || {
        format!("failed to write to {}: it must belong to the user who runs this, or be removed to be made anew", dev_directory.display())
    };
    fs::create_dir_all(dev_directory).with_context(cannot_write)?;
    let dev_directory = dev_directory.canonicalize().with_context(cannot_write)?;
    let home = if we_are_root() {
        let digest = hex::encode(Sha256::digest(dev_directory.as_os_str().as_encoded_bytes()));
        Path::new(ROOT_HOMES).join(&digest[..16])
    } else {
        dev_directory.join("postgres")
    };
    fs::write(dev_directory.join("cluster"), format!("{}\n", home.display())).with_context(cannot_write)?;
    Ok(home)
}

/// Make the directory where it is missing, closed to others; give the account that Postgres has to run as there, none when it is our own.
///
/// # Errors
/// When the directory cannot be made or handed over, or we are root and there is no other user.
pub fn prepare_home(home: &Path) -> Result<Option<Account>> {
    if let Some(parent) = home.parent() {
        fs::create_dir_all(parent).with_context(|| format!("failed to make the directory {}", parent.display()))?;
        if parent == Path::new(ROOT_HOMES) {
            // A strict umask would otherwise shut out the very user that the directory is for.
            fs::set_permissions(parent, Permissions::from_mode(0o755))
                .with_context(|| format!("failed to open the directory {}", parent.display()))?;
        }
    }
    if !home.exists() {
        DirBuilder::new().mode(0o700).create(home).with_context(|| format!("failed to make the directory {}", home.display()))?;
    }
    if !we_are_root() {
        return Ok(None);
    }
    let metadata = fs::metadata(home).with_context(|| format!("failed to look at {}", home.display()))?;
    if metadata.uid() != 0 {
        // Whoever made the data has to go on with it, also when a user `postgres` has appeared since.
        return Ok(Some(Account { user_id: metadata.uid(), group_id: metadata.gid() }));
    }
    let account = match account_named("postgres")? {
        Some(postgres) => Some(postgres),
        None => account_named("nobody")?,
    };
    let account = account.context(
        "Postgres does not run as root, and there is no user `postgres` or `nobody` to run it as: add one, or start this as another user",
    )?;
    account.give(home)?;
    Ok(Some(account))
}

/// A directory for short-lived clusters that every user can enter.
pub fn temporary_parent() -> PathBuf {
    let ours = std::env::temp_dir();
    let enterable =
        |directory: &Path| directory.ancestors().all(|ancestor| fs::metadata(ancestor).is_ok_and(|metadata| metadata.mode() & 0o001 != 0));
    if we_are_root() && !enterable(&ours) { PathBuf::from("/tmp") } else { ours }
}

/// Whether Postgres would refuse to run as our own user.
pub fn we_are_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The user of this name, wherever the system keeps its users.
fn account_named(name: &str) -> Result<Option<Account>> {
    let user = User::from_name(name).with_context(|| format!("failed to look up the user `{name}`"))?;
    Ok(user.map(|user| Account { user_id: user.uid.as_raw(), group_id: user.gid.as_raw() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_exact_name() {
        assert_eq!(account_named("root").unwrap(), Some(Account { user_id: 0, group_id: 0 }));
        assert_eq!(account_named("roo").unwrap(), None);
    }
}
