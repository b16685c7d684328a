//! How far a run is: a bar on a terminal, a line from time to time elsewhere.

mod terminal;

use std::fmt::Write;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tokio::time::Instant;

use crate::output::{flush, tell};
use terminal::Terminal;

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Tells on standard error how far a run is.
#[derive(Debug)]
pub struct Progress {
    /// Counts and estimates; drawn only on a terminal.
    bar: ProgressBar,
    /// What is done to each event, as a word.
    done: &'static str,
    /// How long it will take at most, where that is known.
    duration: Option<Duration>,
    next_line: Instant,
}

impl Progress {
    /// For a run that begins now, of so many events, for so long at most; none: until it is stopped.
    pub fn new(done: &'static str, events: Option<u64>, duration: Option<Duration>) -> Self {
        let target = match std::io::stderr().is_terminal() {
            true => ProgressDrawTarget::term_like(Box::new(Terminal::default())),
            false => ProgressDrawTarget::hidden(),
        };
        let told = move |state: &ProgressState, text: &mut dyn Write| {
            // Nobody is there to tell where the line cannot be made.
            let _ =
                text.write_str(&line(done, state.pos(), state.len(), state.per_sec(), remaining(duration, state.elapsed(), state.eta())));
        };
        let template = if events.is_some() { "{wide_bar} {told}" } else { "{told}" };
        // It stands above, and names no key that is not there.
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).with_key("told", told);
        let bar = ProgressBar::with_draw_target(events, target).with_style(style);
        Self { bar, done, duration, next_line: Instant::now() + LINE_EVERY }
    }

    /// Shows how many events it was done to, where it is time to.
    pub fn show(&mut self, sent: u64) {
        let bar = &self.bar;
        bar.set_position(sent);
        let now = Instant::now();
        if bar.is_hidden() && now >= self.next_line {
            self.next_line = now + LINE_EVERY;
            tell(line(self.done, sent, bar.length(), bar.per_sec(), remaining(self.duration, bar.elapsed(), bar.eta())));
        }
    }

    /// Leaves the bar's line.
    pub fn end(&self) {
        if !self.bar.is_hidden() {
            self.bar.finish_and_clear();
            // What is printed next comes behind it, on the same terminal.
            flush();
        }
    }
}

/// What remains of the time, or until the last event as estimated; an estimate of nothing is none.
fn remaining(duration: Option<Duration>, elapsed: Duration, eta: Duration) -> Option<Duration> {
    let by_duration = duration.map(|duration| duration.saturating_sub(elapsed));
    by_duration.into_iter().chain(Some(eta).filter(|eta| !eta.is_zero())).min()
}

fn line(done: &str, sent: u64, events: Option<u64>, rate: f64, remaining: Option<Duration>) -> String {
    let of = events.map_or_else(String::new, |events| format!(" of {events}"));
    let remaining = remaining.map_or_else(String::new, |remaining| format!(", {:.0} s remain", remaining.as_secs_f64()));
    format!("{sent}{of} {done}, {rate:.0} a second{remaining}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_and_what_remains_are_told() {
        let seconds = Duration::from_secs;
        assert_eq!(line("sent", 0, Some(2000), 0.0, remaining(None, seconds(0), seconds(0))), "0 of 2000 sent, 0 a second");
        assert_eq!(line("sent", 500, None, 100.2, remaining(None, seconds(5), seconds(0))), "500 sent, 100 a second");
        assert_eq!(
            line("sent", 500, Some(2000), 100.0, remaining(None, seconds(5), seconds(15))),
            "500 of 2000 sent, 100 a second, 15 s remain"
        );
        let by_duration = remaining(Some(seconds(12)), seconds(5), seconds(15));
        assert_eq!(line("sent", 500, Some(2000), 100.0, by_duration), "500 of 2000 sent, 100 a second, 7 s remain");
    }
}
