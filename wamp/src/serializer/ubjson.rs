//! UBJSON (Draft 12) and BJData (Draft 3), which differ in octet order, in the unsigned integers
//! and in the type of binary. `wamp.2.ubjson` is UBJSON by the specification, and BJData with
//! clients of newer make; a message that shows a marker of BJData is read as such. Knows nothing
//! of messages.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::rules::Rules;
use crate::serializer::Format;
use crate::serializer::octets::Octets;
use crate::token::{Peek, Reader, Token, Writer, WriterStack};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Ubjson,
    Bjdata,
}

impl Dialect {
    fn format(self) -> Format {
        match self {
            Self::Ubjson => Format::Ubjson,
            Self::Bjdata => Format::Bjdata,
        }
    }

    /// The type of the items of binary.
    fn binary(self) -> u8 {
        match self {
            Self::Ubjson => b'U',
            Self::Bjdata => b'B',
        }
    }
}

pub(crate) struct UbjsonReader<'a> {
    octets: Octets<'a>,
    dialect: Dialect,
    open: SmallVec<[Frame; 8]>,
    done: bool,
    items_left: usize,
    depth_max: usize,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    dict: bool,
    /// Items, or pairs, still to come; none until the closing marker.
    left: Option<usize>,
    /// The type all items have, if the container says so.
    marker: Option<u8>,
}

/// A container's beginning: its type and count, if it gives them.
struct Head {
    marker: Option<u8>,
    count: Option<usize>,
}

impl<'a> UbjsonReader<'a> {
    pub(crate) fn new(octets: &'a [u8], dialect: Dialect, rules: &Rules) -> Self {
        Self {
            octets: Octets::new(octets),
            dialect,
            open: SmallVec::new(),
            done: false,
            items_left: rules.items_max,
            depth_max: rules.depth(),
        }
    }

    /// Passes over no-ops, which may stand before any marker.
    fn noops(&mut self) -> Result<(), DecodeError> {
        while self.octets.peek()? == b'N' {
            self.octets.byte()?;
        }
        Ok(())
    }

