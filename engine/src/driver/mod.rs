//! The seam between what moves octets and what understands them.
//!
//! A [`Driver`] owns the sockets and the receive memory, and pushes; a [`Sink`], which the shard
//! is, owns what waits to leave, and is pulled from. Neither side knows the other's insides. Both
//! traits are generic per thread and chosen once, at the start.
//!
//! `readiness` is a driver over a `kernel`, which tells what became possible and does what is
//! asked; `epoll` is such a kernel, and so is `sim`, driven by a seed: what is simulated is the
//! operating system, not the driver.
//!
//! The rules of the seam:
//! - Octets lent by [`Sink::gather`] stay where they are until [`Sink::sent`] or
//!   [`Sink::closed`] for the same key.
//! - After anything happened to a connection the driver settles it: it writes what may leave,
//!   then asks for its [`Wish`] and does what that says. Nothing is re-entered.
//! - [`Sink::closed`] is the last word about a key; only after it may its slot be used again, and
//!   it comes only when no operation of the driver on it is in flight. Keys carry a generation
//!   that catches late ones.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use crate::proto::connection::Wish;
pub(crate) use crate::proto::outbox::Slices;
pub(crate) use crate::proto::state::End;
use crate::tick::Tick;

mod clock;
pub(crate) mod epoll;
mod kernel;
mod listener;
pub(crate) mod readiness;
#[cfg(any(test, feature = "sim"))]
pub(crate) mod sim;
#[allow(unsafe_code)] // lends memory to the kernel
pub(crate) mod uring;

/// A connection of one shard: the slot, and how often the slot was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Key {
    /// Both halves in one word, for an operating system that carries one.
    pub(crate) const fn to_word(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The inverse of [`to_word`](Self::to_word).
    pub(crate) const fn from_word(word: u64) -> Self {
        Self {
            index: word as u32,
            generation: (word >> 32) as u32,
        }
    }
}

/// What understands octets: the shard.
pub(crate) trait Sink {
    /// A transport was accepted. `None` when there is no room for it; the driver drops it.
    fn accepted(&mut self, peer: SocketAddr) -> Option<Key>;

    /// Accepting failed, and is tried again after a pause.
    fn accept_failed(&mut self, error: &io::Error);

    /// Octets came. They lie in the driver's buffer, which the sink may change.
    fn received(&mut self, key: Key, octets: &mut [u8]);

    /// The peer shut its side.
    fn ended(&mut self, key: Key);

    /// What may leave now, in order.
    fn gather<'a>(&'a mut self, key: Key, slices: &mut Slices<'a>);

    /// So much of it left; what did not may move again.
    fn sent(&mut self, key: Key, count: usize);

    /// The transport takes no more for now.
    fn blocked(&mut self, key: Key);

    /// What to do with the transport now.
    fn wish(&mut self, key: Key) -> Wish;

    /// Our side of the transport was shut, as wished.
    fn shut(&mut self, key: Key);

    /// The transport is gone; by `error` unless it was wished.
    fn closed(&mut self, key: Key, error: Option<io::ErrorKind>);

    /// About to wait for events. `false` when there is something to do already.
    fn sleep(&mut self) -> bool;

    /// Back from waiting; this is the moment of the turn.
    fn woke(&mut self, now: Tick);

    /// The next connection that has something to settle although nothing came for it: a message
    /// from elsewhere, a deadline. Asked until there is none.
    fn next_due(&mut self) -> Option<Key>;

    /// Whether connections are accepted; once not, never again.
    fn accepts(&self) -> bool;
}

/// What moves octets.
pub(crate) trait Driver {
    /// Waits, at most for `wait`, for something to happen, and has it dealt with.
    ///
    /// # Errors
    /// Only what no connection is to blame for: waiting itself failed.
    fn turn(&mut self, wait: Option<Duration>, sink: &mut impl Sink) -> io::Result<()>;

    /// The moment of the last turn, by this driver's clock.
    fn now(&self) -> Tick;
}
