//! What a shard counts, and how others read it.
//!
//! A shard counts in plain words of its own. Once a turn it stores them where other threads may
//! look, with relaxed stores: no atomic addition, nothing per message.

use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::proto::connection::Sent;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What was counted since the start. Add several for the sum of workers, subtract an
        /// earlier one for a period.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Statistics {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// The same, where other threads may read it.
        #[derive(Debug, Default)]
        pub(crate) struct Shared {
            $($name: AtomicU64,)*
        }

        impl Shared {
            pub(crate) fn store(&self, counted: &Statistics) {
                $(self.$name.store(counted.$name, Ordering::Relaxed);)*
            }

            pub(crate) fn load(&self) -> Statistics {
                Statistics { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }

        impl Add for Statistics {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self { $($name: self.$name.wrapping_add(other.$name),)* }
            }
        }

        impl Sub for Statistics {
            type Output = Self;

            /// What was counted in between; `connected` and the octets of compression, which are
            /// levels, become differences that may wrap.
            fn sub(self, earlier: Self) -> Self {
                Self { $($name: self.$name.wrapping_sub(earlier.$name),)* }
            }
        }
    };
}

counters! {
    /// Connections that are open now.
    connected,
    /// Transports accepted.
    accepted,
    /// Opening handshakes accepted.
    handshakes,
    /// Opening handshakes refused, by a rule or by the program.
    refused,
    /// Messages received.
    messages_in,
    /// Messages sent, each recipient of a broadcast counted.
    messages_out,
    /// Octets of payload received.
    octets_in,
    /// Octets of payload sent.
    octets_out,
    /// Octets received from the transport: HTTP, headers and payload.
    wire_in,
    /// Octets the transport took.
    wire_out,
    /// Messages dropped because too much waited already or the connection was not open.
    dropped,
    /// Connections failed because the peer broke the protocol or a limit.
    violations,
    /// Connections ended by a deadline.
    timeouts,
    /// Opening handshakes cut to make room for newer ones.
    shed,
    /// Panics of handlers.
    panics,
    /// Failures to accept.
    accept_errors,
    /// Octets that compression holds now: idle codecs, lent ones, the contexts of connections.
    compression_held,
    /// Octets that the contexts of open connections may come to hold; counts against
    /// [`Compression::budget`](crate::Compression::budget).
    compression_reserved,
    /// Connections answered without context takeover because that budget was spent.
    compression_declined,
}

impl Statistics {
    /// Counts what became of a message with a payload of `len` octets.
    #[inline]
    pub(crate) fn sent(&mut self, sent: Sent, len: usize) {
        match sent {
            Sent::Accepted | Sent::Buffered => {
                self.messages_out += 1;
                self.octets_out += len as u64;
            }
            Sent::Dropped => self.dropped += 1,
        }
    }
}
