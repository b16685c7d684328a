//! A suite that cannot fail proves nothing: each bug under `tests/planted`, a patch of the sources, makes the test fail that it names.
//!
//! `PLANTED_BUGS=all`, or the names of some, plants them one after the other in a copy of the sources, with
//! `-- planted --nocapture` behind `cargo test --test integration`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;
use tokio::time::Instant;

use crate::stack::{Directory, patience, server_url};

/// What a test with a bug waits for in vain, it waits for so many seconds.
const PATIENCE: &str = "15";

/// A patch, and what it says of itself before its first difference.
#[derive(Debug)]
struct Bug {
    name: String,
    patch: PathBuf,
    /// The sources that it changes.
    sources: Vec<String>,
    /// `Caught by:` which test.
    test: String,
    /// `In the words:` that the test fails with; by others it would be caught by chance.
    words: String,
}

impl Bug {
    fn read(patch: PathBuf) -> Self {
        let said = std::fs::read_to_string(&patch).expect("a patch");
        let after = |what: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(what));
            line.unwrap_or_else(|| panic!("{} lacks a line that begins with {what}", patch.display())).to_owned()
        };
        let (test, words) = (after("Caught by: "), after("In the words: "));
        let sources = said.lines().filter_map(|line| line.strip_prefix("+++ b/")).map(str::to_owned).collect();
        let name = patch.file_stem().expect("a name").to_string_lossy().into_owned();
        Self { name, patch, sources, test, words }
    }

    fn all() -> Vec<Self> {
        let patches = std::fs::read_dir(sources().join("tests/planted")).expect("the planted bugs");
        let mut bugs: Vec<Self> = patches.map(|entry| Self::read(entry.expect("an entry").path())).collect();
        bugs.sort_by(|one, other| one.name.cmp(&other.name));
        bugs
    }

    /// Has `git apply` do this with the patch.
    async fn apply(&self, directory: &Path, option: &str) {
        let mut git = Command::new("git");
        git.args(["apply", option]).arg(&self.patch).current_dir(directory);
        // Where the directory is part of another repository, a patch of files that are not in that one would be passed over without a word.
        git.env("GIT_CEILING_DIRECTORIES", directory.parent().expect("a parent"));
        let applied = output(&mut git).await;
        let problem = String::from_utf8_lossy(&applied.stderr);
        assert!(applied.status.success(), "{} no longer fits the sources; make it anew: {problem}", self.name);
    }
}

fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

async fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

#[tokio::test]
async fn each_planted_bug_fits_the_sources_and_names_a_test() {
    let listed = output(Command::new(std::env::current_exe().expect("this program")).arg("--list")).await;
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let tests: BTreeSet<&str> = listed.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let bugs = Bug::all();
    assert!(!bugs.is_empty());
    for bug in bugs {
        assert!(tests.contains(bug.test.as_str()), "{} names {}, which is no test", bug.name, bug.test);
        assert!(bug.sources.iter().all(|source| source.starts_with("src/")), "{} changes more than the product", bug.name);
        bug.apply(sources(), "--check").await;
    }
}

/// A copy of the sources, and of what was built of them: bugs are planted in neither of the originals.
struct Checkout(Directory);

impl Checkout {
    async fn make() -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("planted-{}", uuid::Uuid::now_v7().simple()));
        let program = std::env::current_exe().expect("this program");
        // target/debug/deps/integration-...
        let built = program.ancestors().nth(2).expect("where it was built");
        let target = directory.join("target").join(built.file_name().expect("a profile"));
        std::fs::create_dir_all(&target).expect("a directory");
        let copy = Self(Directory(directory));
        let entries = std::fs::read_dir(sources()).expect("the sources").map(|entry| entry.expect("an entry").path());
        copy_into(&copy.0.0, entries.filter(|path| !program.starts_with(path) && !path.ends_with(".git") && !path.ends_with(".dev"))).await;
        // With their times, by which cargo knows that they need not be built again.
        copy_into(&target, [".fingerprint", "build", "deps"].map(|part| built.join(part))).await;
        copy
    }

    /// Builds the tests. Gives the program.
    async fn build(&self) -> PathBuf {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--locked", "--test", "integration", "--no-run", "--message-format", "json-render-diagnostics"]);
        let built = output(cargo.current_dir(&self.0.0).env("CARGO_TARGET_DIR", self.0.0.join("target"))).await;
        assert!(built.status.success(), "it cannot be built: {}", String::from_utf8_lossy(&built.stderr));
        let messages = built.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
        let programs = messages.filter(|message| message["target"]["name"] == "integration");
        programs.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back().expect("the tests")
    }

    /// Plants a bug for as long as its test runs, and says what the test says of it. Gives its name where it was not caught.
    async fn plant(&self, bug: &Bug) -> Option<String> {
        bug.apply(&self.0.0, "--apply").await;
        let began = Instant::now();
        let program = self.build().await;
        let (built, began) = (began.elapsed(), Instant::now());
        let mut test = Command::new(program);
        test.args(["--exact", &bug.test]).current_dir(&self.0.0).env("TEST_DATABASE_URL", server_url()).env("TEST_PATIENCE", PATIENCE);
        test.env("RUST_BACKTRACE", "0");
        let ended = tokio::time::timeout(3 * patience(), output(&mut test)).await.expect("the test ends");
        bug.apply(&self.0.0, "--reverse").await;
        let printed = String::from_utf8_lossy(&ended.stdout);
        let failure = printed.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
        let failure: Vec<&str> = failure.take_while(|line| !line.starts_with("note: ")).collect();
        let told = failure.iter().find(|line| line.contains(&bug.words)).filter(|_| !ended.status.success());
        let outcome =
            told.map_or_else(|| format!("not caught: {}\n{}", ended.status, failure.join("\n")), |line| format!("caught: {line}"));
        println!("{}, built in {built:.1?}, {} in {:.1?}, {outcome}", bug.name, bug.test, began.elapsed());
        told.is_none().then(|| bug.name.clone())
    }
}

/// As they are.
async fn copy_into(directory: &Path, paths: impl IntoIterator<Item = PathBuf>) {
    let copied = output(Command::new("cp").arg("-a").args(paths).arg(directory)).await;
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
}

#[tokio::test]
async fn each_planted_bug_is_caught_by_its_test() {
    let Ok(wanted) = std::env::var("PLANTED_BUGS") else {
        eprintln!("skipped: PLANTED_BUGS=all, or the names of some, plants bugs in a copy of the sources");
        return;
    };
    let mut bugs = Bug::all();
    if wanted != "all" {
        let wanted: Vec<&str> = wanted.split(',').collect();
        bugs.retain(|bug| wanted.contains(&bug.name.as_str()));
        assert_eq!(bugs.len(), wanted.len(), "PLANTED_BUGS names some that tests/planted lacks");
    }
    let copy = Checkout::make().await;
    let mut at_large = Vec::new();
    for bug in &bugs {
        at_large.extend(copy.plant(bug).await);
    }
    assert_eq!(at_large, Vec::<String>::new(), "not caught");
}
