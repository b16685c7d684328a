//! A Postgres for as long as standard input is open: prints its URL. For scripts that check queries.

#![expect(clippy::print_stdout, reason = "a script of ours reads it")]

use std::io::{Read as _, Write as _};

use event_processor::dev::cluster::Cluster;

fn main() -> anyhow::Result<()> {
    let cluster = Cluster::temporary(&[])?;
    println!("{}", cluster.url("postgres"));
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    cluster.stop()
}
