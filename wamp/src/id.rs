//! Identifiers and their three scopes: how they are drawn, and how a sequence is checked. Knows
//! nothing of messages. Basic Profile, "IDs".

use std::fmt;
use std::num::NonZeroU64;

/// An identifier: an integer in [1, 2^53].
///
/// ```
/// use wirebahn_wamp::Id;
///
/// assert_eq!(Id::new(42).map(Id::get), Some(42));
/// assert_eq!(Id::new(0), None);
/// assert_eq!(Id::new((1 << 53) + 1), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(NonZeroU64);

impl Id {
    /// The smallest identifier, and the first of every session scope sequence.
    pub const MIN: Self = Self(NonZeroU64::MIN);
    /// The largest identifier, 2^53: the largest integer below which a double holds them all.
    pub const MAX: Self = Self(NonZeroU64::new(1 << 53).expect("2^53 is not zero"));

    /// An identifier, if the number is one.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) if number.get() <= Self::MAX.0.get() => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The identifier that follows in a sequence: 1 follows 2^53.
    #[must_use]
    pub const fn next(self) -> Self {
        match Self::new(self.get() + 1) {
            Some(next) => next,
            None => Self::MIN,
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Id> for u64 {
    fn from(id: Id) -> Self {
        id.get()
    }
}

/// A session scope sequence: from 1, one more each time, 1 again after 2^53. One for each
/// direction of a session.
///
/// The same type numbers what we send ([`draw`](Self::draw)) and checks what a peer sends
/// ([`accept`](Self::accept)).
///
/// ```
/// use wirebahn_wamp::Id;
/// use wirebahn_wamp::id::Sequence;
///
/// let mut ours = Sequence::new();
/// assert_eq!((ours.draw().get(), ours.draw().get()), (1, 2));
///
/// let mut theirs = Sequence::new();
/// assert!(theirs.accept(Id::MIN));
/// assert!(!theirs.accept(Id::new(3).unwrap()), "2 was expected");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    expected: Id,
    /// Whether any identifier was used yet: before that, nothing lies in the past.
    begun: bool,
}

impl Sequence {
    /// A sequence that begins with 1.
    pub const fn new() -> Self {
        Self {
            expected: Id::MIN,
            begun: false,
        }
    }

    /// The next identifier, used up.
    pub const fn draw(&mut self) -> Id {
        let drawn = self.expected;
        self.expected = drawn.next();
        self.begun = true;
        drawn
    }

    /// Takes an identifier if it is the next, and says whether it was.
    pub fn accept(&mut self, id: Id) -> bool {
        let expected = id == self.expected;
        if expected {
            self.draw();
        }
        expected
    }

    /// The identifier that must come next.
    pub const fn expected(&self) -> Id {
        self.expected
    }

    /// Whether an identifier may have been used before: at most the watermark of "Progressive
    /// Call Invocations", so that a CALL which carries it may continue an earlier one.
    pub fn is_past(&self, id: Id) -> bool {
        self.begun && (id < self.expected || self.expected == Id::MIN)
    }
}

impl Default for Sequence {
    fn default() -> Self {
        Self::new()
    }
}

/// Where random octets come from: the operating system, or a test's own source.
type Entropy = Box<dyn FnMut(&mut [u8]) -> Result<(), EntropyError> + Send>;

/// The source of random octets failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the source of random octets failed")]
pub struct EntropyError;

/// Draws global scope identifiers (sessions, publications): uniform over the complete range
/// [1, 2^53], unpredictable, never a counter.
///
/// Random octets are fetched 256 at a time: one system call for 32 identifiers.
///
/// ```
/// use wirebahn_wamp::id::GlobalIds;
///
/// let mut ids = GlobalIds::new();
/// assert_ne!(ids.draw()?, ids.draw()?);
/// # Ok::<(), wirebahn_wamp::id::EntropyError>(())
/// ```
pub struct GlobalIds {
    entropy: Entropy,
    pool: [u8; Self::POOL_LEN],
    used: usize,
}

impl GlobalIds {
    /// Octets fetched at a time: 32 identifiers, four cache lines.
    const POOL_LEN: usize = 256;

    /// Draws from the operating system.
    pub fn new() -> Self {
        Self::from_source(|pool| getrandom::fill(pool).map_err(|_| EntropyError))
    }

    /// Draws from a source of one's own: simulations replay a seed this way.
    pub fn from_source(
        source: impl FnMut(&mut [u8]) -> Result<(), EntropyError> + Send + 'static,
    ) -> Self {
        Self {
            entropy: Box::new(source),
            pool: [0; Self::POOL_LEN],
            used: Self::POOL_LEN,
        }
    }

    /// A fresh identifier. Two draws are the same with probability 2^-53: who keeps a table of
    /// them draws again when it holds the identifier already.
    ///
    /// # Errors
    /// When the source of random octets fails.
    pub fn draw(&mut self) -> Result<Id, EntropyError> {
        let octets: [u8; 8] = loop {
            if let Some(octets) = self
                .pool
                .get_mut(self.used..)
                .and_then(<[u8]>::first_chunk_mut)
            {
                // Octets are used once: what a later leak of memory shows draws nothing.
                break std::mem::take(octets);
            }
            (self.entropy)(&mut self.pool)?;
            self.used = 0;
        };
        self.used += 8;
        // 2^53 identifiers are the 2^53 values of 53 bits, each once: uniform without rejection.
        let drawn = (u64::from_le_bytes(octets) >> 11) + 1;
        Ok(Id::new(drawn).expect("53 bits plus one lie in [1, 2^53]"))
    }
}

impl Default for GlobalIds {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for GlobalIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The pool holds identifiers of the future.
        f.debug_struct("GlobalIds").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive() {
        assert_eq!(Id::new(1), Some(Id::MIN));
        assert_eq!(Id::new(9_007_199_254_740_992), Some(Id::MAX));
        assert_eq!(Id::new(9_007_199_254_740_993), None);
        assert_eq!(Id::new(u64::MAX), None);
    }

    #[test]
    fn a_sequence_wraps_to_one() {
        let mut sequence = Sequence {
            expected: Id::MAX,
            begun: true,
        };
        assert_eq!(sequence.draw(), Id::MAX);
        assert_eq!(sequence.draw(), Id::MIN);
    }

    #[test]
    fn a_sequence_refuses_gaps_and_repeats() {
        let mut sequence = Sequence::new();
        assert!(!sequence.is_past(Id::MIN), "nothing was used yet");
        assert!(!sequence.accept(Id::new(2).unwrap()));
        assert!(sequence.accept(Id::MIN));
        assert!(!sequence.accept(Id::MIN));
        assert!(sequence.is_past(Id::MIN));
        assert!(!sequence.is_past(Id::new(2).unwrap()));
        assert!(sequence.accept(Id::new(2).unwrap()));
    }

    #[test]
    fn the_whole_range_can_be_drawn() {
        let mut low = GlobalIds::from_source(|pool| {
            pool.fill(0);
            Ok(())
        });
        assert_eq!(low.draw(), Ok(Id::MIN));
        let mut high = GlobalIds::from_source(|pool| {
            pool.fill(0xff);
            Ok(())
        });
        assert_eq!(high.draw(), Ok(Id::MAX));
    }

    #[test]
    fn draws_are_uniform() {
        // Chi-square over 64 cells of equal width: with 63 degrees of freedom the statistic stays
        // under 130 but for once in a million runs.
        const CELLS: usize = 64;
        const DRAWS: usize = 64_000;
        let mut ids = GlobalIds::new();
        let mut cells = [0_u32; CELLS];
        let mut seen = std::collections::HashSet::new();
        for _ in 0..DRAWS {
            let id = ids.draw().unwrap();
            assert!(seen.insert(id), "{id} was drawn twice");
            cells[((id.get() - 1) >> (53 - 6)) as usize] += 1;
        }
        let mean = (DRAWS / CELLS) as f64;
        let statistic: f64 = cells
            .iter()
            .map(|&count| (f64::from(count) - mean).powi(2) / mean)
            .sum();
        assert!(statistic < 130.0, "{statistic}");
    }

    #[test]
    fn a_failed_source_is_an_error_and_not_a_number() {
        let mut ids = GlobalIds::from_source(|_| Err(EntropyError));
        assert_eq!(ids.draw(), Err(EntropyError));
    }
}
