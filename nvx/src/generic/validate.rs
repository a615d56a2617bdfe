//! UTF-8 by look-up, over plain text or over masked text that is unmasked on the
//! way: one algorithm, told apart by where registers come from ([`Feed`]).
//!
//! ```text
//! before = the state we come from, as an octet that leaves the same due
//! until the stores are aligned, if there are any: one register, not full
//! for each group of four registers:
//!     if all is ASCII: only what was open before can be wrong
//!     else: each register is tested against the one before
//!     anything wrong: the automaton finds out where
//! the rest by single registers, then one that is not full
//! anything open in the last three lanes: the automaton finds out what
//! ```
//!
//! Departures made for speed: the test for ASCII is one per group; a bad octet
//! is looked for a group at a time, so it is found at most `4 * LANES` octets
//! late, but reported exactly. Plain text that was just stored is read back only
//! where a character is torn or bad: reading back a part of it stalls.

use core::slice;

use crate::mask::rotated;
use crate::utf8::{State, Verdict};
use crate::vector::{Lookup, Vector};

use super::mask::ALIGN_FROM;

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
    /// How many octets to take first, so that registers taken from there on are
    /// aligned where they are stored; less than `LANES`, and 0 if it is no use.
    fn unaligned(self, len: usize) -> usize;
    /// The same feed for registers that begin a multiple of `LANES` behind `at`.
    unsafe fn phased(self, at: usize) -> Self;
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
    fn unaligned(self, _: usize) -> usize {
        0
    }

    #[inline(always)]
    unsafe fn phased(self, _: usize) -> Self {
        self
    }

    #[inline(always)]
    fn plain(self) -> *const u8 {
        self.0
    }
}

/// Text that is masked: taking a register stores it unmasked.
#[derive(Clone, Copy)]
pub(crate) struct Masked<V> {
    source: *const u8,
    target: *mut u8,
    key: [u8; 4],
    /// The key, in phase at all octets asked for until `phased` says otherwise.
    repeated: V,
}

impl<V: Vector> Masked<V> {
    /// # Safety
    ///
    /// - The CPU has the tier of `V`.
    #[inline(always)]
    pub(crate) unsafe fn new(source: *const u8, target: *mut u8, key: [u8; 4]) -> Self {
        Self {
            source,
            target,
            key,
            // SAFETY: the caller's promise is the one asked for.
            repeated: unsafe { V::repeat(key) },
        }
    }
}

impl<V: Vector> Feed<V> for Masked<V> {
    #[inline(always)]
    unsafe fn take(self, at: usize) -> V {
        // SAFETY: the caller promises that the octets are within the text.
        unsafe {
            let plain = V::load(self.source.add(at)).xor(self.repeated);
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
            let plain = V::load_first(self.source.add(at), count).xor(self.repeated);
            plain.store_first(self.target.add(at), count);
            plain.keep_first(count)
        }
    }

    #[inline(always)]
    fn unaligned(self, len: usize) -> usize {
        if len >= ALIGN_FROM * V::LANES {
            self.target.addr().wrapping_neg() % V::LANES
        } else {
            0
        }
    }

    #[inline(always)]
    unsafe fn phased(self, at: usize) -> Self {
        // SAFETY: the caller has the tier.
        let repeated = unsafe { V::repeat(rotated(self.key, at)) };
        Self { repeated, ..self }
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
pub(crate) unsafe fn validate<V: Lookup, F: Feed<V>>(
    mut feed: F,
    len: usize,
    state: State,
) -> Verdict {
    if state == State::Failed {
        return Err(0);
    }
    // SAFETY: every register is taken within `len`, and the automaton is shown
    // only octets that were taken.
    unsafe {
        // Whether the octets in `before` may leave a character open.
        let mut open = state != State::Boundary;
        let mut before = if open {
            V::last(stand_in(state))
        } else {
            V::zero()
        };
        let mut at = feed.unaligned(len);
        if at > 0 {
            let a = feed.take_first(0, at);
            if open || !a.is_ascii() {
                if !a.faults(before).keep_first(at).is_faultless() {
                    return locate(feed.plain(), 0, at, state);
                }
                // The octets that matter are not in the last lanes, where the
                // next register looks for them: so by way of the state.
                let state = state_after(a, before, at, feed.plain(), at, state)?;
                open = state != State::Boundary;
                before = V::last(stand_in(state));
            }
            feed = feed.phased(at);
        }
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
            if open || !ascii {
                // Zeros behind the last octet are none of the text's faults.
                if !a.faults(before).keep_first(count).is_faultless() {
                    return locate(feed.plain(), at, len, state);
                }
                return state_after(a, before, count, feed.plain(), len, state);
            }
        } else if open {
            return state_after(before, V::zero(), V::LANES, feed.plain(), len, state);
        }
        Ok(State::Boundary)
    }
}

/// The state after `len` octets in which no fault was found, the last `count` of
/// which are the first lanes of `last`, with `before` before them.
///
/// Most texts end between two characters, and the registers show it. Only if
/// they do not, the automaton looks at the octets.
///
/// # Safety
///
/// - `plain` is readable for `len` octets.
/// - `count` is from 1 to `LANES`; what is in lanes from `count` on is no matter.
/// - The CPU has the tier of `V`.
#[inline(always)]
unsafe fn state_after<V: Lookup>(
    last: V,
    before: V,
    count: usize,
    plain: *const u8,
    len: usize,
    state: State,
) -> Verdict {
    /// Above these a character is open, by the place from the end: three octets
    /// from it one of four, two from it one of three, last one of any kind.
    static LIMITS: [u8; 192] = {
        let mut limits = [0xFF; 192];
        limits[125] = 0xEF;
        limits[126] = 0xDF;
        limits[127] = 0xBF;
        limits
    };
    const { assert!(V::LANES <= 64) }
    debug_assert!(0 < count && count <= V::LANES);
    // SAFETY: there are 128 limits before the end, enough for two registers, and
    // 64 behind, as many as there can be lanes from `count` on.
    unsafe {
        let limits = LIMITS.as_ptr().add(128 - count);
        if last.exceeds(limits) || before.exceeds(limits.sub(V::LANES)) {
            return left_open(slice::from_raw_parts(plain, len), state);
        }
    }
    Ok(State::Boundary)
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

/// The state after text that was found without faults but not at its end: what
/// its last three octets leave open. An octet that begins no character shows
/// here if it is the last.
#[cold]
#[inline(never)]
fn left_open(text: &[u8], state: State) -> Verdict {
    resume(text, text.len(), state)
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
    let verdict = resume(text, from, state);
    debug_assert!(
        verdict.is_err(),
        "the registers saw a fault, the automaton none"
    );
    verdict
}

/// Runs the automaton to the end of `text`, from the last octet before `from`
/// that begins a character, at most three back.
///
/// What is before `from` was found without faults: so three continuation octets
/// there end a character of four.
fn resume(text: &[u8], from: usize, state: State) -> Verdict {
    // A character torn by the front of the text is the state's.
    let Some(back) = from.checked_sub(3).filter(|&back| back > 0) else {
        return state.run(text);
    };
    let begins = |octet: &u8| octet & 0xC0 != 0x80;
    let near = text.get(back..from).unwrap_or_default();
    let start = near
        .iter()
        .rposition(begins)
        .map_or(from, |index| back + index);
    let rest = text.get(start..).unwrap_or_default();
    State::Boundary.run(rest).map_err(|index| start + index)
}
