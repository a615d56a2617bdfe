//! CBOR (RFC 8949). Definite strings are borrowed, indefinite ones put together. Tags are passed
//! by, except big integers (tags 2 and 3), which are integers if they fit. Knows nothing of
//! messages.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::rules::Rules;
use crate::serializer::Format;
use crate::serializer::octets::Octets;
use crate::token::{Peek, Reader, Token, Writer, WriterStack, patch_head};

/// Ends what was begun without a length (RFC 8949, section 3.2.1).
const BREAK: u8 = 0xff;

pub(crate) struct CborReader<'a> {
    octets: Octets<'a>,
    open: SmallVec<[Frame; 8]>,
    done: bool,
    items_left: usize,
    depth_max: usize,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    dict: bool,
    /// Items, or pairs, still to come; none until a break.
    left: Option<usize>,
}

impl<'a> CborReader<'a> {
    pub(crate) fn new(octets: &'a [u8], rules: &Rules) -> Self {
        Self {
            octets: Octets::new(octets),
            open: SmallVec::new(),
            done: false,
            items_left: rules.items_max,
            depth_max: rules.depth(),
        }
    }

    /// Whether the innermost container ends here; a break is taken.
    fn ended(&mut self) -> Result<bool, DecodeError> {
        let Some(frame) = self.open.last_mut() else {
            return Ok(false);
        };
        let ended = match &mut frame.left {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => {
                let ended = self.octets.peek()? == BREAK;
                if ended {
                    self.octets.byte()?;
                }
                ended
            }
        };
        if ended {
            self.open.pop();
        }
        Ok(ended)
    }

    /// The argument of a head: none if the length is indefinite.
    fn argument(&mut self, head: u8) -> Result<Option<u64>, DecodeError> {
        let at = self.octets.at();
        Ok(Some(match head & 0x1f {
            short @ 0..=23 => short.into(),
            24 => self.octets.byte()?.into(),
            25 => u16::from_be_bytes(self.octets.array()?).into(),
            26 => u32::from_be_bytes(self.octets.array()?).into(),
            27 => u64::from_be_bytes(self.octets.array()?),
            31 => return Ok(None),
            _ => return Err(DecodeErrorKind::Syntax.at(at)),
        }))
    }

    fn definite(&mut self, head: u8) -> Result<u64, DecodeError> {
        let at = self.octets.at();
        self.argument(head)?.ok_or(DecodeErrorKind::Syntax.at(at))
    }

    fn len(&mut self, head: u8) -> Result<Option<usize>, DecodeError> {
        let at = self.octets.at();
        self.argument(head)?
            .map(|len| usize::try_from(len).map_err(|_| DecodeErrorKind::Truncated.at(at)))
            .transpose()
    }

    fn push(&mut self, dict: bool, left: Option<usize>) -> Result<(), DecodeError> {
        if self.open.len() >= self.depth_max {
            return Err(self.octets.fail(DecodeErrorKind::TooDeep));
        }
        // Every item takes an octet at least, every pair two: a count beyond the end is refused
        // before anything is done about it.
        let least = left.map_or(0, |left| if dict { left.saturating_mul(2) } else { left });
        if least > self.octets.left() {
            return Err(self.octets.fail(DecodeErrorKind::Truncated));
        }
        self.open.push(Frame { dict, left });
        Ok(())
    }

    /// The chunks of a string of indefinite length, each definite and of the same type.
    fn chunks(&mut self, major: u8) -> Result<Vec<u8>, DecodeError> {
        let mut whole = Vec::new();
        loop {
            let at = self.octets.at();
            let head = self.octets.byte()?;
            if head == BREAK {
                return Ok(whole);
            }
            if head >> 5 != major {
                return Err(DecodeErrorKind::Syntax.at(at));
            }
            let len = self.len(head)?.ok_or(DecodeErrorKind::Syntax.at(at))?;
            // Characters must not be split between chunks (RFC 8949, section 3.2.3).
            let chunk = if major == 3 {
                self.octets.str(len)?.as_bytes()
            } else {
                self.octets.take(len)?
            };
            whole.extend_from_slice(chunk);
        }
    }

