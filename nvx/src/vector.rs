//! What an algorithm may ask of a vector register.
//!
//! Three traits, each a little more: [`Vector`] is enough to mask and to test
//! for ASCII, [`Lookup`] to validate UTF-8, [`Nibbles`] to get the hard part of
//! `Lookup` from the generic algorithm. They know lanes of one octet, counted
//! from the one at the lowest address, and no meaning of what is in them.
//!
//! # Safety of all methods
//!
//! - The CPU has the instructions of the type's tier.
//! - Pointers are good for as many octets as the method touches: `LANES`, or
//!   `count`. They need no alignment.

/// A register of octets.
pub(crate) trait Vector: Copy {
    /// Octets in a register: a power of two from 16 on, so the four octets of a
    /// key stay in phase from one register to the next.
    const LANES: usize;

    unsafe fn load(source: *const u8) -> Self;
    unsafe fn store(self, target: *mut u8);
    /// Four octets, again and again.
    unsafe fn repeat(key: [u8; 4]) -> Self;
    unsafe fn xor(self, other: Self) -> Self;
    unsafe fn or(self, other: Self) -> Self;
    /// Whether no lane has its high bit set.
    unsafe fn is_ascii(self) -> bool;
}

/// A register that can say where octets in sequence are not UTF-8.
pub(crate) trait Lookup: Vector {
    unsafe fn zero() -> Self;
    /// Zeros, and `octet` in the last lane.
    unsafe fn last(octet: u8) -> Self;
    /// Where `self`, coming right behind `before`, does not continue as UTF-8.
    ///
    /// Lane `i` of the answer depends on the lanes up to `i` only; what it looks
    /// like is for [`is_faultless`](Self::is_faultless) to know, but zero is no
    /// fault and `or` joins. An octet that begins no character (C0, C1, F5 and
    /// above) may be reported one lane late.
    unsafe fn faults(self, before: Self) -> Self;
    /// The answer without what it tells of the first three lanes.
    unsafe fn ignore_first_three(self) -> Self;
    /// Whether answers of [`faults`](Self::faults) tell of none.
    unsafe fn is_faultless(self) -> bool;
    /// Whether some lane is above its limit, of which `limits` has one a lane.
    unsafe fn exceeds(self, limits: *const u8) -> bool;
    /// The first `count` lanes from memory (0 < `count` < `LANES`), the others
    /// anything.
    unsafe fn load_first(source: *const u8, count: usize) -> Self;
    /// Writes the first `count` lanes (0 < `count` < `LANES`), nothing behind.
    unsafe fn store_first(self, target: *mut u8, count: usize);
    /// The first `count` lanes (0 < `count` < `LANES`), and zeros.
    unsafe fn keep_first(self, count: usize) -> Self;
}

/// A register that can look up sixteen entries by nibble.
pub(crate) trait Nibbles: Vector {
    /// The octets one, two and three places before those of `self`, where
    /// `before` comes right before it.
    unsafe fn behind(self, before: Self) -> [Self; 3];
    /// The high nibble of each octet.
    unsafe fn high(self) -> Self;
    /// The low nibble of each octet.
    unsafe fn low(self) -> Self;
    /// The entry of the table for each lane; all lanes are below 16.
    unsafe fn pick(self, table: &[u8; 16]) -> Self;
    unsafe fn and(self, other: Self) -> Self;
    /// Each octet less `octet`, or zero where that would be negative.
    unsafe fn less(self, octet: u8) -> Self;
    /// The same octet in all lanes.
    unsafe fn splat(octet: u8) -> Self;
}
