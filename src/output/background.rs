//! A thread that writes what others say, so that none of them waits for whoever reads.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};

/// How many texts wait to be written at most; what is said beyond that is dropped.
const TEXTS_MAX: usize = 4096;

enum Task {
    Write(Vec<u8>),
    /// Everything before it is written; dropping this says so.
    Flush(Sender<()>),
}

/// A bounded queue of texts and the thread that writes them in order.
pub struct Background {
    tasks: Sender<Task>,
}

impl Background {
    /// Starts the thread.
    pub fn start(name: &str, write: impl Fn(&[u8]) + Send + 'static) -> Self {
        let (tasks, waiting) = bounded(TEXTS_MAX);
        let work = move || {
            for task in waiting {
                match task {
                    Task::Write(text) => write(&text),
                    Task::Flush(done) => drop(done),
                }
            }
        };
        // Where the system gives no thread the queue has no end to it, and refuses every text.
        let _ = thread::Builder::new().name(name.to_owned()).spawn(work);
        Self { tasks }
    }

    /// Has a text written; whether there was room for it.
    pub fn send(&self, text: Vec<u8>) -> bool {
        self.tasks.try_send(Task::Write(text)).is_ok()
    }

    /// Waits until what was sent is written, for so long at most.
    pub fn flush(&self, time_max: Duration) {
        let deadline = Instant::now() + time_max;
        let (done, all_done) = bounded::<()>(0);
        if self.tasks.send_deadline(Task::Flush(done), deadline).is_ok() {
            // Ends by an error either way: nothing is ever sent.
            let _ = all_done.recv_deadline(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn texts_are_written_in_order_and_a_flush_waits_for_them() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let writing = Arc::clone(&written);
        let background = Background::start("test", move |text| {
            thread::sleep(Duration::from_millis(1));
            writing.lock().unwrap().extend_from_slice(text);
        });
        for text in ["a", "b", "c"] {
            assert!(background.send(text.into()));
        }
        background.flush(Duration::from_mins(1));
        assert_eq!(*written.lock().unwrap(), b"abc");
    }

    #[test]
    fn a_writer_that_hangs_costs_texts_and_no_time() {
        let (_hold, hung) = bounded::<()>(0);
        let background = Background::start("test", move |_| {
            let _ = hung.recv();
        });
        let taken = (0..TEXTS_MAX * 2).filter(|_| background.send(b"text".to_vec())).count();
        // The one that hangs may have left the queue.
        assert!((TEXTS_MAX..=TEXTS_MAX + 1).contains(&taken), "{taken}");
        background.flush(Duration::from_millis(10));
    }
}
