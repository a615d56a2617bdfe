//! Writes JSON: tokens in, a text without spaces out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{BINARY_ESCAPE, special};
use crate::error::EncodeError;
use crate::serializer::Format;
use crate::token::{Writer, WriterStack};

pub(crate) struct JsonWriter<'o> {
    out: &'o mut Vec<u8>,
    open: WriterStack,
}

impl<'o> JsonWriter<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        Self {
            out,
            open: WriterStack::default(),
        }
    }

    fn comma(&mut self) {
        if self.open.item() > 0 {
            self.out.push(b',');
        }
    }

    fn string(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.out.push(b'"');
        let octets = text.as_bytes();
        let mut run = 0;
        loop {
            let at = special(octets, run);
            self.out
                .extend_from_slice(octets.get(run..at).unwrap_or_default());
            let Some(&byte) = octets.get(at) else {
                break;
            };
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                control => {
                    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                    self.out.extend_from_slice(b"\\u00");
                    self.out.push(digit(control >> 4));
                    self.out.push(digit(control & 0xf));
                }
            }
            run = at + 1;
        }
        self.out.push(b'"');
    }

    fn integer(&mut self, magnitude: u64) {
        // Twenty digits hold the largest.
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        let mut rest = magnitude;
        for place in digits.iter_mut().rev() {
            *place = b'0' + (rest % 10) as u8;
            at -= 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.out
            .extend_from_slice(digits.get(at..).unwrap_or_default());
    }
}

impl Writer for JsonWriter<'_> {
    fn format(&self) -> Format {
        Format::Json
    }

    fn null(&mut self) {
        self.comma();
        self.out.extend_from_slice(b"null");
    }

    fn bool(&mut self, value: bool) {
        self.comma();
        self.out
            .extend_from_slice(if value { b"true" } else { b"false" });
    }

    fn int(&mut self, value: i64) {
        self.comma();
        if value < 0 {
            self.out.push(b'-');
        }
        self.integer(value.unsigned_abs());
    }

    fn uint(&mut self, value: u64) {
        self.comma();
        self.integer(value);
    }

    fn float(&mut self, value: f64) -> Result<(), EncodeError> {
        use std::io::Write;
        if !value.is_finite() {
            return Err(EncodeError::NotFinite);
        }
        self.comma();
        // The shortest digits that give the same double, and always a point or an exponent, so
        // that it stays a number with a fraction. Writing to a vector does not fail.
        let _ = write!(self.out, "{value:?}");
        Ok(())
    }

    fn str(&mut self, value: &str) -> Result<(), EncodeError> {
        if value.starts_with('\0') {
            return Err(EncodeError::NulString);
        }
        self.comma();
        self.string(value);
        Ok(())
    }

    fn bytes(&mut self, value: &[u8]) -> Result<(), EncodeError> {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(BINARY_ESCAPE.as_bytes());
        let from = self.out.len();
        let Some(room) = base64::encoded_len(value.len(), true) else {
            return Err(EncodeError::TooLong);
        };
        self.out.resize(from + room, 0);
        let written = self
            .out
            .get_mut(from..)
            .and_then(|room| STANDARD.encode_slice(value, room).ok());
        debug_assert_eq!(written, Some(room));
        self.out.push(b'"');
        Ok(())
    }

    fn list(&mut self, _len: Option<usize>) -> Result<(), EncodeError> {
        self.comma();
        self.open.push(self.out.len(), false, false)?;
        self.out.push(b'[');
        Ok(())
    }

    fn dict(&mut self, _len: Option<usize>) -> Result<(), EncodeError> {
        self.comma();
        self.open.push(self.out.len(), true, false)?;
        self.out.push(b'{');
        Ok(())
    }

    fn key(&mut self, key: &str) -> Result<(), EncodeError> {
        if key.starts_with('\0') {
            return Err(EncodeError::NulString);
        }
        if self.open.key() > 0 {
            self.out.push(b',');
        }
        self.string(key);
        self.out.push(b':');
        Ok(())
    }

    fn end(&mut self) -> Result<(), EncodeError> {
        if let Some(frame) = self.open.pop() {
            self.out.push(if frame.dict { b'}' } else { b']' });
        }
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.comma();
        self.out.extend_from_slice(bytes);
    }
}
