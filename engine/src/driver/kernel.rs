//! What a driver by readiness needs of the operating system: the border between the loop in
//! `readiness` and who runs it, epoll or the simulator.
//!
//! Knows nothing of connections beyond their key.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::Key;

/// An operating system, as far as a loop of readiness sees it.
///
/// Readiness is edge-triggered: an event says that something has become possible since that was
/// last said, and may say it once too often, never once too seldom. A read that brings less than
/// it could have has drained its stream; a write that takes less than it was offered has filled
/// it; either is told again when that changes.
pub(crate) trait Kernel {
    /// One end of a transport; dropping it closes both ways.
    type Stream: Read + Write;
    /// A descriptor held back, for the day there are no others.
    type Reserve;
    /// What one wait fetched.
    type Events;

    /// Room for what a wait fetches.
    fn events() -> Self::Events;

    /// Waits for events, at most for `timeout`; without one, as long as it takes.
    ///
    /// # Errors
    /// [`Interrupted`](io::ErrorKind::Interrupted), with `events` empty; others end the driver.
    fn wait(&mut self, events: &mut Self::Events, timeout: Option<Duration>) -> io::Result<()>;

    /// The events of the last wait, in the order they are to be dealt with.
    fn each(events: &Self::Events) -> impl Iterator<Item = Event>;

    /// How long this kernel has run, by a clock that never goes back.
    fn now(&self) -> Duration;

    /// The next connection that waits to be accepted.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when none waits.
    fn accept(&mut self) -> io::Result<(Self::Stream, SocketAddr)>;

    /// Asks for events of an accepted stream, under this key, as long as it lives.
    ///
    /// # Errors
    /// The system's; the stream is of no use then.
    fn watch(&mut self, stream: &mut Self::Stream, key: Key) -> io::Result<()>;

    /// Shuts our side of a stream: what was written still arrives, then the end.
    fn shut(stream: &mut Self::Stream);

    /// Stops listening. What waits to be accepted is reset.
    fn unlisten(&mut self);

    /// A descriptor to hold back, if there is one left.
    fn reserve(&mut self) -> Option<Self::Reserve>;
}

/// What a wait tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// There may be connections to accept.
    Incoming,
    /// Another thread wants the shard awake.
    Woken,
    /// Something became possible on a stream.
    Stream {
        key: Key,
        readable: bool,
        writable: bool,
        /// The peer shut its side, or the stream failed: a read says which.
        hung_up: bool,
    },
}
