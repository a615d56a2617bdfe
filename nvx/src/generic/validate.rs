//! UTF-8 by look-up, over plain text or over masked text that is unmasked on the
//! way: one algorithm, told apart by where registers come from ([`Feed`]).
//!
//! ```text
//! before = the state we come from, as an octet that leaves the same due
//! for each group of four registers:
//!     if all is ASCII: only what was open before can be wrong
//!     else: each register is tested against the one before
//!     anything wrong: the automaton finds out where
//! the rest by single registers, then one that is not full
//! the state is what the last three octets leave open
//! ```
//!
//! Departures made for speed: the test for ASCII is one per group; a bad octet
//! is looked for a group at a time, so it is found at most `4 * LANES` octets
//! late, but reported exactly.

use core::slice;

use crate::utf8::{State, Verdict};
use crate::vector::{Lookup, Vector};

/// Registers of plain text, taken in order and each once.
///
/// # Safety of the methods
///
/// - The octets asked for lie within the length the feed was made for.
/// - The CPU has the tier of `V`.
pub(crate) trait Feed<V: Vector>: Copy {
    /// The register from octet `at` on.
    unsafe fn take(self, at: usize) -> V;
    /// The register from octet `at` on, of which `count` are left
    /// (0 < `count` < `LANES`), and zeros.
    unsafe fn take_first(self, at: usize, count: usize) -> V
    where
        V: Lookup;
    /// Where plain text can be read again, as far as it was taken.
    fn plain(self) -> *const u8;
}

/// Text that is plain already.
#[derive(Clone, Copy)]
pub(crate) struct Plain(pub(crate) *const u8);

impl<V: Vector> Feed<V> for Plain {
    #[inline(always)]
    unsafe fn take(self, at: usize) -> V {
        // SAFETY: the caller promises that the octets are within the text.
        unsafe { V::load(self.0.add(at)) }
    }

    #[inline(always)]
    unsafe fn take_first(self, at: usize, count: usize) -> V
    where
        V: Lookup,
    {
        // SAFETY: the caller promises that the octets are within the text.
        unsafe { V::load_first(self.0.add(at), count).keep_first(count) }
    }

    #[inline(always)]
    fn plain(self) -> *const u8 {
        self.0
    }
}

/// Text that is masked: taking a register stores it unmasked.
#[derive(Clone, Copy)]
pub(crate) struct Masked<V> {
    pub(crate) source: *const u8,
    pub(crate) target: *mut u8,
    /// The key, repeated. In phase at all octets asked for, which are multiples
    /// of `LANES`.
    pub(crate) key: V,
}

impl<V: Vector> Feed<V> for Masked<V> {
    #[inline(always)]
    unsafe fn take(self, at: usize) -> V {
        // SAFETY: the caller promises that the octets are within the text.
        unsafe {
            let plain = V::load(self.source.add(at)).xor(self.key);
            plain.store(self.target.add(at));
            plain
        }
    }

    #[inline(always)]
    unsafe fn take_first(self, at: usize, count: usize) -> V
    where
        V: Lookup,
    {
        // SAFETY: the caller promises that the octets are within the text.
        unsafe {
            let plain = V::load_first(self.source.add(at), count).xor(self.key);
            plain.store_first(self.target.add(at), count);
            plain.keep_first(count)
        }
    }

    #[inline(always)]
    fn plain(self) -> *const u8 {
        self.target
    }
}

