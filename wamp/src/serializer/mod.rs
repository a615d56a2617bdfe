//! Serializers: one trait, five formats and a dialect, and the codec a transport holds. From
//! octets of one transport message to [`Message`]s and back; knows nothing of sessions.
//!
//! | format | subprotocol | RawSocket | frames |
//! |---|---|---|---|
//! | JSON | `wamp.2.json` | 1 | text |
//! | MessagePack | `wamp.2.msgpack` | 2 | binary |
//! | CBOR | `wamp.2.cbor` | 3 | binary |
//! | UBJSON, and BJData where the peer shows it | `wamp.2.ubjson` | 4 | binary |
//! | FlatBuffers | `wamp.2.flatbuffers` | 5 | binary |
//!
//! The first four also come batched ("Message Batching"), several messages in a frame.

use std::fmt;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError, Violation};
use crate::message::{self, Message};
use crate::rules::Rules;
use crate::token::{self, Reader, Writer};
use crate::value::Value;

mod batch;
mod cbor;
mod flatbuffers;
mod json;
mod msgpack;
mod octets;
mod ubjson;

pub use batch::Parts;

use batch::JsonSeparator;
use cbor::{CborReader, CborWriter};
use json::{JsonReader, JsonWriter};
use msgpack::{MsgpackReader, MsgpackWriter};
use ubjson::{Dialect, UbjsonReader, UbjsonWriter};

/// A format of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Format {
    /// JSON.
    Json,
    /// MessagePack.
    Msgpack,
    /// CBOR.
    Cbor,
    /// UBJSON.
    Ubjson,
    /// BJData: what newer clients speak under UBJSON's name.
    Bjdata,
    /// FlatBuffers: messages by a schema, arguments in CBOR.
    Flatbuffers,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Json,
        Self::Msgpack,
        Self::Cbor,
        Self::Ubjson,
        Self::Bjdata,
        Self::Flatbuffers,
    ];

    /// Its name, as part of subprotocols. BJData goes under UBJSON's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Msgpack => "msgpack",
            Self::Cbor => "cbor",
            Self::Ubjson | Self::Bjdata => "ubjson",
            Self::Flatbuffers => "flatbuffers",
        }
    }

    /// Whether its messages are text, so that WebSocket carries them in text messages.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Json)
    }

    /// Its number in RawSocket's handshake.
    pub const fn rawsocket_id(self) -> u8 {
        match self {
            Self::Json => 1,
            Self::Msgpack => 2,
            Self::Cbor => 3,
            Self::Ubjson | Self::Bjdata => 4,
            Self::Flatbuffers => 5,
        }
    }

    /// The format of a number in RawSocket's handshake.
    pub const fn from_rawsocket_id(id: u8) -> Option<Self> {
        match id {
            1 => Some(Self::Json),
            2 => Some(Self::Msgpack),
            3 => Some(Self::Cbor),
            4 => Some(Self::Ubjson),
            5 => Some(Self::Flatbuffers),
            _ => None,
        }
    }

    /// The serializer of this format.
    pub fn serializer(self) -> &'static dyn Serializer {
        match self {
            Self::Json => &Json,
            Self::Msgpack => &Msgpack,
            Self::Cbor => &Cbor,
            Self::Ubjson => &Ubjson,
            Self::Bjdata => &Bjdata,
            Self::Flatbuffers => &Flatbuffers,
        }
    }
}

/// From octets to a message and back, in one format, without memory of what came before. A
/// transport holds a [`Codec`], which adds what needs memory.
pub trait Serializer: fmt::Debug + Sync {
    /// Its format.
    fn format(&self) -> Format;

    /// Reads one message, to the last octet. What it can it borrows from them; payloads stay
    /// raw.
    ///
    /// # Errors
    /// Says how the octets depart from the format, or the message from the specification.
    fn decode<'a>(&self, octets: &'a [u8], rules: &Rules) -> Result<Message<'a>, Violation>;

    /// Appends one message. On error nothing is appended.
    ///
    /// # Errors
    /// Says what the format has no room for.
    fn encode(&self, message: &Message<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError>;
}

macro_rules! serializers {
    ($($(#[$doc:meta])* $name:ident: |$octets:ident, $rules:ident| $decode:expr, |$message:ident, $out:ident| $encode:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default)]
        pub struct $name;

        impl Serializer for $name {
            fn format(&self) -> Format {
                Format::$name
            }

            fn decode<'a>(
                &self,
                $octets: &'a [u8],
                $rules: &Rules,
            ) -> Result<Message<'a>, Violation> {
                within($octets, $rules)?;
                $decode
            }

            fn encode(
                &self,
                $message: &Message<'_>,
                $out: &mut Vec<u8>,
            ) -> Result<(), EncodeError> {
                let len = $out.len();
                let encoded: Result<(), EncodeError> = $encode;
                if encoded.is_err() {
                    $out.truncate(len);
                }
                encoded
            }
        }
    )+};
}

