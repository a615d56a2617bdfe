//! The portable kernels: no vectors, any architecture.
//!
//! They are the last resort of the dispatch and the twin that the tests hold
//! the vector kernels to. They know words of eight octets, nothing wider.

use crate::utf8::{State, Verdict};

/// Octets unmasked before they are validated: far below any L1 cache, so that
/// the second look finds them there, and long enough to forget the loop around.
const FUSED_CHUNK: usize = 512;

/// The high bit of each of eight octets.
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Masks `len` octets from `source` to `target`; says whether all of the
/// outcome is ASCII.
///
/// # Safety
///
/// - `source` is readable and `target` writable for `len` octets.
/// - The two are the same, or do not overlap.
#[inline]
pub(crate) unsafe fn mask_verdict(
    source: *const u8,
    target: *mut u8,
    len: usize,
    key: [u8; 4],
) -> bool {
    let [a, b, c, d] = key;
    let word_key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut high = 0u64;
    let mut done = 0;
    while len - done >= 8 {
        // SAFETY: eight octets from `done` on lie within `len`.
        unsafe {
            let plain = source.add(done).cast::<u64>().read_unaligned() ^ word_key;
            target.add(done).cast::<u64>().write_unaligned(plain);
            high |= plain;
        }
        done += 8;
    }
    // A multiple of eight octets is done: the key's phase is what it was.
    let mut left = 0;
    while done < len {
        // SAFETY: `done` is below `len`.
        unsafe {
            let plain = *source.add(done) ^ key[left & 3];
            *target.add(done) = plain;
            high |= u64::from(plain);
        }
        done += 1;
        left += 1;
    }
    high & HIGH == 0
}

/// Masks `len` octets from `source` to `target`.
///
/// # Safety
///
/// As for [`mask_verdict`].
pub(crate) unsafe fn mask(source: *const u8, target: *mut u8, len: usize, key: [u8; 4]) {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { mask_verdict(source, target, len, key) };
}

/// Validates `len` octets, coming from `state`.
///
/// # Safety
///
/// - `bytes` is readable for `len` octets.
pub(crate) unsafe fn validate(bytes: *const u8, len: usize, state: State) -> Verdict {
    // SAFETY: the caller's promise is the one asked for.
    validate_slice(unsafe { core::slice::from_raw_parts(bytes, len) }, state)
}

/// Masks `len` octets from `source` to `target` and validates the outcome.
///
/// # Safety
///
/// As for [`mask_verdict`].
pub(crate) unsafe fn mask_validate(
    source: *const u8,
    target: *mut u8,
    len: usize,
    key: [u8; 4],
    mut state: State,
) -> Verdict {
    const { assert!(FUSED_CHUNK.is_multiple_of(4)) } // the key's phase survives a chunk
    let mut done = 0;
    while done < len {
        let count = FUSED_CHUNK.min(len - done);
        // SAFETY: `count` octets from `done` on lie within `len`, and the
        // slice covers only octets of `target` that were just written.
        let (ascii, chunk) = unsafe {
            let ascii = mask_verdict(source.add(done), target.add(done), count, key);
            (ascii, core::slice::from_raw_parts(target.add(done), count))
        };
        if !(ascii && state == State::Boundary) {
            state = match validate_slice(chunk, state) {
                Ok(state) => state,
                Err(index) => return Err(done + index),
            };
        }
        done += count;
    }
    if state == State::Failed {
        Err(0)
    } else {
        Ok(state)
    }
}

/// Validates a slice, coming from `state`: whole characters by comparison,
/// runs of ASCII by two words a step, what is torn by the automaton.
pub(crate) fn validate_slice(bytes: &[u8], mut state: State) -> Verdict {
    if state == State::Failed {
        return Err(0);
    }
    let mut index = 0;
    while state != State::Boundary {
        let Some(&octet) = bytes.get(index) else {
            return Ok(state);
        };
        state = state.step(octet);
        if state == State::Failed {
            return Err(index);
        }
        index += 1;
    }
    let mut rest = &bytes[index..];
    loop {
        rest = skip_ascii(rest);
        // Four octets hold any character; with fewer the automaton finishes.
        let Some((&[a, b, c, d], _)) = rest.split_first_chunk::<4>() else {
            let done = bytes.len() - rest.len();
            return State::Boundary.run(rest).map_err(|index| done + index);
        };
        let size = match a {
            0x00..=0x7F => 1,
            0xC2..=0xDF if tail(b) => 2,
            0xE0 if matches!(b, 0xA0..=0xBF) && tail(c) => 3,
            0xED if matches!(b, 0x80..=0x9F) && tail(c) => 3,
            0xE1..=0xEC | 0xEE..=0xEF if tail(b) && tail(c) => 3,
            0xF0 if matches!(b, 0x90..=0xBF) && tail(c) && tail(d) => 4,
            0xF1..=0xF3 if tail(b) && tail(c) && tail(d) => 4,
            0xF4 if matches!(b, 0x80..=0x8F) && tail(c) && tail(d) => 4,
            _ => {
                let done = bytes.len() - rest.len();
                return State::Boundary.run(rest).map_err(|index| done + index);
            }
        };
        rest = &rest[size..];
    }
}

/// Drops leading ASCII, sixteen octets a step; some of it may stay.
#[inline]
fn skip_ascii(mut bytes: &[u8]) -> &[u8] {
    while let Some((chunk, rest)) = bytes.split_first_chunk::<16>() {
        if u128::from_ne_bytes(*chunk) & (u128::from(HIGH) << 64 | u128::from(HIGH)) != 0 {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// `UTF8-tail` of RFC 3629 section 4.
#[inline]
const fn tail(octet: u8) -> bool {
    octet & 0xC0 == 0x80
}
