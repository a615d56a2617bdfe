//! What tests of programs need: a program that runs, and a client small enough to be believed.
//!
//! The client shares no code with the engine, so that a mistake there is not made here as well.

#![allow(dead_code)] // each test file uses its share

pub(crate) mod client;
pub(crate) mod program;
