//! MessagePack (version 5 and later, which tells strings from binary). Strings and binary are
//! borrowed; lengths are checked against the octets that are there before anything is made of
//! them. Knows nothing of messages.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::rules::Rules;
use crate::serializer::Format;
use crate::serializer::octets::Octets;
use crate::token::{Peek, Reader, Token, Writer, WriterStack, patch_head};

pub(crate) struct MsgpackReader<'a> {
    octets: Octets<'a>,
    open: SmallVec<[Frame; 8]>,
    done: bool,
    skimming: bool,
    items_left: usize,
    depth_max: usize,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    dict: bool,
    /// Items, or pairs, still to come.
    left: usize,
}

impl<'a> MsgpackReader<'a> {
    pub(crate) fn new(octets: &'a [u8], rules: &Rules) -> Self {
        Self {
            octets: Octets::new(octets),
            open: SmallVec::new(),
            done: false,
            skimming: false,
            items_left: rules.items_max,
            depth_max: rules.depth(),
        }
    }

    fn push(&mut self, dict: bool, left: usize) -> Result<(), DecodeError> {
        if self.open.len() >= self.depth_max {
            return Err(self.octets.fail(DecodeErrorKind::TooDeep));
        }
        // Every item takes an octet at least, every pair two: a count beyond the end is refused
        // before anything is done about it.
        let octets_min = if dict { left.saturating_mul(2) } else { left };
        if octets_min > self.octets.left() {
            return Err(self.octets.fail(DecodeErrorKind::Truncated));
        }
        self.open.push(Frame { dict, left });
        Ok(())
    }

    fn list(&mut self, len: usize) -> Result<Token<'a>, DecodeError> {
        self.push(false, len)?;
        Ok(Token::List(Some(len)))
    }

    fn dict(&mut self, len: usize) -> Result<Token<'a>, DecodeError> {
        self.push(true, len)?;
        Ok(Token::Dict(Some(len)))
    }

    fn str(&mut self, len: usize) -> Result<Token<'a>, DecodeError> {
        Ok(Token::Str(Cow::Borrowed(self.octets.str(len)?)))
    }

    fn bytes(&mut self, len: usize) -> Result<Token<'a>, DecodeError> {
        Ok(Token::Bytes(Cow::Borrowed(self.octets.take(len)?)))
    }

    /// An extension: a type of its number and that many octets. No other format has such.
    fn extension(&mut self, len: usize) -> Result<Token<'a>, DecodeError> {
        let at = self.octets.at();
        self.octets.take(1)?;
        self.octets.take(len)?;
        if self.skimming {
            Ok(Token::Null)
        } else {
            Err(DecodeErrorKind::Unsupported.at(at))
        }
    }

    fn len8(&mut self) -> Result<usize, DecodeError> {
        self.octets.byte().map(usize::from)
    }

    fn len16(&mut self) -> Result<usize, DecodeError> {
        Ok(usize::from(u16::from_be_bytes(self.octets.array()?)))
    }

    fn len32(&mut self) -> Result<usize, DecodeError> {
        let len = u32::from_be_bytes(self.octets.array()?);
        usize::try_from(len).map_err(|_| self.octets.fail(DecodeErrorKind::Truncated))
    }
}

