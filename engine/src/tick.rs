//! Time as the protocol core sees it: told, never asked for.

use std::time::Duration;

/// A moment on the clock of a shard: milliseconds since it started.
///
/// The protocol core never asks for the time, it is told. The clock stands still while the
/// process is stopped (SIGSTOP, a suspended machine), so that no deadline passes unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// This moment and a duration, saturating.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Whole milliseconds, rounded up so that a short duration never becomes none.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_round_up_and_saturate() {
        assert_eq!(Tick(1).after(Duration::from_micros(1)), Tick(2));
        assert_eq!(Tick(u64::MAX).after(Duration::from_secs(1)), Tick(u64::MAX));
        assert_eq!(Tick(3).since(Tick(5)), Duration::ZERO);
    }
}
