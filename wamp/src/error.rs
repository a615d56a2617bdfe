//! What can be wrong, by blame: the peer's octets ([`DecodeError`], [`Violation`]) or our own
//! program's message ([`EncodeError`]). Errors of the peer are `Copy`, allocate nothing and map to
//! exactly one answer.

use std::fmt;

use crate::id::Id;
use crate::message::MessageType;
use crate::uri::{Uri, UriError, known};

/// Octets that are not what their format prescribes, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at octet {at}")]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// The index of the octet where it was seen.
    pub at: usize,
}

/// What is wrong with octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// They end within a value, or a declared length goes beyond their end.
    #[error("the message ends within a value")]
    Truncated,
    /// They go on after the message.
    #[error("octets follow the message")]
    Trailing,
    /// More of them than [`Rules::len_max`](crate::Rules::len_max).
    #[error("the message is too long")]
    TooLong,
    /// Nested deeper than [`Rules::depth_max`](crate::Rules::depth_max).
    #[error("lists and dictionaries are nested too deep")]
    TooDeep,
    /// More values than [`Rules::items_max`](crate::Rules::items_max).
    #[error("the message holds too many values")]
    TooManyItems,
    /// A text that is not UTF-8, or an escape that stands for no character.
    #[error("a text is not valid Unicode")]
    Unicode,
    /// An octet that begins nothing, or does not belong here.
    #[error("an octet that the format does not allow here")]
    Syntax,
    /// An integer beyond 64 bits, or a number beyond the doubles: it could only be truncated.
    #[error("a number beyond the range that is carried")]
    NumberRange,
    /// A dictionary's key that is not a string.
    #[error("a key that is not a string")]
    KeyNotString,
    /// A dictionary that has a key twice.
    #[error("a key that occurs twice")]
    DuplicateKey,
    /// A type of the format that no other has (MessagePack extensions, for example).
    #[error("a type that cannot be carried over")]
    Unsupported,
    /// JSON's binary convention with something that is not Base64.
    #[error("binary that is not Base64")]
    Base64,
    /// UBJSON that shows the type marker of BJData.
    #[error("a marker of BJData in UBJSON")]
    Bjdata,
    /// A FlatBuffers offset that leads outside the buffer.
    #[error("an offset that leads nowhere")]
    Offset,
    /// A batch with no message in it, or one that ends within a message's frame.
    #[error("a batch that is empty or cut off")]
    Batch,
}

impl DecodeErrorKind {
    pub(crate) const fn at(self, at: usize) -> DecodeError {
        DecodeError { kind: self, at }
    }
}

/// What a message's element or attribute must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// `true` or `false`; an integer is neither.
    Bool,
    /// An integer, not negative.
    Integer,
    /// An integer in [1, 2^53].
    Id,
    /// A string.
    String,
    /// A string that is a URI.
    Uri,
    /// A list.
    List,
    /// A list of identifiers.
    Ids,
    /// A list of strings.
    Strings,
    /// A list of dictionaries with `session`, `authid` and `authrole`.
    Principals,
    /// A dictionary.
    Dict,
    /// A dictionary of roles, one of this peer's side at least.
    Roles,
    /// One of these words.
    Word(&'static str),
    /// A list of arguments, or octets together with `enc_algo`.
    Payload,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "a bool",
            Self::Integer => "a non-negative integer",
            Self::Id => "an integer in [1, 2^53]",
            Self::String => "a string",
            Self::Uri => "a URI",
            Self::List => "a list",
            Self::Ids => "a list of session IDs",
            Self::Strings => "a list of strings",
            Self::Principals => "a list of principals",
            Self::Dict => "a dictionary",
            Self::Roles => "a dictionary with at least one role of its sender",
            Self::Word(words) => return write!(f, "one of {words}"),
            Self::Payload => "a list of arguments, or octets with enc_algo",
        })
    }
}