serializers! {
    /// JSON.
    Json:
        |octets, rules| message::parse(&mut JsonReader::new(octets, rules)?, rules.uri_rule),
        |message, out| message::write(message, &mut JsonWriter::new(out));
    /// MessagePack.
    Msgpack:
        |octets, rules| message::parse(&mut MsgpackReader::new(octets, rules), rules.uri_rule),
        |message, out| message::write(message, &mut MsgpackWriter::new(out));
    /// CBOR.
    Cbor:
        |octets, rules| message::parse(&mut CborReader::new(octets, rules), rules.uri_rule),
        |message, out| message::write(message, &mut CborWriter::new(out));
    /// UBJSON.
    Ubjson:
        |octets, rules| message::parse(
            &mut UbjsonReader::new(octets, Dialect::Ubjson, rules),
            rules.uri_rule,
        ),
        |message, out| message::write(message, &mut UbjsonWriter::new(out, Dialect::Ubjson));
    /// BJData.
    Bjdata:
        |octets, rules| message::parse(
            &mut UbjsonReader::new(octets, Dialect::Bjdata, rules),
            rules.uri_rule,
        ),
        |message, out| message::write(message, &mut UbjsonWriter::new(out, Dialect::Bjdata));
    /// FlatBuffers, by the schema that clients in use have: the specification has none for
    /// messages.
    ///
    /// The schema lacks some of what the other formats carry: free dictionaries (`authextra`,
    /// `Extra`: one pair of strings at most), arguments of ABORT, `disclose_me`, progressive call
    /// invocations, sharding, and the `ppt_*` attributes beyond its enumerations. Such a message
    /// is refused; only what merely informs (`agent`, trust levels, custom attributes) is left
    /// out.
    Flatbuffers:
        |octets, rules| flatbuffers::decode(octets, rules),
        |message, out| flatbuffers::encode(message, out);
}

impl Json {
    /// As [`Serializer::decode`], of text known to be UTF-8: a WebSocket engine has validated it
    /// already.
    ///
    /// # Errors
    /// As [`Serializer::decode`].
    pub fn decode_str<'a>(&self, text: &'a str, rules: &Rules) -> Result<Message<'a>, Violation> {
        within(text.as_bytes(), rules)?;
        message::parse(&mut JsonReader::from_text(text, rules), rules.uri_rule)
    }
}

fn within(octets: &[u8], rules: &Rules) -> Result<(), DecodeError> {
    if octets.len() > rules.len_max {
        return Err(DecodeErrorKind::TooLong.at(rules.len_max));
    }
    Ok(())
}

/// A WebSocket subprotocol of WAMP: a format, and whether frames hold one message or several.
///
/// ```
/// use wirebahn_wamp::serializer::{Format, Subprotocol};
///
/// let subprotocol = Subprotocol::parse("wamp.2.cbor.batched").unwrap();
/// assert_eq!(subprotocol, Subprotocol { format: Format::Cbor, batched: true });
/// assert_eq!(subprotocol.to_string(), "wamp.2.cbor.batched");
/// assert_eq!(Subprotocol::parse("wamp.2.yaml"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subprotocol {
    /// The format.
    pub format: Format,
    /// Whether a frame holds several messages.
    pub batched: bool,
}

impl Subprotocol {
    /// The subprotocol of this name, if it is one. FlatBuffers have no batched form.
    pub fn parse(name: &str) -> Option<Self> {
        let serializer = name.strip_prefix("wamp.2.")?;
        let (serializer, batched) = match serializer.strip_suffix(".batched") {
            Some(serializer) => (serializer, true),
            None => (serializer, false),
        };
        let format = Format::ALL
            .into_iter()
            .find(|format| format.name() == serializer)?;
        (!batched || format != Format::Flatbuffers).then_some(Self { format, batched })
    }

    /// The first offered that is accepted: the client's preference decides.
    pub fn negotiate<'a>(
        offered: impl IntoIterator<Item = &'a str>,
        accepted: &[Self],
    ) -> Option<Self> {
        offered
            .into_iter()
            .filter_map(Self::parse)
            .find(|subprotocol| accepted.contains(subprotocol))
    }
}

impl fmt::Display for Subprotocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let batched = if self.batched { ".batched" } else { "" };
        write!(f, "wamp.2.{}{batched}", self.format.name())
    }
}

