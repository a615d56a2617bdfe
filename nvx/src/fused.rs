//! Unmasking and validation in one pass over registers.
//!
//! Joins what the `mask` and `utf8` modules promise; has no rules of its own
//! but what is left behind when the text turns out bad.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use crate::dispatch;
use crate::mask::rotated;
use crate::utf8::{InvalidAt, Utf8};

/// Unmasks `data` in place and validates the outcome; returns the key for what
/// comes next, as [`mask`](crate::mask) does.
///
/// The next piece of the same text continues with the same `utf8`, be it of
/// this frame (with the key returned) or of the next (with a key of its own).
///
/// # Errors
///
/// [`InvalidAt`] as from [`Utf8::validate`]. The octets before the failing one
/// are unmasked then; what stands from it on is unspecified.
///
/// ```
/// use wirebahn_nvx::{Utf8, mask_validate};
///
/// let mut data = [b'a' ^ 1, 0xC0 ^ 2, b'b' ^ 3];
/// let error = mask_validate(&mut data, [1, 2, 3, 4], &mut Utf8::new()).unwrap_err();
/// assert_eq!(error.index, 1); // no character begins with C0
/// ```
#[inline]
pub fn mask_validate(data: &mut [u8], key: [u8; 4], utf8: &mut Utf8) -> Result<[u8; 4], InvalidAt> {
    let target = data.as_mut_ptr();
    // SAFETY: one slice is source and target, so both are good for its length.
    let verdict = unsafe { dispatch::mask_validate(target, target, data.len(), key, utf8.state()) };
    utf8.settle(verdict)?;
    Ok(rotated(key, data.len()))
}

/// Unmasks `source` onto the end of `target` and validates what was appended;
/// returns the key for what comes next, as [`mask`](crate::mask) does.
///
/// # Errors
///
/// [`InvalidAt`] as from [`Utf8::validate`], with an index into `source`. The
/// length of `target` is then what it was before the call.
///
/// # Panics
///
/// As [`Vec::reserve`] does, if the capacity would exceed `isize::MAX` octets.
///
/// ```
/// use wirebahn_nvx::{Utf8, mask_validate_extend};
///
/// let mut text = Vec::new();
/// let mut utf8 = Utf8::new();
/// mask_validate_extend(&mut text, b"sglu", [1, 2, 3, 4], &mut utf8)?;
/// assert_eq!(text, b"reoq");
/// # Ok::<(), wirebahn_nvx::InvalidAt>(())
/// ```
#[cfg(feature = "alloc")]
#[inline]
pub fn mask_validate_extend(
    target: &mut Vec<u8>,
    source: &[u8],
    key: [u8; 4],
    utf8: &mut Utf8,
) -> Result<[u8; 4], InvalidAt> {
    target.reserve(source.len());
    // SAFETY: `reserve` made room for the length behind what the vector holds,
    // and that room belongs to the vector alone, so `source` is not in it.
    let verdict = unsafe {
        let end = target.as_mut_ptr().add(target.len());
        dispatch::mask_validate(source.as_ptr(), end, source.len(), key, utf8.state())
    };
    utf8.settle(verdict)?;
    // SAFETY: a kernel that finds the text valid has written all of it, within
    // the room reserved.
    unsafe { target.set_len(target.len() + source.len()) };
    Ok(rotated(key, source.len()))
}