/// How a peer broke the protocol. What to do about it: [`reply`](Self::reply).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The octets are not what the serializer prescribes.
    #[error("cannot decode the message: {0}")]
    Decode(#[from] DecodeError),
    /// The message is not a list.
    #[error("the message is not a list")]
    NotAList,
    /// The message is an empty list.
    #[error("the message is empty")]
    Empty,
    /// The message's first element is not an integer.
    #[error("the message type is not an integer")]
    TypeNotInteger,
    /// No message type has this number.
    #[error("unknown message type {0}")]
    UnknownType(u64),
    /// An element is missing.
    #[error("{message} ends before its {element}")]
    Missing {
        /// The message's type.
        message: MessageType,
        /// The element that is missing.
        element: &'static str,
    },
    /// The message has more elements than its type has.
    #[error("{message} has too many elements")]
    TooMany {
        /// The message's type.
        message: MessageType,
    },
    /// An element is not of its type.
    #[error("{message}.{element} must be {expected}")]
    Element {
        /// The message's type.
        message: MessageType,
        /// The element's name.
        element: &'static str,
        /// What it must be.
        expected: Expected,
    },
    /// An attribute of the message's options or details is not of its type.
    #[error("{message}: attribute {key} must be {expected}")]
    Attribute {
        /// The message's type.
        message: MessageType,
        /// The attribute's key.
        key: &'static str,
        /// What it must be.
        expected: Expected,
    },
    /// An attribute that must be there is not.
    #[error("{message}: attribute {key} is missing")]
    MissingAttribute {
        /// The message's type.
        message: MessageType,
        /// The attribute's key.
        key: &'static str,
    },
    /// A URI element that is a string, but no URI.
    #[error("{message}.{element}: {why}")]
    Uri {
        /// The message's type.
        message: MessageType,
        /// The element's name.
        element: &'static str,
        /// What is wrong with it.
        why: UriError,
        /// The request it stands in, if its message is one.
        request: Option<Id>,
        /// Whether the request asks for an answer: an unacknowledged PUBLISH does not.
        answered: bool,
    },
    /// An ERROR for a message type that has no such answer.
    #[error("ERROR.REQUEST.Type {0} is no request")]
    RequestType(u64),
    /// A message that has no place in the session's present state, or comes from the wrong side.
    #[error("received {message} {when}")]
    Unexpected {
        /// The message's type.
        message: MessageType,
        /// In which state.
        when: &'static str,
    },
    /// A request whose identifier is not the next of its sequence.
    #[error("{message}.Request is {found}, expected {expected}")]
    OutOfSequence {
        /// The message's type.
        message: MessageType,
        /// The identifier it carries.
        found: Id,
        /// The identifier it must carry.
        expected: Id,
    },
    /// A reply to a request that was never made, or was answered before.
    #[error("{message} for the unknown request {request}")]
    UnknownRequest {
        /// The reply's type.
        message: MessageType,
        /// The request it names.
        request: Id,
    },
    /// A feature used that was not announced.
    #[error("{message} uses {feature}, which was not announced")]
    NotAnnounced {
        /// The message's type.
        message: MessageType,
        /// The feature.
        feature: &'static str,
    },
}

/// What the specification demands in answer to a [`Violation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// ABORT with this reason; the session is over, its registrations and subscriptions are
    /// gone, and the transport should be dropped (Basic Profile, "Protocol Errors").
    Abort {
        /// The reason.
        reason: Uri<'static>,
    },
    /// ERROR with this URI; the session goes on (Basic Profile, "Incorrect URIs").
    Error {
        /// The type of the request.
        request_type: MessageType,
        /// The request.
        request: Id,
        /// The error.
        error: Uri<'static>,
    },
    /// Nothing: the message is dropped and the session goes on. So ends an unacknowledged
    /// PUBLISH to what is no URI: its sender asked for no answer.
    Discard,
    /// Nothing, and the session is over: ABORT is never answered.
    Silence,
}

impl Violation {
    /// The same, of a request that asks for an answer or does not.
    pub(crate) fn asked(mut self, asked: bool) -> Self {
        if let Self::Uri { answered, .. } = &mut self {
            *answered = asked;
        }
        self
    }

    /// The one answer to it.
    ///
    /// ```
    /// use wirebahn_wamp::error::Reply;
    /// use wirebahn_wamp::serializer::{Codec, Format};
    /// use wirebahn_wamp::uri::known;
    ///
    /// let mut codec = Codec::new(Format::Json);
    /// let bad = codec.decode(br##"[48,7,{},"com.#.add2"]"##).unwrap_err();
    /// assert!(matches!(bad.reply(), Reply::Error { error, .. } if error == known::INVALID_URI));
    /// let worse = codec.decode(br#"[48,"7",{},"com.myapp.add2"]"#).unwrap_err();
    /// assert_eq!(worse.reply(), Reply::Abort { reason: known::PROTOCOL_VIOLATION });
    /// ```
    pub fn reply(&self) -> Reply {
        match *self {
            Self::Uri {
                request: Some(_),
                answered: false,
                ..
            } => Reply::Discard,
            Self::Uri {
                message,
                request: Some(request),
                ..
            } => Reply::Error {
                request_type: message,
                request,
                error: known::INVALID_URI,
            },
            // A realm that is no URI: there is no request to answer, only the opening to refuse.
            Self::Uri {
                message: MessageType::Hello,
                ..
            } => Reply::Abort {
                reason: known::INVALID_URI,
            },
            Self::Uri { message, .. }
            | Self::Element { message, .. }
            | Self::Attribute { message, .. }
            | Self::Missing { message, .. }
            | Self::TooMany { message }
                if message == MessageType::Abort =>
            {
                Reply::Silence
            }
            _ => Reply::Abort {
                reason: known::PROTOCOL_VIOLATION,
            },
        }
    }
}

/// A message of ours that cannot be written in the format asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Nested deeper than any peer would accept.
    #[error("lists and dictionaries are nested too deep")]
    TooDeep,
    /// JSON has neither infinities nor NaN.
    #[error("JSON has no such number")]
    NotFinite,
    /// JSON takes a string that begins with NUL for binary.
    #[error("JSON cannot tell a string that begins with NUL from binary")]
    NulString,
    /// The format has no place for this attribute or element.
    #[error("the format has no place for {0}")]
    Unrepresentable(&'static str),
    /// A length or number beyond what the format's fields hold.
    #[error("{0} is beyond the range of the format's field")]
    Range(&'static str),
    /// A raw payload that came in another format, and cannot be carried over.
    #[error("cannot transcode the payload: {0}")]
    Transcode(#[from] DecodeError),
    /// A message longer than a batch can frame (2^32 - 1 octets).
    #[error("the message is too long for its frame")]
    TooLong,
}
