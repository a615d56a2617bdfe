//! Errors, told apart by who is to blame: the peer, the program, the world.
//!
//! The world's errors are [`std::io::Error`]; the other two are here.

use thiserror::Error;

use crate::close::CloseCode;

/// The peer broke the protocol or a limit of this endpoint.
///
/// `Copy`, allocates nothing, and maps to exactly one close code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Violation {
    /// A reserved bit without an extension that gives it a meaning (RFC 6455 section 5.2).
    #[error("a reserved bit is set and no extension uses it")]
    ReservedBit,
    /// An opcode that is not defined (RFC 6455 section 5.2).
    #[error("a frame with a reserved opcode")]
    ReservedOpcode,
    /// A client's frame without a mask (RFC 6455 section 5.1).
    #[error("a client must mask its frames")]
    Unmasked,
    /// A server's frame with a mask (RFC 6455 section 5.1).
    #[error("a server must not mask its frames")]
    Masked,
    /// A length written in more octets than it needs, or with its top bit set (section 5.2).
    #[error("a frame length that is not in its shortest form")]
    LengthForm,
    /// A control frame in fragments (RFC 6455 section 5.5).
    #[error("a fragmented control frame")]
    FragmentedControl,
    /// A control frame with more than 125 octets (RFC 6455 section 5.5).
    #[error("a control frame longer than 125 octets")]
    LongControl,
    /// A continuation frame while no message is open (RFC 6455 section 5.4).
    #[error("a continuation frame without a message to continue")]
    NothingToContinue,
    /// A new message while one is open (RFC 6455 section 5.4).
    #[error("a new message before the last one was finished")]
    MessageInMessage,
    /// A frame above [`Limits::frame_size_max`](crate::Limits::frame_size_max).
    #[error("a frame longer than this endpoint takes")]
    FrameTooBig,
    /// A message above [`Limits::message_size_max`](crate::Limits::message_size_max); a compressed
    /// one is measured by its text.
    #[error("a message longer than this endpoint takes")]
    MessageTooBig,
    /// A message of more than [`Limits::fragments_max`](crate::Limits::fragments_max) frames, or a
    /// compressed one that is begun anew more than 4,096 times.
    #[error("a message in more fragments than this endpoint takes")]
    TooManyFragments,
    /// A text message that is not UTF-8 (RFC 6455 section 8.1).
    #[error("a text message that is not UTF-8")]
    InvalidUtf8,
    /// A compressed message that does not inflate (RFC 7692 section 7.2.2).
    #[error("a compressed message that cannot be inflated")]
    CorruptDeflate,
    /// A Close frame with a payload of one octet (RFC 6455 section 5.5.1).
    #[error("a close frame with half a status code")]
    CloseLength,
    /// A Close frame with a code that must not travel (RFC 6455 section 7.4).
    #[error("a close frame with a status code that must not be sent")]
    CloseCode,
    /// A Close frame whose reason is not UTF-8 (RFC 6455 section 5.5.1).
    #[error("a close reason that is not UTF-8")]
    CloseReason,
}

impl Violation {
    /// The code that fails the connection.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::FrameTooBig | Self::MessageTooBig => CloseCode::TOO_BIG,
            Self::TooManyFragments => CloseCode::POLICY,
            Self::InvalidUtf8 | Self::CloseReason | Self::CorruptDeflate => {
                CloseCode::INVALID_PAYLOAD
            }
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// The reason that goes with it, at most 123 octets of ASCII.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ReservedBit => "reserved bit set",
            Self::ReservedOpcode => "reserved opcode",
            Self::Unmasked => "unmasked frame from client",
            Self::Masked => "masked frame from server",
            Self::LengthForm => "length not in shortest form",
            Self::FragmentedControl => "fragmented control frame",
            Self::LongControl => "control frame too long",
            Self::NothingToContinue => "nothing to continue",
            Self::MessageInMessage => "message inside a message",
            Self::FrameTooBig => "frame too big",
            Self::MessageTooBig => "message too big",
            Self::TooManyFragments => "too many fragments",
            Self::InvalidUtf8 => "text is not UTF-8",
            Self::CorruptDeflate => "compressed message is corrupt",
            Self::CloseLength => "close payload of one octet",
            Self::CloseCode => "close code must not be sent",
            Self::CloseReason => "close reason is not UTF-8",
        }
    }
}

/// The program asked for something that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum UseError {
    /// The close code must not travel; see [`CloseCode::may_travel`].
    #[error("close code {0} must not be sent")]
    CloseCode(CloseCode),
    /// A ping or pong payload above 125 octets.
    #[error("the payload of a control frame has at most 125 octets")]
    LongControl,
    /// The connection is gone, not open yet, or closing.
    #[error("the connection is not open")]
    NotOpen,
    /// The mailbox of a shard is full; try later or drop.
    #[error("the mailbox of a shard is full")]
    MailboxFull,
}

/// A configuration whose parts contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{setting}: {problem}")]
pub struct ConfigError {
    /// The setting, by the name it has in the configuration.
    pub setting: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl ConfigError {
    pub(crate) fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self {
            setting,
            problem: problem.into(),
        }
    }
}
