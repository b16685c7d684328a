//! What waits in the database, as the one replica tells whose turn it is to look. The others have none of these series.

use prometheus::{GaugeVec, IntGaugeVec};

use super::builder::Builder;

/// The gauges from the database.
#[derive(Debug)]
pub struct Backlog {
    dead_letters_open: IntGaugeVec,
    oldest_open_dead_letter: GaugeVec,
    deliveries_waiting: IntGaugeVec,
    oldest_due_delivery: GaugeVec,
}

/// When what has waited longest began to, in seconds since 1970; nothing waits where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct OldestBacklog {
    /// When the open dead letter that nobody has received again for longest was last seen.
    pub open_dead_letter: Option<f64>,
    /// When the delivery was due that is overdue for longest.
    pub due_delivery: Option<f64>,
}

impl Backlog {
    pub(super) fn new(one: &Builder) -> Result<Self, prometheus::Error> {
        Ok(Self {
            dead_letters_open: one.gauges(
                "dead_letters_open",
                "Open dead letters, by the reason of the first time; each tenant is counted up to 1000 a reason. Of one replica at a time",
                &["tenant", "reason"],
            )?,
            oldest_open_dead_letter: one.timestamps(
                "oldest_open_dead_letter_timestamp_seconds",
                "When the oldest open dead letter was last received; none: absent. Of one replica at a time",
                &[],
            )?,
            deliveries_waiting: one.gauges(
                "deliveries_waiting",
                "Deliveries to make, leased ones too; each tenant is counted up to 10000. Of one replica at a time",
                &["tenant"],
            )?,
            oldest_due_delivery: one.timestamps(
                "oldest_due_delivery_timestamp_seconds",
                "When the delivery was due that is overdue for longest; none: absent. Of one replica at a time",
                &[],
            )?,
        })
    }

    /// Another replica tells, or nobody knows: what was true once is not told.
    pub fn clear(&self) {
        self.dead_letters_open.reset();
        self.oldest_open_dead_letter.reset();
        self.deliveries_waiting.reset();
        self.oldest_due_delivery.reset();
    }

    /// What was found just now, in place of what was told before: by labels of tenant and reason, and of tenant.
    pub fn set<'a>(
        &self,
        dead_letters: impl Iterator<Item = (&'a str, &'a str, i64)>,
        deliveries: impl Iterator<Item = (&'a str, i64)>,
        oldest: OldestBacklog,
    ) {
        self.clear();
        // Tenants without a label of their own share one.
        for (tenant, reason, count) in dead_letters {
            self.dead_letters_open.with_label_values(&[tenant, reason]).add(count);
        }
        for (tenant, count) in deliveries {
            self.deliveries_waiting.with_label_values(&[tenant]).add(count);
        }
        for (gauge, timestamp) in
            [(&self.oldest_open_dead_letter, oldest.open_dead_letter), (&self.oldest_due_delivery, oldest.due_delivery)]
        {
            if let Some(timestamp) = timestamp {
                gauge.with_label_values::<&str>(&[]).set(timestamp);
            }
        }
    }
}
