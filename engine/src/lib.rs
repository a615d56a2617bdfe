//! A WebSocket engine for multicore machines: zero copy, SIMD, one thread a core.

pub mod proto;
