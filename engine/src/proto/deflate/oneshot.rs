//! Whole messages without context, by libdeflate: at the size zlib's level 6 reaches it takes a
//! third less time on messages of a kilobyte, and its level 1 is smaller than zlib-rs's by a
//! quarter.
//!
//! libdeflate has no flush: its last block carries BFINAL. RFC 7692 section 7.2.3.4 lets that
//! travel, but many receivers stumble over it. So the bit is cleared and the message ended as a
//! flush would have ended it. For that one must know at which *bit* the last block ends, which the
//! encoder does not say:
//!
//! ```text
//! stored block    it ends with an octet
//! dynamic block   its end-of-block symbol is read from the header; counted from the last set bit
//!                 of the stream, which lies in that symbol unless its code is all zeros
//! fixed block     that code is all zeros: the symbols are walked through (such blocks are short)
//! ```
//!
//! If at least three bits of the last octet are left, they are the header of the empty stored
//! block that every flush ends with; if not, one octet of zeros more is (section 7.2.1). The result
//! cannot be told from the output of a compressor that flushed.
//!
//! Only messages that are sure to become one block come here: libdeflate makes no block shorter
//! than 5,000 octets of text unless it has to, so that two need 10,000.

use std::fmt;

use libdeflater::{CompressionLvl, Compressor};

/// Longer messages may become several blocks.
pub(super) const PLAIN_LEN_MAX: usize = 9_999;

/// What the compressor occupies at most: measured, levels 1 to 9.
pub(super) const ONE_SHOT_LEN: usize = 700 << 10;

/// A compressor of whole messages.
pub(super) struct OneShot {
    compressor: Compressor,
    level: u8,
}

impl OneShot {
    /// Level from 1 to 9; none when the library does not know it.
    pub(super) fn new(level: u8) -> Option<Self> {
        let known = CompressionLvl::new(i32::from(level)).ok()?;
        Some(Self {
            compressor: Compressor::new(known),
            level,
        })
    }

    pub(super) fn level(&self) -> u8 {
        self.level
    }

    /// Compresses a message of 1 to [`PLAIN_LEN_MAX`] octets into `out`, as it travels. `false`
    /// when it cannot, or when nothing would be saved; what `out` holds is then of no use.
    pub(super) fn deflate(&mut self, plain: &[u8], out: &mut Vec<u8>) -> bool {
        debug_assert!((1..=PLAIN_LEN_MAX).contains(&plain.len()));
        // A shorter room makes the encoder give up on what does not shrink.
        out.resize(plain.len().max(16), 0);
        match self.compressor.deflate_compress(plain, out) {
            Ok(len) => {
                out.truncate(len);
                unfinish(out)
            }
            Err(_) => false,
        }
    }
}

impl fmt::Debug for OneShot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneShot")
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// Turns a stream of one final block into a flushed message. `false` when there are several
/// blocks, or its end is not found; the octets are then unchanged.
fn unfinish(octets: &mut Vec<u8>) -> bool {
    let Some(end) = end_of_block(octets) else {
        return false;
    };
    let spare = (octets.len() * 8).wrapping_sub(end);
    if spare > 7 {
        return false;
    }
    if let Some(first) = octets.first_mut() {
        *first &= !1;
    }
    if spare < 3 {
        octets.push(0);
    }
    true
}

/// The bit after the only block of a stream.
fn end_of_block(octets: &[u8]) -> Option<usize> {
    let mut bits = Bits { octets, at: 0 };
    if bits.take(1)? == 0 {
        return None; // not the last block
    }
    match bits.take(2)? {
        0 => {
            // RFC 1951 section 3.2.4: to the next octet, then the length and its complement.
            let len = u16::from_le_bytes([*octets.get(1)?, *octets.get(2)?]);
            Some(8 * (5 + usize::from(len)))
        }
        1 => walk_fixed(&mut bits),
        2 => {
            let (code, len) = end_symbol(&mut bits)?;
            // Codes travel from their highest bit on, so that their low zeros come last.
            if code == 0 || len == 0 {
                return None;
            }
            let last = octets.iter().rposition(|&octet| octet != 0)?;
            let top = 7 - octets.get(last)?.leading_zeros() as usize;
            Some(8 * last + top + 1 + code.trailing_zeros() as usize)
        }
        _ => None,
    }
}

