//! The clock of a driver: time as deadlines see it.

use std::time::Duration;

use crate::tick::Tick;

/// A turn that took this much longer than it should have means that the process stood still (it
/// was stopped, or the machine slept): the clock of deadlines then stands still for all of that
/// turn. Nobody knows how much of it was a wait; were that counted, a deadline that was the reason
/// for the wait would fire at once, before a peer that stood still as well could do anything.
pub(crate) const FREEZE_MIN: Duration = Duration::from_secs(1);

/// Time without the time this process stood still.
///
/// Asks no operating system: it is told how long that has run.
#[derive(Debug)]
pub(super) struct Clock {
    last: Duration,
    skipped: Duration,
}

impl Clock {
    /// A clock that starts at `now`, which it calls its beginning.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            last: now,
            skipped: now,
        }
    }

    /// The moment of a turn that began when it is `now` and was to wait for `timeout`.
    pub(super) fn turn(&mut self, now: Duration, timeout: Option<Duration>) -> Tick {
        let took = now.saturating_sub(self.last);
        // Without a timeout any wait is as it should be: no deadline was near.
        if let Some(timeout) = timeout {
            if took.saturating_sub(timeout) > FREEZE_MIN {
                self.skipped += took;
            }
        }
        self.last = now;
        self.tick()
    }

    /// The moment of the last turn.
    pub(super) fn tick(&self) -> Tick {
        let elapsed = self.last.saturating_sub(self.skipped);
        Tick(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_stands_still_while_the_process_does_and_no_longer() {
        let mut clock = Clock::new(SECOND);
        assert_eq!(clock.tick(), Tick(0));
        assert_eq!(clock.turn(2 * SECOND, Some(SECOND)), Tick(1000));
        // Late, as on a busy machine: that counts.
        assert_eq!(clock.turn(4 * SECOND, Some(SECOND)), Tick(3000));
        // Stopped for an hour, in a wait of ten seconds: what the wait was for is not due.
        assert_eq!(clock.turn(3605 * SECOND, Some(10 * SECOND)), Tick(3000));
        assert_eq!(clock.turn(3615 * SECOND, Some(10 * SECOND)), Tick(13_000));
        // Nothing was due: an hour of silence is an hour.
        assert_eq!(clock.turn(7215 * SECOND, None), Tick(3_613_000));
    }
}
