//! What is measured beside the load itself.

pub mod process;
