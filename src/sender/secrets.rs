//! Secrets that settings name: a tenant's own files, or its part of one variable.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::channel::SecretName;
use crate::settings::SecretTable;

/// For how long what a file has said is taken for what it says.
const FRESH_TIME: Duration = Duration::from_secs(10);

/// A file that is longer is no secret's.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// How many are kept at once; then all are read anew.
const KEPT_MAX: usize = 10_000;

/// A secret's text, which nothing prints.
#[derive(Clone)]
pub(super) struct Secret(Arc<str>);

impl Secret {
    fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text, for where it is used.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(not shown)")
    }
}

/// Why there is no such secret; what the file holds is never told.
#[derive(Debug, thiserror::Error)]
#[error("the secret {name} of tenant {tenant} {problem}")]
pub(super) struct NoSecret {
    name: SecretName,
    tenant: String,
    problem: String,
}

type Kept = HashMap<(String, SecretName), (Instant, Secret)>;

/// Where secrets are.
#[derive(Debug)]
pub(super) struct Secrets {
    directory: Option<PathBuf>,
    table: SecretTable,
    kept: Mutex<Kept>,
}

impl Secrets {
    pub(super) fn new(directory: Option<PathBuf>, table: SecretTable) -> Self {
        let directory = directory.filter(|directory| !directory.as_os_str().is_empty());
        Self { directory, table, kept: Mutex::default() }
    }

    /// A tenant's secret.
    pub(super) async fn get(&self, tenant: &str, name: &SecretName) -> Result<Secret, NoSecret> {
        if let Some(secret) = self.fresh(tenant, name) {
            return Ok(secret);
        }
        let secret = match self.directory.clone() {
            None => None,
            Some(directory) => {
                let (tenant_, name_) = (tenant.to_owned(), name.clone());
                // A file may lie on a network, and its server be away.
                let reading = tokio::task::spawn_blocking(move || in_directory(&directory, &tenant_, name_.as_str()));
                let read = reading.await.unwrap_or_else(|_| Err("could not be read".to_owned()));
                read.map_err(|problem| NoSecret { name: name.clone(), tenant: tenant.to_owned(), problem })?
            }
        };
        let secret = secret.or_else(|| self.table.get(tenant, name.as_str()).map(Secret::new)).ok_or_else(|| {
            let problem = "is not there; put it into the file SENDER_SECRETS_DIR/<tenant>/NAME, or into SENDER_SECRETS".to_owned();
            NoSecret { name: name.clone(), tenant: tenant.to_owned(), problem }
        })?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert((tenant.to_owned(), name.clone()), (Instant::now(), secret.clone()));
        Ok(secret)
    }

    fn fresh(&self, tenant: &str, name: &SecretName) -> Option<Secret> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (read_at, secret) = kept.get(&(tenant.to_owned(), name.clone()))?;
        (read_at.elapsed() < FRESH_TIME).then(|| secret.clone())
    }
}

/// A secret's file; none where there is no such file. Links are followed as far as they stay within the tenant's directory, so that a
/// mounted Kubernetes secret works and another tenant's is out of reach.
fn in_directory(directory: &Path, tenant: &str, name: &str) -> Result<Option<Secret>, String> {
    let unreadable = |error: std::io::Error| format!("could not be read ({})", error.kind());
    let own = match directory.join(tenant).canonicalize() {
        Ok(own) if own.file_name().is_some_and(|last| last == tenant) => own,
        Ok(_) => return Err("lies in a directory that is a link to another one; give the tenant a directory of its own".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let path = match own.join(name).canonicalize() {
        Ok(path) if path.starts_with(&own) => path,
        Ok(_) => return Err("is a link that leads out of the tenant's directory; put the secret itself there".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let is_file = path.metadata().map_err(unreadable)?.is_file();
    if !is_file {
        return Err("is no file".to_owned());
    }
    let mut text = String::new();
    let mut file = File::open(path).map_err(unreadable)?.take(SECRET_BYTES_MAX + 1);
    file.read_to_string(&mut text).map_err(unreadable)?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() || text.len() as u64 > SECRET_BYTES_MAX {
        return Err("is empty, or longer than 64 KiB".to_owned());
    }
    Ok(Some(Secret::new(text)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn a_tenant_gets_its_own_secrets_and_no_others() {
        let top = std::env::temp_dir().join(format!("event-processor-secrets-{}", uuid::Uuid::now_v7().simple()));
        let write = |path: &str, text: &str| {
            let path = top.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            std::fs::write(path, text).expect("a file");
        };
        write("shop/KEY", "of the shop\n");
        write("crm/KEY", "of the crm");
        write("..data/bank/KEY", "of the bank");
        write("shop/..v1/MOUNTED", "mounted");
        symlink("..v1/MOUNTED", top.join("shop/MOUNTED")).expect("a link");
        symlink("../crm/KEY", top.join("shop/STOLEN")).expect("a link");
        symlink("crm", top.join("thief")).expect("a link");
        symlink("..data/bank", top.join("bank")).expect("a link");
        let table = r#"{"shop":{"KEY":"not this","OTHER":"of the variable"}}"#.parse().expect("a table");
        let secrets = Secrets::new(Some(top.clone()), table);
        let get = async |tenant: &str, name: &str| {
            let secret = secrets.get(tenant, &SecretName::new(name).expect("a name")).await;
            secret.map(|secret| secret.reveal().to_owned()).map_err(|error| error.to_string())
        };
        assert_eq!(get("shop", "KEY").await.as_deref(), Ok("of the shop"));
        assert_eq!(get("shop", "MOUNTED").await.as_deref(), Ok("mounted"));
        assert_eq!(get("shop", "OTHER").await.as_deref(), Ok("of the variable"));
        assert_eq!(get("bank", "KEY").await.as_deref(), Ok("of the bank"));
        assert!(get("crm", "OTHER").await.is_err_and(|error| error.contains("is not there")));
        assert!(get("shop", "STOLEN").await.is_err_and(|error| error.contains("leads out of the tenant's directory")));
        assert!(get("thief", "KEY").await.is_err_and(|error| error.contains("a link to another one")));
        let printed = format!("{secrets:?}");
        assert!(!printed.contains("of the"), "{printed}");
        std::fs::remove_dir_all(top).expect("removed");
    }
}
