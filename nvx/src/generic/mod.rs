//! Each algorithm once, over the traits of `vector`: the tiers instantiate them
//! in functions compiled for their instructions.
//!
//! - `mask`: any length, in place or copying, tails by overlap.
//! - `validate`: UTF-8 by look-up, with or without unmasking on the way.
//! - `nibbles`: the look-up itself for registers with 16-entry tables.
//! - `ascii`: UTF-8 where there is no look-up: ASCII by vector, the rest scalar.
//! - `words`: what is shorter than any register.
//!
//! All functions are `inline(always)`: only inlined into an entry that enables
//! the instructions do the traits' methods become single instructions.

#[cfg(target_arch = "x86_64")] // only SSE2 has vectors and no look-up
pub(crate) mod ascii;
pub(crate) mod mask;
pub(crate) mod nibbles;
pub(crate) mod validate;
pub(crate) mod words;
