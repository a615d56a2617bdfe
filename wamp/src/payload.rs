//! What applications send: positional and keyword arguments, or opaque octets. A payload that
//! came in a message stays raw, in the format it came in, until somebody asks for its values; a
//! router that forwards it in the same format copies octets and never looks into them.
//!
//! Basic Profile, "Messages", Structure: the payload is last so that routers need not parse it.

use std::borrow::Cow;
use std::fmt;

use crate::error::{DecodeError, EncodeError};
use crate::own::IntoOwned;
use crate::rules::Rules;
use crate::serializer::{self, Format};
use crate::token::{self, Writer};
use crate::value::{Dict, Value};

/// The arguments of a message.
///
/// ```
/// use wirebahn_wamp::{Dict, Payload, Value};
///
/// let payload = Payload::from_values(
///     vec![Value::from("johnny")],
///     Dict::from_iter([("surname", "Doe")]),
/// );
/// assert_eq!(payload.args()?, [Value::from("johnny")]);
/// assert_eq!(payload.kwargs()?.get("surname"), Some(&Value::from("Doe")));
/// # Ok::<(), wirebahn_wamp::error::DecodeError>(())
/// ```
#[derive(Clone, Default)]
pub struct Payload<'a>(Repr<'a>);

#[derive(Clone, Default)]
enum Repr<'a> {
    #[default]
    Empty,
    /// As it came: encoded, checked to be well-formed, not looked into.
    Raw {
        format: Format,
        /// The list; none stands for an empty one before keyword arguments.
        args: Option<Cow<'a, [u8]>>,
        kwargs: Option<Cow<'a, [u8]>>,
    },
    Values {
        args: Vec<Value>,
        kwargs: Dict,
    },
    Opaque {
        octets: Cow<'a, [u8]>,
        /// Whether they came as a string, and leave as one.
        text: bool,
    },
}

/// The octets of a payload that nobody has looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawPayload<'a> {
    /// What they are encoded in.
    pub format: Format,
    /// The list of positional arguments; none stands for an empty one.
    pub args: Option<&'a [u8]>,
    /// The dictionary of keyword arguments; none stands for an empty one.
    pub kwargs: Option<&'a [u8]>,
}

impl<'a> Payload<'a> {
    /// No arguments at all.
    pub const fn empty() -> Self {
        Self(Repr::Empty)
    }

    /// Positional arguments.
    pub fn from_args(args: impl IntoIterator<Item = Value>) -> Self {
        Self::from_values(args.into_iter().collect(), Dict::new())
    }

    /// Positional and keyword arguments.
    pub fn from_values(args: Vec<Value>, kwargs: Dict) -> Self {
        if args.is_empty() && kwargs.is_empty() {
            return Self::empty();
        }
        Self(Repr::Values { args, kwargs })
    }

    /// Octets that only the receiving application can read: end-to-end encrypted, or of another
    /// protocol. The message's options must say which (`enc_algo`).
    pub fn opaque(octets: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(Repr::Opaque {
            octets: octets.into(),
            text: false,
        })
    }

    pub(crate) fn opaque_text(text: Cow<'a, str>) -> Self {
        let octets = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Self(Repr::Opaque { octets, text: true })
    }

