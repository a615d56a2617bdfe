//! UTF-8 by look-up, over plain text or over masked text that is unmasked on the
//! way: one algorithm, told apart by where registers come from ([`Feed`]).
//!
//! ```text
//! from between two characters: pass on what is ASCII, and that may be all
//! before = the state we come from, as an octet that leaves the same due
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

/// Registers of plain text, looked at and then passed on, in order.
///
/// # Safety of the methods
///
/// - The octets named lie within the length the feed was made for.
/// - Octets are looked at before they are passed on.
/// - The CPU has the tier of `V`.
pub(crate) trait Feed<V: Vector>: Copy {
    /// The register from octet `at` on.
    unsafe fn peek(self, at: usize) -> V;
    /// Passes on the register from octet `at` on.
    unsafe fn put(self, at: usize, plain: V);
    /// The register from octet `at` on, of which `count` are left
    /// (0 < `count` < `LANES`), and zeros.
    unsafe fn peek_first(self, at: usize, count: usize) -> V
    where
        V: Lookup;
    /// Passes on the first `count` octets of a register.
    unsafe fn put_first(self, at: usize, count: usize, plain: V)
    where
        V: Lookup;
    /// Where plain text can be read again, as far as it was passed on.
    fn plain(self) -> *const u8;

    /// Looks and passes on.
    ///
    /// # Safety
    ///
    /// As for all methods.
    #[inline(always)]
    unsafe fn take(self, at: usize) -> V {
        // SAFETY: the caller's promise is the one asked for.
        unsafe {
            let plain = self.peek(at);
            self.put(at, plain);
            plain
        }
    }

    /// Looks at four registers from octet `at` on.
    ///
    /// # Safety
    ///
    /// As for all methods.
    #[inline(always)]
    unsafe fn peek_four(self, at: usize) -> [V; 4] {
        // SAFETY: the caller's promise is the one asked for.
        unsafe {
            [
                self.peek(at),
                self.peek(at + V::LANES),
                self.peek(at + 2 * V::LANES),
                self.peek(at + 3 * V::LANES),
            ]
        }
    }

    /// Passes on four registers from octet `at` on.
    ///
    /// # Safety
    ///
    /// As for all methods.
    #[inline(always)]
    unsafe fn put_four(self, at: usize, [a, b, c, d]: [V; 4]) {
        // SAFETY: the caller's promise is the one asked for.
        unsafe {
            self.put(at, a);
            self.put(at + V::LANES, b);
            self.put(at + 2 * V::LANES, c);
            self.put(at + 3 * V::LANES, d);
        }
    }
}

/// Text that is plain already: there is nowhere to pass it on to.
#[derive(Clone, Copy)]
pub(crate) struct Plain(pub(crate) *const u8);

impl<V: Vector> Feed<V> for Plain {
    #[inline(always)]
    unsafe fn peek(self, at: usize) -> V {
        // SAFETY: the caller promises that the octets are within the text.
        unsafe { V::load(self.0.add(at)) }
    }

    #[inline(always)]
    unsafe fn put(self, _: usize, _: V) {}

    #[inline(always)]
    unsafe fn peek_first(self, at: usize, count: usize) -> V
    where
        V: Lookup,
    {
        // SAFETY: the caller promises that the octets are within the text.
        unsafe { V::load_first(self.0.add(at), count).keep_first(count) }
    }

    #[inline(always)]
    unsafe fn put_first(self, _: usize, _: usize, _: V)
    where
        V: Lookup,
    {
    }

    #[inline(always)]
    fn plain(self) -> *const u8 {
        self.0
    }
}

/// Text that is masked: what is looked at is unmasked, what is passed on is
/// stored.
#[derive(Clone, Copy)]
pub(crate) struct Masked<V> {
    source: *const u8,
    target: *mut u8,
    /// The key, in phase at the octets asked for.
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
            // SAFETY: the caller's promise is the one asked for.
            repeated: unsafe { V::repeat(key) },
        }
    }
}

impl<V: Vector> Feed<V> for Masked<V> {
    #[inline(always)]
    unsafe fn peek(self, at: usize) -> V {
        // SAFETY: the caller promises that the octets are within the text.
        unsafe { V::load(self.source.add(at)).xor(self.repeated) }
    }

    #[inline(always)]
    unsafe fn put(self, at: usize, plain: V) {
        // SAFETY: the caller promises that the octets are within the text.
        unsafe { plain.store(self.target.add(at)) }
    }

