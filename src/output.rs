//! What the programs print. Writing never panics, and neither changes nor delays what else is done: a result that cannot be written is
//! remembered for the exit status, and what goes to standard error, or beside running work, is written by a thread of its own.

mod background;
mod escaped;

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use background::Background;
pub use escaped::Escaped;

/// For how long the end of a program waits for what is not written yet.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);

static STANDARD_ERROR: LazyLock<Background> = LazyLock::new(|| {
    Background::start("standard-error", |text: &[u8]| {
        if io::stderr().write_all(text).is_err() {
            count_failure();
        }
    })
});

static STANDARD_OUTPUT: LazyLock<Background> = LazyLock::new(|| Background::start("standard-output", write_result));

/// Texts for standard error that were not written, since they were last asked for.
static FAILURES: AtomicU64 = AtomicU64::new(0);

/// Why the first result that could not be written was not.
static LOST_RESULT: Mutex<Option<io::Error>> = Mutex::new(None);

fn count_failure() {
    FAILURES.fetch_add(1, Ordering::Relaxed);
}

/// How many texts for standard error, the log's lines among them, could not be written since this was last asked: their write failed, or the
/// reader did not keep up.
pub fn take_failures() -> u64 {
    FAILURES.swap(0, Ordering::Relaxed)
}

fn write_result(text: &[u8]) {
    let mut output = io::stdout().lock();
    match output.write_all(text).and_then(|()| output.flush()) {
        Ok(()) => {}
        // Whoever reads has heard enough, as `head` does: no fault.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => {
            LOST_RESULT.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}

/// What is wrong and what to do about it, of a sentence for people: it says the one, a semicolon, and then the other.
pub fn problem_and_advice(sentence: &str) -> (&str, Option<&str>) {
    sentence.split_once("; ").map_or((sentence, None), |(problem, advice)| (problem, Some(advice)))
}

/// The lines of a text, with all else that moves a terminal escaped.
fn lines(text: &impl Display) -> String {
    let text = text.to_string();
    text.split('\n').map(|line| Escaped(line).to_string() + "\n").collect()
}

/// Prints a result to standard output, and a newline. What comes of failing is for [`end`] to say.
pub fn print(text: impl Display) {
    write_result(lines(&text).as_bytes());
}

/// Prints a result as JSON to standard output, and a newline.
///
/// # Errors
/// When the value cannot be JSON.
pub fn print_json(value: &impl serde::Serialize) -> serde_json::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    write_result((escaped::of_json(&text) + "\n").as_bytes());
    Ok(())
}

/// Prints what is this program's own, styles included, to standard output as it is.
pub fn print_as_is(text: &str) {
    write_result(text.as_bytes());
}

/// Tells on standard output, and a newline, how work goes on that must not wait for the reader. What it does not take in time is dropped.
pub fn announce(text: impl Display) {
    STANDARD_OUTPUT.send(lines(&text).into_bytes());
}

/// Tells on standard error, and a newline, what went wrong or is worth knowing.
pub fn tell(text: impl Display) {
    tell_as_is(lines(&text));
}

/// Tells on standard error what is this program's own, styles included: without a newline, as it is.
pub fn tell_as_is(text: impl Into<Vec<u8>>) {
    if !STANDARD_ERROR.send(text.into()) {
        count_failure();
    }
}

/// Standard error as the log's writer. It takes each line at once, and never fails.
#[derive(Debug, Clone, Copy)]
pub struct StandardError;

impl io::Write for StandardError {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        tell_as_is(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Panics are told like everything else: the standard library would wait for whoever reads.
pub fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let trace = std::backtrace::Backtrace::capture();
        match trace.status() {
            std::backtrace::BacktraceStatus::Captured => tell(format_args!("{panic}\n{trace}")),
            _ => tell(panic),
        }
    }));
}

/// Waits, for a bounded time, until what was told is written: before a program ends, or something else writes to the same terminal.
pub fn flush() {
    for background in [&STANDARD_OUTPUT, &STANDARD_ERROR] {
        // One that never wrote has nothing to wait for.
        if let Some(background) = LazyLock::get(background) {
            background.flush(FLUSH_TIME_MAX);
        }
    }
}

/// The end of a program with this status of `sysexits.h`. Where a result could not be written it is 74 in place of 0 and 65, which speak of
/// the result, and standard error says why.
pub fn end(status: u8) -> ExitCode {
    if let Some(background) = LazyLock::get(&STANDARD_OUTPUT) {
        background.flush(FLUSH_TIME_MAX);
    }
    let lost = LOST_RESULT.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|_| matches!(status, 0 | 65));
    if let Some(error) = &lost {
        tell(format_args!(
            "what was to be printed could not be written to standard output ({error}); apart from that the command did its work"
        ));
    }
    STANDARD_ERROR.flush(FLUSH_TIME_MAX);
    ExitCode::from(if lost.is_some() { 74 } else { status })
}