impl<'a> Reader<'a> for MsgpackReader<'a> {
    fn format(&self) -> Format {
        Format::Msgpack
    }

    fn peek(&mut self) -> Result<Peek, DecodeError> {
        if matches!(
            self.open.last(),
            Some(Frame {
                dict: false,
                left: 0
            })
        ) {
            return Ok(Peek::End);
        }
        Ok(match self.octets.peek()? {
            0x90..=0x9f | 0xdc | 0xdd => Peek::List,
            0x80..=0x8f | 0xde | 0xdf => Peek::Dict,
            _ => Peek::Scalar,
        })
    }

    fn token(&mut self) -> Result<Token<'a>, DecodeError> {
        match self.open.last_mut() {
            None if self.done => return Err(self.octets.fail(DecodeErrorKind::Trailing)),
            None => self.done = true,
            // Counted with its key.
            Some(Frame { dict: true, .. }) => {}
            Some(frame) => match frame.left.checked_sub(1) {
                Some(left) => frame.left = left,
                None => {
                    self.open.pop();
                    return Ok(Token::End);
                }
            },
        }
        self.items_left = self
            .items_left
            .checked_sub(1)
            .ok_or(self.octets.fail(DecodeErrorKind::TooManyItems))?;
        let at = self.octets.at();
        Ok(match self.octets.byte()? {
            value @ 0x00..=0x7f => Token::Int(value.into()),
            head @ 0x80..=0x8f => self.dict(usize::from(head & 0xf))?,
            head @ 0x90..=0x9f => self.list(usize::from(head & 0xf))?,
            head @ 0xa0..=0xbf => self.str(usize::from(head & 0x1f))?,
            0xc0 => Token::Null,
            0xc1 => return Err(DecodeErrorKind::Syntax.at(at)),
            0xc2 => Token::Bool(false),
            0xc3 => Token::Bool(true),
            0xc4 => {
                let len = self.len8()?;
                self.bytes(len)?
            }
            0xc5 => {
                let len = self.len16()?;
                self.bytes(len)?
            }
            0xc6 => {
                let len = self.len32()?;
                self.bytes(len)?
            }
            0xc7 => {
                let len = self.len8()?;
                self.extension(len)?
            }
            0xc8 => {
                let len = self.len16()?;
                self.extension(len)?
            }
            0xc9 => {
                let len = self.len32()?;
                self.extension(len)?
            }
            0xca => Token::Float(f32::from_be_bytes(self.octets.array()?).into()),
            0xcb => Token::Float(f64::from_be_bytes(self.octets.array()?)),
            0xcc => Token::Int(self.octets.byte()?.into()),
            0xcd => Token::Int(u16::from_be_bytes(self.octets.array()?).into()),
            0xce => Token::Int(u32::from_be_bytes(self.octets.array()?).into()),
            0xcf => {
                let value = u64::from_be_bytes(self.octets.array()?);
                i64::try_from(value).map_or(Token::Uint(value), Token::Int)
            }
            0xd0 => Token::Int(i8::from_be_bytes(self.octets.array()?).into()),
            0xd1 => Token::Int(i16::from_be_bytes(self.octets.array()?).into()),
            0xd2 => Token::Int(i32::from_be_bytes(self.octets.array()?).into()),
            0xd3 => Token::Int(i64::from_be_bytes(self.octets.array()?)),
            0xd4 => self.extension(1)?,
            0xd5 => self.extension(2)?,
            0xd6 => self.extension(4)?,
            0xd7 => self.extension(8)?,
            0xd8 => self.extension(16)?,
            0xd9 => {
                let len = self.len8()?;
                self.str(len)?
            }
            0xda => {
                let len = self.len16()?;
                self.str(len)?
            }
            0xdb => {
                let len = self.len32()?;
                self.str(len)?
            }
            0xdc => {
                let len = self.len16()?;
                self.list(len)?
            }
            0xdd => {
                let len = self.len32()?;
                self.list(len)?
            }
            0xde => {
                let len = self.len16()?;
                self.dict(len)?
            }
            0xdf => {
                let len = self.len32()?;
                self.dict(len)?
            }
            value @ 0xe0..=0xff => Token::Int(i8::from_be_bytes([value]).into()),
        })
    }

    fn key(&mut self) -> Result<Option<Cow<'a, str>>, DecodeError> {
        let at = self.octets.at();
        match self.open.last_mut() {
            Some(frame) if frame.dict => match frame.left.checked_sub(1) {
                Some(left) => frame.left = left,
                None => {
                    self.open.pop();
                    return Ok(None);
                }
            },
            _ => return Err(DecodeErrorKind::Syntax.at(at)),
        }
        let len = match self.octets.byte()? {
            head @ 0xa0..=0xbf => usize::from(head & 0x1f),
            0xd9 => self.len8()?,
            0xda => self.len16()?,
            0xdb => self.len32()?,
            _ => return Err(DecodeErrorKind::KeyNotString.at(at)),
        };
        Ok(Some(Cow::Borrowed(self.octets.str(len)?)))
    }

    fn offset(&mut self) -> Result<usize, DecodeError> {
        Ok(self.octets.at())
    }

    fn between(&self, from: usize) -> &'a [u8] {
        self.octets.between(from)
    }

    fn skim(&mut self, on: bool) {
        self.skimming = on;
    }

    fn finish(&mut self) -> Result<(), DecodeError> {
        self.octets.finish()
    }
}

