//! Numbers that look random and come again with the same seed. For contents and schedules, never
//! for masking keys.

/// A generator of 64-bit numbers (the finalizer of a counter, as in `SplitMix64`).
#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The numbers that belong to a seed.
    #[must_use]
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    #[inline]
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 where that is 0. The high half of a product: its bias, below
    /// `bound` / 2^64, matters to nobody here.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let product = u128::from(self.next_u64()) * bound as u128;
        (product >> 64) as usize
    }

    /// Appends `len` octets.
    pub(crate) fn fill(&mut self, out: &mut Vec<u8>, len: usize) {
        let end = out.len() + len;
        while out.len() < end {
            let octets = self.next_u64().to_le_bytes();
            let count = octets.len().min(end - out.len());
            out.extend_from_slice(&octets[..count]);
        }
    }

    /// Appends `len` printable ASCII characters.
    pub(crate) fn fill_ascii(&mut self, out: &mut Vec<u8>, len: usize) {
        for _ in 0..len {
            out.push(b' ' + self.below(95) as u8);
        }
    }

    /// Appends code points of one to four octets, `len` octets in all.
    pub(crate) fn fill_utf8(&mut self, out: &mut Vec<u8>, len: usize) {
        let end = out.len() + len;
        let mut octets = [0; 4];
        while out.len() < end {
            let (low, count) = match self.below(4) {
                0 => (0x20, 0x5F),
                1 => (0xA0, 0x700),
                2 => (0x3000, 0x9000),
                _ => (0x1_F300, 0x300),
            };
            let point = low + self.below(count) as u32;
            let text = char::from_u32(point)
                .unwrap_or('?')
                .encode_utf8(&mut octets);
            if text.len() <= end - out.len() {
                out.extend_from_slice(text.as_bytes());
            } else {
                out.push(b'.');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_length_asked_for_and_is_valid() {
        let mut random = Random::new(1);
        let mut wide = 0;
        for len in 0..300 {
            let (mut ascii, mut utf8) = (Vec::new(), Vec::new());
            random.fill_ascii(&mut ascii, len);
            random.fill_utf8(&mut utf8, len);
            assert_eq!((ascii.len(), utf8.len()), (len, len));
            assert!(ascii.is_ascii());
            wide += str::from_utf8(&utf8)
                .unwrap()
                .chars()
                .filter(|c| c.len_utf8() == 4)
                .count();
        }
        assert!(wide > 1000);
    }

    #[test]
    fn a_bound_is_kept_and_a_seed_repeats() {
        let mut random = Random::new(2);
        assert!((0..1000).all(|_| random.below(10) < 10));
        assert_eq!(random.below(0), 0);
        assert_eq!(Random::new(3).next_u64(), Random::new(3).next_u64());
        assert_ne!(Random::new(3).next_u64(), Random::new(4).next_u64());
    }
}
