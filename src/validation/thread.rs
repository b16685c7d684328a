//! What can be done to a thread that validates while it is busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::schema::interrupt_by;

/// A thread of the system's.
#[derive(Debug, Clone)]
pub struct Thread {
    #[cfg(target_os = "linux")]
    id: rustix::process::Pid,
    /// Set while what it does is in vain.
    is_in_vain: Arc<AtomicBool>,
}

impl Thread {
    /// The one that asks; its validations can be interrupted from now on.
    pub fn current() -> Self {
        let is_in_vain = Arc::<AtomicBool>::default();
        interrupt_by(Arc::clone(&is_in_vain));
        Self {
            #[cfg(target_os = "linux")]
            id: rustix::thread::gettid(),
            is_in_vain,
        }
    }

    /// Whether the validation under way is to end without a result.
    pub fn interrupt(&self, is_in_vain: bool) {
        self.is_in_vain.store(is_in_vain, Ordering::Relaxed);
    }

    /// It has the processor when nobody else wants it: what it does is most likely in vain.
    pub fn yield_to_others(&self) {
        // Linux counts a thread by its id as others count a process. Where it may not, it stays as it was.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::setpriority_process(Some(self.id), 19);
    }
}
