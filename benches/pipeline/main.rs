//! The whole path, from a full queue to the verified commit, beside its parts alone: the release binary as a process of its own, a queue
//! server and a Postgres of their own, all on this machine. Compare the figures of one run with each other; the ratios are what holds.
//!
//! `cargo bench --bench pipeline -- --help` says what can be chosen.

#![expect(clippy::print_stdout, reason = "whoever measures reads it")]

mod burst;
mod ceilings;
mod fairness;
mod filled;
mod neighbours;
mod network;
mod process;
mod relay;
mod report;
mod runs;
mod soak;
mod stand;
mod tenants;
mod traces;
mod usage;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use clap::Parser;

/// As the daemon has it, so that the parts alone do not pay for another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the whole path beside its parts.
#[derive(Parser)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags of a command line, and clap keeps those apart that exclude each other")]
struct Options {
    /// Events that are on the queue before each measurement; those of a burst are 60000 by default.
    #[arg(long, default_value_t = 50_000, default_value_ifs([("burst", "true", "60000"), ("fairness", "true", "3000"), ("tenants", "true", "100000")]), conflicts_with = "soak")]
    events: usize,
    /// Payloads of about so many bytes, beside the sample catalog's own; may be repeated.
    #[arg(long, value_name = "BYTES", default_values_t = [1_500, 16_384], conflicts_with = "mode")]
    size: Vec<usize>,
    /// Measure the sample mix only, and no latencies.
    #[arg(long, conflicts_with = "mode")]
    quick: bool,
    /// Drain a full queue at each of the queue's latencies with each of Postgres's.
    #[arg(long, group = "mode")]
    network: bool,
    /// Let a burst of events meet an idle daemon.
    #[arg(long, group = "mode")]
    burst: bool,
    /// Drain a queue beside idle ones, and beside one with large messages.
    #[arg(long, group = "mode")]
    neighbours: bool,
    /// Send a tenant's events beside floods of another's; 3,000 by default.
    #[arg(long, group = "mode")]
    fairness: bool,
    /// Drain events of many tenants beside those of one, add and take away queues, start and scrape with very many tenants.
    #[arg(long, group = "mode")]
    tenants: bool,
    /// Drain a full queue without traces and with them, by turns.
    #[arg(long, group = "mode")]
    traces: bool,
    /// Another build of the processor, to be measured without traces as well: one from before there were any.
    #[arg(long, value_name = "PATH", requires = "traces")]
    baseline: Option<PathBuf>,
    /// Give events a producer's context, one in a hundred of them sampled.
    #[arg(long, requires = "traces")]
    with_context: bool,
    /// Keep the daemon under load for so many seconds, and say how its memory, descriptors and connections go.
    #[arg(long, value_name = "SECONDS", group = "mode")]
    soak: Option<u64>,
    /// Events a second of a soak.
    #[arg(long, value_name = "EVENTS", default_value_t = 5_000, requires = "soak", conflicts_with_all = ["network", "burst", "neighbours"])]
    rate: u32,
    /// By how many milliseconds each of the queue's answers is late; may be repeated, and all but --network take the first.
    #[arg(long, value_name = "MS", default_values_t = [0, 5, 15, 30], requires = "mode")]
    latency: Vec<u64>,
    /// By how many milliseconds each of Postgres's answers is late; may be repeated.
    #[arg(long, value_name = "MS", default_values_t = [0, 1], requires = "network", conflicts_with_all = ["burst", "neighbours", "soak"])]
    postgres_latency: Vec<u64>,
    /// A setting of the daemon's that differs from its default, as in its environment; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// What cargo says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<ceilings::Role>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(role) = options.role {
        return role.run().await;
    }
    let report = runs::all(&options, processor()?).await?;
    let text = if options.json { serde_json::to_string_pretty(&report)? } else { report.to_string() };
    println!("{text}");
    Ok(())
}

fn setting(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("give a setting's name and its value, as in IN_FLIGHT_EVENTS_MAX=1000")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The release binary as a user builds it: cargo gives a bench one that has the tests' fail points in it.
fn processor() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--release", "--locked", "--quiet", "--bin", "processor"]).current_dir(manifest);
    // What cargo tells a bench of its package would have it build half of the dependencies anew.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_")) {
            build.env_remove(name);
        }
    }
    ensure!(build.status()?.success(), "the release binary could not be built");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| manifest.join("target"), PathBuf::from);
    Ok(target.join("release/processor"))
}
