//! The protocol core: octets and ticks in, octets and events out.
//!
//! No socket, no clock, no thread. A driver pushes what it received into
//! [`Connection::next`](connection::Connection::next) and pulls what may leave from
//! [`Link::gather`](connection::Link::gather); both work on borrowed memory.
//!
//! In the order in which the files import one another: [`frame`] and [`state`] stand alone;
//! [`outbox`] holds what waits to leave, [`pool`] what a shard lends to its connections; [`recv`]
//! turns octets into messages and `send` messages into octets, both by way of [`deflate`] where
//! that was agreed on; [`prepared`] is a message encoded
//! once for many; [`handshake`] is the HTTP part; [`connection`] composes them.
//!
//! Everything here is fed by the network: it neither indexes nor unwraps.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        clippy::unreachable
    )
)]

pub mod connection;
pub mod deflate;
pub mod frame;
pub mod handshake;
pub mod outbox;
pub mod pool;
pub mod prepared;
pub mod recv;
pub(crate) mod send;
pub mod state;

#[cfg(test)]
mod torn;