    fn bytes(&mut self, head: u8) -> Result<Cow<'a, [u8]>, DecodeError> {
        Ok(match self.len(head)? {
            Some(len) => Cow::Borrowed(self.octets.take(len)?),
            None => Cow::Owned(self.chunks(2)?),
        })
    }

    fn str(&mut self, head: u8) -> Result<Cow<'a, str>, DecodeError> {
        let at = self.octets.at();
        Ok(match self.len(head)? {
            Some(len) => Cow::Borrowed(self.octets.str(len)?),
            None => Cow::Owned(
                String::from_utf8(self.chunks(3)?).map_err(|_| DecodeErrorKind::Unicode.at(at))?,
            ),
        })
    }

    fn negative(&mut self, magnitude: u64, at: usize) -> Result<Token<'a>, DecodeError> {
        (-1_i64)
            .checked_sub_unsigned(magnitude)
            .map(Token::Int)
            .ok_or(DecodeErrorKind::NumberRange.at(at))
    }

    /// A big integer: octets, the highest first (RFC 8949, section 3.4.3).
    fn big(&mut self, head: u8, negative: bool, at: usize) -> Result<Token<'a>, DecodeError> {
        if head >> 5 != 2 {
            return Err(DecodeErrorKind::Syntax.at(at));
        }
        let octets = self.bytes(head)?;
        let mut magnitude = 0_u64;
        for &octet in octets.iter() {
            if magnitude >> 56 != 0 {
                return Err(DecodeErrorKind::NumberRange.at(at));
            }
            magnitude = magnitude << 8 | u64::from(octet);
        }
        if negative {
            self.negative(magnitude, at)
        } else {
            Ok(unsigned(magnitude))
        }
    }

    fn simple(&mut self, head: u8, at: usize) -> Result<Token<'a>, DecodeError> {
        Ok(match head & 0x1f {
            20 => Token::Bool(false),
            21 => Token::Bool(true),
            // Null and undefined: the others have but one of them.
            22 | 23 => Token::Null,
            25 => Token::Float(super::half(u16::from_be_bytes(self.octets.array()?))),
            26 => Token::Float(f32::from_be_bytes(self.octets.array()?).into()),
            27 => Token::Float(f64::from_be_bytes(self.octets.array()?)),
            _ => return Err(DecodeErrorKind::Syntax.at(at)),
        })
    }
}

fn unsigned<'a>(value: u64) -> Token<'a> {
    i64::try_from(value).map_or(Token::Uint(value), Token::Int)
}