    pub(crate) fn from_raw(
        format: Format,
        args: Option<&'a [u8]>,
        kwargs: Option<&'a [u8]>,
    ) -> Self {
        if args.is_none() && kwargs.is_none() {
            return Self::empty();
        }
        Self(Repr::Raw {
            format,
            args: args.map(Cow::Borrowed),
            kwargs: kwargs.map(Cow::Borrowed),
        })
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Repr::Empty)
    }

    /// The opaque octets, if it is such a payload.
    pub fn as_opaque(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Opaque { octets, .. } => Some(octets),
            _ => None,
        }
    }

    /// Its octets as they came, if it came in a message and was not looked into.
    pub fn raw(&self) -> Option<RawPayload<'_>> {
        match &self.0 {
            Repr::Raw {
                format,
                args,
                kwargs,
            } => Some(RawPayload {
                format: *format,
                args: args.as_deref(),
                kwargs: kwargs.as_deref(),
            }),
            _ => None,
        }
    }

    /// How many octets it holds; of values not encoded yet, none. What a queue charges for.
    pub fn octets(&self) -> usize {
        let len = |octets: &Option<Cow<'_, [u8]>>| octets.as_ref().map_or(0, |octets| octets.len());
        match &self.0 {
            Repr::Raw { args, kwargs, .. } => len(args) + len(kwargs),
            Repr::Opaque { octets, .. } => octets.len(),
            _ => 0,
        }
    }

    /// The positional arguments, decoded now. Opaque octets have none.
    ///
    /// # Errors
    /// When the raw arguments have what no value can hold: a key twice, integers beyond 64 bits,
    /// types of one format only.
    pub fn args(&self) -> Result<Vec<Value>, DecodeError> {
        match &self.0 {
            Repr::Raw {
                format,
                args: Some(args),
                ..
            } => match serializer::decode_value(*format, args, Rules::ACCEPTED)? {
                Value::List(args) => Ok(args),
                // A message's arguments were seen to be a list when it was parsed.
                _ => Ok(Vec::new()),
            },
            Repr::Values { args, .. } => Ok(args.clone()),
            _ => Ok(Vec::new()),
        }
    }

    /// The keyword arguments, decoded now. Opaque octets have none.
    ///
    /// # Errors
    /// As [`args`](Self::args).
    pub fn kwargs(&self) -> Result<Dict, DecodeError> {
        match &self.0 {
            Repr::Raw {
                format,
                kwargs: Some(kwargs),
                ..
            } => match serializer::decode_value(*format, kwargs, Rules::ACCEPTED)? {
                Value::Dict(kwargs) => Ok(kwargs),
                _ => Ok(Dict::new()),
            },
            Repr::Values { kwargs, .. } => Ok(kwargs.clone()),
            _ => Ok(Dict::new()),
        }
    }

    /// The same, borrowing from nothing.
    pub fn into_owned(self) -> Payload<'static> {
        Payload(match self.0 {
            Repr::Empty => Repr::Empty,
            Repr::Raw {
                format,
                args,
                kwargs,
            } => Repr::Raw {
                format,
                args: IntoOwned::into_owned(args),
                kwargs: IntoOwned::into_owned(kwargs),
            },
            Repr::Values { args, kwargs } => Repr::Values { args, kwargs },
            Repr::Opaque { octets, text } => Repr::Opaque {
                octets: IntoOwned::into_owned(octets),
                text,
            },
        })
    }

    /// Borrows it for another message: what a router does, once for each receiver.
    pub fn borrowed(&self) -> Payload<'_> {
        Payload(match &self.0 {
            Repr::Empty => Repr::Empty,
            Repr::Raw {
                format,
                args,
                kwargs,
            } => Repr::Raw {
                format: *format,
                args: args.as_deref().map(Cow::Borrowed),
                kwargs: kwargs.as_deref().map(Cow::Borrowed),
            },
            Repr::Values { args, kwargs } => Repr::Values {
                args: args.clone(),
                kwargs: kwargs.clone(),
            },
            Repr::Opaque { octets, text } => Repr::Opaque {
                octets: Cow::Borrowed(octets),
                text: *text,
            },
        })
    }

    /// How many elements of its message it takes. Empty arguments are left out, as the text
    /// asks, except in front of keyword arguments.
    pub(crate) fn elements(&self) -> usize {
        match &self.0 {
            Repr::Empty => 0,
            Repr::Raw { kwargs: None, .. } | Repr::Opaque { .. } => 1,
            Repr::Raw { .. } => 2,
            Repr::Values { kwargs, .. } => 1 + usize::from(!kwargs.is_empty()),
        }
    }

    /// Writes the elements.
    pub(crate) fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
        match &self.0 {
            Repr::Empty => Ok(()),
            Repr::Raw {
                format,
                args,
                kwargs,
            } => {
                write_raw_args(writer, *format, args.as_deref())?;
                match kwargs {
                    Some(kwargs) => write_raw(writer, *format, kwargs),
                    None => Ok(()),
                }
            }
            Repr::Values { args, kwargs } => {
                token::write_list(writer, args)?;
                if kwargs.is_empty() {
                    return Ok(());
                }
                token::write_dict(writer, kwargs)
            }
            Repr::Opaque { octets, text } => match std::str::from_utf8(octets) {
                Ok(text_octets) if *text => writer.str(text_octets),
                _ => writer.bytes(octets),
            },
        }
    }

    /// Writes the positional arguments alone, if there are any.
    pub(crate) fn write_args<W: Writer>(&self, writer: &mut W) -> Result<bool, EncodeError> {
        match &self.0 {
            Repr::Raw {
                format,
                args: Some(args),
                ..
            } => write_raw(writer, *format, args)?,
            Repr::Values { args, .. } if !args.is_empty() => token::write_list(writer, args)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Writes the keyword arguments alone, if there are any.
    pub(crate) fn write_kwargs<W: Writer>(&self, writer: &mut W) -> Result<bool, EncodeError> {
        match &self.0 {
            Repr::Raw {
                format,
                kwargs: Some(kwargs),
                ..
            } => write_raw(writer, *format, kwargs)?,
            Repr::Values { kwargs, .. } if !kwargs.is_empty() => {
                token::write_dict(writer, kwargs)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn write_raw_args<W: Writer>(
    writer: &mut W,
    format: Format,
    args: Option<&[u8]>,
) -> Result<(), EncodeError> {
    match args {
        Some(args) => write_raw(writer, format, args),
        None => {
            writer.list(Some(0))?;
            writer.end()
        }
    }
}

fn write_raw<W: Writer>(writer: &mut W, format: Format, raw: &[u8]) -> Result<(), EncodeError> {
    if format == writer.format() {
        writer.raw(raw);
        Ok(())
    } else {
        serializer::transcode(format, raw, writer)
    }
}

impl IntoOwned for Payload<'_> {
    type Owned = Payload<'static>;
    fn into_owned(self) -> Payload<'static> {
        Payload::into_owned(self)
    }
}

/// Two payloads are equal when their arguments are, in whatever format they wait. Comparing
/// decodes: for tests, not for routing.
impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Opaque { octets: a, text: x }, Repr::Opaque { octets: b, text: y }) => {
                a == b && x == y
            }
            (Repr::Opaque { .. }, _) | (_, Repr::Opaque { .. }) => false,
            _ => match (self.args(), other.args(), self.kwargs(), other.kwargs()) {
                (Ok(a), Ok(b), Ok(x), Ok(y)) => a == b && x == y,
                _ => false,
            },
        }
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Empty => f.write_str("Empty"),
            Repr::Raw { format, .. } => write!(f, "Raw({format:?}, {} octets)", self.octets()),
            Repr::Values { args, kwargs } => {
                f.debug_tuple("Values").field(args).field(kwargs).finish()
            }
            Repr::Opaque { octets, .. } => write!(f, "Opaque({} octets)", octets.len()),
        }
    }
}