/// Validates `len` octets of a feed, coming from `state`.
///
/// # Safety
///
/// - The feed was made for `len` octets.
/// - The CPU has the tier of `V`.
#[inline(always)]
pub(crate) unsafe fn validate<V: Lookup, F: Feed<V>>(feed: F, len: usize, state: State) -> Verdict {
    if state == State::Failed {
        return Err(0);
    }
    // SAFETY: every register is taken within `len`, and the automaton is shown
    // only octets that were taken.
    unsafe {
        let mut before = V::last(stand_in(state));
        // Whether the octets in `before` may leave a character open.
        let mut open = state != State::Boundary;
        let mut at = 0;
        while len - at >= 4 * V::LANES {
            let a = feed.take(at);
            let b = feed.take(at + V::LANES);
            let c = feed.take(at + 2 * V::LANES);
            let d = feed.take(at + 3 * V::LANES);
            if a.or(b).or(c.or(d)).is_ascii() {
                // What is open is at most three octets short: `a` shows it.
                if open {
                    if !a.faults(before).is_faultless() {
                        return locate(feed.plain(), at, at + 4 * V::LANES, state);
                    }
                    open = false;
                }
            } else {
                let faults = (a.faults(before).or(b.faults(a))).or(c.faults(b).or(d.faults(c)));
                if !faults.is_faultless() {
                    return locate(feed.plain(), at, at + 4 * V::LANES, state);
                }
                open = true;
            }
            before = d;
            at += 4 * V::LANES;
        }
        while len - at >= V::LANES {
            let a = feed.take(at);
            let ascii = a.is_ascii();
            if (open || !ascii) && !a.faults(before).is_faultless() {
                return locate(feed.plain(), at, at + V::LANES, state);
            }
            open = !ascii;
            before = a;
            at += V::LANES;
        }
        let count = len - at;
        if count > 0 {
            let a = feed.take_first(at, count);
            let ascii = a.is_ascii();
            // Zeros behind the last octet are none of the text's faults.
            if (open || !ascii) && !a.faults(before).keep_first(count).is_faultless() {
                return locate(feed.plain(), at, len, state);
            }
        }
        left_open(slice::from_raw_parts(feed.plain(), len), state)
    }
}

/// An octet that leaves due what `state` has due.
#[inline(always)]
const fn stand_in(state: State) -> u8 {
    match state {
        State::Boundary | State::Failed => 0,
        State::Due1 => 0xC2,
        State::Due2 => 0xE1,
        State::Due2AfterE0 => 0xE0,
        State::Due2AfterEd => 0xED,
        State::Due3 => 0xF1,
        State::Due3AfterF0 => 0xF0,
        State::Due3AfterF4 => 0xF4,
    }
}

/// The state after text that was found without faults: what its last three
/// octets leave open. An octet that begins no character shows here if it is the
/// last.
#[inline(always)]
fn left_open(text: &[u8], state: State) -> Verdict {
    match text {
        // A torn character may reach past the front: the automaton knows.
        [] | [_] | [_, _] | [_, _, _] => state.run(text),
        [.., 0x00..=0x7F] => Ok(State::Boundary),
        _ => resume(text, text.len(), text.len()),
    }
}

/// Finds the fault seen in octets `from..until`: by the automaton, from the last
/// character that begins before `from`.
///
/// # Safety
///
/// - `plain` is readable for `until` octets.
#[cold]
#[inline(never)]
unsafe fn locate(plain: *const u8, from: usize, until: usize, state: State) -> Verdict {
    // SAFETY: the caller's promise is the one asked for.
    let text = unsafe { slice::from_raw_parts(plain, until) };
    let verdict = if from == 0 {
        state.run(text)
    } else {
        resume(text, from, until)
    };
    debug_assert!(
        verdict.is_err(),
        "the registers saw a fault, the automaton none"
    );
    verdict
}

/// Runs the automaton over `text[..until]` from the last octet before `from`
/// that begins a character, at most three back.
///
/// `from` is at least 4, and what is before it was found without faults: so
/// three continuation octets there end a character of four.
#[inline(never)]
fn resume(text: &[u8], from: usize, until: usize) -> Verdict {
    let start = (from.saturating_sub(3)..from)
        .rev()
        .find(|&index| text.get(index).is_some_and(|octet| octet & 0xC0 != 0x80))
        .unwrap_or(from);
    let rest = text.get(start..until).unwrap_or_default();
    State::Boundary.run(rest).map_err(|index| start + index)
}
