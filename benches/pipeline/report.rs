//! What was measured, as a table and as JSON.

use std::fmt;

use serde::Serialize;

use crate::burst::Burst;
use crate::ceilings::Ceiling;
use crate::fairness::Fairness;
use crate::neighbours::Neighbours;
use crate::network::Network;
use crate::soak::Soak;
use crate::tenants::Tenants;
use crate::traces::Traces;

/// All figures of one run.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub rows: Vec<Row>,
    pub half_rate: Option<Delays>,
    /// At the same rate, while a schema that was not admitted is met.
    pub beside_slow_schema: Option<Delays>,
    pub single: Option<Delays>,
    pub valid_events_per_second: Option<f64>,
    /// With one event in twenty that breaks its schema.
    pub violating_events_per_second: Option<f64>,
    pub again: Option<Again>,
    pub soak: Option<Soak>,
    pub network: Option<Network>,
    pub burst: Option<Burst>,
    pub neighbours: Option<Neighbours>,
    pub fairness: Option<Fairness>,
    pub tenants: Option<Tenants>,
    pub traces: Option<Traces>,
}

/// The whole path with one kind of events, and its parts alone.
#[derive(Debug, Serialize)]
pub struct Row {
    pub name: String,
    pub events: usize,
    pub batch_rows: f64,
    pub deliveries: f64,
    pub events_per_second: f64,
    pub daemon_us: f64,
    pub postgres_us: f64,
    pub queue_us: f64,
    pub peak_memory_mib: f64,
    pub sdk: Ceiling,
    pub driver: Ceiling,
    pub validating: Ceiling,
    pub bare_postgres_us: f64,
    pub driver_postgres_us: f64,
    pub driver_postgres_eight_us: f64,
}

/// From SQS's enqueue to the commit.
#[derive(Debug, Serialize)]
pub struct Delays {
    pub events: usize,
    pub events_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Microseconds of daemon and Postgres for an event that is new, and for one that is stored already.
#[derive(Debug, Serialize)]
pub struct Again {
    pub new_us: f64,
    pub again_us: f64,
}

impl Row {
    /// The daemon's processor time beside that of the bare parts.
    fn cpu_ratio(&self) -> f64 {
        self.daemon_us / (self.sdk.cpu_us_per_event + self.driver.cpu_us_per_event + self.validating.cpu_us_per_event)
    }

    /// Its rate beside that of the slowest part alone.
    fn rate_ratio(&self) -> f64 {
        let parts = [self.sdk, self.driver, self.validating].map(|part| part.events_per_second);
        self.events_per_second / parts.into_iter().fold(f64::MAX, f64::min)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, events, batch_rows, deliveries, .. } = self;
        writeln!(formatter, "\n{name}: {events} events, {deliveries:.2} deliveries an event, {batch_rows:.0} events a transaction")?;
        writeln!(formatter, "{:<34}{:>10}{:>16}", "", "events/s", "CPU us/event")?;
        writeln!(formatter, "{:<34}{:>10.0}{:>16.1}", "the daemon", self.events_per_second, self.daemon_us)?;
        writeln!(formatter, "{:<34}{:>10}{:>16.1}", "  its Postgres", "", self.postgres_us)?;
        writeln!(formatter, "{:<34}{:>10}{:>16.1}", "  its queue server", "", self.queue_us)?;
        for (part, ceiling) in [("SDK alone", self.sdk), ("driver alone", self.driver), ("validating alone, one thread", self.validating)] {
            writeln!(formatter, "{part:<34}{:>10.0}{:>16.1}", ceiling.events_per_second, ceiling.cpu_us_per_event)?;
        }
        writeln!(formatter, "{:<34}{:>10}{:>16.1}", "Postgres, the driver's rows", "", self.driver_postgres_us)?;
        writeln!(formatter, "{:<34}{:>10}{:>16.1}", "Postgres, those by eight writers", "", self.driver_postgres_eight_us)?;
        writeln!(formatter, "{:<34}{:>10}{:>16.1}", "Postgres, bare rows", "", self.bare_postgres_us)?;
        writeln!(formatter, "daemon CPU / (SDK + driver + validating) = {:.2}", self.cpu_ratio())?;
        writeln!(formatter, "rate / slowest part's = {:.2}", self.rate_ratio())?;
        writeln!(formatter, "Postgres CPU / bare rows' = {:.2}", self.postgres_us / self.bare_postgres_us)?;
        writeln!(formatter, "eight writers / two = {:.2}", self.driver_postgres_eight_us / self.driver_postgres_us)?;
        writeln!(formatter, "peak memory {:.1} MiB", self.peak_memory_mib)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            write!(formatter, "{row}")?;
        }
        let delays = [
            ("at half of the highest rate", &self.half_rate),
            ("at that rate, twenty of a slow schema among them", &self.beside_slow_schema),
            ("one event at a time", &self.single),
        ];
        for (name, delays) in delays {
            if let Some(Delays { events, events_per_second, p50_ms, p99_ms }) = delays {
                let sent = format!("{events} events at {events_per_second:.0}/s, {name}");
                writeln!(formatter, "\n{sent}: sent to committed p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms")?;
            }
        }
        if let (Some(valid), Some(violating)) = (self.valid_events_per_second, self.violating_events_per_second) {
            let ratio = violating / valid;
            writeln!(formatter, "\none in twenty breaks its schema: {violating:.0} events/s, all valid {valid:.0}: {ratio:.2}")?;
        }
        if let Some(Again { new_us, again_us }) = &self.again {
            writeln!(formatter, "CPU us of daemon and Postgres: new {new_us:.1}, all again {again_us:.1}")?;
        }
        let modes: [Option<&dyn fmt::Display>; 7] = [
            self.soak.as_ref().map(|soak| soak as _),
            self.network.as_ref().map(|network| network as _),
            self.burst.as_ref().map(|burst| burst as _),
            self.neighbours.as_ref().map(|neighbours| neighbours as _),
            self.fairness.as_ref().map(|fairness| fairness as _),
            self.tenants.as_ref().map(|tenants| tenants as _),
            self.traces.as_ref().map(|traces| traces as _),
        ];
        modes.into_iter().flatten().try_for_each(|mode| write!(formatter, "\n{mode}"))
    }
}
