//! The `wirebahn` program.
fn main() {}
