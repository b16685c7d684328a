//! What waits to be stored, and which of it goes into the next transaction.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::store::Entry;
use crate::window::InFlight;

/// Bodies in one transaction at most; a batch of few large events is as much work as one of many small ones.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// An event that is larger is written as long as hundreds of others.
const LARGE_BYTES: usize = 64 << 10;

/// Of such at most so many bytes go into a transaction in which others wait for its commit; one always does.
const LARGE_BYTES_BESIDE_OTHERS_MAX: usize = 1 << 20;

/// After a batch of so many rows the next one is worth waiting for: more will come. Smaller ones keep pace by themselves.
const BUSY_ROWS: usize = 100;

/// For how long, then.
const LINGER: Duration = Duration::from_millis(10);

/// Events with their verdicts, for whichever writer is free.
pub struct Ready {
    decided: mpsc::Receiver<Vec<Entry<InFlight>>>,
    /// Taken already, beyond the last batch.
    small: VecDeque<Entry<InFlight>>,
    large: VecDeque<Entry<InFlight>>,
    is_busy: bool,
}

impl Ready {
    pub fn new(decided: mpsc::Receiver<Vec<Entry<InFlight>>>) -> Self {
        Self { decided, small: VecDeque::new(), large: VecDeque::new(), is_busy: false }
    }

    /// The next batch; empty when those who find verdicts have ended.
    pub async fn take(&mut self, batch_rows_max: usize) -> Vec<Entry<InFlight>> {
        if self.small.is_empty() && self.large.is_empty() {
            let decided = self.decided.recv().await.unwrap_or_default();
            self.sort(decided);
        }
        if self.is_busy && (1..batch_rows_max).contains(&(self.small.len() + self.large.len())) {
            tokio::time::sleep(LINGER).await;
        }
        while self.small.len() < batch_rows_max
            && let Ok(decided) = self.decided.try_recv()
        {
            self.sort(decided);
        }
        let batch = self.batch(batch_rows_max);
        self.is_busy = batch.len() >= BUSY_ROWS;
        batch
    }

    fn sort(&mut self, decided: Vec<Entry<InFlight>>) {
        for entry in decided {
            if bytes(&entry) > LARGE_BYTES { self.large.push_back(entry) } else { self.small.push_back(entry) }
        }
    }

    fn batch(&mut self, rows_max: usize) -> Vec<Entry<InFlight>> {
        let large_bytes_max = if self.small.is_empty() { BATCH_BYTES_MAX } else { LARGE_BYTES_BESIDE_OTHERS_MAX };
        let mut batch = take_while(&mut self.large, rows_max, large_bytes_max);
        let left = BATCH_BYTES_MAX.saturating_sub(batch.iter().map(bytes).sum());
        let rows = rows_max - batch.len();
        if rows > 0 {
            batch.extend(take_while(&mut self.small, rows, left));
        }
        batch
    }
}

/// The first, and as many behind it as keep within the limits.
fn take_while(waiting: &mut VecDeque<Entry<InFlight>>, rows_max: usize, bytes_max: usize) -> Vec<Entry<InFlight>> {
    let mut taken = 0;
    let fits = |entry: &&Entry<InFlight>| {
        taken += bytes(entry);
        taken <= bytes_max
    };
    let count = waiting.iter().take(rows_max).take_while(fits).count().max(1).min(waiting.len());
    waiting.drain(..count).collect()
}

fn bytes(entry: &Entry<InFlight>) -> usize {
    entry.decided.candidate.body.len()
}