/// The serializer of one transport connection. It answers in kind where the peer has a choice:
/// BJData for BJData, and the separator of JSON batches that the peer uses.
///
/// ```
/// use wirebahn_wamp::Rules;
/// use wirebahn_wamp::serializer::{Codec, Subprotocol};
///
/// let subprotocol = Subprotocol::parse("wamp.2.json.batched").unwrap();
/// let mut codec = Codec::for_subprotocol(subprotocol, Rules::default());
/// let frame = b"[33,1,7]\x1e[17,2,9]\x1e";
/// let mut messages = Vec::new();
/// for part in codec.parts(frame)? {
///     messages.push(codec.decode(part)?);
/// }
/// assert_eq!(messages.len(), 2);
///
/// let mut answer = Vec::new();
/// for message in &messages {
///     codec.encode(message, &mut answer)?;
/// }
/// assert_eq!(answer, frame);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Codec {
    format: Format,
    batched: bool,
    separator: JsonSeparator,
    rules: Rules,
}

impl Codec {
    /// One message a frame, under the default rules.
    pub fn new(format: Format) -> Self {
        Self::with_rules(format, Rules::default())
    }

    /// One message a frame.
    pub fn with_rules(format: Format, rules: Rules) -> Self {
        Self::for_subprotocol(
            Subprotocol {
                format,
                batched: false,
            },
            rules,
        )
    }

    /// As a subprotocol has it.
    pub fn for_subprotocol(subprotocol: Subprotocol, rules: Rules) -> Self {
        Self {
            format: subprotocol.format,
            batched: subprotocol.batched,
            separator: JsonSeparator::default(),
            rules,
        }
    }

    /// The format in use now: it becomes BJData once a peer shows that.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Its bounds.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The messages of a frame, still encoded: one, or those of the batch. The whole frame is
    /// looked through first, so that a broken one gives no message at all.
    ///
    /// # Errors
    /// When a batch is empty or cut off: the transport must be failed ("Message Batching").
    pub fn parts<'a>(&mut self, frame: &'a [u8]) -> Result<Parts<'a>, DecodeError> {
        if !self.batched {
            return Ok(Parts::single(frame));
        }
        if self.format == Format::Json {
            let (parts, separator) = Parts::separated(frame)?;
            self.separator = separator;
            Ok(parts)
        } else {
            Parts::prefixed(frame)
        }
    }

    /// Reads one message: a part of a frame.
    ///
    /// # Errors
    /// As [`Serializer::decode`].
    pub fn decode<'a>(&mut self, part: &'a [u8]) -> Result<Message<'a>, Violation> {
        let decoded = self.format.serializer().decode(part, &self.rules);
        if self.format == Format::Ubjson
            && let Err(Violation::Decode(DecodeError {
                kind: DecodeErrorKind::Bjdata,
                ..
            })) = decoded
        {
            let again = Bjdata.decode(part, &self.rules);
            if again.is_ok() {
                self.format = Format::Bjdata;
            }
            return again;
        }
        decoded
    }

    /// Appends one message to a frame; to a batch, as one more of it. On error nothing is
    /// appended.
    ///
    /// # Errors
    /// As [`Serializer::encode`].
    pub fn encode(&self, message: &Message<'_>, frame: &mut Vec<u8>) -> Result<(), EncodeError> {
        let serializer = self.format.serializer();
        match (self.batched, self.format) {
            (false, _) => serializer.encode(message, frame),
            (true, Format::Json) => {
                serializer.encode(message, frame)?;
                frame.push(self.separator.octet());
                Ok(())
            }
            (true, _) => batch::prefix(frame, |frame| serializer.encode(message, frame)),
        }
    }
}

/// Does something with a reader of the format, whichever it is. FlatBuffers have none: their
/// arguments are CBOR.
macro_rules! with_reader {
    ($format:expr, $octets:expr, $rules:expr, |$reader:ident| $do:expr) => {
        match $format {
            Format::Json => {
                let mut $reader = JsonReader::new($octets, $rules)?;
                $do
            }
            Format::Msgpack => {
                let mut $reader = MsgpackReader::new($octets, $rules);
                $do
            }
            Format::Cbor | Format::Flatbuffers => {
                let mut $reader = CborReader::new($octets, $rules);
                $do
            }
            Format::Ubjson => {
                let mut $reader = UbjsonReader::new($octets, Dialect::Ubjson, $rules);
                $do
            }
            Format::Bjdata => {
                let mut $reader = UbjsonReader::new($octets, Dialect::Bjdata, $rules);
                $do
            }
        }
    };
}

