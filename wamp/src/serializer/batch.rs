//! Several messages in one frame (Advanced Profile, "Message Batching"): JSON texts each followed
//! by a separator, others each behind its length.

use crate::error::{DecodeError, DecodeErrorKind, EncodeError};

/// What follows each JSON text of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum JsonSeparator {
    /// ASCII's record separator, 0x1e: the specification's.
    #[default]
    Record,
    /// 0x18, what octal 30 is where the text's "\30" is read as such: that of clients in use.
    Cancel,
}

impl JsonSeparator {
    pub(super) const fn octet(self) -> u8 {
        match self {
            Self::Record => 0x1e,
            Self::Cancel => 0x18,
        }
    }
}

/// The octets of each message of a frame, in order.
#[derive(Debug, Clone)]
pub struct Parts<'a>(Kind<'a>);

#[derive(Debug, Clone)]
enum Kind<'a> {
    Single(Option<&'a [u8]>),
    Separated(&'a [u8]),
    Prefixed(&'a [u8]),
}

impl<'a> Parts<'a> {
    pub(super) fn single(frame: &'a [u8]) -> Self {
        Self(Kind::Single(Some(frame)))
    }

    /// Splits after either separator: neither can stand in a JSON text.
    pub(super) fn separated(frame: &'a [u8]) -> Result<(Self, JsonSeparator), DecodeError> {
        let separator = match frame.last() {
            Some(0x1e) => JsonSeparator::Record,
            Some(0x18) => JsonSeparator::Cancel,
            _ => return Err(DecodeErrorKind::Batch.at(frame.len())),
        };
        Ok((Self(Kind::Separated(frame)), separator))
    }

    /// Splits by lengths of 32 bits, highest octet first.
    pub(super) fn prefixed(frame: &'a [u8]) -> Result<Self, DecodeError> {
        if frame.is_empty() {
            return Err(DecodeErrorKind::Batch.at(0));
        }
        let mut rest = frame;
        while !rest.is_empty() {
            rest = match split_prefixed(rest) {
                Some((_, rest)) => rest,
                None => return Err(DecodeErrorKind::Batch.at(frame.len() - rest.len())),
            };
        }
        Ok(Self(Kind::Prefixed(frame)))
    }
}

fn split_prefixed(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = frame.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match &mut self.0 {
            Kind::Single(frame) => frame.take(),
            Kind::Separated(frame) => {
                let at = memchr::memchr2(0x1e, 0x18, frame)?;
                let (part, rest) = frame.split_at_checked(at)?;
                *frame = rest.get(1..)?;
                Some(part)
            }
            Kind::Prefixed(frame) => {
                let (part, rest) = split_prefixed(frame)?;
                *frame = rest;
                Some(part)
            }
        }
    }
}

/// Appends a message behind its length; nothing when that fails.
pub(super) fn prefix(
    frame: &mut Vec<u8>,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let at = frame.len();
    frame.extend_from_slice(&[0; 4]);
    let encoded = encode(frame).and_then(|()| {
        let len = u32::try_from(frame.len() - at - 4).map_err(|_| EncodeError::TooLong)?;
        if let Some(place) = frame.get_mut(at..at + 4) {
            place.copy_from_slice(&len.to_be_bytes());
        }
        Ok(())
    });
    if encoded.is_err() {
        frame.truncate(at);
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parts: Result<Parts<'_>, DecodeError>) -> Option<Vec<&[u8]>> {
        parts.ok().map(Iterator::collect)
    }

    #[test]
    fn separated() {
        let split = |frame| parts(Parts::separated(frame).map(|(parts, _)| parts));
        assert_eq!(split(b""), None, "a batch of none is illegal");
        assert_eq!(split(b"[1]"), None, "each message ends with a separator");
        assert_eq!(split(b"[1]\x1e[2]"), None);
        assert_eq!(split(b"[1]\x1e"), Some(vec![&b"[1]"[..]]));
        assert_eq!(split(b"[1]\x18[2]\x18"), Some(vec![&b"[1]"[..], b"[2]"]));
        // A message of no octets is handed on: it is no JSON text, and ends as a violation.
        assert_eq!(split(b"\x1e"), Some(vec![&b""[..]]));
        assert_eq!(
            Parts::separated(b"[1]\x18").unwrap().1,
            JsonSeparator::Cancel
        );
    }

    #[test]
    fn prefixed() {
        let split = |frame| parts(Parts::prefixed(frame));
        assert_eq!(split(b""), None, "a batch of none is illegal");
        assert_eq!(split(b"\0\0\0"), None);
        assert_eq!(split(b"\0\0\0\x02a"), None);
        assert_eq!(split(b"\xff\xff\xff\xffa"), None);
        assert_eq!(split(b"\0\0\0\x01a\0\0"), None, "cut off after the first");
        assert_eq!(
            split(b"\0\0\0\x01a\0\0\0\x02bc"),
            Some(vec![&b"a"[..], b"bc"])
        );
    }

    #[test]
    fn a_failed_message_leaves_the_batch_as_it_was() {
        let mut frame = b"x".to_vec();
        let failed = prefix(&mut frame, |frame| {
            frame.push(1);
            Err(EncodeError::TooDeep)
        });
        assert_eq!(failed, Err(EncodeError::TooDeep));
        assert_eq!(frame, b"x");
    }
}
