//! AArch64, little endian: the registers of NEON as the `vector` traits want
//! them, and the entries. Every such CPU has NEON.

pub(crate) mod neon;
