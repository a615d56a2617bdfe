//! 64 lanes with AVX-512 F, BW, VL and VBMI.
//!
//! VBMI looks up 64 entries by the low six bits of an octet, which is finer than
//! nibbles, and shuffles across the whole register. So [`Lookup::faults`] goes
//! its own way here:
//!
//! ```text
//! due    = octet before >= C0, or two before >= E0, or three before >= F0
//! count  = due differs from "this is a continuation octet"
//! range  = the octet before begins a character, and
//!          FIRST[octet before & 63] & SECOND[this octet & 63]
//! ```
//!
//! `count` sees what is too short or too long; `range` what begins no character
//! or whose second octet is out of its range, in the high bit of a lane both.
//! The six bits tell exactly which octet it is among those that begin a
//! character (C0 to FF), and among continuation octets (80 to BF). For others
//! they tell something wrong, which does no harm: where the octet before begins
//! no character `range` is off, and where this one does not continue one that
//! does `count` is on.

use core::arch::x86_64::*;

use crate::dispatch::Raw;
use crate::generic::mask as masking;
use crate::generic::validate::{self as validation, Plain};
use crate::utf8::{State, Verdict};
use crate::vector::{Lookup, Vector};

pub(crate) const RAW: Raw = Raw {
    mask,
    validate,
    mask_validate,
};

/// One table of a register's size.
#[repr(align(64))]
struct Table([u8; 64]);

/// Lane numbers that shuffle the octets one, two or three places before: 64 and
/// above count in the register itself, below in the one before.
static BEHIND: [Table; 3] = [shift(1), shift(2), shift(3)];

const fn shift(places: u8) -> Table {
    let mut table = [0; 64];
    let mut lane = 0;
    while lane < 64 {
        table[lane] = 64 + lane as u8 - places;
        lane += 1;
    }
    Table(table)
}

/// What second octets the first must not have, one bit each.
const AFTER_E0: u8 = 1 << 0; // 80..=9F: overlong
const AFTER_ED: u8 = 1 << 1; // A0..=BF: surrogates
const AFTER_F0: u8 = 1 << 2; // 80..=8F: overlong
const AFTER_F4: u8 = 1 << 3; // 90..=BF: above U+10FFFF
const NEVER: u8 = 1 << 4; // C0, C1, F5..=FF begin nothing

static FIRST: Table = {
    let mut table = [0; 64];
    table[0xC0 & 63] = NEVER;
    table[0xC1 & 63] = NEVER;
    table[0xE0 & 63] = AFTER_E0;
    table[0xED & 63] = AFTER_ED;
    table[0xF0 & 63] = AFTER_F0;
    table[0xF4 & 63] = AFTER_F4;
    let mut octet = 0xF5;
    while octet <= 0xFF {
        table[octet & 63] = NEVER;
        octet += 1;
    }
    Table(table)
};

static SECOND: Table = {
    let mut table = [NEVER; 64];
    let mut octet = 0x80;
    while octet <= 0xBF {
        table[octet & 63] |= match octet {
            0x80..=0x8F => AFTER_E0 | AFTER_F0,
            0x90..=0x9F => AFTER_E0 | AFTER_F4,
            _ => AFTER_ED | AFTER_F4,
        };
        octet += 1;
    }
    Table(table)
};

impl Vector for __m512i {
    const LANES: usize = 64;

