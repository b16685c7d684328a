//! Faults that tests ask for: places where the process ends as by a crash, a task that hangs, an event that harms who validates it.
//!
//! What a user builds has none of them: they need `fail/failpoints`, which is a dependency of the tests alone. A test chooses by `FAILPOINTS`:
//! `commit_sent=30*off->return` crashes at the 31st passage.

use std::sync::Once;
use std::time::Duration;

use time::OffsetDateTime;

/// Ends the process here, with nothing flushed, answered or closed, where a test says so.
pub fn crash(location: &str) {
    if is_chosen(location) {
        std::process::abort();
    }
}

/// Ends the process here where a test has chosen a text that stands in this body, `poison=return(text)`, or panics, `panic=return(text)`, or
/// keeps the thread busy for a time, `slow=return(milliseconds text)`.
///
/// # Panics
/// When a test asks for it.
pub fn fail_over(body: &[u8]) {
    let has_text = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
    let has_chosen = |text: String| has_text(&text);
    if value_of("poison").is_some_and(has_chosen) {
        std::process::abort();
    }
    assert!(!value_of("panic").is_some_and(has_chosen), "a test has asked for it");
    if let Some(chosen) = value_of("slow")
        && let Some((milliseconds, text)) = chosen.split_once(' ')
        && has_text(text)
    {
        std::thread::sleep(Duration::from_millis(milliseconds.parse().unwrap_or(0)));
    }
}

/// Never returns where a test says so.
pub async fn hang(location: &str) {
    if is_chosen(location) {
        std::future::pending::<()>().await;
    }
}

/// A time that a test may shorten, so that it need not wait for so long: `name=return(500)`, in milliseconds.
pub fn shortened(name: &str, time: Duration) -> Duration {
    value_of(name).and_then(|milliseconds| milliseconds.parse().ok()).map_or(time, Duration::from_millis)
}

/// The time by this machine's clock, which a test may set to another one: `clock=return(60000)`, so many milliseconds ahead.
pub fn now() -> OffsetDateTime {
    let ahead =
        value_of("clock").and_then(|milliseconds| milliseconds.parse().ok()).map_or(time::Duration::ZERO, time::Duration::milliseconds);
    OffsetDateTime::now_utc() + ahead
}

fn is_chosen(name: &str) -> bool {
    arm();
    let _ = name;
    fail::fail_point!(name, |_| true);
    false
}

fn value_of(name: &str) -> Option<String> {
    arm();
    let _ = name;
    fail::fail_point!(name, |value| value);
    None
}

fn arm() {
    static ARMED: Once = Once::new();
    if fail::has_failpoints() {
        // Kept for good: a scenario that ends disarms its points.
        ARMED.call_once(|| std::mem::forget(fail::FailScenario::setup()));
    }
}
