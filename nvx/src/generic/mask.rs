//! Masking over registers.
//!
//! The key has four octets and a register a multiple of four, so one register
//! of repeated key serves the whole way. What is left at the end is shorter than
//! a register and is done by one that ends where the data ends, overlapping what
//! was done before. In place that would mask some octets twice, so the tail is
//! loaded and masked *first* and stored *last*: the overlap is then written
//! twice with the same values. The same trick aligns the head.

use crate::mask::rotated;
use crate::vector::Vector;

use super::words;

/// The high bit of each of eight octets.
const HIGH: u64 = 0x8080_8080_8080_8080;

/// From this many registers on, the stores are aligned: one register more work,
/// and no store of the loop straddles two cache lines.
const ALIGN_FROM: usize = 8;

/// Masks `len` octets from `source` to `target`.
///
/// # Safety
///
/// - `source` is readable and `target` writable for `len` octets.
/// - The two are the same, or do not overlap.
/// - The CPU has the tiers of `V` and `S`; `S` has 16 lanes.
#[inline(always)]
pub(crate) unsafe fn mask<V: Vector, S: Vector>(
    source: *const u8,
    target: *mut u8,
    len: usize,
    key: [u8; 4],
) {
    if len < 2 * V::LANES {
        // SAFETY: the caller's promise is the one asked for.
        unsafe { short::<S>(source, target, len, key) };
        return;
    }
    let last = len - V::LANES;
    // SAFETY: every access begins at or below `last`, so it ends within `len`.
    // Loads stand before the stores that overlap them.
    unsafe {
        let repeated = V::repeat(key);
        let tail = V::load(source.add(last)).xor(V::repeat(rotated(key, last)));
        let mut repeated = repeated;
        let mut at = 0;
        if len >= ALIGN_FROM * V::LANES {
            let head = V::load(source).xor(repeated);
            at = V::LANES - target.addr() % V::LANES; // 1..=LANES
            repeated = V::repeat(rotated(key, at));
            let next = V::load(source.add(at)).xor(repeated);
            head.store(target);
            next.store(target.add(at));
            at += V::LANES;
        }
        while len - at >= 4 * V::LANES {
            let (from, to) = (source.add(at), target.add(at));
            let a = V::load(from).xor(repeated);
            let b = V::load(from.add(V::LANES)).xor(repeated);
            let c = V::load(from.add(2 * V::LANES)).xor(repeated);
            let d = V::load(from.add(3 * V::LANES)).xor(repeated);
            a.store(to);
            b.store(to.add(V::LANES));
            c.store(to.add(2 * V::LANES));
            d.store(to.add(3 * V::LANES));
            at += 4 * V::LANES;
        }
        while at < last {
            V::load(source.add(at)).xor(repeated).store(target.add(at));
            at += V::LANES;
        }
        tail.store(target.add(last));
    }
}

/// Masks a short piece by registers of 16 lanes, a shorter one by words; says
/// whether the outcome is ASCII, which costs nothing where nobody asks.
///
/// Right for any length, but made for few registers.
///
/// # Safety
///
/// As for [`mask`].
#[inline(always)]
pub(crate) unsafe fn short<S: Vector>(
    source: *const u8,
    target: *mut u8,
    len: usize,
    key: [u8; 4],
) -> bool {
    const { assert!(S::LANES == 16) }
    if len < 16 {
        // SAFETY: the caller's promise is the one asked for.
        return unsafe { short_words(source, target, len, key) };
    }
    let last = len - 16;
    // SAFETY: every access begins at or below `last`, so it ends within `len`.
    // The tail is loaded before the stores that overlap it.
    unsafe {
        let repeated = S::repeat(key);
        let tail = S::load(source.add(last)).xor(S::repeat(rotated(key, last)));
        let mut all = tail;
        let mut at = 0;
        while at < last {
            let plain = S::load(source.add(at)).xor(repeated);
            plain.store(target.add(at));
            all = all.or(plain);
            at += 16;
        }
        tail.store(target.add(last));
        all.is_ascii()
    }
}

/// Whether a short slice is ASCII, all of it looked at.
///
/// # Safety
///
/// - The CPU has the tier of `S`, which has 16 lanes.
#[inline(always)]
pub(crate) unsafe fn short_is_ascii<S: Vector>(bytes: &[u8]) -> bool {
    const { assert!(S::LANES == 16) }
    if bytes.len() < 16 {
        if bytes.is_empty() {
            return true;
        }
        // SAFETY: the slice has between 1 and 15 octets.
        let (low, high) = unsafe { words::load_first(bytes.as_ptr(), bytes.len()) };
        return (low | high) & HIGH == 0;
    }
    let last = bytes.len() - 16;
    // SAFETY: every load begins at or below `last`, so it ends within the slice.
    unsafe {
        let source = bytes.as_ptr();
        let mut all = S::load(source.add(last));
        let mut at = 0;
        while at < last {
            all = all.or(S::load(source.add(at)));
            at += 16;
        }
        all.is_ascii()
    }
}

/// Masks fewer than 16 octets by two overlapping words, or three octets; says
/// whether the outcome is ASCII.
///
/// # Safety
///
/// - `source` is readable and `target` writable for `len` octets, `len` < 16.
/// - The two are the same, or do not overlap.
#[inline(always)]
unsafe fn short_words(source: *const u8, target: *mut u8, len: usize, key: [u8; 4]) -> bool {
    debug_assert!(len < 16);
    // SAFETY: each word begins at 0 or ends at `len`, which its branch has made
    // long enough; all loads stand before all stores.
    unsafe {
        if len >= 8 {
            let last = len - 8;
            let a = source.cast::<u64>().read_unaligned() ^ wide(key);
            let b = source.add(last).cast::<u64>().read_unaligned() ^ wide(rotated(key, last));
            target.cast::<u64>().write_unaligned(a);
            target.add(last).cast::<u64>().write_unaligned(b);
            (a | b) & HIGH == 0
        } else if len >= 4 {
            let last = len - 4;
            let a = source.cast::<u32>().read_unaligned() ^ u32::from_ne_bytes(key);
            let b = source.add(last).cast::<u32>().read_unaligned()
                ^ u32::from_ne_bytes(rotated(key, last));
            target.cast::<u32>().write_unaligned(a);
            target.add(last).cast::<u32>().write_unaligned(b);
            u64::from(a | b) & HIGH == 0
        } else if len > 0 {
            // First, middle and last are all there are; some may be one.
            let (middle, last) = (len / 2, len - 1);
            let a = *source ^ key[0];
            let b = *source.add(middle) ^ rotated(key, middle)[0];
            let c = *source.add(last) ^ rotated(key, last)[0];
            *target = a;
            *target.add(middle) = b;
            *target.add(last) = c;
            (a | b | c).is_ascii()
        } else {
            true
        }
    }
}

/// The key twice, in the order of memory.
#[inline(always)]
fn wide(key: [u8; 4]) -> u64 {
    let [a, b, c, d] = key;
    u64::from_ne_bytes([a, b, c, d, a, b, c, d])
}