impl<'a> Reader<'a> for CborReader<'a> {
    fn format(&self) -> Format {
        Format::Cbor
    }

    fn peek(&mut self) -> Result<Peek, DecodeError> {
        match self.open.last() {
            Some(Frame {
                dict: false,
                left: Some(0),
            }) => return Ok(Peek::End),
            Some(Frame {
                dict: false,
                left: None,
            }) if self.octets.peek()? == BREAK => return Ok(Peek::End),
            _ => {}
        }
        // What is tagged shows its kind behind its tags.
        let mut ahead = self.octets;
        let mut tags = 0;
        loop {
            let head = ahead.peek()?;
            match head >> 5 {
                4 => return Ok(Peek::List),
                5 => return Ok(Peek::Dict),
                6 if tags < self.depth_max => {
                    tags += 1;
                    ahead.byte()?;
                    let argument_len = match head & 0x1f {
                        0..=23 => 0,
                        wide @ 24..=27 => 1 << (wide - 24),
                        _ => return Err(ahead.fail(DecodeErrorKind::Syntax)),
                    };
                    ahead.take(argument_len)?;
                }
                6 => return Err(ahead.fail(DecodeErrorKind::TooDeep)),
                _ => return Ok(Peek::Scalar),
            }
        }
    }

    fn token(&mut self) -> Result<Token<'a>, DecodeError> {
        match self.open.last() {
            None if self.done => return Err(self.octets.fail(DecodeErrorKind::Trailing)),
            None => self.done = true,
            // Counted with its key.
            Some(Frame { dict: true, .. }) => {}
            Some(_) => {
                if self.ended()? {
                    return Ok(Token::End);
                }
            }
        }
        self.items_left = self
            .items_left
            .checked_sub(1)
            .ok_or(self.octets.fail(DecodeErrorKind::TooManyItems))?;
        let mut tags = 0;
        let mut tag = None;
        loop {
            let at = self.octets.at();
            let head = self.octets.byte()?;
            if let Some(tag @ (2 | 3)) = tag {
                return self.big(head, tag == 3, at);
            }
            return Ok(match head >> 5 {
                0 => unsigned(self.definite(head)?),
                1 => {
                    let magnitude = self.definite(head)?;
                    self.negative(magnitude, at)?
                }
                2 => Token::Bytes(self.bytes(head)?),
                3 => Token::Str(self.str(head)?),
                4 => {
                    let len = self.len(head)?;
                    self.push(false, len)?;
                    Token::List(len)
                }
                5 => {
                    let len = self.len(head)?;
                    self.push(true, len)?;
                    Token::Dict(len)
                }
                6 => {
                    // Tags upon tags nest like lists do.
                    tags += 1;
                    if self.open.len() + tags > self.depth_max {
                        return Err(DecodeErrorKind::TooDeep.at(at));
                    }
                    tag = Some(self.definite(head)?);
                    continue;
                }
                _ => self.simple(head, at)?,
            });
        }
    }

    fn key(&mut self) -> Result<Option<Cow<'a, str>>, DecodeError> {
        if !matches!(self.open.last(), Some(Frame { dict: true, .. })) {
            return Err(self.octets.fail(DecodeErrorKind::Syntax));
        }
        if self.ended()? {
            return Ok(None);
        }
        let at = self.octets.at();
        let head = self.octets.byte()?;
        if head >> 5 != 3 {
            return Err(DecodeErrorKind::KeyNotString.at(at));
        }
        self.str(head).map(Some)
    }

    fn offset(&mut self) -> Result<usize, DecodeError> {
        Ok(self.octets.at())
    }

    fn between(&self, from: usize) -> &'a [u8] {
        self.octets.between(from)
    }

    /// Every type of CBOR that passes has a value here; nothing is laid aside.
    fn skim(&mut self, _on: bool) {}

    fn finish(&mut self) -> Result<(), DecodeError> {
        self.octets.finish()
    }
}

pub(crate) struct CborWriter<'o> {
    out: &'o mut Vec<u8>,
    open: WriterStack,
}

impl<'o> CborWriter<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        Self {
            out,
            open: WriterStack::default(),
        }
    }

    fn head(&mut self, major: u8, argument: u64) {
        self.out.extend_from_slice(&head(major, argument));
    }

    fn container(&mut self, major: u8, len: Option<usize>) -> Result<(), EncodeError> {
        self.open.item();
        self.open.push(self.out.len(), major == 5, len.is_none())?;
        self.head(major, len.unwrap_or(0) as u64);
        Ok(())
    }
}

/// The shortest head with an argument.
fn head(major: u8, argument: u64) -> SmallVec<[u8; 9]> {
    let first = major << 5;
    let mut head = SmallVec::new();
    match (
        u8::try_from(argument),
        u16::try_from(argument),
        u32::try_from(argument),
    ) {
        (Ok(argument @ 0..24), ..) => head.push(first | argument),
        (Ok(argument), ..) => head.extend([first | 24, argument]),
        (_, Ok(argument), _) => {
            head.push(first | 25);
            head.extend(argument.to_be_bytes());
        }
        (_, _, Ok(argument)) => {
            head.push(first | 26);
            head.extend(argument.to_be_bytes());
        }
        _ => {
            head.push(first | 27);
            head.extend(argument.to_be_bytes());
        }
    }
    head
}

