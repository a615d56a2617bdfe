//! The protocol core: bytes and ticks in, bytes and events out. It must not know sockets, clocks or threads.

#![forbid(unsafe_code)]

pub mod handshake;
