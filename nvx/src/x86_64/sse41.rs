//! 16 lanes with SSSE3 and SSE4.1: the registers of `sse2`, and look-up.

use core::arch::x86_64::*;

use crate::dispatch::Raw;
use crate::generic::validate::{self as validation, Plain};
use crate::generic::{mask as masking, nibbles, words};
use crate::utf8::{State, Verdict};
use crate::vector::{Lookup, Nibbles, Vector};

pub(crate) const RAW: Raw = Raw {
    mask,
    validate,
    mask_validate,
};

static EDGE: [u8; 32] = words::edge();

impl Nibbles for __m128i {
    #[inline(always)]
    unsafe fn behind(self, before: Self) -> [Self; 3] {
        // SAFETY: the caller promises SSE4.1.
        unsafe {
            [
                _mm_alignr_epi8::<15>(self, before),
                _mm_alignr_epi8::<14>(self, before),
                _mm_alignr_epi8::<13>(self, before),
            ]
        }
    }

    #[inline(always)]
    unsafe fn high(self) -> Self {
        // SAFETY: the caller promises SSE4.1.
        unsafe { _mm_and_si128(_mm_srli_epi16::<4>(self), _mm_set1_epi8(0x0F)) }
    }

    #[inline(always)]
    unsafe fn low(self) -> Self {
        // SAFETY: the caller promises SSE4.1.
        unsafe { _mm_and_si128(self, _mm_set1_epi8(0x0F)) }
    }

    #[inline(always)]
    unsafe fn pick(self, table: &[u8; 16]) -> Self {
        // SAFETY: the caller promises SSE4.1; the table has 16 octets.
        unsafe { _mm_shuffle_epi8(_mm_loadu_si128(table.as_ptr().cast()), self) }
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: the caller promises SSE4.1.
        unsafe { _mm_and_si128(self, other) }
    }

    #[inline(always)]
    unsafe fn less(self, octet: u8) -> Self {
        // SAFETY: the caller promises SSE4.1.
        unsafe { _mm_subs_epu8(self, Self::splat(octet)) }
    }

    #[inline(always)]
    unsafe fn splat(octet: u8) -> Self {
        // SAFETY: the caller promises SSE4.1.
        unsafe { _mm_set1_epi8(octet.cast_signed()) }
    }
}

impl Lookup for __m128i {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller promises SSE4.1.
        unsafe { _mm_setzero_si128() }
    }

    #[inline(always)]
    unsafe fn last(octet: u8) -> Self {
        // SAFETY: the caller promises SSE4.1.
        unsafe { _mm_slli_si128::<15>(_mm_cvtsi32_si128(i32::from(octet))) }
    }

    #[inline(always)]
    unsafe fn faults(self, before: Self) -> Self {
        // SAFETY: the caller promises SSE4.1.
        unsafe { nibbles::faults(self, before) }
    }

    #[inline(always)]
    unsafe fn ignore_first_three(self) -> Self {
        // SAFETY: the caller promises SSE4.1.
        unsafe { _mm_insert_epi8::<2>(_mm_insert_epi16::<0>(self, 0), 0) }
    }

    #[inline(always)]
    unsafe fn is_faultless(self) -> bool {
        // SAFETY: the caller promises SSE4.1.
        unsafe { _mm_testz_si128(self, self) == 1 }
    }

    #[inline(always)]
    unsafe fn exceeds(self, limits: *const u8) -> bool {
        // SAFETY: the caller promises SSE4.1; there is a limit for each lane.
        unsafe { !_mm_subs_epu8(self, Self::load(limits)).is_faultless() }
    }

    #[inline(always)]
    unsafe fn load_first(source: *const u8, count: usize) -> Self {
        // SAFETY: the caller's promise is the one asked for.
        unsafe {
            let (low, high) = words::load_first(source, count);
            _mm_set_epi64x(high.cast_signed(), low.cast_signed())
        }
    }

    #[inline(always)]
    unsafe fn store_first(self, target: *mut u8, count: usize) {
        // SAFETY: the caller's promise is the one asked for, and SSE4.1.
        unsafe {
            let low = _mm_cvtsi128_si64(self).cast_unsigned();
            let high = _mm_extract_epi64::<1>(self).cast_unsigned();
            words::store_first((low, high), target, count);
        }
    }

    #[inline(always)]
    unsafe fn keep_first(self, count: usize) -> Self {
        // SAFETY: `count` is below 16, so 16 octets from `16 - count` on are in
        // the table.
        unsafe { _mm_and_si128(self, Self::load(EDGE.as_ptr().add(16 - count))) }
    }
}

/// Entry of the table; see `Raw::mask`.
#[target_feature(enable = "ssse3,sse4.1")]
unsafe fn mask(source: *const u8, target: *mut u8, len: usize, key: [u8; 4]) {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { masking::mask::<__m128i, __m128i>(source, target, len, key) }
}

/// Entry of the table; see `Raw::validate`.
#[target_feature(enable = "ssse3,sse4.1")]
unsafe fn validate(source: *const u8, len: usize, state: State) -> Verdict {
    // SAFETY: the feed is as long as the caller says.
    unsafe { validation::validate::<__m128i, _>(Plain(source), len, state) }
}

/// Entry of the table; see `Raw::mask_validate`.
#[target_feature(enable = "ssse3,sse4.1")]
unsafe fn mask_validate(
    source: *const u8,
    target: *mut u8,
    len: usize,
    key: [u8; 4],
    state: State,
) -> Verdict {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { validation::mask_validate::<__m128i>(source, target, len, key, state) }
}
