//! The catalog's files, applied when they are saved.

use std::path::PathBuf;
use std::time::SystemTime;

use sqlx::PgConnection;

use crate::audit::Audit;
use crate::catalog::declaration::Declaration;
use crate::catalog::directory;
use crate::catalog::publication::{self, Undeclared};
use crate::output::announce;
use crate::settings::system_user;

/// The catalog's files, and what they looked like when they were last applied.
pub struct CatalogFiles {
    directory: PathBuf,
    seen: Option<Vec<(PathBuf, SystemTime, u64)>>,
}

impl CatalogFiles {
    /// Files that were never applied.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, seen: None }
    }

    /// Whether the files declare a tenant.
    pub fn has_tenant(&self, name: &str) -> bool {
        self.directory.join(name).is_dir()
    }

    /// Applies the files where something was saved since.
    pub async fn apply_if_saved(&mut self, connection: &mut PgConnection) {
        if self.seen.as_ref() != Some(&self.listing()) {
            self.apply(connection).await;
        }
    }

    /// Applies the files and says what changed, or what is wrong with them; the declaration, where it was applied.
    pub async fn apply(&mut self, connection: &mut PgConnection) -> Option<Declaration> {
        self.seen = Some(self.listing());
        let declaration = match directory::read(&self.directory) {
            Ok(declaration) => declaration,
            Err(problems) => {
                for problem in problems {
                    announce(problem);
                }
                announce("not applied; what ran before goes on");
                return None;
            }
        };
        for warning in &declaration.warnings {
            announce(format_args!("warning: {warning}"));
        }
        let audit = Audit::new(system_user(), "dev", std::iter::empty());
        match publication::apply(connection, &declaration, Undeclared::Stays, &audit).await {
            Ok(report) => {
                let changed = report.tenants.iter().filter(|tenant| !tenant.added.is_empty() || !tenant.changed.is_empty());
                let names: Vec<&str> = changed.map(|tenant| tenant.tenant_id.as_str()).collect();
                let changed = if names.is_empty() { "nothing new".to_owned() } else { format!("new or changed: {}", names.join(", ")) };
                announce(format_args!("catalog generation {}: {}; {changed}", report.generation, declaration.summary()));
                Some(declaration)
            }
            Err(error) => {
                announce(error);
                None
            }
        }
    }

    /// Every file below the directory, with time and size: what saving changes.
    fn listing(&self) -> Vec<(PathBuf, SystemTime, u64)> {
        let mut files = Vec::new();
        let mut directories = vec![self.directory.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => directories.push(entry.path()),
                    Ok(metadata) => files.push((entry.path(), metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len())),
                    Err(_) => {}
                }
            }
        }
        files.sort();
        files
    }
}