pub(crate) struct MsgpackWriter<'o> {
    out: &'o mut Vec<u8>,
    open: WriterStack,
}

impl<'o> MsgpackWriter<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        Self {
            out,
            open: WriterStack::default(),
        }
    }

    fn str_body(&mut self, text: &str) -> Result<(), EncodeError> {
        let len = text.len();
        match (
            len,
            u8::try_from(len),
            u16::try_from(len),
            u32::try_from(len),
        ) {
            (0..32, Ok(short), ..) => self.out.push(0xa0 | short),
            (_, Ok(len), ..) => self.out.extend_from_slice(&[0xd9, len]),
            (_, _, Ok(len), _) => self.head(0xda, &len.to_be_bytes()),
            (_, _, _, Ok(len)) => self.head(0xdb, &len.to_be_bytes()),
            _ => return Err(EncodeError::Range("a string's length")),
        }
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn head(&mut self, first: u8, rest: &[u8]) {
        self.out.push(first);
        self.out.extend_from_slice(rest);
    }

    fn unsigned(&mut self, value: u64) {
        match (
            u8::try_from(value),
            u16::try_from(value),
            u32::try_from(value),
        ) {
            (Ok(value @ 0..0x80), ..) => self.out.push(value),
            (Ok(value), ..) => self.out.extend_from_slice(&[0xcc, value]),
            (_, Ok(value), _) => self.head(0xcd, &value.to_be_bytes()),
            (_, _, Ok(value)) => self.head(0xce, &value.to_be_bytes()),
            _ => self.head(0xcf, &value.to_be_bytes()),
        }
    }

    fn container(&mut self, len: Option<usize>, dict: bool) -> Result<(), EncodeError> {
        self.open.item();
        self.open.push(self.out.len(), dict, len.is_none())?;
        let head = container_head(len.unwrap_or(0), dict)?;
        self.out.extend_from_slice(&head);
        Ok(())
    }
}

/// The shortest head of a list or dictionary.
fn container_head(len: usize, dict: bool) -> Result<SmallVec<[u8; 5]>, EncodeError> {
    let (fix, wide, wider) = if dict {
        (0x80, 0xde, 0xdf)
    } else {
        (0x90, 0xdc, 0xdd)
    };
    let mut head = SmallVec::new();
    match (
        len,
        u8::try_from(len),
        u16::try_from(len),
        u32::try_from(len),
    ) {
        (0..16, Ok(len), ..) => head.push(fix | len),
        (_, _, Ok(len), _) => {
            head.push(wide);
            head.extend(len.to_be_bytes());
        }
        (_, _, _, Ok(len)) => {
            head.push(wider);
            head.extend(len.to_be_bytes());
        }
        _ => return Err(EncodeError::Range("the number of items")),
    }
    Ok(head)
}