    /// An integer of this type, in the dialect's octet order; none if it is no integer type.
    fn integer(&mut self, marker: u8, at: usize) -> Result<Option<Token<'a>>, DecodeError> {
        macro_rules! number {
            ($type:ty) => {{
                let octets = self.octets.array()?;
                match self.dialect {
                    Dialect::Ubjson => <$type>::from_be_bytes(octets),
                    Dialect::Bjdata => <$type>::from_le_bytes(octets),
                }
            }};
        }
        let bjdata = self.dialect == Dialect::Bjdata;
        Ok(Some(match marker {
            b'i' => Token::Int(number!(i8).into()),
            b'U' => Token::Int(number!(u8).into()),
            b'B' if bjdata => Token::Int(number!(u8).into()),
            b'I' => Token::Int(number!(i16).into()),
            b'l' => Token::Int(number!(i32).into()),
            b'L' => Token::Int(number!(i64)),
            b'u' if bjdata => Token::Int(number!(u16).into()),
            b'm' if bjdata => Token::Int(number!(u32).into()),
            b'M' if bjdata => {
                let value = number!(u64);
                i64::try_from(value).map_or(Token::Uint(value), Token::Int)
            }
            b'u' | b'm' | b'M' | b'h' | b'B' if !bjdata => {
                return Err(DecodeErrorKind::Bjdata.at(at));
            }
            _ => return Ok(None),
        }))
    }

    /// A length or count: an integer of any type that is not negative.
    fn len(&mut self) -> Result<usize, DecodeError> {
        let at = self.octets.at();
        let marker = self.octets.byte()?;
        match self.integer(marker, at)? {
            Some(Token::Int(len)) => {
                usize::try_from(len).map_err(|_| DecodeErrorKind::Truncated.at(at))
            }
            // Beyond any message; and an N-dimensional count of BJData is no integer.
            Some(_) => Err(DecodeErrorKind::Truncated.at(at)),
            None => Err(DecodeErrorKind::Syntax.at(at)),
        }
    }

    fn head(&mut self) -> Result<Head, DecodeError> {
        let mut head = Head {
            marker: None,
            count: None,
        };
        if self.octets.peek()? == b'$' {
            self.octets.byte()?;
            head.marker = Some(self.octets.byte()?);
            if self.octets.peek()? != b'#' {
                // A type demands a count.
                return Err(self.octets.fail(DecodeErrorKind::Syntax));
            }
        }
        if self.octets.peek()? == b'#' {
            self.octets.byte()?;
            head.count = Some(self.len()?);
        }
        Ok(head)
    }

    fn push(&mut self, dict: bool, head: &Head) -> Result<(), DecodeError> {
        if self.open.len() >= self.depth_max {
            return Err(self.octets.fail(DecodeErrorKind::TooDeep));
        }
        if let Some(count) = head.count {
            // The octets an item takes at least: none if its marker is said once for all.
            let each = usize::from(dict)
                + match head.marker {
                    None => 1,
                    Some(b'Z' | b'T' | b'F' | b'N') => 0,
                    Some(marker) => width(marker),
                };
            if count.saturating_mul(each) > self.octets.left() {
                return Err(self.octets.fail(DecodeErrorKind::Truncated));
            }
            if count > self.items_left {
                return Err(self.octets.fail(DecodeErrorKind::TooManyItems));
            }
        }
        self.open.push(Frame {
            dict,
            left: head.count,
            marker: head.marker,
        });
        Ok(())
    }

    fn list(&mut self) -> Result<Token<'a>, DecodeError> {
        let head = self.head()?;
        if head.marker == Some(self.dialect.binary())
            && let Some(count) = head.count
        {
            return Ok(Token::Bytes(Cow::Borrowed(self.octets.take(count)?)));
        }
        self.push(false, &head)?;
        Ok(Token::List(head.count))
    }

    fn dict(&mut self) -> Result<Token<'a>, DecodeError> {
        let head = self.head()?;
        self.push(true, &head)?;
        Ok(Token::Dict(head.count))
    }

    fn str(&mut self) -> Result<&'a str, DecodeError> {
        let len = self.len()?;
        self.octets.str(len)
    }

    /// A number written out, which by its rules is one of JSON.
    fn high_precision(&mut self, at: usize) -> Result<Token<'a>, DecodeError> {
        let text = self.str()?;
        let wrong = |_| DecodeErrorKind::NumberRange.at(at);
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(DecodeErrorKind::Syntax.at(at));
        }
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return match text.parse::<i64>() {
                Ok(value) => Ok(Token::Int(value)),
                Err(_) => text.parse().map(Token::Uint).map_err(wrong),
            };
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Token::Float(value)),
            _ => Err(DecodeErrorKind::NumberRange.at(at)),
        }
    }

    fn value(&mut self, marker: u8, at: usize) -> Result<Token<'a>, DecodeError> {
        if let Some(integer) = self.integer(marker, at)? {
            return Ok(integer);
        }
        Ok(match (marker, self.dialect) {
            (b'Z', _) => Token::Null,
            (b'T', _) => Token::Bool(true),
            (b'F', _) => Token::Bool(false),
            (b'd', Dialect::Ubjson) => {
                Token::Float(f32::from_be_bytes(self.octets.array()?).into())
            }
            (b'd', Dialect::Bjdata) => {
                Token::Float(f32::from_le_bytes(self.octets.array()?).into())
            }
            (b'D', Dialect::Ubjson) => Token::Float(f64::from_be_bytes(self.octets.array()?)),
            (b'D', Dialect::Bjdata) => Token::Float(f64::from_le_bytes(self.octets.array()?)),
            (b'h', Dialect::Bjdata) => {
                Token::Float(super::half(u16::from_le_bytes(self.octets.array()?)))
            }
            (b'C', _) => Token::Str(Cow::Borrowed(self.octets.str(1)?)),
            (b'S', _) => Token::Str(Cow::Borrowed(self.str()?)),
            (b'H', _) => self.high_precision(at)?,
            (b'[', _) => self.list()?,
            (b'{', _) => self.dict()?,
            _ => return Err(DecodeErrorKind::Syntax.at(at)),
        })
    }
}

/// The octets a value of this type takes at least, its marker not counted.
fn width(marker: u8) -> usize {
    match marker {
        b'I' | b'u' | b'h' => 2,
        b'l' | b'm' | b'd' => 4,
        b'L' | b'M' | b'D' => 8,
        _ => 1,
    }
}