impl Writer for CborWriter<'_> {
    fn format(&self) -> Format {
        Format::Cbor
    }

    fn null(&mut self) {
        self.open.item();
        self.out.push(0xf6);
    }

    fn bool(&mut self, value: bool) {
        self.open.item();
        self.out.push(if value { 0xf5 } else { 0xf4 });
    }

    fn int(&mut self, value: i64) {
        self.open.item();
        match u64::try_from(value) {
            Ok(value) => self.head(0, value),
            // -1 - n is written as n, and !value is just that.
            Err(_) => self.head(1, !value as u64),
        }
    }

    fn uint(&mut self, value: u64) {
        self.open.item();
        self.head(0, value);
    }

    fn float(&mut self, value: f64) -> Result<(), EncodeError> {
        self.open.item();
        self.out.push(0xfb);
        self.out.extend_from_slice(&value.to_be_bytes());
        Ok(())
    }

    fn str(&mut self, value: &str) -> Result<(), EncodeError> {
        self.open.item();
        self.head(3, value.len() as u64);
        self.out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn bytes(&mut self, value: &[u8]) -> Result<(), EncodeError> {
        self.open.item();
        self.head(2, value.len() as u64);
        self.out.extend_from_slice(value);
        Ok(())
    }

    fn list(&mut self, len: Option<usize>) -> Result<(), EncodeError> {
        self.container(4, len)
    }

    fn dict(&mut self, len: Option<usize>) -> Result<(), EncodeError> {
        self.container(5, len)
    }

    fn key(&mut self, key: &str) -> Result<(), EncodeError> {
        self.open.key();
        self.head(3, key.len() as u64);
        self.out.extend_from_slice(key.as_bytes());
        Ok(())
    }

    fn end(&mut self) -> Result<(), EncodeError> {
        if let Some(frame) = self.open.pop()
            && frame.unknown
        {
            let major = if frame.dict { 5 } else { 4 };
            patch_head(self.out, frame.at, &head(major, frame.items as u64));
        }
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.open.item();
        self.out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serializer::{decode_value, encode_value};
    use crate::value::{Dict, Value};

    fn read(octets: &[u8]) -> Result<Value, DecodeErrorKind> {
        decode_value(Format::Cbor, octets, Rules::default()).map_err(|error| error.kind)
    }

    fn write(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode_value(Format::Cbor, value, &mut out).unwrap();
        out
    }

    fn unhex(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2)
            .map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap())
            .collect()
    }

    /// RFC 8949, Appendix A: those of its examples that have a value here.
    #[test]
    fn the_examples_of_the_rfc() {
        let list = |values: Vec<i64>| Value::List(values.into_iter().map(Value::Int).collect());
        let examples: Vec<(&str, Value)> = vec![
            ("00", Value::Int(0)),
            ("17", Value::Int(23)),
            ("1818", Value::Int(24)),
            ("1903e8", Value::Int(1000)),
            ("1a000f4240", Value::Int(1_000_000)),
            ("1b000000e8d4a51000", Value::Int(1_000_000_000_000)),
            ("1bffffffffffffffff", Value::Uint(u64::MAX)),
            ("20", Value::Int(-1)),
            ("29", Value::Int(-10)),
            ("3863", Value::Int(-100)),
            ("3903e7", Value::Int(-1000)),
            ("f93c00", Value::Float(1.0)),
            ("f93e00", Value::Float(1.5)),
            ("f97bff", Value::Float(65504.0)),
            ("f90001", Value::Float(5.960_464_477_539_063e-8)),
            ("f90400", Value::Float(0.000_061_035_156_25)),
            ("f9c400", Value::Float(-4.0)),
            ("f97c00", Value::Float(f64::INFINITY)),
            ("fa47c35000", Value::Float(100_000.0)),
            ("fb3ff199999999999a", Value::Float(1.1)),
            ("f4", Value::Bool(false)),
            ("f5", Value::Bool(true)),
            ("f6", Value::Null),
            ("f7", Value::Null),
            (
                "c074323031332d30332d32315432303a30343a30305a",
                "2013-03-21T20:04:00Z".into(),
            ),
            ("c11a514b67b0", Value::Int(1_363_896_240)),
            ("4401020304", Value::Bytes(vec![1, 2, 3, 4])),
            ("62c3bc", "ü".into()),
            ("64f0908591", "𐅑".into()),
            ("80", list(vec![])),
            ("83010203", list(vec![1, 2, 3])),
            ("5f42010243030405ff", Value::Bytes(vec![1, 2, 3, 4, 5])),
            ("7f657374726561646d696e67ff", "streaming".into()),
            ("9fff", list(vec![])),
            ("9f0102030405ff", list(vec![1, 2, 3, 4, 5])),
            (
                "bf6346756ef563416d7421ff",
                Dict::from_iter([("Fun", Value::Bool(true)), ("Amt", Value::Int(-2))]).into(),
            ),
        ];
        for (hex, value) in examples {
            assert_eq!(read(&unhex(hex)), Ok(value), "{hex}");
        }
        assert!(matches!(read(&unhex("f97e00")), Ok(Value::Float(nan)) if nan.is_nan()));
    }

    #[test]
    fn big_integers_fit_or_are_refused() {
        assert_eq!(read(&unhex("c24101")), Ok(Value::Int(1)));
        assert_eq!(
            read(&unhex("c248ffffffffffffffff")),
            Ok(Value::Uint(u64::MAX))
        );
        assert_eq!(
            read(&unhex("c249010000000000000000")),
            Err(DecodeErrorKind::NumberRange)
        );
        assert_eq!(
            read(&unhex("c3487fffffffffffffff")),
            Ok(Value::Int(i64::MIN))
        );
        assert_eq!(
            read(&unhex("3bffffffffffffffff")),
            Err(DecodeErrorKind::NumberRange)
        );
        assert_eq!(read(&unhex("c201")), Err(DecodeErrorKind::Syntax));
    }

    #[test]
    fn not_well_formed() {
        for hex in [
            "",
            "18",
            "19ff",
            "1c",
            "1f",
            "3f",
            "5f",
            "5fff00",
            "5f6161ff",
            "5f5f4100ffff",
            "7f4100ff",
            "7f61c361bcff",
            "9f",
            "9f01",
            "ff",
            "81",
            "81ff",
            "bf",
            "bf6161ff",
            "a1ff",
            "a10101",
            "a2616101616102",
            "dc",
            "f8",
            "f800",
            "fc",
            "e0",
            "df00",
            "61ff",
            "8200",
            "9b7fffffffffffffff",
            "bb7fffffffffffffff",
            "5b7fffffffffffffff",
        ] {
            assert!(read(&unhex(hex)).is_err(), "{hex}");
        }
    }

    #[test]
    fn integers_and_lengths_return() {
        for value in [
            0,
            23,
            24,
            255,
            256,
            65_535,
            65_536,
            1 << 32,
            i64::MAX,
            -1,
            -24,
            -25,
            i64::MIN,
        ] {
            assert_eq!(read(&write(&Value::Int(value))), Ok(Value::Int(value)));
        }
        for len in [0, 23, 24, 255, 256, 65_535, 65_536] {
            let list = Value::List(vec![Value::Null; len]);
            assert_eq!(read(&write(&list)), Ok(list));
            let text = Value::Str("x".repeat(len));
            assert_eq!(read(&write(&text)), Ok(text));
        }
    }

    #[test]
    fn tags_nest_only_so_deep() {
        let mut octets = vec![0xc6; 63];
        octets.push(0);
        assert_eq!(read(&octets), Ok(Value::Int(0)));
        let octets = vec![0xc6; 1_000_000];
        assert_eq!(read(&octets), Err(DecodeErrorKind::TooDeep));
    }
}
