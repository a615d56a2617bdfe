//! The engine in a simulated world: many shards in one thread, a network with faults, and a clock
//! that the test moves. See `wirebahn::sim`.
//!
//! A world that fails names its seed; `WIREBAHN_SEED=N` runs only that one.

mod common;
mod seeds;