impl<'a> Reader<'a> for UbjsonReader<'a> {
    fn format(&self) -> Format {
        self.dialect.format()
    }

    fn peek(&mut self) -> Result<Peek, DecodeError> {
        let marker = match self.open.last() {
            Some(Frame {
                dict: false,
                left: Some(0),
                ..
            }) => return Ok(Peek::End),
            Some(Frame {
                marker: Some(marker),
                ..
            }) => *marker,
            top => {
                let unbounded = matches!(
                    top,
                    Some(Frame {
                        dict: false,
                        left: None,
                        ..
                    })
                );
                self.noops()?;
                match self.octets.peek()? {
                    b']' if unbounded => return Ok(Peek::End),
                    marker => marker,
                }
            }
        };
        Ok(match marker {
            b'[' => {
                // Binary begins like a list, and is none.
                let mut ahead = self.octets;
                let typed = matches!(
                    ahead.array::<3>(),
                    Ok([b'[', b'$', of]) if of == self.dialect.binary()
                );
                if typed { Peek::Scalar } else { Peek::List }
            }
            b'{' => Peek::Dict,
            _ => Peek::Scalar,
        })
    }

    fn token(&mut self) -> Result<Token<'a>, DecodeError> {
        let typed = match self.open.last_mut() {
            None if self.done => return Err(self.octets.fail(DecodeErrorKind::Trailing)),
            None => {
                self.done = true;
                None
            }
            // Counted with its key.
            Some(Frame {
                dict: true, marker, ..
            }) => *marker,
            Some(Frame {
                left: Some(left),
                marker,
                ..
            }) => match left.checked_sub(1) {
                Some(less) => {
                    *left = less;
                    *marker
                }
                None => {
                    self.open.pop();
                    return Ok(Token::End);
                }
            },
            Some(Frame { left: None, .. }) => {
                self.noops()?;
                if self.octets.peek()? == b']' {
                    self.octets.byte()?;
                    self.open.pop();
                    return Ok(Token::End);
                }
                None
            }
        };
        self.items_left = self
            .items_left
            .checked_sub(1)
            .ok_or(self.octets.fail(DecodeErrorKind::TooManyItems))?;
        let (marker, at) = match typed {
            Some(marker) => (marker, self.octets.at()),
            None => {
                self.noops()?;
                let at = self.octets.at();
                (self.octets.byte()?, at)
            }
        };
        self.value(marker, at)
    }

    fn key(&mut self) -> Result<Option<Cow<'a, str>>, DecodeError> {
        let at = self.octets.at();
        match self.open.last_mut() {
            Some(Frame {
                dict: true,
                left: Some(left),
                ..
            }) => match left.checked_sub(1) {
                Some(less) => *left = less,
                None => {
                    self.open.pop();
                    return Ok(None);
                }
            },
            Some(Frame { dict: true, .. }) => {
                self.noops()?;
                if self.octets.peek()? == b'}' {
                    self.octets.byte()?;
                    self.open.pop();
                    return Ok(None);
                }
            }
            _ => return Err(DecodeErrorKind::Syntax.at(at)),
        }
        self.str().map(|key| Some(Cow::Borrowed(key)))
    }

    fn offset(&mut self) -> Result<usize, DecodeError> {
        Ok(self.octets.at())
    }

    fn between(&self, from: usize) -> &'a [u8] {
        self.octets.between(from)
    }

    /// Every type has a value here; nothing is laid aside.
    fn skim(&mut self, _on: bool) {}

    fn finish(&mut self) -> Result<(), DecodeError> {
        self.octets.finish()
    }
}

pub(crate) struct UbjsonWriter<'o> {
    out: &'o mut Vec<u8>,
    dialect: Dialect,
    open: WriterStack,
}

impl<'o> UbjsonWriter<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>, dialect: Dialect) -> Self {
        Self {
            out,
            dialect,
            open: WriterStack::default(),
        }
    }

    /// A marker and an integer of its type, given highest octet first.
    fn put<const N: usize>(&mut self, marker: u8, mut octets: [u8; N]) {
        if self.dialect == Dialect::Bjdata {
            octets.reverse();
        }
        self.out.push(marker);
        self.out.extend_from_slice(&octets);
    }

    fn unsigned(&mut self, value: u64) {
        match (
            self.dialect,
            u8::try_from(value),
            u16::try_from(value),
            u32::try_from(value),
        ) {
            (_, Ok(value), ..) => self.put(b'U', value.to_be_bytes()),
            (Dialect::Bjdata, _, Ok(value), _) => self.put(b'u', value.to_be_bytes()),
            (Dialect::Bjdata, _, _, Ok(value)) => self.put(b'm', value.to_be_bytes()),
            (Dialect::Bjdata, ..) => self.put(b'M', value.to_be_bytes()),
            (Dialect::Ubjson, ..) => match i64::try_from(value) {
                Ok(value) => self.signed(value),
                // Beyond its types: written out in digits.
                Err(_) => {
                    let digits = value.to_string();
                    self.out.push(b'H');
                    self.unsigned(digits.len() as u64);
                    self.out.extend_from_slice(digits.as_bytes());
                }
            },
        }
    }

    fn signed(&mut self, value: i64) {
        match (
            i8::try_from(value),
            i16::try_from(value),
            i32::try_from(value),
        ) {
            (Ok(value), ..) => self.put(b'i', value.to_be_bytes()),
            (_, Ok(value), _) => self.put(b'I', value.to_be_bytes()),
            (_, _, Ok(value)) => self.put(b'l', value.to_be_bytes()),
            _ => self.put(b'L', value.to_be_bytes()),
        }
    }
}

