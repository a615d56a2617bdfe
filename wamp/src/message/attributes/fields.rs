//! The types of attributes: what each takes from the wire, what it refuses, and how it is written.

use std::borrow::Cow;

use super::Context;
use crate::error::{DecodeError, DecodeErrorKind, EncodeError, Expected};
use crate::id::Id;
use crate::message::MessageType;
use crate::message::roles::Roles;
use crate::own::{IntoOwned, owns_itself};
use crate::token::{self, KeySet, Reader, Token, Writer};
use crate::uri::{MatchPolicy, Uri};
use crate::value::{Dict, Value};

/// The type of an attribute.
pub(crate) trait Field<'a>: Sized {
    const EXPECTED: Expected;

    /// Reads the value that begins with this token; none if it is not of this type.
    fn read<R: Reader<'a>>(
        first: Token<'a>,
        reader: &mut R,
        context: Context,
    ) -> Result<Option<Self>, DecodeError>;

    fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError>;
}

/// A session a message came through, in `forward_for`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal<'a> {
    /// Its identifier.
    pub session: Id,
    /// Who it is.
    pub authid: Option<Cow<'a, str>>,
    /// Its role.
    pub authrole: Option<Cow<'a, str>>,
}

impl IntoOwned for Principal<'_> {
    type Owned = Principal<'static>;
    fn into_owned(self) -> Principal<'static> {
        Principal {
            session: self.session,
            authid: IntoOwned::into_owned(self.authid),
            authrole: IntoOwned::into_owned(self.authrole),
        }
    }
}

/// How one of several callees is chosen ("Shared Registration").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum InvocationPolicy {
    /// There is one callee only.
    #[default]
    Single,
    /// Each in its turn.
    Roundrobin,
    /// By chance.
    Random,
    /// The one that registered first.
    First,
    /// The one that registered last.
    Last,
}

/// How a call is canceled ("Call Canceling").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CancelMode {
    /// The caller is answered at once, the callee not told.
    Skip,
    /// The callee is told, and its answer awaited.
    Kill,
    /// The callee is told, and the caller answered at once.
    KillNoWait,
}

macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal),+) => {
        impl $type {
            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            pub(crate) fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

words!(InvocationPolicy: Single = "single", Roundrobin = "roundrobin", Random = "random",
    First = "first", Last = "last");
words!(CancelMode: Skip = "skip", Kill = "kill", KillNoWait = "killnowait");

owns_itself!(MatchPolicy, InvocationPolicy, CancelMode);

macro_rules! word_fields {
    ($($type:ident: $words:literal;)+) => {$(
        impl<'a> Field<'a> for $type {
            const EXPECTED: Expected = Expected::Word($words);

            fn read<R: Reader<'a>>(
                first: Token<'a>,
                _reader: &mut R,
                _context: Context,
            ) -> Result<Option<Self>, DecodeError> {
                Ok(match first {
                    Token::Str(word) => Self::from_word(&word),
                    _ => None,
                })
            }

            fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
                writer.str(self.as_str())
            }
        }
    )+};
}

word_fields! {
    MatchPolicy: "exact, prefix, wildcard";
    InvocationPolicy: "single, roundrobin, random, first, last";
    CancelMode: "skip, kill, killnowait";
}

macro_rules! extensible_words {
    ($($(#[$doc:meta])* $name:ident: $expected:literal = $($word:literal)|+;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name<'a>(Cow<'a, str>);

        impl<'a> $name<'a> {
            /// Takes a word if it is one of those defined, or begins with `x_`.
            pub fn new(word: impl Into<Cow<'a, str>>) -> Option<Self> {
                let word = word.into();
                let defined = matches!(&*word, $($word)|+);
                (defined || word.starts_with("x_")).then_some(Self(word))
            }

            /// The word.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl IntoOwned for $name<'_> {
            type Owned = $name<'static>;
            fn into_owned(self) -> $name<'static> {
                $name(IntoOwned::into_owned(self.0))
            }
        }

        impl<'a> Field<'a> for $name<'a> {
            const EXPECTED: Expected = Expected::Word($expected);

            fn read<R: Reader<'a>>(
                first: Token<'a>,
                _reader: &mut R,
                _context: Context,
            ) -> Result<Option<Self>, DecodeError> {
                Ok(match first {
                    Token::Str(word) => Self::new(word),
                    _ => None,
                })
            }

            fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
                writer.str(&self.0)
            }
        }
    )+};
}

extensible_words! {
    /// `enc_algo`: what an opaque payload belongs to.
    EncAlgo: "null, cryptobox, mqtt, xbr, x_..." = "null" | "cryptobox" | "mqtt" | "xbr";
    /// `enc_serializer`: what an opaque payload is serialized with.
    EncSerializer: "null, json, msgpack, cbor, ubjson, opaque, flatbuffers, flexbuffers, x_..." =
        "null" | "json" | "msgpack" | "cbor" | "ubjson" | "opaque" | "flatbuffers" | "flexbuffers";
}

impl<'a> Field<'a> for bool {
    const EXPECTED: Expected = Expected::Bool;

    fn read<R: Reader<'a>>(
        first: Token<'a>,
        _reader: &mut R,
        _context: Context,
    ) -> Result<Option<Self>, DecodeError> {
        Ok(match first {
            Token::Bool(value) => Some(value),
            _ => None,
        })
    }

    fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
        writer.bool(*self);
        Ok(())
    }
}

impl<'a> Field<'a> for u64 {
    const EXPECTED: Expected = Expected::Integer;