/// Reads the header of a dynamic block (RFC 1951 section 3.2.7) for the code of its end-of-block
/// symbol, 256, and the length of that code.
fn end_symbol(bits: &mut Bits<'_>) -> Option<(u32, u8)> {
    const ORDER: [usize; 19] = [
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
    ];
    const END: usize = 256;
    let literals = 257 + bits.take(5)? as usize;
    let distances = 1 + bits.take(5)? as usize;
    let lengths = 4 + bits.take(4)? as usize;
    let mut code_lens = [0_u8; 19];
    for &symbol in ORDER.iter().take(lengths) {
        *code_lens.get_mut(symbol)? = bits.take(3)? as u8;
    }
    let table = LengthTable::new(&code_lens)?;
    // How many symbols have each length, and how many of them stand before the end symbol: that is
    // all that a canonical code (section 3.2.2) depends on.
    let (mut all, mut before) = ([0_u32; 16], [0_u32; 16]);
    let (mut at, mut last, mut end_len) = (0, 0, 0);
    while at < literals {
        let (symbol, len) = table.look_up(bits.peek(7))?;
        bits.skip(usize::from(len));
        let (value, times) = match symbol {
            0..=15 => (symbol, 1),
            16 if at > 0 => (last, 3 + bits.take(2)? as usize),
            16 => return None,
            17 => (0, 3 + bits.take(3)? as usize),
            _ => (0, 11 + bits.take(7)? as usize),
        };
        let to = at + times;
        if to > literals + distances {
            return None;
        }
        // A run may reach over into the distances, which do not matter here.
        let slot = usize::from(value);
        *all.get_mut(slot)? += (to.min(literals) - at) as u32;
        *before.get_mut(slot)? += (to.min(END).saturating_sub(at)) as u32;
        if at <= END && END < to {
            end_len = value;
        }
        (at, last) = (to, value);
    }
    let mut code = 0;
    for &count in all.get(1..usize::from(end_len))? {
        code = (code + count) << 1;
    }
    Some((code + before.get(usize::from(end_len))?, end_len))
}

/// Decodes the code lengths' own code, at most 7 bits, by one look.
struct LengthTable([(u8, u8); 128]);

impl LengthTable {
    fn new(lens: &[u8; 19]) -> Option<Self> {
        let mut counts = [0_u32; 8];
        for &len in lens {
            *counts.get_mut(usize::from(len))? += u32::from(len != 0);
        }
        let mut next = [0_u32; 8]; // the code of the next symbol of each length
        for len in 1..8 {
            *next.get_mut(len)? = (*next.get(len - 1)? + *counts.get(len - 1)?) << 1;
        }
        let mut entries = [(0, 0); 128];
        for (symbol, &len) in lens.iter().enumerate().filter(|&(_, &len)| len != 0) {
            let code = next.get_mut(usize::from(len))?;
            if *code >> len != 0 {
                return None; // more codes than there are
            }
            let reversed = (*code as u8).reverse_bits() >> (8 - len);
            *code += 1;
            for entry in entries
                .iter_mut()
                .skip(usize::from(reversed))
                .step_by(1 << len)
            {
                *entry = (symbol as u8, len);
            }
        }
        Some(Self(entries))
    }

    fn look_up(&self, bits: u32) -> Option<(u8, u8)> {
        self.0
            .get(bits as usize & 127)
            .copied()
            .filter(|entry| entry.1 > 0)
    }
}

/// Walks through a block with the fixed codes (RFC 1951 section 3.2.6) to the bit after it.
fn walk_fixed(bits: &mut Bits<'_>) -> Option<usize> {
    loop {
        let next = bits.peek(9).reverse_bits() >> (32 - 9); // as codes are written
        let (symbol, len) = match next >> 2 {
            code @ 0..0b001_1000 => (256 + code, 7),
            _ => match next >> 1 {
                code @ 0b0011_0000..0b1100_0000 => (code - 0b0011_0000, 8),
                code @ 0b1100_0000..0b1100_1000 => (280 + code - 0b1100_0000, 8),
                _ => (144 + next - 0b1_1001_0000, 9),
            },
        };
        bits.skip(len);
        if bits.at > bits.octets.len() * 8 {
            return None;
        }
        let extra = match symbol {
            0..256 => continue,
            256 => return Some(bits.at),
            257..265 | 285 => 0,
            265..285 => (symbol - 261) / 4,
            _ => return None,
        };
        bits.skip(extra as usize);
        let distance = bits.peek(5).reverse_bits() >> (32 - 5);
        bits.skip(5 + (distance / 2).saturating_sub(1) as usize);
    }
}

