//! The catalog directory as a place to read from: within limits, links followed as long as they stay in it, every problem noted with its file.

use std::fmt;
use std::fs::{DirEntry, File, FileType};
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use crate::json::{self, DefectKind, Node};

/// How large a schema or a `tenant.toml` may be.
pub(super) const SCHEMA_BYTES_MAX: usize = 256 * 1024;

/// How large an example may be: as large as an event.
pub(super) const EXAMPLE_BYTES_MAX: usize = 1024 * 1024;

/// How many files and directories one directory may hold.
const ENTRIES_MAX: usize = 10_000;

/// Something that is wrong with a catalog directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file or directory that it is wrong with; begins with the catalog directory as it was given.
    pub file: String,
    /// What is wrong and what to do, as a sentence.
    pub message: String,
}

impl Entry {
    /// Whether it is a file whose name says JSON.
    pub(super) fn is_json_file(&self) -> bool {
        !self.is_directory && Path::new(&self.name).extension().is_some_and(|extension| extension == "json")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.file, self.message)
    }
}

/// A file or a directory in the catalog directory; nothing else is ever one.
pub(super) struct Entry {
    /// Its own name.
    pub(super) name: String,
    /// Its path from the catalog directory.
    pub(super) path: String,
    /// Whether it is a directory.
    pub(super) is_directory: bool,
}

/// The catalog directory, and what was found to be wrong with it so far.
pub(super) struct Files<'a> {
    root: &'a Path,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl<'a> Files<'a> {
    pub(super) fn new(root: &'a Path) -> Self {
        Self { root, problems: Vec::new(), warnings: Vec::new() }
    }

    /// What was read with all warnings, or all that was wrong, sorted by file.
    pub(super) fn finish<T>(mut self, read: T) -> Result<(T, Vec<Problem>), Vec<Problem>> {
        for problems in [&mut self.problems, &mut self.warnings] {
            problems.sort();
            problems.dedup();
        }
        if self.problems.is_empty() { Ok((read, self.warnings)) } else { Err(self.problems) }
    }

    /// Notes a problem; the path is from the catalog directory, empty for the directory itself.
    pub(super) fn refuse(&mut self, path: &str, message: impl Into<String>) {
        let problem = self.problem(path, message.into());
        self.problems.push(problem);
    }

    /// Notes what is no problem, but may not have been meant.
    pub(super) fn warn(&mut self, path: &str, message: &str) {
        let problem = self.problem(path, message.to_owned());
        self.warnings.push(problem);
    }

    fn problem(&self, path: &str, message: String) -> Problem {
        let location = if path.is_empty() { self.root.to_owned() } else { self.root.join(path) };
        Problem { file: location.display().to_string(), message }
    }

    /// The files and directories in a directory, sorted by name, without hidden files and editors' backups.
    pub(super) fn entries(&mut self, directory: &str) -> Vec<Entry> {
        let listed =
            std::fs::read_dir(self.root.join(directory)).and_then(|entries| entries.take(ENTRIES_MAX + 1).collect::<Result<Vec<_>, _>>());
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                self.refuse(directory, format!("cannot be listed ({error}); is it a directory that you may read?"));
                return Vec::new();
            }
        };
        if listed.len() > ENTRIES_MAX {
            self.refuse(directory, format!("holds more than {ENTRIES_MAX} entries, which is the limit; is it the right directory?"));
            return Vec::new();
        }
        let mut entries: Vec<_> = listed.iter().filter_map(|entry| self.entry(directory, entry)).collect();
        entries.sort_unstable_by(|left, right| left.name.cmp(&right.name));
        entries
    }

    fn entry(&mut self, directory: &str, entry: &DirEntry) -> Option<Entry> {
        let name = entry.file_name();
        let lossy = name.to_string_lossy();
        if lossy.starts_with('.') || lossy.ends_with('~') {
            return None;
        }
        let path = if directory.is_empty() { lossy.to_string() } else { format!("{directory}/{lossy}") };
        if name.to_str().is_none() {
            self.refuse(&path, "has a name that is not UTF-8; rename it");
            return None;
        }
        match self.kind(&path) {
            Ok(kind) if kind.is_dir() || kind.is_file() => Some(Entry { name: lossy.into_owned(), path, is_directory: kind.is_dir() }),
            Ok(kind) if kind.is_symlink() => {
                self.refuse(
                    &path,
                    "is a symbolic link that leads out of its tenant's or the catalog's directory; put the file itself here",
                );
                None
            }
            Ok(_) => {
                self.refuse(&path, "is neither a file nor a directory; move it out of the catalog");
                None
            }
            Err(error) => {
                self.refuse(&path, format!("cannot be looked at ({error})"));
                None
            }
        }
    }

    /// What there is under a path, behind links as long as they stay within the tenant's directory, or within the catalog's where they are
    /// directly in it: as Kubernetes mounts a `ConfigMap`, each name in it is a link to one in `..data`, and that is a link to what holds now.
    fn kind(&self, path: &str) -> std::io::Result<FileType> {
        let place = self.root.join(path);
        let kind = std::fs::symlink_metadata(&place)?.file_type();
        if !kind.is_symlink() {
            return Ok(kind);
        }
        let within = path.split_once('/').map_or_else(|| self.root.to_path_buf(), |(tenant, _)| self.root.join(tenant)).canonicalize()?;
        let target = place.canonicalize()?;
        if target.starts_with(&within) { Ok(std::fs::metadata(target)?.file_type()) } else { Ok(kind) }
    }

    /// A file's bytes, where it can be read and is not above the limit.
    pub(super) fn bytes(&mut self, path: &str, bytes_max: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        // One byte more than is allowed tells a file that is too large, however large it is.
        let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
        let read = File::open(self.root.join(path)).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        if let Err(error) = read {
            self.refuse(path, format!("cannot be read ({error})"));
            return None;
        }
        if bytes.len() > bytes_max {
            self.refuse(path, format!("is larger than {} KiB, which is the limit; make it smaller", bytes_max / 1024));
            return None;
        }
        Some(bytes)
    }

    /// A file's bytes as JSON, where they are JSON within the limits of an event.
    pub(super) fn json<'b>(&mut self, path: &str, bytes: &'b [u8]) -> Option<Node<'b>> {
        json::read(bytes)
            .map_err(|defect| {
                let encoding = json::encoding(bytes).filter(|_| matches!(defect.kind, DefectKind::Malformed(_)));
                let what = encoding.map_or_else(
                    || format!("{}: {}", line_and_column(bytes, defect.position), defect.kind),
                    |encoding| format!("it must be UTF-8, yet {encoding}"),
                );
                self.refuse(path, format!("is not JSON that can be used: {what}"));
            })
            .ok()
    }
}

/// Where a byte stands in a text, as an editor shows it.
pub(super) fn line_and_column(text: &[u8], position: usize) -> String {
    let before = &text[..position.min(text.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let start_of_line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let column = 1 + String::from_utf8_lossy(start_of_line).chars().count();
    format!("line {line}, column {column}")
}