    fn read<R: Reader<'a>>(
        first: Token<'a>,
        _reader: &mut R,
        _context: Context,
    ) -> Result<Option<Self>, DecodeError> {
        Ok(match first {
            Token::Int(value) => value.try_into().ok(),
            Token::Uint(value) => Some(value),
            _ => None,
        })
    }

    fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
        writer.uint(*self);
        Ok(())
    }
}

impl<'a> Field<'a> for Id {
    const EXPECTED: Expected = Expected::Id;

    fn read<R: Reader<'a>>(
        first: Token<'a>,
        reader: &mut R,
        context: Context,
    ) -> Result<Option<Self>, DecodeError> {
        Ok(u64::read(first, reader, context)?.and_then(Id::new))
    }

    fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
        writer.uint(self.get());
        Ok(())
    }
}

impl<'a> Field<'a> for Cow<'a, str> {
    const EXPECTED: Expected = Expected::String;

    fn read<R: Reader<'a>>(
        first: Token<'a>,
        _reader: &mut R,
        _context: Context,
    ) -> Result<Option<Self>, DecodeError> {
        Ok(match first {
            Token::Str(text) => Some(text),
            _ => None,
        })
    }

    fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
        writer.str(self)
    }
}

impl<'a> Field<'a> for Uri<'a> {
    const EXPECTED: Expected = Expected::Uri;

    fn read<R: Reader<'a>>(
        first: Token<'a>,
        _reader: &mut R,
        context: Context,
    ) -> Result<Option<Self>, DecodeError> {
        Ok(match first {
            Token::Str(text) => Uri::checked(text, context.uri_rule, MatchPolicy::Exact).ok(),
            _ => None,
        })
    }

    fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
        writer.str(self.as_str())
    }
}

/// Lists of scalars: one implementation for each, as their errors differ.
macro_rules! list_fields {
    ($($item:ty: $expected:ident;)+) => {$(
        impl<'a> Field<'a> for Vec<$item> {
            const EXPECTED: Expected = Expected::$expected;

            fn read<R: Reader<'a>>(
                first: Token<'a>,
                reader: &mut R,
                context: Context,
            ) -> Result<Option<Self>, DecodeError> {
                let Token::List(_) = first else {
                    return Ok(None);
                };
                let mut items = Vec::new();
                loop {
                    let token = reader.token()?;
                    if token == Token::End {
                        return Ok(Some(items));
                    }
                    match <$item>::read(token, reader, context)? {
                        Some(item) => items.push(item),
                        None => return Ok(None),
                    }
                }
            }

            fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
                writer.list(Some(self.len()))?;
                for item in self {
                    Field::write(item, writer)?;
                }
                writer.end()
            }
        }
    )+};
}

list_fields! {
    Id: Ids;
    Cow<'a, str>: Strings;
    Principal<'a>: Principals;
}

impl<'a> Field<'a> for Principal<'a> {
    const EXPECTED: Expected = Expected::Principals;

    fn read<R: Reader<'a>>(
        first: Token<'a>,
        reader: &mut R,
        context: Context,
    ) -> Result<Option<Self>, DecodeError> {
        let Token::Dict(_) = first else {
            return Ok(None);
        };
        let (mut session, mut authid, mut authrole) = (None, None, None);
        let mut seen = KeySet::default();
        loop {
            let at = reader.offset()?;
            let Some(key) = reader.key()? else {
                break;
            };
            if !seen.insert(key.clone()) {
                return Err(DecodeErrorKind::DuplicateKey.at(at));
            }
            let text = match &*key {
                "session" => {
                    let first = reader.token()?;
                    session = Id::read(first, reader, context)?;
                    if session.is_none() {
                        return Ok(None);
                    }
                    continue;
                }
                "authid" => &mut authid,
                "authrole" => &mut authrole,
                _ => {
                    reader.skip()?;
                    continue;
                }
            };
            match reader.token()? {
                Token::Str(found) => *text = Some(found),
                // Links between routers send it for who is anonymous.
                Token::Null => {}
                _ => return Ok(None),
            }
        }
        Ok(session.map(|session| Self {
            session,
            authid,
            authrole,
        }))
    }

    fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
        writer.dict(Some(3))?;
        writer.key("session")?;
        writer.uint(self.session.get());
        for (key, text) in [("authid", &self.authid), ("authrole", &self.authrole)] {
            writer.key(key)?;
            match text {
                Some(text) => writer.str(text)?,
                None => writer.null(),
            }
        }
        writer.end()
    }
}

impl<'a> Field<'a> for Dict {
    const EXPECTED: Expected = Expected::Dict;

    fn read<R: Reader<'a>>(
        first: Token<'a>,
        reader: &mut R,
        _context: Context,
    ) -> Result<Option<Self>, DecodeError> {
        match first {
            Token::Dict(_) => match token::value_from(first, reader)? {
                Value::Dict(dict) => Ok(Some(dict)),
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
        token::write_dict(writer, self)
    }
}

impl<'a> Field<'a> for Roles {
    const EXPECTED: Expected = Expected::Roles;

    fn read<R: Reader<'a>>(
        first: Token<'a>,
        reader: &mut R,
        context: Context,
    ) -> Result<Option<Self>, DecodeError> {
        let router = context.message == MessageType::Welcome;
        Ok(Roles::read(&first, reader)?.filter(|roles| roles.any_of(router)))
    }

    fn write<W: Writer>(&self, writer: &mut W) -> Result<(), EncodeError> {
        Roles::write(self, writer)
    }
}
