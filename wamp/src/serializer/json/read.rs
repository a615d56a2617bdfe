//! Reads JSON: a text of UTF-8 in, tokens out.

use std::borrow::Cow;

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use smallvec::SmallVec;

use super::{BINARY_ESCAPE, special};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::rules::Rules;
use crate::serializer::Format;
use crate::token::{Peek, Reader, Token};

/// Padding may be missing: some peers leave it out, and nothing is ambiguous without it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(crate) struct JsonReader<'a> {
    text: &'a str,
    at: usize,
    open: SmallVec<[Frame; 8]>,
    /// Separators before the next value are taken already.
    ready: bool,
    /// The message itself was taken.
    done: bool,
    skimming: bool,
    items_left: usize,
    depth_max: usize,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    dict: bool,
    first: bool,
}

impl<'a> JsonReader<'a> {
    /// # Errors
    /// When the octets are not UTF-8, which JSON must be.
    pub(crate) fn new(octets: &'a [u8], rules: &Rules) -> Result<Self, DecodeError> {
        match std::str::from_utf8(octets) {
            Ok(text) => Ok(Self::from_text(text, rules)),
            Err(error) => Err(DecodeErrorKind::Unicode.at(error.valid_up_to())),
        }
    }

    /// For text known to be UTF-8: a WebSocket engine has validated it.
    pub(crate) fn from_text(text: &'a str, rules: &Rules) -> Self {
        Self {
            text,
            at: 0,
            open: SmallVec::new(),
            ready: false,
            done: false,
            skimming: false,
            items_left: rules.items_max,
            depth_max: rules.depth(),
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fail(&self, kind: DecodeErrorKind) -> DecodeError {
        kind.at(self.at)
    }

    /// What to say of an octet that does not belong here, or of none.
    fn unexpected(&self) -> DecodeError {
        self.fail(match self.byte() {
            Some(_) => DecodeErrorKind::Syntax,
            None => DecodeErrorKind::Truncated,
        })
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), DecodeError> {
        if self.byte() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// Goes to the next value, past the comma before it, or to the end of the list.
    fn make_ready(&mut self) -> Result<(), DecodeError> {
        if self.ready {
            return Ok(());
        }
        self.space();
        match self.open.last_mut() {
            None if self.done => return Err(self.fail(DecodeErrorKind::Trailing)),
            None => self.done = true,
            // The colon was taken with the key.
            Some(Frame { dict: true, .. }) => {}
            Some(frame) => {
                let first = std::mem::replace(&mut frame.first, false);
                if !first && self.byte() != Some(b']') {
                    self.take(b',')?;
                    self.space();
                    // A comma promises a value.
                    if self.byte() == Some(b']') {
                        return Err(self.fail(DecodeErrorKind::Syntax));
                    }
                }
            }
        }
        self.ready = true;
        Ok(())
    }

    fn push(&mut self, dict: bool) -> Result<(), DecodeError> {
        if self.open.len() >= self.depth_max {
            return Err(self.fail(DecodeErrorKind::TooDeep));
        }
        self.at += 1;
        self.open.push(Frame { dict, first: true });
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), DecodeError> {
        let found = self.text.as_bytes().get(self.at..self.at + word.len());
        if found == Some(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    /// The string at hand, unescaped.
    fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        self.take(b'"')?;
        let from = self.at;
        let mut owned: Option<String> = None;
        let mut run = from;
        loop {
            self.at = special(self.text.as_bytes(), self.at);
            match self.byte() {
                Some(b'"') => {
                    let text = self.slice(run, self.at);
                    self.at += 1;
                    return Ok(match owned {
                        None => Cow::Borrowed(text),
                        Some(mut owned) => {
                            owned.push_str(text);
                            Cow::Owned(owned)
                        }
                    });
                }
                Some(b'\\') => {
                    let text = self.slice(run, self.at);
                    let character = self.escape()?;
                    let owned = owned.get_or_insert_with(String::new);
                    owned.push_str(text);
                    owned.push(character);
                    run = self.at;
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    /// Passes over the string at hand, with the same checks.
    fn skip_string(&mut self) -> Result<(), DecodeError> {
        let from = self.at;
        self.take(b'"')?;
        let binary = self
            .text
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(BINARY_ESCAPE));
        if binary {
            // Rare, and its Base64 must be checked: a receiver would trip over it.
            self.at = from;
            let text = self.string()?;
            return self.binary(&text).map(drop);
        }
        loop {
            self.at = special(self.text.as_bytes(), self.at);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.escape()?;
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    /// The octets of a string that begins with NUL.
    fn binary(&self, text: &str) -> Result<Vec<u8>, DecodeError> {
        let encoded = text.strip_prefix('\0').unwrap_or(text);
        BASE64
            .decode(encoded)
            .map_err(|_| self.fail(DecodeErrorKind::Base64))
    }

    fn escape(&mut self) -> Result<char, DecodeError> {
        self.take(b'\\')?;
        let character = match self.byte() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Result<char, DecodeError> {
        let begun = self.at;
        let high = self.hex4()?;
        let code = match high {
            0xd800..=0xdbff => {
                // Half of a character: the other half must follow, and follow escaped.
                if self.byte() != Some(b'\\') {
                    return Err(DecodeErrorKind::Unicode.at(begun));
                }
                self.at += 1;
                if self.byte() != Some(b'u') {
                    return Err(DecodeErrorKind::Unicode.at(begun));
                }
                self.at += 1;
                match self.hex4()? {
                    low @ 0xdc00..=0xdfff => 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                    _ => return Err(DecodeErrorKind::Unicode.at(begun)),
                }
            }
            code => code,
        };
        char::from_u32(code).ok_or(DecodeErrorKind::Unicode.at(begun))
    }

    fn hex4(&mut self) -> Result<u32, DecodeError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self
                .byte()
                .and_then(|byte| char::from(byte).to_digit(16))
                .ok_or_else(|| self.unexpected())?;
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// A number: an integer if it is written as one, and exact; the nearest double otherwise.
    fn number(&mut self) -> Result<Token<'a>, DecodeError> {
        let from = self.at;
        let negative = self.byte() == Some(b'-');
        if negative {
            self.at += 1;
        }
        let mut magnitude = 0_u64;
        let mut fits = true;
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => {
                while let Some(digit @ b'0'..=b'9') = self.byte() {
                    match magnitude
                        .checked_mul(10)
                        .and_then(|tens| tens.checked_add(u64::from(digit - b'0')))
                    {
                        Some(sum) => magnitude = sum,
                        None => fits = false,
                    }
                    self.at += 1;
                }
            }
            _ => return Err(self.unexpected()),
        }
        if !matches!(self.byte(), Some(b'.' | b'e' | b'E')) {
            let integer = match (fits, negative) {
                (false, _) => None,
                (true, false) => Some(match i64::try_from(magnitude) {
                    Ok(value) => Token::Int(value),
                    Err(_) => Token::Uint(magnitude),
                }),
                (true, true) => 0_i64.checked_sub_unsigned(magnitude).map(Token::Int),
            };
            return integer.ok_or(DecodeErrorKind::NumberRange.at(from));
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        match self.slice(from, self.at).parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Token::Float(value)),
            _ => Err(DecodeErrorKind::NumberRange.at(from)),
        }
    }

    fn digits(&mut self) -> Result<(), DecodeError> {
        if !matches!(self.byte(), Some(b'0'..=b'9')) {
            return Err(self.unexpected());
        }
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        Ok(())
    }

    /// A slice between two quotes, escapes or ends of numbers: all of them ASCII, so that both
    /// ends are boundaries of characters.
    fn slice(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }
}

impl<'a> Reader<'a> for JsonReader<'a> {
    fn format(&self) -> Format {
        Format::Json
    }

    fn peek(&mut self) -> Result<Peek, DecodeError> {
        self.make_ready()?;
        Ok(match self.byte() {
            Some(b'[') => Peek::List,
            Some(b'{') => Peek::Dict,
            Some(b']') => Peek::End,
            Some(_) => Peek::Scalar,
            None => return Err(self.fail(DecodeErrorKind::Truncated)),
        })
    }

    fn token(&mut self) -> Result<Token<'a>, DecodeError> {
        self.make_ready()?;
        self.ready = false;
        let Some(byte) = self.byte() else {
            return Err(self.fail(DecodeErrorKind::Truncated));
        };
        if byte == b']' {
            return match self.open.last() {
                Some(Frame { dict: false, .. }) => {
                    self.open.pop();
                    self.at += 1;
                    Ok(Token::End)
                }
                _ => Err(self.fail(DecodeErrorKind::Syntax)),
            };
        }
        self.items_left = self
            .items_left
            .checked_sub(1)
            .ok_or(self.fail(DecodeErrorKind::TooManyItems))?;
        match byte {
            b'"' if self.skimming => self.skip_string().map(|()| Token::Null),
            b'"' => {
                let text = self.string()?;
                if text.starts_with('\0') {
                    return self.binary(&text).map(|octets| Token::Bytes(octets.into()));
                }
                Ok(Token::Str(text))
            }
            b'[' => self.push(false).map(|()| Token::List(None)),
            b'{' => self.push(true).map(|()| Token::Dict(None)),
            b't' => self.word("true").map(|()| Token::Bool(true)),
            b'f' => self.word("false").map(|()| Token::Bool(false)),
            b'n' => self.word("null").map(|()| Token::Null),
            _ => self.number(),
        }
    }

    fn key(&mut self) -> Result<Option<Cow<'a, str>>, DecodeError> {
        self.space();
        let Some(frame) = self.open.last_mut() else {
            return Err(self.fail(DecodeErrorKind::Syntax));
        };
        let first = std::mem::replace(&mut frame.first, false);
        if self.byte() == Some(b'}') {
            self.open.pop();
            self.at += 1;
            return Ok(None);
        }
        if !first {
            self.take(b',')?;
            self.space();
        }
        let from = self.at;
        let key = if self.skimming {
            // Nobody looks at it; only that it is a text, and not binary.
            self.skip_string()?;
            let raw = self.slice(from, self.at);
            if raw
                .get(1..)
                .is_some_and(|raw| raw.starts_with(BINARY_ESCAPE))
            {
                return Err(DecodeErrorKind::KeyNotString.at(from));
            }
            Cow::Borrowed(raw)
        } else {
            let key = self.string()?;
            if key.starts_with('\0') {
                return Err(DecodeErrorKind::KeyNotString.at(from));
            }
            key
        };
        self.space();
        self.take(b':')?;
        Ok(Some(key))
    }

    fn offset(&mut self) -> Result<usize, DecodeError> {
        if self.open.is_empty() && self.done && !self.ready {
            return Ok(self.at);
        }
        if matches!(self.open.last(), Some(Frame { dict: true, .. })) {
            self.space();
            return Ok(self.at);
        }
        self.make_ready()?;
        Ok(self.at)
    }

    fn between(&self, from: usize) -> &'a [u8] {
        self.slice(from, self.at).as_bytes()
    }

    fn skim(&mut self, on: bool) {
        self.skimming = on;
    }

    fn finish(&mut self) -> Result<(), DecodeError> {
        self.space();
        match self.byte() {
            None => Ok(()),
            Some(_) => Err(self.fail(DecodeErrorKind::Trailing)),
        }
    }
}
