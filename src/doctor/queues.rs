//! The queues: whether there are credentials, whether each is there, set up so that the promise holds on it, and may be polled.

use futures_util::StreamExt as _;

use super::check::Check;
use super::surroundings::Surroundings;
use crate::ingest::queue_check::{Mismatch, mismatches};
use crate::queue::{ClientError, Clients, Queue};
use crate::settings::{IngestSettings, QueueSetting};

const CHECK: &str = "queue";

/// So many are looked at at once.
const AT_ONCE: usize = 16;

/// Looks at each.
pub async fn check(surroundings: &Surroundings, checks: &mut Vec<Check>) {
    let (Some(clients), Some(ingest)) = (&surroundings.clients, &surroundings.ingest) else {
        checks.push(Check::skipped(CHECK, "the settings are wrong"));
        return;
    };
    if let Err(error) = clients.check_credentials().await {
        checks.push(Check::wrong("credentials", error.advice()));
        checks.push(Check::skipped(CHECK, "there are no credentials"));
        return;
    }
    checks.push(Check::well("credentials", "there are credentials to sign requests by"));
    if surroundings.queues.is_empty() {
        let problem =
            "no queue is named, neither in QUEUES nor in the catalog's queues.toml; name one, for example QUEUES=events?trust=any";
        checks.push(Check::wrong(CHECK, problem));
    }
    // A queue's name cannot be looked up without a region, which is told already.
    let queues = surroundings.queues.iter().filter(|queue| queue.url.is_some() || clients.has_region());
    let looking = futures_util::stream::iter(queues).map(|queue| check_queue(clients, ingest, queue));
    let found: Vec<Vec<Check>> = looking.buffered(AT_ONCE).collect().await;
    checks.extend(found.into_iter().flatten());
}

async fn check_queue(clients: &Clients, ingest: &IngestSettings, setting: &QueueSetting) -> Vec<Check> {
    let name = &setting.name;
    let queue = match Queue::open(clients, setting).await {
        Ok(queue) => queue,
        Err(error) => return vec![unusable(name, &error)],
    };
    let mut found = Vec::new();
    for Mismatch { problem, advice } in mismatches(&queue.attributes, ingest.hold_max) {
        found.push(Check::wrong(CHECK, format_args!("{name}: {problem}; {advice}")));
    }
    match queue.lacking_permissions().await {
        Ok(lacking) if lacking.is_empty() => {}
        Ok(lacking) => {
            let lacking = lacking.join(", ");
            found.push(Check::wrong(
                CHECK,
                format_args!("{name}: this process may not {lacking}; allow it on the queue, in the IAM policy"),
            ));
        }
        Err(error) => found.push(unusable(name, &error)),
    }
    if found.is_empty() {
        found.push(Check::well(CHECK, format_args!("{name}: is there, may be polled, and is set up as it has to be")));
    }
    found
}

fn unusable(name: &str, error: &ClientError) -> Check {
    let is_away = error.is_unanswered() || error.class() == "throttled";
    let make = if is_away { Check::away } else { Check::wrong };
    make(CHECK, format!("{name}: {}", error.advice()))
}
