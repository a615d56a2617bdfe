//! The two sides together.
