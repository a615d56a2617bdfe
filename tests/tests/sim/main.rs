//! The engine in a simulated world: many shards in one thread, a network with faults, and a clock
//! that the test moves. See `wirebahn::sim`.
//!
//! A world that fails names its seed; `WIREBAHN_SEED=N` runs only that one, `WIREBAHN_SEEDS=N` runs
//! the first N of them.

mod accepting;
mod common;
mod deadlines;
mod drain;
mod gate;
mod seeds;
mod splits;
