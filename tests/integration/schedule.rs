//! The seeded fault schedule: amid a load that goes on, one fault follows the other, of every class and in an order that a seed decides;
//! afterwards `producers verify` finds every event in its place.
//!
//! `FAULT_SEEDS=200` makes it long, with `-- schedule --nocapture` behind `cargo test --test integration`; `FAULT_SEED` begins with a
//! certain seed, so that what has failed can be looked at again.

mod faults;

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::endpoint::Endpoint;
use crate::ledger::Ledger;
use crate::proxy::Proxy;
use crate::stack::Stack;
use faults::{CLASSES, Fault, Scene};

/// Faults that one seed sees.
const FAULTS: usize = 6;

/// Seeds under way at once: most of the time each waits for something.
const SEEDS_AT_ONCE: usize = 4;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}; give a number")))
}

/// The faults of a seed: seeds that follow each other go through all classes, each in an order of its own.
fn plan(seed: u64, random: &mut StdRng) -> Vec<Fault> {
    let first = usize::try_from(seed).expect("a small number") * FAULTS;
    let mut plan: Vec<Fault> = (first..first + FAULTS).map(|turn| CLASSES[turn % CLASSES.len()]).collect();
    plan.shuffle(random);
    plan
}

async fn run(seed: u64) -> Vec<Fault> {
    let mut random = StdRng::seed_from_u64(seed);
    let plan = plan(seed, &mut random);
    println!("seed {seed}: {plan:?}; once more by FAULT_SEED={seed} FAULT_SEEDS=1");
    let stack = Stack::start(&["events"]).await;
    let database = Proxy::before(&stack.database.url).await;
    let endpoint = Endpoint::before(&stack.server.endpoint_url()).await;
    let queue = Proxy::before(&endpoint.url).await;
    let ledger = Ledger::on(&stack);
    let arguments = format!("--rate 150 --invalid 0.11 --duplicates 0.05 --seed {seed}");
    let producers = ledger.begin("events?trust=any", &arguments, 1).await;
    let mut scene = Scene::set(stack, database, endpoint, queue).await;
    for fault in &plan {
        scene.inflict(*fault, random.random()).await;
    }
    ledger.interrupt(producers).await;
    let verified = ledger.verify().await;
    assert_eq!(verified.status, 0, "seed {seed}, {plan:?}: {verified:?}");
    // What `verify` looks at by event: no row of another tenant may have come of it.
    let strays = "select count(*) from message m join delivery d using (source, event_id) where m.tenant_id <> d.tenant_id \
                  and not exists (select from message o where o.tenant_id = d.tenant_id and o.source = d.source and o.event_id = d.event_id)";
    assert_eq!(scene.stack.database.count(strays).await, 0, "seed {seed}: a delivery of another tenant");
    let report = verified.json();
    println!("seed {seed}: {} sent, {} stored, {} dead-lettered, nothing lost", report["sent"], report["stored"], report["dead_lettered"]);
    scene.end().await;
    plan
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_schedule_of_faults_loses_or_doubles_an_event() {
    let (first, seeds) = (number("FAULT_SEED", 0), number("FAULT_SEEDS", 20));
    let runs: Vec<Vec<Fault>> = futures_util::stream::iter(first..first + seeds).map(run).buffer_unordered(SEEDS_AT_ONCE).collect().await;
    let mut reached: BTreeMap<Fault, usize> = BTreeMap::new();
    for fault in runs.into_iter().flatten() {
        *reached.entry(fault).or_default() += 1;
    }
    println!("{seeds} seeds, by class: {reached:?}");
    let turns = usize::try_from(seeds).expect("a small number") * FAULTS;
    assert!(turns < CLASSES.len() || reached.len() == CLASSES.len(), "not every class was reached: {reached:?}");
}
