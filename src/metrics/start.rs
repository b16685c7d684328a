//! Series begin at 0, not with their first count: of a series that is not there yet, `increase()` misses the first one. Which there will be,
//! settings and catalog say; of their products only as many begin early as a scrape can carry.

use super::{Metrics, NO_TENANT, OTHER_TENANTS, Outcome};
use crate::event::Reason;

/// Of `queue` by tenant or by result so many series begin at 0: those of one queue that a hundred tenants share, or of a dozen that are bound
/// to one. A series beyond that begins with its first count.
const SERIES_OF_QUEUES_MAX: usize = 700;

/// Of `tenant` by reason so many do: those of a hundred tenants that share a queue, or of fifty that have one to themselves.
const SERIES_OF_TENANTS_MAX: usize = 1_200;

/// Of so many tenants each series begins at 0, as of the two labels without a tenant.
const TENANTS_MAX: usize = 100;

/// Why an event is refused whose tenant is known although its queue is shared.
const REASONS_ONCE_ADMITTED: [Reason; 9] = [
    Reason::TooLarge,
    Reason::Unstorable,
    Reason::UnknownEventType,
    Reason::UnknownSchemaVersion,
    Reason::UnknownClient,
    Reason::SchemaViolation,
    Reason::ValidationTimeout,
    Reason::ReceivedTooOften,
    Reason::IdConflict,
];

/// What SQS is asked, and how that may end, as `sqs_requests_total` has it.
const OPERATIONS: [&str; 6] = ["open", "receive", "delete", "extend", "release", "depth"];
const RESULTS: [&str; 8] = ["ok", "timeout", "connection", "protocol", "throttled", "denied", "missing_queue", "error"];

/// The same, by SQS's names.
const SQS_OPERATIONS: [&str; 5] =
    ["GetQueueUrl", "GetQueueAttributes", "ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"];

const DELETE_FAILURES: [&str; 3] = ["given_up", "receipt_handle_invalid", "refused"];

/// A queue that is polled, as labels have it.
#[derive(Debug, Clone, Copy)]
pub struct QueueLabels<'a> {
    /// Its name.
    pub queue: &'a str,
    /// What metrics call the tenant that it is bound to, if it is.
    pub tenant: Option<&'a str>,
}

impl Metrics {
    /// Makes what these queues and tenants will count begin at 0; what has begun goes on.
    pub fn start_at_zero(&self, queues: &[QueueLabels<'_>], tenants: &[&str]) {
        for operation in SQS_OPERATIONS {
            self.sqs_request_duration.with_label_values(&[operation]);
        }
        let tenants = &tenants[..tenants.len().min(TENANTS_MAX)];
        let labels: Vec<&str> = [OTHER_TENANTS, NO_TENANT].into_iter().chain(tenants.iter().copied()).collect();
        let mut series_left = SERIES_OF_TENANTS_MAX;
        for tenant in &labels {
            self.events_over_rate.with_label_values(&[tenant]);
            let is_alone = [OTHER_TENANTS, NO_TENANT].contains(tenant) || queues.iter().any(|queue| queue.tenant == Some(tenant));
            let reasons = if is_alone { &Reason::ALL[..] } else { &REASONS_ONCE_ADMITTED };
            if afford(&mut series_left, reasons.len()) {
                for reason in reasons {
                    self.events_rejected.with_label_values(&[tenant, reason.as_str()]);
                }
            }
        }
        let mut series_left = SERIES_OF_QUEUES_MAX;
        for queue in queues {
            for counters in [&self.messages_received, &self.messages_redelivered, &self.poller_restarts] {
                counters.with_label_values(&[queue.queue]);
            }
            self.start_products(*queue, &labels, &mut series_left);
        }
    }

    fn start_products(&self, QueueLabels { queue, tenant }: QueueLabels<'_>, labels: &[&str], series_left: &mut usize) {
        let labels = match &tenant {
            Some(tenant) => std::slice::from_ref(tenant),
            None => labels,
        };
        // First what few queues have many of: whose they are is what is asked first.
        if afford(series_left, labels.len() * Outcome::ALL.len()) {
            for tenant in labels {
                for outcome in Outcome::ALL {
                    self.events.with_label_values(&[queue, tenant, outcome.as_str()]);
                }
            }
        }
        if afford(series_left, OPERATIONS.len() * RESULTS.len()) {
            for (operation, result) in OPERATIONS.iter().flat_map(|operation| RESULTS.map(|result| (*operation, result))) {
                self.sqs_requests.with_label_values(&[queue, operation, result]);
            }
        }
        if afford(series_left, DELETE_FAILURES.len()) {
            for reason in DELETE_FAILURES {
                self.delete_failures.with_label_values(&[queue, reason]);
            }
            self.event_commit_delay.with_label_values(&[queue]);
        }
    }

    /// Forgets how a queue is that is polled no more; what was counted of it stays.
    pub fn forget_queue(&self, queue: &str) {
        // One that was never there is none.
        let _ = self.last_poll_timestamp.remove_label_values(&[queue]);
        let _ = self.oldest_unsettled_event.remove_label_values(&[queue]);
        let _ = self.polls.remove_label_values(&[queue]);
        let _ = self.queue_ready.remove_label_values(&[queue]);
        let _ = self.queue_retention.remove_label_values(&[queue]);
        for state in ["visible", "in_flight", "delayed"] {
            let _ = self.queue_messages.remove_label_values(&[queue, state]);
        }
    }
}

/// Whether so many series may begin early as well.
fn afford(series_left: &mut usize, series: usize) -> bool {
    let is_affordable = series <= *series_left;
    *series_left -= if is_affordable { series } else { 0 };
    is_affordable
}
