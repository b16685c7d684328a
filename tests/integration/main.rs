//! Tests of the real binary on a real Postgres and a real queue server.

mod architecture;
mod stack;
mod path;
mod readme;