/// Bits from the lowest of the first octet on; zeros after the last.
struct Bits<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next bits, at most 16, without taking them.
    fn peek(&self, count: u32) -> u32 {
        let from = self.at / 8;
        let octet = |index: usize| u32::from(self.octets.get(from + index).copied().unwrap_or(0));
        let word = octet(0) | octet(1) << 8 | octet(2) << 16;
        word >> (self.at % 8) & ((1 << count) - 1)
    }

    fn skip(&mut self, count: usize) {
        self.at += count;
    }

    fn take(&mut self, count: u32) -> Option<u32> {
        let value = self.peek(count);
        self.skip(count as usize);
        (self.at <= self.octets.len() * 8).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::codec::Inflater;
    use super::*;

    /// A message through libdeflate and zlib-rs, with and without another one behind it.
    fn check(plain: &[u8], level: u8) -> bool {
        let mut out = Vec::new();
        if !OneShot::new(level).unwrap().deflate(plain, &mut out) {
            return false;
        }
        let mut inflater = Inflater::new();
        let mut room = vec![0; plain.len() + 1];
        for _ in 0..2 {
            let step = inflater.inflate(&out, &mut room).expect("it is sound");
            assert!(!step.ended, "BFINAL is gone");
            assert_eq!((step.taken, &room[..step.made]), (out.len(), plain));
            inflater.finish(&mut [0; 64]).expect("it ends like a flush");
        }
        true
    }

    fn numbers(seed: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(seed.wrapping_mul(2_654_435_761) | 1), |n| {
            let n = n ^ n << 13;
            let n = n ^ n >> 17;
            Some(n ^ n << 5)
        })
    }

    #[test]
    fn every_length_and_kind_of_message_ends_at_the_right_bit() {
        let mut done = 0;
        for len in (1..400).chain([1000, 1023, 4000, 5000, 9998, 9999]) {
            for spread in [1, 2, 5, 17, 60, 100, 200, 256] {
                for level in [1, 5, 9] {
                    let plain: Vec<u8> = numbers(len as u32 * 7 + spread)
                        .map(|n| (n % spread + 40) as u8)
                        .take(len)
                        .collect();
                    done += usize::from(check(&plain, level));
                }
            }
        }
        assert!(done > 5000, "only {done} messages were compressed at all");
    }

    #[test]
    fn what_looks_like_json_is_always_compressed() {
        for seed in 1..400 {
            let mut text = String::from("[");
            for n in numbers(seed).take(1 + seed as usize % 60) {
                text += &format!(
                    "{{\"id\":{},\"side\":\"{}\"}},",
                    n % 10_000,
                    ["buy", "sell"][n as usize >> 5 & 1]
                );
            }
            for level in 1..=9 {
                assert!(
                    text.len() < 60 || check(text.as_bytes(), level),
                    "{seed} {level}"
                );
            }
        }
    }

    #[test]
    fn all_block_types_are_met() {
        let mut met = [0; 4];
        for len in 1..600 {
            for spread in [1, 3, 30, 256] {
                let plain: Vec<u8> = numbers(len as u32)
                    .map(|n| (n % spread) as u8)
                    .take(len)
                    .collect();
                let mut compressor = Compressor::new(CompressionLvl::new(6).unwrap());
                let mut out = vec![0; 2 * len + 100];
                let made = compressor.deflate_compress(&plain, &mut out).unwrap();
                out.truncate(made);
                met[usize::from(out[0] >> 1 & 3)] += 1;
                assert!(unfinish(&mut out), "{len} {spread}");
                let mut room = vec![0; len + 1];
                let mut inflater = Inflater::new();
                let step = inflater.inflate(&out, &mut room).unwrap();
                assert_eq!(room[..step.made], plain);
                inflater.finish(&mut [0; 64]).unwrap();
            }
        }
        assert!(met[..3].iter().all(|&count| count > 100), "{met:?}");
    }

    #[test]
    fn several_blocks_and_nonsense_are_left_alone() {
        for octets in [
            &[][..],
            &[0x00],
            &[0xF2, 0x48, 0xCD],
            &[0x07],
            &[0x05],
            &[0x03],
            &[0xFF; 40],
        ] {
            let mut copy = octets.to_vec();
            if !unfinish(&mut copy) {
                assert_eq!(copy, octets);
            }
        }
        assert!(!unfinish(&mut vec![
            0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00
        ]));
    }
}
