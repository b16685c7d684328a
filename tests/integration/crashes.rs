//! The proof by crashes: amid a load, daemons are killed and Postgres crashes, and afterwards `producers verify` finds every event in its
//! place.
//!
//! `CRASH_EVENTS=20000 CRASH_SEEDS=10` makes it long, with `-- crashes --nocapture` behind `cargo test --test integration`. A seed decides
//! on the events, the moments and the victims; `CRASH_SEED` begins with a certain one, so that what has failed can be looked at again.

use event_processor::dev::cluster::Cluster;
use event_processor::producers::ledger::{self, Verdict};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::task::block_in_place;
use tokio::time::Instant;

use crate::daemon::{Daemon, sum};
use crate::ledger::Ledger;
use crate::proxy::{Fault, Proxy};
use crate::stack::{Database, PRODUCERS, Stack, command, eventually, sample_catalog};

const QUEUES: &str = "events?trust=any";

/// Short, so that what a killed daemon held comes back soon.
const LEASE_SECONDS: &str = "3";

/// The share of events that become rows, so that moments can be told before the ledger is complete.
const STORED_SHARE: f64 = 0.84;

#[derive(Debug, Clone, Copy)]
enum Crash {
    /// `kill -9` of one of the two daemons, while it has events in flight. Another is started in its place.
    Daemon(usize),
    /// The same, when it has just committed events and its deletes do not arrive any more, so that each of them comes again.
    DaemonBeforeDelete(usize),
    /// Postgres ends at once and without a checkpoint, and is started again when both daemons have noticed.
    Postgres,
}

/// What befalls when so many events are stored.
#[derive(Debug)]
struct Moment {
    stored: i64,
    crash: Crash,
}

/// Four crashes in a random order, one at a random moment of each quarter of what lies between 10 % and 90 % of the load.
fn plan(random: &mut StdRng, events: u32) -> Vec<Moment> {
    let mut victim = || random.random_range(0..2);
    let mut crashes = [Crash::Daemon(victim()), Crash::Daemon(victim()), Crash::DaemonBeforeDelete(victim()), Crash::Postgres];
    crashes.shuffle(random);
    let moment = |(quarter, crash): (u32, Crash)| {
        let share = 0.1 + 0.2 * (f64::from(quarter) + random.random_range(0.0..1.0));
        #[expect(clippy::cast_possible_truncation, reason = "a share of a few thousand events")]
        let stored = (f64::from(events) * STORED_SHARE * share) as i64;
        Moment { stored, crash }
    };
    (0..).zip(crashes).map(moment).collect()
}

/// What daemons have counted.
#[derive(Debug, Default, Clone, Copy)]
struct Counted {
    in_flight: i64,
    received: i64,
    stored: i64,
    duplicates: i64,
}

