//! Where a register is not UTF-8, by three look-ups of sixteen entries.
//!
//! The idea is John Keiser's and Daniel Lemire's ("Validating UTF-8 in less than
//! one instruction per byte", 2020). Whether UTF-8 is broken shows in almost all
//! cases on two neighbouring octets, and there on three nibbles: high and low of
//! the first, high of the second.
//!
//! ```text
//! for each rule r: three sets of nibbles, bit r in three tables
//! broken = HIGH1[first >> 4] & LOW1[first & 15] & HIGH2[second >> 4]
//! ```
//!
//! A bit that survives the "and" means that all three nibbles are in the sets of
//! one rule. What two octets cannot show is whether a continuation octet behind
//! a continuation octet is due. The last rule marks those pairs, and the mark
//! must be there exactly where the octet two before begins a character of three
//! octets or more, or the octet three before one of four: so the two are
//! combined by exclusive or.

use crate::vector::Nibbles;

/// Nibbles 8 to B: high nibbles of continuation octets.
const TAIL: u16 = 0x0F00;
const ANY: u16 = 0xFFFF;

/// What two octets must not be: sets of nibbles for the high and low nibble of
/// the first and the high nibble of the second. The eight rules fill the eight
/// bits of an entry.
const RULES: [[u16; 3]; 8] = [
    [0xF000, ANY, !TAIL],         // a character begins and is not continued
    [0x00FF, ANY, TAIL],          // ASCII is continued
    [1 << 0xC, 0x0003, TAIL],     // C0, C1: overlong for ASCII
    [1 << 0xE, 1 << 0, 0x0300],   // E0 80..=9F: overlong for two octets
    [1 << 0xE, 1 << 0xD, 0x0C00], // ED A0..=BF: surrogates
    [1 << 0xF, 0xFFE1, 0x0100],   // F0 80..=8F: overlong; F5..=FF 80..=8F: too large
    [1 << 0xF, 0xFFF0, 0x0E00],   // F4..=FF 90..=BF: too large
    [TAIL, ANY, TAIL],            // two continuation octets: to be weighed
];
/// The bit of the last rule.
const TWO_TAILS: u8 = 0x80;

static HIGH1: [u8; 16] = column(0);
static LOW1: [u8; 16] = column(1);
static HIGH2: [u8; 16] = column(2);

const fn column(which: usize) -> [u8; 16] {
    let mut table = [0; 16];
    let mut nibble = 0;
    while nibble < 16 {
        let mut rule = 0;
        while rule < 8 {
            table[nibble] |= ((RULES[rule][which] >> nibble & 1) as u8) << rule;
            rule += 1;
        }
        nibble += 1;
    }
    table
}

/// [`Lookup::faults`](crate::vector::Lookup::faults) for registers of nibbles.
///
/// # Safety
///
/// - The CPU has the tier of `V`.
#[inline(always)]
pub(crate) unsafe fn faults<V: Nibbles>(now: V, before: V) -> V {
    // SAFETY: the CPU has the tier; nibbles are below 16.
    unsafe {
        let [one, two, three] = now.behind(before);
        let pairs = one
            .high()
            .pick(&HIGH1)
            .and(one.low().pick(&LOW1))
            .and(now.high().pick(&HIGH2));
        // The high bit stays where the octet is at least E0, or F0.
        let due = two.less(0xE0 - 0x80).or(three.less(0xF0 - 0x80));
        pairs.xor(due.and(V::splat(TWO_TAILS)))
    }
}