/// Containers are written without a count and closed by their marker: what the peers in use
/// write, and nothing needs to be known beforehand.
impl Writer for UbjsonWriter<'_> {
    fn format(&self) -> Format {
        self.dialect.format()
    }

    fn null(&mut self) {
        self.out.push(b'Z');
    }

    fn bool(&mut self, value: bool) {
        self.out.push(if value { b'T' } else { b'F' });
    }

    fn int(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.unsigned(value),
            Err(_) => self.signed(value),
        }
    }

    fn uint(&mut self, value: u64) {
        self.unsigned(value);
    }

    fn float(&mut self, value: f64) -> Result<(), EncodeError> {
        self.put(b'D', value.to_be_bytes());
        Ok(())
    }

    fn str(&mut self, value: &str) -> Result<(), EncodeError> {
        self.out.push(b'S');
        self.unsigned(value.len() as u64);
        self.out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn bytes(&mut self, value: &[u8]) -> Result<(), EncodeError> {
        self.out
            .extend_from_slice(&[b'[', b'$', self.dialect.binary(), b'#']);
        self.unsigned(value.len() as u64);
        self.out.extend_from_slice(value);
        Ok(())
    }

    fn list(&mut self, _len: Option<usize>) -> Result<(), EncodeError> {
        self.open.push(self.out.len(), false, false)?;
        self.out.push(b'[');
        Ok(())
    }

    fn dict(&mut self, _len: Option<usize>) -> Result<(), EncodeError> {
        self.open.push(self.out.len(), true, false)?;
        self.out.push(b'{');
        Ok(())
    }

    fn key(&mut self, key: &str) -> Result<(), EncodeError> {
        self.unsigned(key.len() as u64);
        self.out.extend_from_slice(key.as_bytes());
        Ok(())
    }

    fn end(&mut self) -> Result<(), EncodeError> {
        if let Some(frame) = self.open.pop() {
            self.out.push(if frame.dict { b'}' } else { b']' });
        }
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serializer::{decode_value, encode_value};
    use crate::value::{Dict, Value};

    fn read(format: Format, octets: &[u8]) -> Result<Value, DecodeErrorKind> {
        decode_value(format, octets, Rules::default()).map_err(|error| error.kind)
    }

    fn write(format: Format, value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        encode_value(format, value, &mut out).unwrap();
        out
    }

    #[test]
    fn integers_return_in_both() {
        for format in [Format::Ubjson, Format::Bjdata] {
            for value in [
                0,
                127,
                128,
                255,
                256,
                32_767,
                32_768,
                65_535,
                65_536,
                i32::MAX.into(),
                1 << 31,
                u32::MAX.into(),
                1 << 32,
                i64::MAX,
                -1,
                -128,
                -129,
                -32_769,
                i64::MIN,
            ] {
                let octets = write(format, &Value::Int(value));
                assert_eq!(read(format, &octets), Ok(Value::Int(value)));
            }
            let octets = write(format, &Value::Uint(u64::MAX));
            assert_eq!(read(format, &octets), Ok(Value::Uint(u64::MAX)));
        }
    }

    #[test]
    fn optimized_containers() {
        let ints = |values: &[i64]| Value::List(values.iter().copied().map(Value::Int).collect());
        assert_eq!(
            read(Format::Ubjson, b"[#U\x02U\x01U\x02"),
            Ok(ints(&[1, 2]))
        );
        assert_eq!(
            read(Format::Ubjson, b"[$i#U\x03\x01\x02\xff"),
            Ok(ints(&[1, 2, -1]))
        );
        assert_eq!(
            read(Format::Ubjson, b"[$I#U\x02\x01\x02\x03\x04"),
            Ok(ints(&[0x0102, 0x0304]))
        );
        assert_eq!(
            read(Format::Bjdata, b"[$I#U\x02\x01\x02\x03\x04"),
            Ok(ints(&[0x0201, 0x0403]))
        );
        assert_eq!(
            read(Format::Ubjson, b"[$U#U\x02\x01\x02"),
            Ok(Value::Bytes(vec![1, 2]))
        );
        assert_eq!(
            read(Format::Bjdata, b"[$U#U\x02\x01\x02"),
            Ok(ints(&[1, 2]))
        );
        assert_eq!(
            read(Format::Bjdata, b"[$B#U\x02\x01\x02"),
            Ok(Value::Bytes(vec![1, 2]))
        );
        assert_eq!(
            read(Format::Ubjson, b"[$T#U\x02"),
            Ok(Value::List(vec![true.into(), true.into()]))
        );
        assert_eq!(
            read(Format::Ubjson, b"{$U#U\x02U\x01a\x01U\x01b\x02"),
            Ok(Dict::from_iter([("a", 1), ("b", 2)]).into())
        );
        assert_eq!(
            read(Format::Ubjson, b"[N[NN]NU\x01N]"),
            Ok(Value::List(vec![Value::List(vec![]), Value::Int(1)]))
        );
    }

    #[test]
    fn counts_that_cost_nothing_to_claim_are_refused() {
        // Two thousand million truths in nine octets.
        assert_eq!(
            read(Format::Ubjson, b"[$T#l\x7f\xff\xff\xff"),
            Err(DecodeErrorKind::TooManyItems)
        );
        assert_eq!(
            read(Format::Ubjson, b"[#l\x7f\xff\xff\xff"),
            Err(DecodeErrorKind::Truncated)
        );
        assert_eq!(
            read(Format::Ubjson, b"[$D#l\x7f\xff\xff\xff"),
            Err(DecodeErrorKind::Truncated)
        );
        // Lists of truths in lists of truths: each is small, and all are counted.
        let mut bomb = b"[$[#L\0\0\0\0\0\0\x08\x00".to_vec();
        for _ in 0..2048 {
            bomb.extend_from_slice(b"$T#l\x00\x0f\xff\xff");
        }
        assert_eq!(
            read(Format::Ubjson, &bomb),
            Err(DecodeErrorKind::TooManyItems)
        );
        assert!(read(Format::Ubjson, b"[#i\xff").is_err(), "negative");
        assert!(read(Format::Bjdata, b"[$U#[U\x02U\x03]").is_err(), "N-D");
        assert!(read(Format::Ubjson, b"[$U").is_err());
        assert!(read(Format::Ubjson, b"[$UU\x01").is_err(), "no count");
    }

    #[test]
    fn the_marker_that_tells() {
        assert_eq!(
            read(Format::Ubjson, b"[u\x01\x02]"),
            Err(DecodeErrorKind::Bjdata)
        );
        assert_eq!(
            read(Format::Bjdata, b"[u\x01\x02]"),
            Ok(Value::List(vec![Value::Int(0x0201)]))
        );
    }

    #[test]
    fn high_precision() {
        assert_eq!(read(Format::Ubjson, b"HU\x0212"), Ok(Value::Int(12)));
        assert_eq!(read(Format::Ubjson, b"HU\x031.5"), Ok(Value::Float(1.5)));
        for bad in [
            &b"HU\x00"[..],
            b"HU\x03inf",
            b"HU\x03nan",
            b"HU\x1499999999999999999999",
            b"HU\x051e999",
            b"HU\x02+1",
        ] {
            assert!(read(Format::Ubjson, bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_cut_is_an_error() {
        let value: Value = Dict::from_iter([
            ("text", Value::from("x".repeat(300))),
            ("number", Value::from(1.5)),
            ("octets", Value::from(vec![1_u8; 300])),
            ("list", Value::from(vec![Value::from(70_000), Value::Null])),
        ])
        .into();
        for format in [Format::Ubjson, Format::Bjdata] {
            let octets = write(format, &value);
            assert_eq!(read(format, &octets), Ok(value.clone()));
            for cut in 0..octets.len() {
                assert!(read(format, &octets[..cut]).is_err(), "{cut}");
            }
        }
    }
}