    #[inline(always)]
    unsafe fn peek_first(self, at: usize, count: usize) -> V
    where
        V: Lookup,
    {
        // SAFETY: the caller promises that the octets are within the text.
        unsafe {
            let masked = V::load_first(self.source.add(at), count);
            masked.xor(self.repeated).keep_first(count)
        }
    }

    #[inline(always)]
    unsafe fn put_first(self, at: usize, count: usize, plain: V)
    where
        V: Lookup,
    {
        // SAFETY: the caller promises that the octets are within the text.
        unsafe { plain.store_first(self.target.add(at), count) }
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
    // only octets that were passed on.
    unsafe {
        let mut at = 0;
        // Less than a register is looked at once below, and that is soon enough.
        if state == State::Boundary && len >= V::LANES {
            at = pass_ascii(feed, 0, len);
            let count = len - at;
            if count < V::LANES {
                if count == 0 {
                    return Ok(state);
                }
                let last = feed.peek_first(at, count);
                if last.is_ascii() {
                    feed.put_first(at, count, last);
                    return Ok(state);
                }
            }
        }
        let mut scan = Scan::<V>::from(state);
        while len - at >= 4 * V::LANES {
            let four = feed.peek_four(at);
            feed.put_four(at, four);
            if !scan.four(four) {
                return locate(feed.plain(), at, at + 4 * V::LANES, state);
            }
            at += 4 * V::LANES;
        }
        while len - at >= V::LANES {
            if !scan.one(feed.take(at)) {
                return locate(feed.plain(), at, at + V::LANES, state);
            }
            at += V::LANES;
        }
        let count = len - at;
        if count > 0 {
            let last = feed.peek_first(at, count);
            feed.put_first(at, count, last);
            if scan.open || !last.is_ascii() {
                // Zeros behind the last octet are none of the text's faults.
                let faults = last.faults(scan.before).keep_first(count);
                if !faults.is_faultless() {
                    return locate(feed.plain(), at, len, state);
                }
                return state_after(last, scan.before, count, feed.plain(), len, state);
            }
        } else if scan.open {
            return state_after(scan.before, V::zero(), V::LANES, feed.plain(), len, state);
        }
        Ok(State::Boundary)
    }
}

/// Passes on registers from `at` up to `end` as long as they are ASCII, and as
/// long as there are full ones; says up to where.
///
/// A loop of its own, without the tables that the rest needs: most texts are
/// ASCII or at least begin so, and short ones should not wait for tables.
///
/// # Safety
///
/// - The feed was made for `end` octets or more; `at` is at most `end`.
/// - The CPU has the tier of `V`.
#[inline(always)]
unsafe fn pass_ascii<V: Vector, F: Feed<V>>(feed: F, mut at: usize, end: usize) -> usize {
    // SAFETY: every register ends at `end` or before.
    unsafe {
        while end - at >= 4 * V::LANES {
            let four = feed.peek_four(at);
            let [a, b, c, d] = four;
            if !a.or(b).or(c.or(d)).is_ascii() {
                return at;
            }
            feed.put_four(at, four);
            at += 4 * V::LANES;
        }
        while end - at >= V::LANES {
            let next = feed.peek(at);
            if !next.is_ascii() {
                return at;
            }
            feed.put(at, next);
            at += V::LANES;
        }
    }
    at
}

/// Unmasks `len` octets from `source` to `target` and validates the outcome,
/// coming from `state`.
///
/// Long texts are taken from a feed like any other, but for their ends, which
/// overlap with what lies between as in the `mask` module: the tail, and the
/// register before it, are loaded before anything is stored.
///
/// # Safety
///
/// - `source` is readable and `target` writable for `len` octets.
/// - The two are the same, or do not overlap.
/// - The CPU has the tier of `V`.
#[inline(always)]
pub(crate) unsafe fn mask_validate<V: Lookup>(
    source: *const u8,
    target: *mut u8,
    len: usize,
    key: [u8; 4],
    state: State,
) -> Verdict {
    // SAFETY: every register begins at or below `last`, so it ends within `len`;
    // loads stand before the stores that overlap them; and the automaton is
    // shown only octets that were stored.
    unsafe {
        let mut feed = Masked::<V>::new(source, target, key);
        if len < 2 * V::LANES || state == State::Failed {
            return validate(feed, len, state);
        }
        let last = len - V::LANES;
        let tail_key = V::repeat(rotated(key, last));
        let tail = V::load(source.add(last)).xor(tail_key);
        let before_tail = V::load(source.add(last - V::LANES)).xor(tail_key);

        // Where the registers behind the head begin if the stores are to be
        // aligned, from 1 to LANES. If that is LANES less one or two the head
        // would not show the three octets before, and we leave it unaligned.
        let aligned = V::LANES - target.addr() % V::LANES;
        let aligned = if aligned > V::LANES - 3 {
            V::LANES
        } else {
            aligned
        };
        let align = len >= ALIGN_FROM * V::LANES;
        let in_phase = Masked {
            repeated: V::repeat(rotated(key, aligned)),
            ..feed
        };

        let mut at = 0;
        if state == State::Boundary {
            if align {
                let (head, next) = (feed.peek(0), in_phase.peek(aligned));
                if head.or(next).is_ascii() {
                    feed.put(0, head);
                    feed.put(aligned, next);
                    feed = in_phase;
                    at = pass_ascii(feed, aligned + V::LANES, len);
                }
            } else {
                at = pass_ascii(feed, 0, len);
            }
            if at == len {
                return Ok(state);
            }
            if at >= last && tail.is_ascii() {
                tail.store(target.add(last));
                return Ok(state);
            }
        }
        let mut scan = Scan::<V>::from(state);
        if align && at == 0 {
            let (head, next) = (feed.peek(0), in_phase.peek(aligned));
            feed.put(0, head);
            feed.put(aligned, next);
            let good = scan.one(head)
                && if aligned == V::LANES {
                    scan.one(next)
                } else {
                    scan.overlapping(next)
                };
            feed = in_phase;
            at = aligned + V::LANES;
            if !good {
                return locate(target, 0, at, state);
            }
        }
        while len - at >= 4 * V::LANES {
            let four = feed.peek_four(at);
            feed.put_four(at, four);
            if !scan.four(four) {
                return locate(target, at, at + 4 * V::LANES, state);
            }
            at += 4 * V::LANES;
        }
        while at < last {
            if !scan.one(feed.take(at)) {
                return locate(target, at, at + V::LANES, state);
            }
            at += V::LANES;
        }
        if at == len {
            // Groups went up to the end, and so did what we know.
            if scan.open {
                return state_after(scan.before, V::zero(), V::LANES, target, len, state);
            }
            return Ok(State::Boundary);
        }
        tail.store(target.add(last));
        if scan.open || !tail.is_ascii() {
            if !tail.faults(before_tail).is_faultless() {
                return locate(target, last, len, state);
            }
            return state_after(tail, before_tail, V::LANES, target, len, state);
        }
        Ok(State::Boundary)
    }
}

/// What one register must know of those before it.
struct Scan<V> {
    /// The register before, or one that leaves the same due.
    before: V,
    /// Whether `before` may leave a character open. If not it may be anything.
    open: bool,
}

/// # Safety of the methods
///
/// - The CPU has the tier of `V`.
impl<V: Lookup> Scan<V> {
    #[inline(always)]
    unsafe fn from(state: State) -> Self {
        // SAFETY: the caller's promise is the one asked for.
        unsafe {
            if state == State::Boundary {
                Self {
                    before: V::zero(),
                    open: false,
                }
            } else {
                Self {
                    before: V::last(stand_in(state)),
                    open: true,
                }
            }
        }
    }

