//! The clock of a driver: time as deadlines see it.

use std::time::{Duration, Instant};

use crate::tick::Tick;

/// A turn that took this much longer than it should have means that the process stood still (it
/// was stopped, or the machine slept): the clock of deadlines stands still for the excess.
const FREEZE_MIN: Duration = Duration::from_secs(1);

/// Time without the time this process stood still.
pub(super) struct Clock {
    start: Instant,
    pub(super) last: Instant,
    skipped: Duration,
}

impl Clock {
    pub(super) fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            last: start,
            skipped: Duration::ZERO,
        }
    }

    /// The moment of a turn that was to wait for `timeout`.
    pub(super) fn turn(&mut self, timeout: Option<Duration>) -> Tick {
        let now = Instant::now();
        let took = now - self.last;
        // Without a timeout any wait is as it should be: no deadline was near.
        if let Some(timeout) = timeout {
            let excess = took.saturating_sub(timeout);
            if excess > FREEZE_MIN {
                self.skipped += excess;
            }
        }
        self.last = now;
        self.tick(now)
    }

    pub(super) fn tick(&self, now: Instant) -> Tick {
        let elapsed = (now - self.start).saturating_sub(self.skipped);
        Tick(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }
}
