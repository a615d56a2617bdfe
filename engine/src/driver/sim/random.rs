//! Chance that can be repeated: all of a simulation follows from one seed.

/// A small generator of numbers, the same on every machine for the same seed. Good enough to mix
/// events; of no use for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn number(&mut self) -> u64 {
        // A Weyl sequence through a finalizer that lets every bit of it reach every other one
        // ("splitmix"): seeds that are neighbours have nothing in common.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 when that is 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        // The bias is one in 2^64 / bound: none that a test could see.
        ((self.number() as u128 * bound as u128) >> 64) as u64
    }

    /// An index into something of this length; 0 when it is empty.
    pub const fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// A number from 1 to `most`, small ones as likely as large ones: each power of two has the
    /// same share. 1 when `most` is 0.
    pub const fn size(&mut self, most: usize) -> usize {
        let share = self.below((usize::BITS - most.leading_zeros()) as u64);
        let size = (1 << share) + self.index(1 << share);
        if size <= most || most == 0 {
            size
        } else {
            most
        }
    }

    /// Whether something happens that does `chance` times in ten thousand.
    pub const fn chance(&mut self, chance: u16) -> bool {
        chance > 0 && self.below(10_000) < chance as u64
    }

    /// Puts a slice into an order by chance.
    pub fn shuffle<T>(&mut self, slice: &mut [T]) {
        for last in (1..slice.len()).rev() {
            slice.swap(last, self.index(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_repeat_stay_in_bounds_and_reach_everything() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        let mut seen = [0; 10];
        for _ in 0..10_000 {
            assert_eq!(one.number(), two.number());
            seen[one.index(10)] += 1;
            two.index(10);
            let size = one.size(100);
            assert!((1..=100).contains(&size));
            two.size(100);
        }
        assert!(
            seen.iter().all(|&count| (800..1200).contains(&count)),
            "{seen:?}"
        );
        assert_eq!((one.below(0), one.size(0), one.size(1)), (0, 1, 1));
        let hits = (0..100_000).filter(|_| one.chance(100)).count();
        assert!((800..1200).contains(&hits), "{hits}");
        let mut order: Vec<_> = (0..50).collect();
        one.shuffle(&mut order);
        assert!(!order.is_sorted());
        order.sort_unstable();
        assert!(order.into_iter().eq(0..50));
    }
}