    /// Takes the next register; says whether it goes well.
    #[inline(always)]
    unsafe fn one(&mut self, next: V) -> bool {
        // SAFETY: the caller's promise is the one asked for.
        unsafe {
            let ascii = next.is_ascii();
            let good = (ascii && !self.open) || next.faults(self.before).is_faultless();
            self.before = next;
            self.open = !ascii;
            good
        }
    }

    /// Takes a register that overlaps the one before in three octets or more.
    #[inline(always)]
    unsafe fn overlapping(&mut self, next: V) -> bool {
        // SAFETY: the caller's promise is the one asked for.
        unsafe {
            let ascii = next.is_ascii();
            // The first three lanes hang on octets that are not in `before`, but
            // they were in it and found good. If all is ASCII nothing was open.
            let good = ascii || next.faults(next).ignore_first_three().is_faultless();
            self.before = next;
            self.open = !ascii;
            good
        }
    }

    /// Takes the next four registers; says whether all goes well.
    #[inline(always)]
    unsafe fn four(&mut self, [a, b, c, d]: [V; 4]) -> bool {
        // SAFETY: the caller's promise is the one asked for.
        unsafe {
            let good;
            if a.or(b).or(c.or(d)).is_ascii() {
                // What is open is at most three octets short: `a` shows it.
                good = !self.open || a.faults(self.before).is_faultless();
                self.open = false;
            } else {
                let faults =
                    (a.faults(self.before).or(b.faults(a))).or(c.faults(b).or(d.faults(c)));
                good = faults.is_faultless();
                self.open = true;
            }
            self.before = d;
            good
        }
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
