//! 32 lanes with AVX2. Instructions that shuffle do so within each half, so the
//! halves are put side by side first where an octet must cross.

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

static EDGE: [u8; 64] = words::edge();

impl Vector for __m256i {
    const LANES: usize = 32;

    #[inline(always)]
    unsafe fn load(source: *const u8) -> Self {
        // SAFETY: the caller promises 32 readable octets, and AVX2.
        unsafe { _mm256_loadu_si256(source.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut u8) {
        // SAFETY: the caller promises 32 writable octets, and AVX2.
        unsafe { _mm256_storeu_si256(target.cast(), self) }
    }

    #[inline(always)]
    unsafe fn repeat(key: [u8; 4]) -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_set1_epi32(i32::from_ne_bytes(key)) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_xor_si256(self, other) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_or_si256(self, other) }
    }

    #[inline(always)]
    unsafe fn is_ascii(self) -> bool {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_movemask_epi8(self) == 0 }
    }
}

impl Nibbles for __m256i {
    #[inline(always)]
    unsafe fn behind(self, before: Self) -> [Self; 3] {
        // SAFETY: the caller promises AVX2.
        unsafe {
            // The half before each half: the upper of `before`, our lower.
            let halves = _mm256_permute2x128_si256::<0x21>(before, self);
            [
                _mm256_alignr_epi8::<15>(self, halves),
                _mm256_alignr_epi8::<14>(self, halves),
                _mm256_alignr_epi8::<13>(self, halves),
            ]
        }
    }

    #[inline(always)]
    unsafe fn high(self) -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_and_si256(_mm256_srli_epi16::<4>(self), _mm256_set1_epi8(0x0F)) }
    }

    #[inline(always)]
    unsafe fn low(self) -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_and_si256(self, _mm256_set1_epi8(0x0F)) }
    }

    #[inline(always)]
    unsafe fn pick(self, table: &[u8; 16]) -> Self {
        // SAFETY: the caller promises AVX2; the table has 16 octets.
        unsafe {
            let table = _mm_loadu_si128(table.as_ptr().cast());
            _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), self)
        }
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_and_si256(self, other) }
    }

    #[inline(always)]
    unsafe fn less(self, octet: u8) -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_subs_epu8(self, Self::splat(octet)) }
    }

    #[inline(always)]
    unsafe fn splat(octet: u8) -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_set1_epi8(octet.cast_signed()) }
    }
}

impl Lookup for __m256i {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn last(octet: u8) -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_set_m128i(__m128i::last(octet), _mm_setzero_si128()) }
    }

    #[inline(always)]
    unsafe fn faults(self, before: Self) -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { nibbles::faults(self, before) }
    }

    #[inline(always)]
    unsafe fn ignore_first_three(self) -> Self {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_insert_epi8::<2>(_mm256_insert_epi16::<0>(self, 0), 0) }
    }

    #[inline(always)]
    unsafe fn is_faultless(self) -> bool {
        // SAFETY: the caller promises AVX2.
        unsafe { _mm256_testz_si256(self, self) == 1 }
    }

    #[inline(always)]
    unsafe fn exceeds(self, limits: *const u8) -> bool {
        // SAFETY: the caller promises AVX2; there is a limit for each lane.
        unsafe { !_mm256_subs_epu8(self, Self::load(limits)).is_faultless() }
    }

    #[inline(always)]
    unsafe fn load_first(source: *const u8, count: usize) -> Self {
        // SAFETY: the halves are asked for no more than `count` octets, and
        // `__m128i::load_first` only for 1 to 15.
        unsafe {
            if count < 16 {
                return _mm256_zextsi128_si256(__m128i::load_first(source, count));
            }
            let low = __m128i::load(source);
            if count == 16 {
                return _mm256_zextsi128_si256(low);
            }
            _mm256_set_m128i(__m128i::load_first(source.add(16), count - 16), low)
        }
    }

    #[inline(always)]
    unsafe fn store_first(self, target: *mut u8, count: usize) {
        // SAFETY: as for loading.
        unsafe {
            let low = _mm256_castsi256_si128(self);
            if count < 16 {
                low.store_first(target, count);
                return;
            }
            low.store(target);
            if count > 16 {
                let high = _mm256_extracti128_si256::<1>(self);
                high.store_first(target.add(16), count - 16);
            }
        }
    }

    #[inline(always)]
    unsafe fn keep_first(self, count: usize) -> Self {
        // SAFETY: `count` is below 32, so 32 octets from `32 - count` on are in
        // the table.
        unsafe { _mm256_and_si256(self, Self::load(EDGE.as_ptr().add(32 - count))) }
    }
}

/// Entry of the table; see `Raw::mask`.
#[target_feature(enable = "avx2")]
unsafe fn mask(source: *const u8, target: *mut u8, len: usize, key: [u8; 4]) {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { masking::mask::<__m256i, __m128i>(source, target, len, key) }
}

/// Entry of the table; see `Raw::validate`.
#[target_feature(enable = "avx2")]
unsafe fn validate(source: *const u8, len: usize, state: State) -> Verdict {
    // SAFETY: the feed is as long as the caller says.
    unsafe {
        if len <= 16 {
            return validation::validate::<__m128i, _>(Plain(source), len, state);
        }
        validation::validate::<__m256i, _>(Plain(source), len, state)
    }
}

/// Entry of the table; see `Raw::mask_validate`.
#[target_feature(enable = "avx2")]
unsafe fn mask_validate(
    source: *const u8,
    target: *mut u8,
    len: usize,
    key: [u8; 4],
    state: State,
) -> Verdict {
    // SAFETY: the caller's promise is the one asked for.
    unsafe {
        if len <= 16 {
            // What is stored by small parts is soon read by small parts.
            return validation::mask_validate::<__m128i>(source, target, len, key, state);
        }
        validation::mask_validate::<__m256i>(source, target, len, key, state)
    }
}
