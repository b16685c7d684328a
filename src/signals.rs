//! How whoever runs a program ends it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::output;

/// Cancelled by the first SIGTERM or interrupt, so that what is under way is finished; a second one ends the process at once, with 75.
///
/// # Errors
/// When the system gives no notice of signals.
pub fn stop_on_signal() -> io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let watching = async move {
        for is_first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if is_first {
                tracing::info!("stopping: what is in flight is finished; a second signal ends at once");
                stopping.cancel();
            }
        }
        tracing::warn!("stopped at once, with work in flight");
        output::flush();
        std::process::exit(75);
    };
    #[expect(clippy::disallowed_methods, reason = "it must outlive the drain, which waits for everything else")]
    tokio::spawn(watching);
    Ok(stop)
}
