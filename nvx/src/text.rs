//! Validated text as a type: what these functions return as `str` was checked
//! in the same pass that wrote it.
//!
//! Whoever receives text in pieces would otherwise have to look at every octet
//! twice, or to claim without proof that it is UTF-8. Here the claim sits next
//! to the check.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use crate::{InvalidAt, Utf8, mask_validate};

/// Unmasks `data` where it lies and returns it as text.
///
/// # Errors
/// [`InvalidAt`] with the index of the first octet that cannot be UTF-8; the
/// length of `data` when it ends inside a character. The content of `data` is
/// then unspecified.
///
/// ```
/// let mut payload = *b"\x00\x01\x02";
/// assert_eq!(wirebahn_nvx::mask_validate_str(&mut payload, *b"abcd"), Ok("aca"));
/// ```
#[inline]
pub fn mask_validate_str(data: &mut [u8], key: [u8; 4]) -> Result<&str, InvalidAt> {
    let mut utf8 = Utf8::new();
    mask_validate(data, key, &mut utf8)?;
    finish(data, utf8)
}

/// Returns `data` as text.
///
/// # Errors
/// As [`mask_validate_str`].
#[inline]
pub fn validate_str(data: &[u8]) -> Result<&str, InvalidAt> {
    let mut utf8 = Utf8::new();
    utf8.validate(data)?;
    finish(data, utf8)
}

/// The text of `data`, all of which the fresh validator `utf8` has just taken.
#[inline]
fn finish(data: &[u8], utf8: Utf8) -> Result<&str, InvalidAt> {
    if !utf8.is_boundary() {
        return Err(InvalidAt { index: data.len() });
    }
    // SAFETY: both callers hand over all of `data` after a validator that
    // started fresh took every octet of it without an error, and it stands on
    // a boundary: `data` is whole UTF-8.
    Ok(unsafe { core::str::from_utf8_unchecked(data) })
}

/// Octets gathered from masked pieces, which know whether they are text.
///
/// ```
/// use wirebahn_nvx::Buffer;
///
/// let mut buffer = Buffer::new();
/// buffer.extend_text(b"gr\xc3", None)?;
/// assert_eq!(buffer.as_str(), None); // ends inside a character
/// buffer.extend_text(b"\xbc\xc3\x9f", None)?;
/// assert_eq!(buffer.as_str(), Some("grüß"));
/// # Ok::<(), wirebahn_nvx::InvalidAt>(())
/// ```
#[cfg(feature = "alloc")]
#[derive(Debug, Default)]
pub struct Buffer {
    /// While `text` is set, all of it went through `utf8`, in order, from a
    /// fresh start, without an error.
    octets: Vec<u8>,
    utf8: Utf8,
    /// Cleared by the first octets that came unchecked, and by an error.
    unchecked: bool,
}

#[cfg(feature = "alloc")]
impl Buffer {
    /// An empty buffer that owns nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            octets: Vec::new(),
            utf8: Utf8::new(),
            unchecked: false,
        }
    }

    /// Appends text, unmasked if it has a key, and returns the key as the next
    /// piece needs it.
    ///
    /// # Errors
    /// [`InvalidAt`] with the index in `source` of the first octet that cannot
    /// be UTF-8 after what the buffer holds. The buffer is no text any more.
    pub fn extend_text(
        &mut self,
        source: &[u8],
        key: Option<[u8; 4]>,
    ) -> Result<Option<[u8; 4]>, InvalidAt> {
        let result = match key {
            Some(key) => {
                crate::mask_validate_extend(&mut self.octets, source, key, &mut self.utf8).map(Some)
            }
            None => {
                self.octets.extend_from_slice(source);
                self.utf8.validate(source).map(|()| None)
            }
        };
        self.unchecked |= result.is_err();
        result
    }

    /// Appends octets, unmasked if they have a key, and returns the key as the
    /// next piece needs it. The buffer is no text any more.
    pub fn extend_bytes(&mut self, source: &[u8], key: Option<[u8; 4]>) -> Option<[u8; 4]> {
        self.unchecked = true;
        match key {
            Some(key) => Some(crate::mask_extend(&mut self.octets, source, key)),
            None => {
                self.octets.extend_from_slice(source);
                None
            }
        }
    }

    /// The whole text; none when it ends inside a character, or when anything
    /// but text was appended since it was empty.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if self.unchecked || !self.utf8.is_boundary() {
            return None;
        }
        // SAFETY: by the invariant of `octets`, and the validator stands on a
        // boundary.
        Some(unsafe { core::str::from_utf8_unchecked(&self.octets) })
    }

    /// All octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets
    }

    /// Octets held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Octets it has room for without growing.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.octets.capacity()
    }

    /// Empties it and keeps its memory; it is (empty) text again.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.utf8 = Utf8::new();
        self.unchecked = false;
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    const TEXT: &str = "plain, grüß, 世界, 🚋; plain again";

    #[test]
    fn text_in_two_pieces_is_text_when_it_is_whole_and_only_then() {
        for key in [None, Some([1, 2, 3, 4])] {
            let mut sent = TEXT.as_bytes().to_vec();
            if let Some(key) = key {
                crate::mask(&mut sent, key);
            }
            for cut in 0..=sent.len() {
                let mut buffer = Buffer::new();
                let key = buffer.extend_text(&sent[..cut], key).unwrap();
                assert_eq!(buffer.as_str(), TEXT.get(..cut), "{cut}");
                buffer.extend_text(&sent[cut..], key).unwrap();
                assert_eq!(buffer.as_str(), Some(TEXT));
            }
        }
    }

    #[test]
    fn octets_and_errors_end_being_text_until_cleared() {
        let mut buffer = Buffer::new();
        buffer.extend_bytes(b"abc", None);
        assert_eq!(buffer.as_str(), None);
        buffer.clear();
        assert_eq!(buffer.as_str(), Some(""));
        assert_eq!(
            buffer.extend_text(b"ok\xff", None),
            Err(InvalidAt { index: 2 })
        );
        buffer.extend_text(b"x", None).unwrap_err();
        assert_eq!(buffer.as_str(), None);
    }

    #[test]
    fn whole_slices() {
        assert_eq!(validate_str(TEXT.as_bytes()), Ok(TEXT));
        assert_eq!(
            validate_str(&TEXT.as_bytes()[..10]),
            Err(InvalidAt { index: 10 })
        );
        assert_eq!(
            mask_validate_str(&mut [0xC0 ^ 1], [1; 4]),
            Err(InvalidAt { index: 0 })
        );
    }
}
