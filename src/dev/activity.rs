//! What arrives while `dev` runs, shown to whoever watches: a line for each ten seconds in which something came.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::health::ask;

/// How much time a line tells of.
const INTERVAL: Duration = Duration::from_secs(10);

/// Counts of the daemon's, by tenant, then by what became of its events.
type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// What the daemon had counted when it was last asked.
pub struct Activity {
    daemon: SocketAddr,
    counts: Counts,
    asks_at: Instant,
}

impl Activity {
    /// From now on, of the daemon that serves its metrics there.
    pub async fn since_now(daemon: SocketAddr) -> Self {
        Self { daemon, counts: counts(daemon).await.unwrap_or_default(), asks_at: Instant::now() + INTERVAL }
    }

    /// The line of the ten seconds that have passed, where they have and something came.
    pub async fn line(&mut self) -> Option<String> {
        if Instant::now() < self.asks_at {
            return None;
        }
        self.asks_at = Instant::now() + INTERVAL;
        let counts = counts(self.daemon).await?;
        let before = std::mem::replace(&mut self.counts, counts);
        let line = line(&before, &self.counts);
        (!line.is_empty()).then(|| format!("in the last {} s: {line}", INTERVAL.as_secs()))
    }
}

async fn counts(daemon: SocketAddr) -> Option<Counts> {
    // A daemon that does not answer says why by itself.
    ask(daemon, "/metrics").await.ok().map(|text| read(&text))
}

/// Stored and duplicate events, and dead letters by reason, of what Prometheus would read.
fn read(metrics: &str) -> Counts {
    let mut counts = Counts::new();
    for line in metrics.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let label = |name: &str| series.split(&format!("{name}=\"")).nth(1)?.split('"').next();
        let word = match series.split('{').next() {
            Some("event_processor_events_total") => label("outcome").filter(|outcome| matches!(*outcome, "stored" | "duplicate")),
            Some("event_processor_events_rejected_total") => label("reason"),
            _ => None,
        };
        if let (Some(tenant), Some(word), Ok(value)) = (label("tenant"), word, value.parse::<u64>()) {
            *counts.entry(tenant.to_owned()).or_default().entry(word.to_owned()).or_default() += value;
        }
    }
    counts
}

/// What has come since, tenant by tenant; empty where nothing has.
fn line(before: &Counts, now: &Counts) -> String {
    let mut line = String::new();
    for (tenant, counts) in now {
        let come = |word: &str| {
            let count = |counts: Option<&BTreeMap<String, u64>>| counts.and_then(|counts| counts.get(word)).copied().unwrap_or_default();
            count(Some(counts)).saturating_sub(count(before.get(tenant)))
        };
        let accepted = ["stored", "duplicate"].map(|word| (come(word), word.to_owned()));
        let reasons = counts.keys().filter(|word| !["stored", "duplicate"].contains(&word.as_str()));
        let refused = reasons.map(|reason| (come(reason), format!("refused: {reason}")));
        let parts: Vec<String> =
            accepted.into_iter().chain(refused).filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        if !parts.is_empty() {
            let name = if tenant == "unknown" { "(no tenant)" } else { tenant };
            let separator = if line.is_empty() { "" } else { "; " };
            let _ = write!(line, "{separator}{name} {}", parts.join(", "));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_since_is_told_by_tenant_and_what_became_of_it() {
        let metrics = |stored: u64, refused: u64| {
            format!(
                "# HELP event_processor_events_total Outcomes\n\
                 event_processor_events_total{{outcome=\"stored\",queue=\"a\",tenant=\"shop\"}} {stored}\n\
                 event_processor_events_total{{outcome=\"stored\",queue=\"b\",tenant=\"shop\"}} 1\n\
                 event_processor_events_total{{outcome=\"rejected\",queue=\"a\",tenant=\"unknown\"}} {refused}\n\
                 event_processor_events_rejected_total{{reason=\"malformed_json\",tenant=\"unknown\"}} {refused}\n\
                 event_processor_store_up 1\n"
            )
        };
        let (before, now) = (read(&metrics(2, 0)), read(&metrics(5, 1)));
        assert_eq!(line(&before, &now), "shop 3 stored; (no tenant) 1 refused: malformed_json");
        assert_eq!(line(&now, &now), "");
        assert_eq!(line(&Counts::new(), &before), "shop 3 stored");
    }
}
