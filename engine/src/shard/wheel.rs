//! The timer wheel of a shard: at most one deadline a connection.
//!
//! Coarse on purpose. A deadline is checked when its slot comes round, against what the connection
//! says then: one that moved away (because octets came) is put further round, so that a message
//! never touches the wheel. Setting, cancelling and expiring cost a few words, whatever the number
//! of connections; the links lie in one array, so a timer is no allocation.

use std::time::Duration;

use crate::tick::Tick;

/// What a slot spans, in milliseconds: the precision of every deadline.
const SLOT_MS: u64 = 50;

/// Slots of the wheel; with `SLOT_MS` it comes round in 51.2 s. A later deadline is looked at once
/// a round.
const SLOTS: usize = 1024;

/// No slot, no neighbour.
const NONE: u32 = u32::MAX;

/// Deadlines of connections, by their index.
#[derive(Debug)]
pub(crate) struct Wheel {
    heads: Box<[u32]>,
    /// A bit for each slot that holds something: finding the next one looks at 16 words, each turn.
    filled: [u64; SLOTS / 64],
    links: Vec<Link>,
    /// The first slot, counted from the beginning of time, that was not yet gone through.
    next: u64,
    count: usize,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    slot: u32,
    before: u32,
    after: u32,
}

const UNSET: Link = Link {
    slot: NONE,
    before: NONE,
    after: NONE,
};

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            heads: vec![NONE; SLOTS].into_boxed_slice(),
            filled: [0; SLOTS / 64],
            links: Vec::new(),
            next: 0,
            count: 0,
        }
    }

    /// Sets the deadline of a connection, in place of the one it had.
    pub(crate) fn set(&mut self, index: u32, deadline: Tick) {
        self.cancel(index);
        if self.links.len() <= index as usize {
            self.links.resize(index as usize + 1, UNSET);
        }
        // Rounded up, so that it never comes early, and at most once round.
        let due = deadline
            .0
            .div_ceil(SLOT_MS)
            .clamp(self.next, self.next + SLOTS as u64 - 1);
        let slot = (due % SLOTS as u64) as usize;
        let head = self.heads[slot];
        if head != NONE {
            self.links[head as usize].before = index;
        }
        self.links[index as usize] = Link {
            slot: slot as u32,
            before: NONE,
            after: head,
        };
        self.heads[slot] = index;
        self.filled[slot / 64] |= 1 << (slot % 64);
        self.count += 1;
    }

    /// Forgets the deadline of a connection, if it has one.
    pub(crate) fn cancel(&mut self, index: u32) {
        let Some(&Link {
            slot,
            before,
            after,
        }) = self.links.get(index as usize)
        else {
            return;
        };
        if slot == NONE {
            return;
        }
        match before {
            NONE => {
                self.heads[slot as usize] = after;
                if after == NONE {
                    self.filled[slot as usize / 64] &= !(1 << (slot % 64));
                }
            }
            before => self.links[before as usize].after = after,
        }
        if after != NONE {
            self.links[after as usize].before = before;
        }
        self.links[index as usize] = UNSET;
        self.count -= 1;
    }

    /// Takes out one connection whose slot has come; none when there is none left until `now`.
    pub(crate) fn expired(&mut self, now: Tick) -> Option<u32> {
        let last = now.0 / SLOT_MS;
        if self.count == 0 {
            self.next = self.next.max(last + 1);
            return None;
        }
        // After a long sleep each slot is gone through once, not once a round.
        self.next = self.next.max(last.saturating_sub(SLOTS as u64 - 1));
        while self.next <= last {
            let head = self.heads[(self.next % SLOTS as u64) as usize];
            if head != NONE {
                self.cancel(head);
                return Some(head);
            }
            self.next += 1;
        }
        None
    }

    /// How long until the next slot that holds a deadline; none when nothing is set.
    pub(crate) fn wait(&self, now: Tick) -> Option<Duration> {
        let ahead = self.ahead()?;
        let due = (self.next + ahead) * SLOT_MS;
        Some(Duration::from_millis(due.saturating_sub(now.0)))
    }

    /// Deadlines that are set.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Slots from the next one to the first that holds something.
    fn ahead(&self) -> Option<u64> {
        let start = (self.next % SLOTS as u64) as usize;
        let words = self.filled.len();
        // The first word counts from its middle, and once more, up to there, at the end.
        (0..=words).find_map(|i| {
            let word = (start / 64 + i) % words;
            let bits = match i {
                0 => self.filled[word] >> (start % 64) << (start % 64),
                _ => self.filled[word],
            };
            (bits != 0).then(|| {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                ((slot + SLOTS - start) % SLOTS) as u64
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Small, seeded, good enough to mix a test.
    fn random(seed: &mut u64) -> u64 {
        *seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        *seed >> 33
    }

    #[test]
    fn nothing_expires_early_and_nothing_is_missed() {
        let mut wheel = Wheel::new();
        let mut set: HashMap<u32, u64> = HashMap::new();
        let mut now = 0;
        let mut seed = 7;
        for _ in 0..20_000 {
            let index = (random(&mut seed) % 64) as u32;
            match random(&mut seed) % 4 {
                0 => {
                    wheel.cancel(index);
                    set.remove(&index);
                }
                1 | 2 => {
                    let deadline = now + random(&mut seed) % 100_000;
                    wheel.set(index, Tick(deadline));
                    set.insert(index, deadline);
                }
                _ => {
                    let step = if random(&mut seed).is_multiple_of(50) {
                        200_000
                    } else {
                        random(&mut seed) % 500
                    };
                    now += step;
                    while let Some(index) = wheel.expired(Tick(now)) {
                        let deadline = set.remove(&index).expect("was set");
                        if deadline > now {
                            // Further away than one round: looked at again.
                            assert!(deadline > now, "early");
                            wheel.set(index, Tick(deadline));
                            set.insert(index, deadline);
                            if wheel.wait(Tick(now)) == Some(Duration::ZERO) {
                                break;
                            }
                        }
                    }
                    for (&index, &deadline) in &set {
                        assert!(
                            deadline + 2 * SLOT_MS > now,
                            "{index} was due at {deadline}, it is {now}"
                        );
                    }
                }
            }
            assert_eq!(wheel.count, set.len());
            assert_eq!(wheel.wait(Tick(now)).is_some(), !set.is_empty());
        }
    }

    #[test]
    fn the_wait_ends_when_the_deadline_is_due() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.expired(Tick(1234)), None);
        wheel.set(3, Tick(1300));
        let wait = wheel.wait(Tick(1240)).unwrap();
        assert!(wait >= Duration::from_millis(60) && wait <= Duration::from_millis(60 + SLOT_MS));
        let due = Tick(1240).after(wait);
        assert_eq!(wheel.expired(due), Some(3));
        assert_eq!(wheel.wait(due), None);
    }
}
