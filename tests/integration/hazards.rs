//! Schemas and events that are known to hang, exhaust or end whoever validates them. The schemas are planted where published ones are, past
//! the admission that refuses most of them: each event ends as it should, its thread is given back, and the tenant's next event is stored.

mod cases;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::fifo_server::FifoServer;
use crate::poison::{SHORT_LEASES, event_of_acme, plant};
use crate::stack::{Directory, Stack, eventually, patience};
use cases::Hazard;

/// How long a thread may be busy with one of them. The daemon gives an event up after 5 s; the rest is for a machine that others use as well.
fn busy_max() -> Duration {
    patience() / 3
}

const BRIEF_QUARANTINE: &str = "quarantine_time=return(3000)";

/// A daemon on a queue that takes bodies of 1 MiB, as the embedded server's do not.
struct Stand {
    stack: Stack,
    server: FifoServer,
    daemon: Daemon,
    threads: usize,
}

impl Stand {
    /// With the hazards' schemas planted for the tenant `acme`, each under the hazard's name, beside one that takes everything.
    async fn with(hazards: &[Hazard], fail_points: &str) -> Self {
        let stack = Stack::start_without_catalog(&[]).await;
        let schemas = hazards.iter().map(|hazard| (hazard.name, hazard.schema.clone()));
        plant(&stack, &schemas.chain([("note", "true".to_owned())]).collect::<Vec<_>>()).await;
        let server = FifoServer::with(BTreeMap::new()).await;
        let settings = [("AWS_ENDPOINT_URL", server.url.as_str()), SHORT_LEASES, ("FAILPOINTS", fail_points)];
        let daemon = stack.daemon("events.fifo?trust=any", &settings).await;
        daemon.ready().await;
        let threads = daemon.threads("validate");
        Self { stack, server, daemon, threads }
    }

    /// Sends a hazard's event and another one right behind it: the first has to give its thread back and end as it should, and the other one
    /// has to be stored.
    async fn check(&self, hazard: &Hazard) {
        let Hazard { name, schema, payload, end } = hazard;
        let before = self.validations().await;
        let began = Instant::now();
        let sqs_message_id = self.server.send(name, event_of_acme(name, name, payload));
        self.server.send("note", event_of_acme("note", &format!("after-{name}"), "1"));
        let have_ended = async || (self.validations().await > before + 1.5).then_some(());
        eventually(&format!("{name} gives its thread back"), have_ended).await;
        let busy = began.elapsed();
        let found = eventually(&format!("{name} ends"), async || self.end(name, &sqs_message_id).await).await;
        println!(
            "{name}: thread given back after {busy:.1?}, {end} after {:.1?}; schema of {} bytes, payload of {}",
            began.elapsed(),
            schema.len(),
            payload.len()
        );
        assert!(found.contains(end), "{name}: {found}");
        assert!(busy < busy_max(), "{name} kept its thread for {busy:.1?}");
        let stored = format!("select count(*) from message where event_id = 'after-{name}'");
        eventually("the next event is stored", async || (self.stack.database.count(&stored).await == 1).then_some(())).await;
        let are_as_many = async || (self.daemon.threads("validate") == self.threads).then_some(());
        eventually("there are as many threads as before", are_as_many).await;
    }

    /// How an event has ended, where it has; of one whose schema cannot be used, what `/readyz` says.
    async fn end(&self, event_id: &str, sqs_message_id: &str) -> Option<String> {
        let sql = format!(
            "select 'stored' from message where event_id = '{event_id}' \
             union all select reason from dead_letter where sqs_message_id = '{sqs_message_id}'"
        );
        let ends = self.stack.database.rows(&sql).await;
        assert!(ends.len() < 2, "{event_id} has ended twice: {ends:?}");
        let told = format!("the schema of {event_id} version 1 of tenant acme cannot be used");
        let why = if ends.is_empty() { self.daemon.get("/readyz").await.1 } else { String::new() };
        ends.into_iter().next().or_else(|| why.contains(&told).then_some(why))
    }

    /// How many validations have ended.
    async fn validations(&self) -> f64 {
        self.daemon.metric("event_processor_validation_duration_seconds_count", "").await
    }

    async fn at_rest(&self) {
        tokio::time::timeout(patience(), self.server.at_rest()).await.expect("the queue comes to rest");
    }
}

async fn check(hazards: &[Hazard], fail_points: &str) {
    let stand = Stand::with(hazards, fail_points).await;
    for hazard in hazards {
        stand.check(hazard).await;
    }
    stand.at_rest().await;
    assert_eq!(stand.daemon.stop().await, 0);
}

#[tokio::test]
async fn what_takes_too_many_steps_or_too_deep_a_stack_is_a_dead_letter() {
    check(&cases::without_bound(), BRIEF_QUARANTINE).await;
}

#[tokio::test]
async fn a_long_text_without_order_takes_too_many_steps() {
    check(&[cases::long_text()], BRIEF_QUARANTINE).await;
}

#[tokio::test]
async fn many_short_texts_without_order_are_given_up() {
    check(&[cases::short_texts()], BRIEF_QUARANTINE).await;
}

#[tokio::test]
async fn what_is_large_and_within_bounds_is_stored() {
    // A build for tests is ten times as slow as one for use, and shares the machine with others: its time is not what is looked at here.
    check(&cases::within_bounds(), "validation_time_max=return(60000)").await;
}

#[tokio::test]
async fn events_of_schemas_that_cannot_be_compiled_wait_for_a_newer_version() {
    let hazards = cases::uncompilable();
    let stand = Stand::with(&hazards, BRIEF_QUARANTINE).await;
    for hazard in &hazards {
        stand.check(hazard).await;
        let catalog = Directory::create();
        catalog.write("acme/tenant.toml", "");
        catalog.write(&format!("acme/{}/2.json", hazard.name), "true");
        stand.stack.database.apply(&catalog.0).await;
        stand.at_rest().await;
    }
    let stored = stand.stack.database.count("select count(*) from message where schema_version = 2").await;
    assert_eq!(usize::try_from(stored).ok(), Some(hazards.len()));
    assert_eq!(stand.stack.database.count("select count(*) from dead_letter").await, 0);
    stand.daemon.ready().await;
    assert_eq!(stand.daemon.stop().await, 0);
}
