//! Masking: the exclusive or of RFC 6455 section 5.3, at any phase of the key.
//!
//! Masking and unmasking are one operation. The room knows nothing of UTF-8;
//! where both are wanted in one pass see the `fused` module.

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

use crate::dispatch;

/// Masks or unmasks `data` in place; returns the key for what comes next.
///
/// Octet `i` is combined with `key[i % 4]` (RFC 6455 section 5.3). The key that
/// comes back is `key` rotated left by `data.len() % 4` octets, so that the next
/// piece of the same frame continues where this one ended. A piece of no octets
/// returns the key as it was.
///
/// ```
/// let mut frame = *b"two pieces";
/// let (first, second) = frame.split_at_mut(3);
/// let key = wirebahn_nvx::mask(first, [1, 2, 3, 4]);
/// assert_eq!(key, [4, 1, 2, 3]);
/// wirebahn_nvx::mask(second, key);
///
/// let mut whole = *b"two pieces";
/// wirebahn_nvx::mask(&mut whole, [1, 2, 3, 4]);
/// assert_eq!(frame, whole);
/// ```
#[inline]
pub fn mask(data: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    let target = data.as_mut_ptr();
    // SAFETY: one slice is source and target, so both are good for its length.
    unsafe { dispatch::mask(target, target, data.len(), key) };
    rotated(key, data.len())
}

/// Masks or unmasks `source` into `target`; returns the key for what comes
/// next, as [`mask`] does.
///
/// # Panics
///
/// If the two differ in length: there is no good answer to half a copy.
///
/// ```
/// let mut target = [0; 4];
/// wirebahn_nvx::mask_copy(b"\x01\x02\x03\x04", &mut target, [1, 2, 3, 5]);
/// assert_eq!(target, [0, 0, 0, 1]);
/// ```
#[inline]
pub fn mask_copy(source: &[u8], target: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    assert_eq!(
        source.len(),
        target.len(),
        "source and target of a masking copy must be of one length"
    );
    // SAFETY: both slices are good for the length, and a `&mut` overlaps with
    // nothing.
    unsafe { dispatch::mask(source.as_ptr(), target.as_mut_ptr(), source.len(), key) };
    rotated(key, source.len())
}

/// Masks or unmasks `source` onto the end of `target`; returns the key for what
/// comes next, as [`mask`] does.
///
/// What is appended is written once: nothing is zeroed first.
///
/// # Panics
///
/// As [`Vec::reserve`] does, if the capacity would exceed `isize::MAX` octets.
///
/// ```
/// let mut assembled = b"head ".to_vec();
/// let key = wirebahn_nvx::mask_extend(&mut assembled, b"uckm", [1, 2, 3, 4]);
/// assert_eq!(assembled, b"head tahi");
/// assert_eq!(key, [1, 2, 3, 4]);
/// ```
#[cfg(feature = "alloc")]
#[inline]
pub fn mask_extend(target: &mut Vec<u8>, source: &[u8], key: [u8; 4]) -> [u8; 4] {
    target.reserve(source.len());
    // SAFETY: `reserve` made room for the length behind what the vector holds;
    // that room belongs to the vector alone, so `source` is not in it; and the
    // kernel writes every octet of it before the length says so.
    unsafe {
        let end = target.as_mut_ptr().add(target.len());
        dispatch::mask(source.as_ptr(), end, source.len(), key);
        target.set_len(target.len() + source.len());
    }
    rotated(key, source.len())
}

/// The key as it applies `len` octets further on.
#[inline]
pub(crate) const fn rotated(key: [u8; 4], len: usize) -> [u8; 4] {
    let bits = (len & 3) as u32 * 8;
    u32::from_le_bytes(key).rotate_right(bits).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up_to_the_whole() {
        let key = [0xDE, 0xAD, 0xBE, 0xEF];
        let plain: Vec<u8> = (0..200).collect();
        let whole: Vec<u8> = (0..200).map(|i| i as u8 ^ key[i % 4]).collect();
        for split in 0..=plain.len() {
            let mut data = plain.clone();
            let (first, second) = data.split_at_mut(split);
            let key = mask(first, key);
            mask(second, key);
            assert_eq!(data, whole, "{split}");
        }
        let mut target = vec![0; 200];
        assert_eq!(mask_copy(&plain, &mut target, key), key);
        assert_eq!(target, whole);
        target.truncate(3);
        assert_eq!(mask_extend(&mut target, &plain, key), key);
        assert_eq!(target[3..], whole);
    }
}
