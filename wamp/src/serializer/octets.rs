//! A cursor over received octets, for the binary formats: every step is checked, none panics.

use crate::error::{DecodeError, DecodeErrorKind};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Octets<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Octets<'a> {
    pub(crate) fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn left(&self) -> usize {
        self.octets.len().saturating_sub(self.at)
    }

    pub(crate) fn fail(&self, kind: DecodeErrorKind) -> DecodeError {
        kind.at(self.at)
    }

    pub(crate) fn peek(&self) -> Result<u8, DecodeError> {
        self.octets
            .get(self.at)
            .copied()
            .ok_or(self.fail(DecodeErrorKind::Truncated))
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let taken = self
            .octets
            .get(self.at..)
            .and_then(|rest| rest.get(..len))
            .ok_or(self.fail(DecodeErrorKind::Truncated))?;
        self.at += len;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let array = self
            .octets
            .get(self.at..)
            .and_then(<[u8]>::first_chunk)
            .ok_or(self.fail(DecodeErrorKind::Truncated))?;
        self.at += N;
        Ok(*array)
    }

    pub(crate) fn str(&mut self, len: usize) -> Result<&'a str, DecodeError> {
        let from = self.at;
        let octets = self.take(len)?;
        std::str::from_utf8(octets)
            .map_err(|error| DecodeErrorKind::Unicode.at(from + error.valid_up_to()))
    }

    pub(crate) fn between(&self, from: usize) -> &'a [u8] {
        self.octets.get(from..self.at).unwrap_or_default()
    }

    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.left() == 0 {
            Ok(())
        } else {
            Err(self.fail(DecodeErrorKind::Trailing))
        }
    }
}
