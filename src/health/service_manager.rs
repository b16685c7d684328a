//! What systemd is told where it has started the process (`Type=notify`, `WatchdogSec=`): that it is ready, that it goes on, that it stops.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Readiness;

/// How often it is told where there is no watchdog, or a patient one.
const INTERVAL_MAX: Duration = Duration::from_secs(1);

/// For how much longer the start may take each time that it is said to go on. An outage at the start is no reason to end.
const START_EXTENSION: Duration = Duration::from_mins(1);

/// How much of what stands in the way `systemctl status` shows.
const STATUS_BYTES_MAX: usize = 512;

/// Tells the service manager, where there is one, how the process is: ready once these parts are (not a daemon's
/// queues, of which one may be missing for long while all others go on), and alive as long as `/livez` says so. Ends
/// when it has told that the process stops, and at once where there is none.
pub async fn tell_service_manager(readiness: Arc<Readiness>, parts: &'static [&'static str], stop: CancellationToken) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    let watchdog = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok()).map(Duration::from_micros);
    // A third: one that comes late is not the last.
    let interval = watchdog.map_or(INTERVAL_MAX, |limit| limit / 3).clamp(Duration::from_millis(1), INTERVAL_MAX);
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut is_ready, mut has_failed) = (false, false);
    loop {
        let is_stopping = tokio::select! {
            biased;
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        let mut message = if is_stopping { "STOPPING=1\nSTATUS=draining".to_owned() } else { format!("STATUS={}", status(&readiness)) };
        if !is_stopping && readiness.not_alive().is_none() {
            message += "\nWATCHDOG=1";
            is_ready = is_ready || parts.iter().all(|part| readiness.is_ready(part));
            // Said again each time: what was lost is made up for.
            let start = if is_ready { "READY=1".to_owned() } else { format!("EXTEND_TIMEOUT_USEC={}", START_EXTENSION.as_micros()) };
            message.extend(["\n", &start]);
        }
        if let Err(error) = send(&name, &message)
            && !std::mem::replace(&mut has_failed, true)
        {
            tracing::warn!(%error, "the service manager cannot be told how the process is: see NOTIFY_SOCKET");
        }
        if is_stopping {
            return;
        }
    }
}

/// What stands in the way, in one line.
fn status(readiness: &Readiness) -> String {
    let problems = readiness.problems();
    let mut status = if problems.is_empty() { "ready".to_owned() } else { problems.join("; ").replace('\n', " ") };
    status.truncate(status.floor_char_boundary(STATUS_BYTES_MAX));
    status
}

/// Without waiting: a manager that does not read is no reason to stop work.
fn send(name: &OsStr, message: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    connect(&socket, name)?;
    socket.send(message.as_bytes()).map(|_| ())
}

/// A name that begins with `@` is no path but one of Linux's abstract ones.
fn connect(socket: &UnixDatagram, name: &OsStr) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if let Some(name) = name.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        return socket.connect_addr(&std::os::unix::net::SocketAddr::from_abstract_name(name)?);
    }
    socket.connect(name)
}