impl Counted {
    async fn by(daemon: &Daemon) -> Self {
        let (_, scraped) = daemon.get("/metrics").await;
        let count = |name: &str, labels: &str| {
            let counted = sum(&scraped, &format!("event_processor_{name}"), labels);
            // A sum of no series is minus zero.
            format!("{:.0}", counted + 0.0).parse().expect("a number")
        };
        Self {
            in_flight: count("in_flight_events", ""),
            received: count("messages_received_total", ""),
            stored: count("events_total", r#"outcome="stored""#),
            duplicates: count("events_total", r#"outcome="duplicate""#),
        }
    }

    fn add(&mut self, other: Self) {
        self.received += other.received;
        self.duplicates += other.duplicates;
    }
}

async fn daemon(stack: &Stack, proxy: &Proxy) -> Daemon {
    stack.daemon(QUEUES, &[("VISIBILITY_TIMEOUT", LEASE_SECONDS), ("AWS_ENDPOINT_URL", &proxy.url)]).await
}

/// A load under way.
struct Run {
    stack: Stack,
    cluster: Cluster,
    ledger: Ledger,
    /// Each with its own way to the queue.
    daemons: Vec<(Daemon, Proxy)>,
    /// By daemons that were killed, up to their last scrape.
    counted_by_killed: Counted,
}

impl Run {
    async fn start() -> Self {
        let cluster = block_in_place(|| Cluster::temporary(&["max_connections=50", "shared_buffers=64MB", "track_commit_timestamp=on"]));
        let cluster = cluster.expect("a Postgres for the test");
        let stack = Stack::start_on(Database::on(&cluster).await, &["events"]).await;
        stack.database.apply(&sample_catalog()).await;
        let ledger = Ledger::on(&stack);
        let mut daemons = Vec::new();
        for _ in 0..2 {
            let proxy = Proxy::before(&stack.server.endpoint_url()).await;
            let daemon = daemon(&stack, &proxy).await;
            daemon.ready().await;
            daemons.push((daemon, proxy));
        }
        Self { stack, cluster, ledger, daemons, counted_by_killed: Counted::default() }
    }

    async fn stored(&self) -> i64 {
        self.stack.database.count("select count(*) from message").await
    }

    async fn inflict(&mut self, moment: &Moment) {
        eventually("enough is stored", async || (self.stored().await >= moment.stored).then_some(())).await;
        let stored = self.stored().await;
        match moment.crash {
            Crash::Daemon(victim) => {
                let in_flight = self.kill(victim, 0).await;
                println!("  {stored} stored: killed daemon {victim} with {in_flight} events in flight");
            }
            Crash::DaemonBeforeDelete(victim) => {
                self.daemons[victim].1.trap("DeleteMessageBatch", Fault::LoseRequest);
                let in_flight = self.kill(victim, 1).await;
                println!("  {stored} stored: killed daemon {victim} before its deletes, with {in_flight} events in flight");
            }
            Crash::Postgres => {
                block_in_place(|| self.cluster.crash()).expect("Postgres ends");
                for (daemon, _) in &self.daemons {
                    daemon.says("database").await;
                }
                block_in_place(|| self.cluster.recover()).expect("Postgres starts again");
                println!("  {stored} stored: crashed Postgres");
            }
        }
    }

    /// Kills a daemon when it has stored so many more events and has others in flight, and starts its successor. Gives how many it had.
    async fn kill(&mut self, victim: usize, more: i64) -> i64 {
        let (killed, proxy) = self.daemons.remove(victim);
        let before = Counted::by(&killed).await;
        let is_due = |counted: &Counted| counted.in_flight > 0 && counted.stored >= before.stored + more;
        let counted = eventually("the daemon has work", async || Some(Counted::by(&killed).await).filter(is_due)).await;
        killed.kill().await;
        self.counted_by_killed.add(counted);
        proxy.mend();
        self.daemons.insert(victim, (daemon(&self.stack, &proxy).await, proxy));
        counted.in_flight
    }

    async fn counted(&self) -> Counted {
        let mut counted = self.counted_by_killed;
        for (daemon, _) in &self.daemons {
            counted.add(Counted::by(daemon).await);
        }
        counted
    }
}

async fn prove(seed: u64, events: u32) {
    println!("seed {seed}, {events} events; once more by CRASH_SEED={seed} CRASH_EVENTS={events}");
    let began = Instant::now();
    let mut run = Run::start().await;
    let arguments = format!("--events {events} --rate 5000 --invalid 0.11 --duplicates 0.05 --seed {seed}");
    let producers = run.ledger.begin(QUEUES, &arguments, 1).await;
    for moment in plan(&mut StdRng::seed_from_u64(seed), events) {
        run.inflict(&moment).await;
    }
    let output = producers.wait_with_output().await.expect("a status");
    assert!(output.status.success(), "{output:?}");

    let path = run.ledger.terminal.directory.0.join("ledger");
    let arguments = ["verify", "--json", "--timeout", "10m", "--ledger", path.to_str().expect("UTF-8")];
    let (status, report, errors) = command(PRODUCERS, &arguments, &run.stack.environment()).await;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}{errors}"));
    assert_eq!(status, 0, "{report:#}");
    for (name, count) in [("sent", events), ("missing", 0), ("altered", 0), ("unexpected", 0), ("on_queue", 0)] {
        assert_eq!(report[name], count, "{name}: {report:#}");
    }
    assert_eq!(report["stored"], run.stored().await);

    // Of a killed daemon the last scrape is known, not what it did from then until the kill: it did and saw at least so much.
    let counted = run.counted().await;
    let entries = ledger::read(&path).expect("a ledger");
    let copies: i64 = entries.iter().map(|entry| 1 + i64::from(entry.lost_replies)).sum();
    let repeated = entries.iter().map(|entry| i64::from(entry.lost_replies) + i64::from(entry.expected == Verdict::Duplicate)).sum::<i64>();
    let (redeliveries, duplicates) = (counted.received - copies, counted.duplicates - repeated);
    let took = began.elapsed();
    println!(
        "  {} stored, nothing missing; at least {redeliveries} redeliveries and {duplicates} duplicates by crashes; {took:.1?}",
        report["stored"]
    );
    assert!(redeliveries > 0 && duplicates > 0, "nothing came twice: {counted:?}");
    for (daemon, _) in run.daemons {
        assert_eq!(daemon.stop().await, 0);
    }
}

/// A number from the environment.
fn setting(name: &str, default: u32) -> u32 {
    let parse = |text: String| text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}: write a whole number"));
    std::env::var(name).map_or(default, parse)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_of_daemons_and_of_postgres_lose_and_double_nothing() {
    let first = setting("CRASH_SEED", 1);
    for seed in first..first + setting("CRASH_SEEDS", 1) {
        prove(seed.into(), setting("CRASH_EVENTS", 3000)).await;
    }
}
