//! What is measured beside the load itself.

pub mod machine;
pub mod process;
