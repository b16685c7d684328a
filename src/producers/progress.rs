//! How far a run is: one line that is written over on a terminal, a line from time to time elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use tokio::time::Instant;

use crate::output::{flush, tell, tell_as_is};

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Tells on standard error how far a run is.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    /// How many events there will be, where that is known.
    events: Option<u64>,
    /// How long it will take at most, where that is known.
    duration: Option<Duration>,
    is_terminal: bool,
    next_line: Instant,
}

impl Progress {
    /// For a run that begins now.
    pub fn new(events: Option<u64>, duration: Option<Duration>) -> Self {
        let began = Instant::now();
        Self { began, events, duration, is_terminal: std::io::stderr().is_terminal(), next_line: began + LINE_EVERY }
    }

    /// Shows how many events were sent, where it is time to.
    pub fn show(&mut self, sent: u64) {
        let now = Instant::now();
        let line = line(sent, now - self.began, self.events, self.duration);
        if self.is_terminal {
            tell_as_is(format!("\r{line}\u{1b}[K"));
        } else if now >= self.next_line {
            self.next_line = now + LINE_EVERY;
            tell(line);
        }
    }

    /// Leaves the line.
    pub fn end(&self) {
        if self.is_terminal {
            tell_as_is("\r\u{1b}[K");
            // What is printed next comes behind it, on the same terminal.
            flush();
        }
    }
}

fn line(sent: u64, elapsed: Duration, events: Option<u64>, duration: Option<Duration>) -> String {
    // Nobody counts beyond what a double counts.
    #[expect(clippy::cast_precision_loss, reason = "shown rounded")]
    let rate = sent as f64 / elapsed.as_secs_f64().max(0.001);
    #[expect(clippy::cast_precision_loss, reason = "shown rounded")]
    let by_events = events.filter(|_| sent > 0).map(|events| events.saturating_sub(sent) as f64 / rate.max(0.001));
    let by_duration = duration.map(|duration| duration.saturating_sub(elapsed).as_secs_f64());
    let remaining = by_events.into_iter().chain(by_duration).reduce(f64::min);
    let of = events.map_or_else(String::new, |events| format!(" of {events}"));
    let remaining = remaining.map_or_else(String::new, |seconds| format!(", {seconds:.0} s remain"));
    format!("{sent}{of} sent, {rate:.0} a second{remaining}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_and_what_remains_are_told() {
        let seconds = Duration::from_secs;
        assert_eq!(line(0, seconds(0), Some(2000), None), "0 of 2000 sent, 0 a second");
        assert_eq!(line(500, seconds(5), None, None), "500 sent, 100 a second");
        assert_eq!(line(500, seconds(5), Some(2000), None), "500 of 2000 sent, 100 a second, 15 s remain");
        assert_eq!(line(500, seconds(5), Some(2000), Some(seconds(12))), "500 of 2000 sent, 100 a second, 7 s remain");
    }
}
