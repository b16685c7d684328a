//! How producers tell on a terminal how far they are, also on one that hangs or goes away.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::ExitStatus;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::process::{Child, Command};

use crate::stack::{PRODUCERS, Stack, patience, sample_catalog};

const COLUMNS: u16 = 60;

/// A terminal: the side of the person who looks at it, and that of the program.
fn terminal() -> (File, OwnedFd) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&person).and_then(|()| unlockpt(&person)).expect("the program's side");
    let name = ptsname(&person, Vec::new()).expect("its name");
    let program = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("the program's side");
    tcsetwinsize(&program, Winsize { ws_row: 24, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
    (person.into(), program)
}

/// Producers that send for about a second.
fn begin(stack: &Stack, stderr: OwnedFd) -> Child {
    let mut command = Command::new(PRODUCERS);
    command.args(["--queue", "events", "--events", "60", "--rate", "50", "--schemas"]).arg(sample_catalog());
    command.env_clear().envs(stack.environment()).stdout(std::process::Stdio::null()).stderr(stderr).kill_on_drop(true);
    command.spawn().expect("producers starts")
}

async fn ended(mut child: Child) -> ExitStatus {
    tokio::time::timeout(patience(), child.wait()).await.expect("an end").expect("a status")
}

#[tokio::test]
async fn on_a_terminal_one_line_shows_the_rate_and_what_remains_and_is_gone_at_the_end() {
    let stack = Stack::start(&["events"]).await;
    let (mut person, program) = terminal();
    let child = begin(&stack, program);
    let reading = tokio::task::spawn_blocking(move || {
        let mut seen = Vec::new();
        // Ends with an error when the program has closed its side.
        let _ = person.read_to_end(&mut seen);
        String::from_utf8(seen).expect("UTF-8")
    });
    assert!(ended(child).await.success());
    let seen = reading.await.expect("what was seen");
    assert!(seen.contains(" of 60 sent, ") && seen.contains(" a second, ") && seen.contains(" s remain"), "{seen:?}");
    assert!(!seen.contains('\n') && seen.ends_with("\r\u{1b}[2K"), "{seen:?}");
    let widths: Vec<usize> = seen.replace("\u{1b}[2K", "").split('\r').map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width <= usize::from(COLUMNS)), "{widths:?} of {seen:?}");
}

#[tokio::test]
async fn a_terminal_that_hangs_or_goes_away_stops_nothing() {
    let stack = Stack::start(&["events"]).await;
    let (person, program) = terminal();
    let mut filling = File::from(program.try_clone().expect("a descriptor"));
    // Ends when the person goes.
    std::thread::spawn(move || while filling.write_all(&[b'.'; 4096]).is_ok() {});
    assert!(ended(begin(&stack, program)).await.success());
    drop(person);

    let (mut person, program) = terminal();
    let child = begin(&stack, program);
    let first = tokio::task::spawn_blocking(move || person.read(&mut [0; 1])).await.expect("a read");
    assert_eq!(first.expect("a byte"), 1);
    assert!(ended(child).await.success());

    let queue = stack.queue("events").await;
    assert!(queue.depth().await.expect("a depth").contains(&("visible", 120)));
}
