//! Close codes and how a connection ended (RFC 6455 section 7).
//!
//! Knows which codes may travel; knows nothing of sockets or of who sends them.

use std::fmt;

use crate::error::Violation;

/// The status code of a Close frame (RFC 6455 section 7.4).
///
/// Any `u16` can be held, because a program may want to name what it saw; whether a code may
/// stand in a frame is asked with [`may_travel`](Self::may_travel).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server goes down, or the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of message that is not accepted here.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1005: never sent; says that a Close frame came without a code.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: never sent; says that the connection ended without a Close frame.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: a text message, or the reason of a Close frame, that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a rule of this endpoint was broken.
    pub const POLICY: Self = Self(1008);
    /// 1009: a frame or message longer than this endpoint takes.
    pub const TOO_BIG: Self = Self(1009);
    /// 1010: a client misses an extension it asked for.
    pub const MISSING_EXTENSION: Self = Self(1010);
    /// 1011: this endpoint failed.
    pub const INTERNAL: Self = Self(1011);
    /// 1012: the service restarts.
    pub const RESTART: Self = Self(1012);
    /// 1013: too much to do, or the peer reads too slowly; come back later.
    pub const TRY_LATER: Self = Self(1013);
    /// 1014: a gateway got a bad answer from behind it.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Whether the code may stand in a Close frame, sent or received: 1000–1003, 1007–1014 and
    /// 3000–4999 (RFC 6455 section 7.4.2 and the IANA registry; 1004–1006 and 1015 must not).
    #[must_use]
    pub const fn may_travel(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

/// How a connection ended, as told to [`Handler::close`](crate::Handler::close).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseInfo {
    /// Both sides sent a Close frame and the transport ended after it (RFC 6455 section 7.1.4).
    pub clean: bool,
    /// Who began: the side that sent the first Close frame or cut the transport.
    pub by: Side,
    /// The code the peer sent; 1005 when its Close frame had none, 1006 when there was no frame.
    pub code: CloseCode,
    /// The reason the peer sent, empty without one; at most 123 octets.
    pub reason: String,
    /// What made it end.
    pub cause: Cause,
}

/// One of the two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// This endpoint.
    Local,
    /// The peer.
    Remote,
}

/// What made a connection end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// A closing handshake, begun by either side.
    Handshake,
    /// The peer broke the protocol or a limit.
    Violation(Violation),
    /// A deadline passed.
    Timeout(Timeout),
    /// The peer ended its side of the transport without a Close frame.
    Ended,
    /// The transport failed, usually reset by the peer.
    Transport(std::io::ErrorKind),
    /// The handler panicked; the connection got 1011.
    Panic,
    /// The opening handshake was cut to make room for a newer one.
    Shed,
    /// The server was stopped before the closing handshake was over.
    Stopped,
}

/// Which deadline passed. Every state of a connection has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Timeout {
    /// The opening handshake took too long.
    Opening,
    /// The peer did not answer our Close frame.
    Closing,
    /// No message passed for the idle limit.
    Idle,
    /// The peer sent nothing after our ping.
    Pong,
    /// The peer took nothing of what we had to send.
    WriteStall,
}

impl Timeout {
    /// The name used in logs and statistics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening handshake",
            Self::Closing => "closing handshake",
            Self::Idle => "idle",
            Self::Pong => "pong",
            Self::WriteStall => "write stall",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_registered_and_private_codes_may_travel() {
        let allowed: Vec<u16> = (0..=u16::MAX)
            .filter(|&c| CloseCode(c).may_travel())
            .collect();
        let mut expected: Vec<u16> = vec![1000, 1001, 1002, 1003];
        expected.extend(1007..=1014);
        expected.extend(3000..=4999);
        assert_eq!(allowed, expected);
    }
}
