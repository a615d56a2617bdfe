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
pub(super) const ALIGN_FROM: usize = 8;

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
        const { assert!(2 * V::LANES <= SHORT_MAX) }
        // SAFETY: the caller's promise is the one asked for.
        unsafe { short::<S, false>(source, target, len, key) };
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

/// The longest piece that [`short`] and [`short_is_ascii`] take.
pub(crate) const SHORT_MAX: usize = 128;

/// Masks a short piece without a loop: all of it is loaded, then all of it is
/// stored, half from the front and half from the back, the two overlapping in
/// the middle. So a length costs the few branches that find its class, and not
/// a mispredicted end of a loop.
///
/// With `TEXT` nothing is stored unless the outcome is ASCII; the answer says
/// whether it was. A caller who learns that it was not starts over from data
/// that nobody touched, and does not read back what was only just stored in
/// smaller parts, which stalls. Without `TEXT` the answer is always `true`.
///
/// # Safety
///
/// As for [`mask`], and `len` is at most [`SHORT_MAX`].
#[inline(always)]
pub(crate) unsafe fn short<S: Vector, const TEXT: bool>(
    source: *const u8,
    target: *mut u8,
    len: usize,
    key: [u8; 4],
) -> bool {
    const { assert!(S::LANES == 16) }
    debug_assert!(len <= SHORT_MAX);
    // SAFETY: the caller's promise is the one asked for; the length is in the
    // class of the branch.
    unsafe {
        if len < 16 {
            short_words::<TEXT>(source, target, len, key)
        } else if len <= 32 {
            two_sides::<S, 1, TEXT>(source, target, len, key)
        } else if len <= 64 {
            two_sides::<S, 2, TEXT>(source, target, len, key)
        } else {
            two_sides::<S, 4, TEXT>(source, target, len, key)
        }
    }
}

/// Masks by `N` registers from the front and `N` that end at the end.
///
/// # Safety
///
/// As for [`short`], and `len` is from `16 * N` to `32 * N`.
#[inline(always)]
unsafe fn two_sides<S: Vector, const N: usize, const TEXT: bool>(
    source: *const u8,
    target: *mut u8,
    len: usize,
    key: [u8; 4],
) -> bool {
    debug_assert!((16 * N..=32 * N).contains(&len));
    let second = len - 16 * N;
    // SAFETY: both sides are `16 * N` octets, the first from 0 and the second
    // up to `len`. All loads stand before all stores.
    unsafe {
        let front = S::repeat(key);
        let back = S::repeat(rotated(key, second));
        let mut plain = [(front, back); N];
        let mut all = front.xor(front);
        for (index, (a, b)) in plain.iter_mut().enumerate() {
            *a = S::load(source.add(16 * index)).xor(front);
            *b = S::load(source.add(second + 16 * index)).xor(back);
            if TEXT {
                all = all.or(a.or(*b));
            }
        }
        if TEXT && !all.is_ascii() {
            return false;
        }
        // From the middle outwards: where the sides overlap is where whoever
        // reads next has to wait for both stores, so these go first.
        for index in 0..N {
            let (a, b) = (plain[N - 1 - index].0, plain[index].1);
            a.store(target.add(16 * (N - 1 - index)));
            b.store(target.add(second + 16 * index));
        }
        true
    }
}

/// Whether a short slice is ASCII, all of it looked at; without a loop, as
/// [`short`].
///
/// # Safety
///
/// - The slice has at most [`SHORT_MAX`] octets.
/// - The CPU has the tier of `S`, which has 16 lanes.
#[inline(always)]
pub(crate) unsafe fn short_is_ascii<S: Vector>(bytes: &[u8]) -> bool {
    const { assert!(S::LANES == 16) }
    debug_assert!(bytes.len() <= SHORT_MAX);
    let (source, len) = (bytes.as_ptr(), bytes.len());
    // SAFETY: the slice has as many octets as the branch asks for; a register
    // ends where the slice does, or before.
    unsafe {
        if len < 16 {
            if len == 0 {
                return true;
            }
            let (low, high) = words::load_first(source, len);
            return (low | high) & HIGH == 0;
        }
        let pair = |offset: usize| {
            let back = source.add(len - 16 - offset);
            S::load(source.add(offset)).or(S::load(back))
        };
        let mut all = pair(0);
        if len > 32 {
            all = all.or(pair(16));
            if len > 64 {
                all = all.or(pair(32)).or(pair(48));
            }
        }
        all.is_ascii()
    }
}

/// Masks fewer than 16 octets by two overlapping words, or three octets.
///
/// # Safety
///
/// As for [`short`], and `len` is below 16.
#[inline(always)]
unsafe fn short_words<const TEXT: bool>(
    source: *const u8,
    target: *mut u8,
    len: usize,
    key: [u8; 4],
) -> bool {
    debug_assert!(len < 16);
    // SAFETY: each word begins at 0 or ends at `len`, which its branch has made
    // long enough; all loads stand before all stores.
    unsafe {
        if len >= 8 {
            let last = len - 8;
            let a = source.cast::<u64>().read_unaligned() ^ wide(key);
            let b = source.add(last).cast::<u64>().read_unaligned() ^ wide(rotated(key, last));
            if TEXT && (a | b) & HIGH != 0 {
                return false;
            }
            target.cast::<u64>().write_unaligned(a);
            target.add(last).cast::<u64>().write_unaligned(b);
        } else if len >= 4 {
            let last = len - 4;
            let a = source.cast::<u32>().read_unaligned() ^ u32::from_ne_bytes(key);
            let b = source.add(last).cast::<u32>().read_unaligned()
                ^ u32::from_ne_bytes(rotated(key, last));
            if TEXT && u64::from(a | b) & HIGH != 0 {
                return false;
            }
            target.cast::<u32>().write_unaligned(a);
            target.add(last).cast::<u32>().write_unaligned(b);
        } else if len > 0 {
            // First, middle and last are all there are; some may be one.
            let (middle, last) = (len / 2, len - 1);
            let a = *source ^ key[0];
            let b = *source.add(middle) ^ rotated(key, middle)[0];
            let c = *source.add(last) ^ rotated(key, last)[0];
            if TEXT && !(a | b | c).is_ascii() {
                return false;
            }
            *target = a;
            *target.add(middle) = b;
            *target.add(last) = c;
        }
        true
    }
}

/// The key twice, in the order of memory.
#[inline(always)]
fn wide(key: [u8; 4]) -> u64 {
    let [a, b, c, d] = key;
    u64::from_ne_bytes([a, b, c, d, a, b, c, d])
}
