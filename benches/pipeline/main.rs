//! The whole path, from a full queue to the verified commit, beside its parts alone: the release binary as a process of its own, a queue
//! server and a Postgres of their own, all on this machine. Compare the figures of one run with each other; the ratios are what holds.
//!
//! `cargo bench --bench pipeline -- --help` says what can be chosen.

#![expect(clippy::print_stdout, reason = "whoever measures reads it")]

mod ceilings;
mod report;
mod runs;
mod stand;
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
struct Options {
    /// Events that are on the queue before each measurement.
    #[arg(long, default_value_t = 50_000)]
    events: usize,
    /// Payloads of about so many bytes, beside the sample catalog's own; may be repeated.
    #[arg(long, value_name = "BYTES", default_values_t = [1_500, 16_384])]
    size: Vec<usize>,
    /// Measure the sample mix only, and no latencies.
    #[arg(long)]
    quick: bool,
    /// Keep the daemon under load for so many seconds, and say how its memory goes.
    #[arg(long, value_name = "SECONDS")]
    soak: Option<u64>,
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
