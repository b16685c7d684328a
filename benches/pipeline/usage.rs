//! What processes have used, as Linux counts it.

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The process's name may hold anything; what follows it is numbers.
fn stat(id: u32) -> Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).with_context(|| format!("process {id} is gone"))?;
    let fields = text.rsplit_once(") ").map_or("", |(_, fields)| fields);
    Ok(fields.split(' ').map(str::to_owned).collect())
}

fn seconds(fields: &[String], positions: [usize; 2]) -> f64 {
    let ticks: u64 = positions.iter().filter_map(|position| fields.get(*position)?.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second()).as_secs_f64()
}

/// The processor time that a process has used, in seconds.
pub fn cpu(id: u32) -> Result<f64> {
    Ok(seconds(&stat(id)?, [11, 12]))
}

/// The processor time that a process, its children, and those of them that have ended have used, in seconds.
pub fn cpu_of_family(id: u32) -> Result<f64> {
    let own = stat(id)?;
    let mut used = seconds(&own, [11, 12]) + seconds(&own, [13, 14]);
    for entry in fs::read_dir("/proc")? {
        let Some(child) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended meanwhile.
        if let Ok(fields) = stat(child)
            && fields.get(1).and_then(|parent| parent.parse().ok()) == Some(id)
        {
            used += seconds(&fields, [11, 12]);
        }
    }
    Ok(used)
}

/// The parent of a process.
pub fn parent(id: u32) -> Result<u32> {
    stat(id)?.get(1).and_then(|parent| parent.parse().ok()).context("no parent")
}

/// A line of a process's status, in KiB: `VmHWM` is the most memory that it ever held, `VmRSS` what it holds.
pub fn memory_kib(id: u32, line: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).with_context(|| format!("process {id} is gone"))?;
    let value = text.lines().find_map(|other| other.strip_prefix(line)?.strip_prefix(':')?.split_whitespace().next()?.parse().ok());
    value.with_context(|| format!("no {line}"))
}

/// How many descriptors a process has open, and how many of them are established TCP connections over IPv4, as all are here.
pub fn descriptors(id: u32) -> Result<(u64, u64)> {
    let table = fs::read_to_string(format!("/proc/{id}/net/tcp")).with_context(|| format!("process {id} is gone"))?;
    let established = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // The fourth field is the state, the tenth the inode.
        (fields.get(3) == Some(&"01")).then(|| Some(format!("socket:[{}]", fields.get(9)?)))?
    });
    let established: HashSet<String> = established.collect();
    let (mut open, mut connected) = (0, 0);
    for entry in fs::read_dir(format!("/proc/{id}/fd"))? {
        open += 1;
        // It may have been closed meanwhile.
        let target = fs::read_link(entry?.path()).unwrap_or_default();
        connected += u64::from(established.contains(target.to_string_lossy().as_ref()));
    }
    Ok((open, connected))
}
