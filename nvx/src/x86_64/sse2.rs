//! 16 lanes with the instructions every x86-64 CPU has.

use core::arch::x86_64::*;

use crate::dispatch::Raw;
use crate::generic::validate::{Masked, Plain};
use crate::generic::{ascii, mask as masking};
use crate::utf8::{State, Verdict};
use crate::vector::Vector;

pub(crate) const RAW: Raw = Raw {
    mask,
    validate,
    mask_validate,
};

impl Vector for __m128i {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn load(source: *const u8) -> Self {
        // SAFETY: the caller promises 16 readable octets.
        unsafe { _mm_loadu_si128(source.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut u8) {
        // SAFETY: the caller promises 16 writable octets.
        unsafe { _mm_storeu_si128(target.cast(), self) }
    }

    #[inline(always)]
    unsafe fn repeat(key: [u8; 4]) -> Self {
        // SAFETY: SSE2 is always there.
        unsafe { _mm_set1_epi32(i32::from_ne_bytes(key)) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: SSE2 is always there.
        unsafe { _mm_xor_si128(self, other) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: SSE2 is always there.
        unsafe { _mm_or_si128(self, other) }
    }

    #[inline(always)]
    unsafe fn is_ascii(self) -> bool {
        // SAFETY: SSE2 is always there.
        unsafe { _mm_movemask_epi8(self) == 0 }
    }
}

/// Entry of the table; see `Raw::mask`.
unsafe fn mask(source: *const u8, target: *mut u8, len: usize, key: [u8; 4]) {
    // SAFETY: the caller's promise is the one asked for; SSE2 is always there.
    unsafe { masking::mask::<__m128i, __m128i>(source, target, len, key) }
}

/// Entry of the table; see `Raw::validate`.
unsafe fn validate(source: *const u8, len: usize, state: State) -> Verdict {
    // SAFETY: the feed is as long as the caller says; SSE2 is always there.
    unsafe { ascii::validate::<__m128i, _>(Plain(source), len, state, |_| ()) }
}

/// Entry of the table; see `Raw::mask_validate`.
unsafe fn mask_validate(
    source: *const u8,
    target: *mut u8,
    len: usize,
    key: [u8; 4],
    state: State,
) -> Verdict {
    // SAFETY: the feed is as long as the caller says; SSE2 is always there. The
    // rest begins at a multiple of 64 octets, where the key is in phase.
    unsafe {
        let feed = Masked::<__m128i>::new(source, target, key);
        ascii::validate::<__m128i, _>(feed, len, state, |at| {
            masking::short::<__m128i, false>(source.add(at), target.add(at), len - at, key);
        })
    }
}
