//! A part of a 16-lane register, from and to memory that has no more than the
//! part: by two words that overlap, never octet by octet and never beyond.

/// The first `count` octets as the two halves of 16 lanes, and zeros.
///
/// # Safety
///
/// - `source` is readable for `count` octets; 0 < `count` < 16.
#[inline(always)]
pub(crate) unsafe fn load_first(source: *const u8, count: usize) -> (u64, u64) {
    debug_assert!(0 < count && count < 16);
    // SAFETY: each word begins at 0 or ends at `count`, which its branch has
    // made long enough. The shifts put the second behind the first, or over it
    // where they have octets in common.
    unsafe {
        if count >= 8 {
            let low = source.cast::<u64>().read_unaligned();
            let high = source.add(count - 8).cast::<u64>().read_unaligned();
            // In two shifts, because a `count` of 8 shifts by all of 64 bits.
            (
                u64::from_le(low),
                u64::from_le(high) >> (8 * (15 - count)) >> 8,
            )
        } else if count >= 4 {
            let low = u32::from_le(source.cast::<u32>().read_unaligned());
            let high = u32::from_le(source.add(count - 4).cast::<u32>().read_unaligned());
            (u64::from(low) | u64::from(high) << (8 * (count - 4)), 0)
        } else {
            // First, middle and last are all there are; some may be one.
            let (middle, last) = (count / 2, count - 1);
            let word = u64::from(*source)
                | u64::from(*source.add(middle)) << (8 * middle)
                | u64::from(*source.add(last)) << (8 * last);
            (word, 0)
        }
    }
}

/// Writes the first `count` octets of the two halves of 16 lanes.
///
/// # Safety
///
/// - `target` is writable for `count` octets; 0 < `count` < 16.
#[inline(always)]
pub(crate) unsafe fn store_first((low, high): (u64, u64), target: *mut u8, count: usize) {
    debug_assert!(0 < count && count < 16);
    // SAFETY: each word begins at 0 or ends at `count`, which its branch has
    // made long enough. Where two overlap they agree.
    unsafe {
        if count >= 8 {
            let both = u128::from(high) << 64 | u128::from(low);
            let end = (both >> (8 * (count - 8))) as u64;
            target.cast::<u64>().write_unaligned(low.to_le());
            target
                .add(count - 8)
                .cast::<u64>()
                .write_unaligned(end.to_le());
        } else if count >= 4 {
            let end = (low >> (8 * (count - 4))) as u32;
            target.cast::<u32>().write_unaligned((low as u32).to_le());
            target
                .add(count - 4)
                .cast::<u32>()
                .write_unaligned(end.to_le());
        } else {
            let (middle, last) = (count / 2, count - 1);
            *target = low as u8;
            *target.add(middle) = (low >> (8 * middle)) as u8;
            *target.add(last) = (low >> (8 * last)) as u8;
        }
    }
}

/// `LANES` octets set, `LANES` not, `N` together: a load that begins `count`
/// octets before the middle has its first `count` lanes set.
pub(crate) const fn edge<const N: usize>() -> [u8; N] {
    let mut edge = [0; N];
    let mut lane = 0;
    while lane < N / 2 {
        edge[lane] = 0xFF;
        lane += 1;
    }
    edge
}
