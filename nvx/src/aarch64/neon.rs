//! 16 lanes with NEON.

use core::arch::aarch64::*;

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

impl Vector for uint8x16_t {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn load(source: *const u8) -> Self {
        // SAFETY: the caller promises 16 readable octets.
        unsafe { vld1q_u8(source) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut u8) {
        // SAFETY: the caller promises 16 writable octets.
        unsafe { vst1q_u8(target, self) }
    }

    #[inline(always)]
    unsafe fn repeat(key: [u8; 4]) -> Self {
        // SAFETY: NEON is always there.
        unsafe { vreinterpretq_u8_u32(vdupq_n_u32(u32::from_ne_bytes(key))) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: NEON is always there.
        unsafe { veorq_u8(self, other) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: NEON is always there.
        unsafe { vorrq_u8(self, other) }
    }

    #[inline(always)]
    unsafe fn is_ascii(self) -> bool {
        // SAFETY: NEON is always there.
        unsafe { vmaxvq_u8(self) < 0x80 }
    }
}

impl Nibbles for uint8x16_t {
    #[inline(always)]
    unsafe fn behind(self, before: Self) -> [Self; 3] {
        // SAFETY: NEON is always there.
        unsafe {
            [
                vextq_u8::<15>(before, self),
                vextq_u8::<14>(before, self),
                vextq_u8::<13>(before, self),
            ]
        }
    }

    #[inline(always)]
    unsafe fn high(self) -> Self {
        // SAFETY: NEON is always there.
        unsafe { vshrq_n_u8::<4>(self) }
    }

    #[inline(always)]
    unsafe fn low(self) -> Self {
        // SAFETY: NEON is always there.
        unsafe { vandq_u8(self, vdupq_n_u8(0x0F)) }
    }

    #[inline(always)]
    unsafe fn pick(self, table: &[u8; 16]) -> Self {
        // SAFETY: NEON is always there; the table has 16 octets.
        unsafe { vqtbl1q_u8(vld1q_u8(table.as_ptr()), self) }
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: NEON is always there.
        unsafe { vandq_u8(self, other) }
    }

    #[inline(always)]
    unsafe fn less(self, octet: u8) -> Self {
        // SAFETY: NEON is always there.
        unsafe { vqsubq_u8(self, vdupq_n_u8(octet)) }
    }

    #[inline(always)]
    unsafe fn splat(octet: u8) -> Self {
        // SAFETY: NEON is always there.
        unsafe { vdupq_n_u8(octet) }
    }
}

impl Lookup for uint8x16_t {
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: NEON is always there.
        unsafe { vdupq_n_u8(0) }
    }

    #[inline(always)]
    unsafe fn last(octet: u8) -> Self {
        // SAFETY: NEON is always there.
        unsafe { vsetq_lane_u8::<15>(octet, vdupq_n_u8(0)) }
    }

    #[inline(always)]
    unsafe fn faults(self, before: Self) -> Self {
        // SAFETY: NEON is always there.
        unsafe { nibbles::faults(self, before) }
    }

    #[inline(always)]
    unsafe fn ignore_first_three(self) -> Self {
        // SAFETY: NEON is always there.
        unsafe { vextq_u8::<13>(vdupq_n_u8(0), vextq_u8::<3>(self, vdupq_n_u8(0))) }
    }

    #[inline(always)]
    unsafe fn is_faultless(self) -> bool {
        // SAFETY: NEON is always there.
        unsafe { vmaxvq_u8(self) == 0 }
    }

    #[inline(always)]
    unsafe fn exceeds(self, limits: *const u8) -> bool {
        // SAFETY: NEON is always there; there is a limit for each lane.
        unsafe { !vqsubq_u8(self, Self::load(limits)).is_faultless() }
    }

    #[inline(always)]
    unsafe fn load_first(source: *const u8, count: usize) -> Self {
        // SAFETY: the caller's promise is the one asked for.
        unsafe {
            let (low, high) = words::load_first(source, count);
            vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(low), vcreate_u64(high)))
        }
    }

    #[inline(always)]
    unsafe fn store_first(self, target: *mut u8, count: usize) {
        // SAFETY: the caller's promise is the one asked for.
        unsafe {
            let halves = vreinterpretq_u64_u8(self);
            let low = vgetq_lane_u64::<0>(halves);
            let high = vgetq_lane_u64::<1>(halves);
            words::store_first((low, high), target, count);
        }
    }

    #[inline(always)]
    unsafe fn keep_first(self, count: usize) -> Self {
        // SAFETY: `count` is below 16, so 16 octets from `16 - count` on are in
        // the table.
        unsafe { vandq_u8(self, Self::load(EDGE.as_ptr().add(16 - count))) }
    }
}

/// Entry of the table; see `Raw::mask`.
unsafe fn mask(source: *const u8, target: *mut u8, len: usize, key: [u8; 4]) {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { masking::mask::<uint8x16_t, uint8x16_t>(source, target, len, key) }
}

/// Entry of the table; see `Raw::validate`.
unsafe fn validate(source: *const u8, len: usize, state: State) -> Verdict {
    // SAFETY: the feed is as long as the caller says.
    unsafe { validation::validate::<uint8x16_t, _>(Plain(source), len, state) }
}

/// Entry of the table; see `Raw::mask_validate`.
unsafe fn mask_validate(
    source: *const u8,
    target: *mut u8,
    len: usize,
    key: [u8; 4],
    state: State,
) -> Verdict {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { validation::mask_validate::<uint8x16_t>(source, target, len, key, state) }
}
