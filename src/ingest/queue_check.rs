//! Whether a queue is set up so that what this daemon promises holds on it; said once, at the start.

use std::time::Duration;

use crate::queue::{Queue, QueueAttributes};

/// SQS's own default: a queue that keeps its messages for less was made to.
const RETENTION_MIN: Duration = Duration::from_hours(4 * 24);

/// Four receives before a message is counted as perhaps poisonous, three more until it is a dead letter, and some for outages.
const RECEIVES_MIN: u64 = 10;

/// Warns of each attribute that does not fit.
pub fn check(queue: &Queue, hold_max: Duration) {
    for Mismatch { problem, advice } in mismatches(&queue.attributes, hold_max) {
        tracing::warn!(queue = queue.binding.name, problem, advice, "the queue's set-up is risky");
    }
}

/// An attribute that does not fit.
#[derive(Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What is risked.
    pub problem: String,
    /// What would fit.
    pub advice: String,
}

/// What does not fit.
pub fn mismatches(attributes: &QueueAttributes, hold_max: Duration) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let written = humantime::format_duration;
    if let Some(retention) = attributes.message_retention.filter(|retention| *retention < RETENTION_MIN) {
        found.push(Mismatch {
            problem: format!(
                "MessageRetentionPeriod is {}: SQS drops without a trace what an outage of that length leaves unread",
                written(retention)
            ),
            advice: format!("set MessageRetentionPeriod to at least {} (4 days), at best 1209600 (14 days)", RETENTION_MIN.as_secs()),
        });
    }
    if let Some(receives) = attributes.receives_max.filter(|receives| *receives < RECEIVES_MIN) {
        found.push(Mismatch {
            problem: format!(
                "RedrivePolicy has maxReceiveCount {receives}: an outage raises receive counts, and SQS would move good events to the \
                 dead-letter queue before it ends"
            ),
            advice: format!(
                "set maxReceiveCount to at least {RECEIVES_MIN}, or remove the RedrivePolicy: what cannot be stored is kept as a dead letter in Postgres"
            ),
        });
    }
    if let Some(visibility) = attributes.visibility_timeout.filter(|visibility| *visibility < hold_max) {
        found.push(Mismatch {
            problem: format!(
                "VisibilityTimeout is {}, shorter than HOLD_MAX ({}): this daemon names its own on each receive, but whoever else receives by \
                 the queue's default sees an event again while it is held",
                written(visibility),
                written(hold_max)
            ),
            advice: format!("set VisibilityTimeout to at least {}, or lower HOLD_MAX", hold_max.as_secs()),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLD_MAX: Duration = Duration::from_mins(5);

    fn named(attributes: &QueueAttributes) -> Vec<String> {
        let first_word = |mismatch: Mismatch| mismatch.problem.split(' ').next().unwrap_or_default().to_owned();
        mismatches(attributes, HOLD_MAX).into_iter().map(first_word).collect()
    }

    #[test]
    fn each_attribute_is_held_against_its_own_bound() {
        let good = QueueAttributes {
            message_retention: Some(RETENTION_MIN),
            receives_max: Some(RECEIVES_MIN),
            visibility_timeout: Some(HOLD_MAX),
            ..QueueAttributes::default()
        };
        assert_eq!(named(&good), Vec::<String>::new());
        assert_eq!(named(&QueueAttributes::default()), Vec::<String>::new(), "what SQS does not say is not held against it");
        let cases = [
            ("MessageRetentionPeriod", QueueAttributes { message_retention: Some(Duration::from_secs(345_599)), ..good.clone() }),
            ("RedrivePolicy", QueueAttributes { receives_max: Some(RECEIVES_MIN - 1), ..good.clone() }),
            ("VisibilityTimeout", QueueAttributes { visibility_timeout: Some(Duration::from_secs(299)), ..good }),
        ];
        for (attribute, attributes) in cases {
            assert_eq!(named(&attributes), [attribute]);
        }
    }
}