    #[inline(always)]
    unsafe fn load(source: *const u8) -> Self {
        // SAFETY: the caller promises 64 readable octets, and the tier.
        unsafe { _mm512_loadu_si512(source.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut u8) {
        // SAFETY: the caller promises 64 writable octets, and the tier.
        unsafe { _mm512_storeu_si512(target.cast(), self) }
    }

    #[inline(always)]
    unsafe fn repeat(key: [u8; 4]) -> Self {
        // SAFETY: the caller promises the tier.
        unsafe { _mm512_set1_epi32(i32::from_ne_bytes(key)) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: the caller promises the tier.
        unsafe { _mm512_xor_si512(self, other) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: the caller promises the tier.
        unsafe { _mm512_or_si512(self, other) }
    }

    #[inline(always)]
    unsafe fn is_ascii(self) -> bool {
        // SAFETY: the caller promises the tier.
        unsafe { _mm512_movepi8_mask(self) == 0 }
    }
}

impl Lookup for __m512i {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the caller promises the tier.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn last(octet: u8) -> Self {
        // SAFETY: the caller promises the tier.
        unsafe { _mm512_maskz_set1_epi8(1 << 63, octet.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn faults(self, before: Self) -> Self {
        // SAFETY: the caller promises the tier; the tables are of a register's
        // size.
        unsafe {
            let behind = |places: &Table| {
                _mm512_permutex2var_epi8(before, Self::load(places.0.as_ptr()), self)
            };
            let splat = |octet: u8| _mm512_set1_epi8(octet.cast_signed());
            let [one, two, three] = &BEHIND;
            let (one, two, three) = (behind(one), behind(two), behind(three));
            // The high bit stays where the octet is at least C0, E0, F0.
            let begins = _mm512_subs_epu8(one, splat(0xC0 - 0x80));
            let two = _mm512_subs_epu8(two, splat(0xE0 - 0x80));
            let three = _mm512_subs_epu8(three, splat(0xF0 - 0x80));
            let due = _mm512_or_si512(begins, _mm512_or_si512(two, three));
            // Doubling moves bit 6 to bit 7: high and not that is 10xxxxxx.
            let doubled = _mm512_add_epi8(self, self);
            let count = _mm512_xor_si512(due, _mm512_andnot_si512(doubled, self));
            let first = _mm512_permutexvar_epi8(one, Self::load(FIRST.0.as_ptr()));
            let second = _mm512_permutexvar_epi8(self, Self::load(SECOND.0.as_ptr()));
            // What is left is at most 1F: adding 7F carries it to the high bit.
            let range = _mm512_and_si512(first, second);
            let range = _mm512_add_epi8(range, splat(0x7F));
            _mm512_or_si512(_mm512_and_si512(range, begins), count)
        }
    }

    #[inline(always)]
    unsafe fn ignore_first_three(self) -> Self {
        // SAFETY: the caller promises the tier.
        unsafe { _mm512_maskz_mov_epi8(!0b111, self) }
    }

    #[inline(always)]
    unsafe fn is_faultless(self) -> bool {
        // SAFETY: the caller promises the tier.
        unsafe { _mm512_movepi8_mask(self) == 0 }
    }

    #[inline(always)]
    unsafe fn exceeds(self, limits: *const u8) -> bool {
        // SAFETY: the caller promises the tier; there is a limit for each lane.
        unsafe { _mm512_cmpgt_epu8_mask(self, Self::load(limits)) != 0 }
    }

    #[inline(always)]
    unsafe fn load_first(source: *const u8, count: usize) -> Self {
        // SAFETY: the caller promises `count` readable octets, and the tier;
        // lanes that are off are not read.
        unsafe { _mm512_maskz_loadu_epi8(first(count), source.cast()) }
    }

    #[inline(always)]
    unsafe fn store_first(self, target: *mut u8, count: usize) {
        // SAFETY: the caller promises `count` writable octets, and the tier;
        // lanes that are off are not written.
        unsafe { _mm512_mask_storeu_epi8(target.cast(), first(count), self) }
    }

    #[inline(always)]
    unsafe fn keep_first(self, count: usize) -> Self {
        // SAFETY: the caller promises the tier.
        unsafe { _mm512_maskz_mov_epi8(first(count), self) }
    }
}

/// The first `count` lanes; `count` is below 64.
#[inline(always)]
fn first(count: usize) -> u64 {
    debug_assert!(count < 64);
    !(u64::MAX << (count & 63))
}

/// Entry of the table; see `Raw::mask`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,bmi2")]
unsafe fn mask(source: *const u8, target: *mut u8, len: usize, key: [u8; 4]) {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { masking::mask::<__m512i, __m128i>(source, target, len, key) }
}

/// Entry of the table; see `Raw::validate`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,bmi2")]
unsafe fn validate(source: *const u8, len: usize, state: State) -> Verdict {
    // SAFETY: the feed is as long as the caller says.
    unsafe {
        if len <= 16 {
            return validation::validate::<__m128i, _>(Plain(source), len, state);
        }
        validation::validate::<__m512i, _>(Plain(source), len, state)
    }
}

/// Entry of the table; see `Raw::mask_validate`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi,bmi2")]
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
        validation::mask_validate::<__m512i>(source, target, len, key, state)
    }
}