impl Writer for MsgpackWriter<'_> {
    fn format(&self) -> Format {
        Format::Msgpack
    }

    fn null(&mut self) {
        self.open.item();
        self.out.push(0xc0);
    }

    fn bool(&mut self, value: bool) {
        self.open.item();
        self.out.push(if value { 0xc3 } else { 0xc2 });
    }

    fn int(&mut self, value: i64) {
        self.open.item();
        if let Ok(value) = u64::try_from(value) {
            return self.unsigned(value);
        }
        match (
            i8::try_from(value),
            i16::try_from(value),
            i32::try_from(value),
        ) {
            (Ok(value @ -32..), ..) => self.out.extend_from_slice(&value.to_be_bytes()),
            (Ok(value), ..) => self.head(0xd0, &value.to_be_bytes()),
            (_, Ok(value), _) => self.head(0xd1, &value.to_be_bytes()),
            (_, _, Ok(value)) => self.head(0xd2, &value.to_be_bytes()),
            _ => self.head(0xd3, &value.to_be_bytes()),
        }
    }

    fn uint(&mut self, value: u64) {
        self.open.item();
        self.unsigned(value);
    }

    fn float(&mut self, value: f64) -> Result<(), EncodeError> {
        self.open.item();
        self.head(0xcb, &value.to_be_bytes());
        Ok(())
    }

    fn str(&mut self, value: &str) -> Result<(), EncodeError> {
        self.open.item();
        self.str_body(value)
    }

    fn bytes(&mut self, value: &[u8]) -> Result<(), EncodeError> {
        self.open.item();
        let len = value.len();
        match (u8::try_from(len), u16::try_from(len), u32::try_from(len)) {
            (Ok(len), ..) => self.out.extend_from_slice(&[0xc4, len]),
            (_, Ok(len), _) => self.head(0xc5, &len.to_be_bytes()),
            (_, _, Ok(len)) => self.head(0xc6, &len.to_be_bytes()),
            _ => return Err(EncodeError::Range("the number of octets")),
        }
        self.out.extend_from_slice(value);
        Ok(())
    }

    fn list(&mut self, len: Option<usize>) -> Result<(), EncodeError> {
        self.container(len, false)
    }

    fn dict(&mut self, len: Option<usize>) -> Result<(), EncodeError> {
        self.container(len, true)
    }

    fn key(&mut self, key: &str) -> Result<(), EncodeError> {
        self.open.key();
        self.str_body(key)
    }

    fn end(&mut self) -> Result<(), EncodeError> {
        if let Some(frame) = self.open.pop()
            && frame.unknown
        {
            patch_head(
                self.out,
                frame.at,
                &container_head(frame.items, frame.dict)?,
            );
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
        decode_value(Format::Msgpack, octets, Rules::default()).map_err(|error| error.kind)
    }

    fn write(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode_value(Format::Msgpack, value, &mut out).unwrap();
        out
    }

    #[test]
    fn integers_take_the_shortest_form_and_return() {
        for (value, len) in [
            (0, 1),
            (127, 1),
            (128, 2),
            (255, 2),
            (256, 3),
            (65_535, 3),
            (65_536, 5),
            (u32::MAX.into(), 5),
            (1 << 32, 9),
            (i64::MAX, 9),
            (-1, 1),
            (-32, 1),
            (-33, 2),
            (-128, 2),
            (-129, 3),
            (-32_768, 3),
            (-32_769, 5),
            (i32::MIN.into(), 5),
            (i64::MIN, 9),
        ] {
            let octets = write(&Value::Int(value));
            assert_eq!(octets.len(), len, "{value}");
            assert_eq!(read(&octets), Ok(Value::Int(value)));
        }
        let octets = write(&Value::Uint(u64::MAX));
        assert!(matches!(read(&octets), Ok(Value::Uint(u64::MAX))));
    }

    #[test]
    fn lengths_at_every_boundary_return() {
        for len in [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536] {
            let list = Value::List(vec![Value::Null; len]);
            assert_eq!(read(&write(&list)), Ok(list));
            let text = Value::Str("x".repeat(len));
            assert_eq!(read(&write(&text)), Ok(text));
            let octets = Value::Bytes(vec![7; len]);
            assert_eq!(read(&write(&octets)), Ok(octets));
            let dict: Value = Dict::from_iter((0..len).map(|key| (key.to_string(), true))).into();
            assert_eq!(read(&write(&dict)), Ok(dict));
        }
    }

    #[test]
    fn what_no_other_format_has() {
        assert_eq!(read(&[0xd4, 1, 2]), Err(DecodeErrorKind::Unsupported));
        let rules = Rules::default();
        let mut reader = MsgpackReader::new(&[0x91, 0xd4, 1, 2], &rules);
        assert!(reader.skip().is_ok(), "but it passes unseen");
        assert_eq!(read(&[0xc1]), Err(DecodeErrorKind::Syntax));
        assert_eq!(read(&[0x81, 1, 2]), Err(DecodeErrorKind::KeyNotString));
        assert_eq!(
            read(&[0x82, 0xa1, b'a', 1, 0xa1, b'a', 2]),
            Err(DecodeErrorKind::DuplicateKey)
        );
        assert_eq!(read(&[0xa1, 0xff]), Err(DecodeErrorKind::Unicode));
    }

    #[test]
    fn every_cut_is_an_error() {
        let value = Value::List(vec![
            Value::from("text"),
            Value::from(70_000),
            Value::from(1.5),
            Value::from(vec![1_u8, 2, 3]),
            Dict::from_iter([("k", vec![Value::Null])]).into(),
        ]);
        let octets = write(&value);
        for cut in 0..octets.len() {
            assert!(read(&octets[..cut]).is_err(), "{cut}");
        }
        let mut longer = octets;
        longer.push(0);
        assert_eq!(read(&longer), Err(DecodeErrorKind::Trailing));
    }
}
