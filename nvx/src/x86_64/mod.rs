//! x86-64: the registers of each tier as the `vector` traits want them, and the
//! entries compiled for the tier's instructions.
//!
//! - `sse2`: every CPU has it; masking, ASCII, and the short inputs of all tiers.
//! - `sse41`: the same registers with look-up.
//! - `avx2`, `avx512`: wider.

pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod sse2;
pub(crate) mod sse41;