/// Builds the one value that octets encode.
pub(crate) fn decode_value(
    format: Format,
    octets: &[u8],
    rules: Rules,
) -> Result<Value, DecodeError> {
    with_reader!(format, octets, &rules, |reader| {
        let value = token::value(&mut reader)?;
        reader.finish()?;
        Ok(value)
    })
}

/// Copies a raw value into another format.
pub(crate) fn transcode<W: Writer>(
    format: Format,
    octets: &[u8],
    writer: &mut W,
) -> Result<(), EncodeError> {
    with_reader!(format, octets, &Rules::ACCEPTED, |reader| {
        token::transcode(&mut reader, writer)
    })
}

/// Appends the encoding of one value.
pub(crate) fn encode_value(
    format: Format,
    value: &Value,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match format {
        Format::Json => JsonWriter::new(out).value(value),
        Format::Msgpack => MsgpackWriter::new(out).value(value),
        Format::Cbor | Format::Flatbuffers => CborWriter::new(out).value(value),
        Format::Ubjson => UbjsonWriter::new(out, Dialect::Ubjson).value(value),
        Format::Bjdata => UbjsonWriter::new(out, Dialect::Bjdata).value(value),
    }
}

/// Half precision (IEEE 754 binary16), widened exactly.
fn half(bits: u16) -> f64 {
    let mantissa = f64::from(bits & 0x3ff);
    let magnitude = match bits >> 10 & 0x1f {
        0 => mantissa * 2_f64.powi(-24),
        31 if bits & 0x3ff == 0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (mantissa + 1024.0) * 2_f64.powi(i32::from(exponent) - 25),
    };
    if bits >> 15 == 1 {
        -magnitude
    } else {
        magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for format in Format::ALL {
            for batched in [false, true] {
                let subprotocol = Subprotocol { format, batched };
                let parsed = Subprotocol::parse(&subprotocol.to_string());
                match (format, batched) {
                    (Format::Flatbuffers, true) => assert_eq!(parsed, None),
                    (Format::Bjdata, _) => assert_eq!(
                        parsed,
                        Some(Subprotocol {
                            format: Format::Ubjson,
                            batched
                        })
                    ),
                    _ => assert_eq!(parsed, Some(subprotocol)),
                }
            }
            assert_eq!(format.serializer().format(), format);
        }
        for id in 0..=255 {
            if let Some(format) = Format::from_rawsocket_id(id) {
                assert_eq!(format.rawsocket_id(), id);
            } else {
                assert!(!(1..=5).contains(&id));
            }
        }
    }

    #[test]
    fn the_client_prefers() {
        let accepted = [
            Subprotocol::parse("wamp.2.json").unwrap(),
            Subprotocol::parse("wamp.2.cbor").unwrap(),
        ];
        let offered = ["chat", "wamp.2.msgpack", "wamp.2.cbor", "wamp.2.json"];
        assert_eq!(
            Subprotocol::negotiate(offered, &accepted),
            Some(accepted[1])
        );
        assert_eq!(Subprotocol::negotiate(["wamp.2.msgpack"], &accepted), None);
    }

    #[test]
    fn bjdata_is_answered_in_kind() {
        let mut codec = Codec::new(Format::Ubjson);
        // Nothing shows which it is: SUBSCRIBED with small identifiers.
        codec.decode(b"[U\x21U\x01U\x02]").unwrap();
        assert_eq!(codec.format(), Format::Ubjson);
        codec.decode(b"[U\x21U\x01u\x02\x01]").unwrap();
        assert_eq!(codec.format(), Format::Bjdata);
        let mut out = Vec::new();
        codec
            .encode(
                &codec.clone().decode(b"[U\x21U\x01u\x02\x01]").unwrap(),
                &mut out,
            )
            .unwrap();
        assert_eq!(out, b"[U\x21U\x01u\x02\x01]");
    }

    #[test]
    fn the_length_limit_is_exact() {
        let octets = b"[33,1,7]";
        let rules = |len_max| Rules {
            len_max,
            ..Rules::default()
        };
        assert!(Json.decode(octets, &rules(8)).is_ok());
        assert_eq!(
            Json.decode(octets, &rules(7)),
            Err(DecodeErrorKind::TooLong.at(7).into())
        );
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let message: Message<'_> = message::Yield {
            request: crate::Id::MIN,
            options: message::ResultDetails::default(),
            payload: crate::Payload::from_args([Value::Float(f64::NAN)]),
        }
        .into();
        let mut out = b"before".to_vec();
        assert_eq!(Json.encode(&message, &mut out), Err(EncodeError::NotFinite));
        assert_eq!(out, b"before");
    }
}
