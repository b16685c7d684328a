//! Validation within bounds: by threads that can be replaced, with schemas and messages that do harm set apart. What is validated, and how it
//! ends, is the pure function's matter ([`crate::validate`]); here is who runs it, for how long, and what follows when it does not end.
//!
//! | an event's validation | what follows for it | and for its schema, of this tenant alone |
//! | --- | --- | --- |
//! | ends within 100 ms | its verdict | clear; where it took milliseconds, the schema's next ones are validated apart from the others, each tenant in its turn |
//! | takes longer | another thread takes its thread's place; it goes on | slow: the tenant's other events of the schema wait |
//! | ends after all | its verdict | watched: one event at a time, until one ends in time: clear |
//! | takes longer than 5 s | given up: counted as begun, back to the queue; dead letter `validation_timeout` at the third time | quarantined for ten minutes: its events go back, uncounted; then watched |
//! | panics | counted as begun, back to the queue; dead letter `received_too_often` at the third time | as it was |
//! | ends the process | it comes again; from its fourth receive on it is counted before it is begun | |
//!
//! | a message that was received more than three times | how it is validated |
//! | --- | --- |
//! | was never begun without having ended | together with others of its kind, counted in one statement |
//! | was begun and did not end, once or twice | alone in the process, until its verdict is committed |
//! | three times | not at all: dead letter `received_too_often` |

mod poison;
mod quarantine;
mod thread;
mod apart;
mod job;
mod pool;

pub use job::{LARGE_BYTES, Outcomes, Unvalidated};
pub use poison::PoisonAttempts;
pub use pool::Pool;
