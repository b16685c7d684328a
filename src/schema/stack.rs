//! How much of its thread's stack a validation uses. A payload of many levels under a long chain of references uses it up before it has taken
//! many steps, and a stack that overflows ends the process.

use std::cell::Cell;

/// How much a validation may use. Its thread needs more: the chain within one level of the payload is gone through unmeasured.
pub const STACK_BYTES_MAX: usize = 128 << 20;

thread_local! {
    static BEGIN: Cell<usize> = const { Cell::new(0) };
}

/// A validation begins here.
pub(super) fn begin() {
    BEGIN.set(address());
}

/// Whether the validation under way has used up what it may.
pub(super) fn is_used_up() -> bool {
    // Stacks grow downwards.
    BEGIN.get().saturating_sub(address()) > STACK_BYTES_MAX
}

fn address() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here).addr()
}
