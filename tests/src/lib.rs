//! What the tests of this crate share.

pub mod peer;
pub mod wire;
