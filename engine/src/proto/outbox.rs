//! What waits to leave a connection: own octets, and frames shared with other connections.
//!
//! The driver asks with `gather` what may leave and says with `sent` what left. Octets given out
//! stay where they are until then: what is appended meanwhile goes into a new block. An empty
//! outbox owns nothing.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;
use smallvec::SmallVec;

use super::pool::Pool;

/// Slices for one vectored write.
pub type Slices<'a> = SmallVec<[IoSlice<'a>; GATHER_MAX]>;

/// Segments given to one write. A turn's replies are one segment, a broadcast's batch one more.
pub const GATHER_MAX: usize = 16;

/// An own block is not appended to once it is this long. A block is freed when all of it has left,
/// so a longer one would hold octets that are long gone; a shorter one would make more segments.
const BLOCK_LEN: usize = 64 << 10;

/// A shared frame below this is copied into the block instead of becoming a segment of its own:
/// beside a short copy, a segment costs an entry in the vector and a reference count.
const SHARE_MIN: usize = 1 << 10;

/// The octets that wait to leave one connection.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: Option<Box<Queue>>,
}

/// The record behind an outbox that is not empty; lent by the pool, its spare block with it.
#[derive(Debug, Default)]
pub struct Queue {
    /// What leaves before `tail`.
    segments: VecDeque<Segment>,
    /// The own block that grows.
    tail: Vec<u8>,
    /// Octets in all that have not left.
    len: usize,
    /// Octets of the front (the first segment, or the tail) that have left.
    gone: usize,
    /// The driver may be reading from `tail`: it must not grow, because growing may move it.
    tail_frozen: bool,
}

#[derive(Debug)]
enum Segment {
    Own(Vec<u8>),
    Shared(Bytes),
}

impl Segment {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Own(block) => block,
            Self::Shared(frame) => frame,
        }
    }
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Octets of the block that is kept with the record.
    pub(crate) fn capacity(&self) -> usize {
        self.tail.capacity()
    }

    /// Frees that block.
    pub(crate) fn shed(&mut self) {
        self.tail = Vec::new();
    }

    /// Moves the tail among the segments; its octets stay where they are.
    #[cold]
    fn seal(&mut self, pool: &mut Pool) {
        if !self.tail.is_empty() {
            let block = std::mem::replace(&mut self.tail, pool.block());
            self.segments.push_back(Segment::Own(block));
        }
        self.tail_frozen = false;
    }

    /// Takes out what has left.
    fn drop_front(&mut self, pool: &mut Pool) {
        while let Some(front) = self.segments.front() {
            let len = front.as_slice().len();
            if self.gone < len {
                return;
            }
            self.gone -= len;
            if let Some(Segment::Own(block)) = self.segments.pop_front() {
                pool.keep_block(block);
            }
        }
    }
}

impl Outbox {
    /// Octets that wait.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len)
    }

    /// Whether nothing waits.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_none()
    }

    /// Appends what `write` adds to the block it is given.
    #[inline]
    pub fn append(&mut self, pool: &mut Pool, write: impl FnOnce(&mut Vec<u8>)) {
        let queue = match &mut self.queue {
            Some(queue) => queue,
            none => none.insert(pool.queue()),
        };
        if queue.tail_frozen || queue.tail.len() >= BLOCK_LEN {
            queue.seal(pool);
        }
        let before = queue.tail.len();
        write(&mut queue.tail);
        queue.len += queue.tail.len().saturating_sub(before);
        if queue.len == 0 {
            self.clear(pool);
        }
    }

    /// Appends frames that other connections send as well.
    pub fn append_shared(&mut self, pool: &mut Pool, frames: &Bytes) {
        if frames.len() < SHARE_MIN {
            self.append(pool, |block| block.extend_from_slice(frames));
            return;
        }
        let queue = self.queue.get_or_insert_with(|| pool.queue());
        queue.seal(pool);
        queue.len += frames.len();
        queue.segments.push_back(Segment::Shared(frames.clone()));
    }

    /// Fills `slices` with what may leave next; it stays where it is until [`sent`](Self::sent).
    #[inline]
    pub fn gather<'a>(&'a mut self, slices: &mut Slices<'a>) {
        let Some(queue) = self.queue.as_deref_mut() else {
            return;
        };
        let mut skip = queue.gone;
        for segment in queue.segments.iter().take(GATHER_MAX) {
            let slice = segment.as_slice().get(skip..).unwrap_or_default();
            skip = 0;
            slices.push(IoSlice::new(slice));
        }
        if slices.len() < GATHER_MAX && !queue.tail.is_empty() {
            queue.tail_frozen = true;
            slices.push(IoSlice::new(queue.tail.get(skip..).unwrap_or_default()));
        }
    }

    /// Tells that `count` octets of what was gathered have left; the rest may move again.
    #[inline]
    pub fn sent(&mut self, count: usize, pool: &mut Pool) {
        let Some(queue) = self.queue.as_deref_mut() else {
            return;
        };
        debug_assert!(count <= queue.len, "more left than was waiting");
        queue.tail_frozen = false;
        queue.len = queue.len.saturating_sub(count);
        queue.gone = queue.gone.saturating_add(count);
        if queue.len == 0 {
            self.clear(pool);
        } else if !queue.segments.is_empty() {
            queue.drop_front(pool);
        }
    }

    /// Throws away what waits; only when no driver holds a slice of it.
    pub fn clear(&mut self, pool: &mut Pool) {
        let Some(mut queue) = self.queue.take() else {
            return;
        };
        for segment in queue.segments.drain(..) {
            if let Segment::Own(block) = segment {
                pool.keep_block(block);
            }
        }
        queue.tail.clear();
        queue.tail_frozen = false;
        queue.len = 0;
        queue.gone = 0;
        pool.keep_queue(queue);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Up to `most` of the octets that may leave.
    fn waiting(outbox: &mut Outbox, most: usize) -> Vec<u8> {
        let mut slices = Slices::new();
        outbox.gather(&mut slices);
        slices
            .iter()
            .flat_map(|s| s.iter().copied())
            .take(most)
            .collect()
    }

    #[test]
    fn what_goes_in_comes_out_in_order_whatever_is_taken_at_a_time() {
        let steps: &[usize] = if cfg!(miri) {
            &[997, 1 << 20]
        } else {
            &[1, 2, 3, 7, 1000, 5000, 1 << 20]
        };
        for &step in steps {
            let mut pool = Pool::new();
            let mut outbox = Outbox::default();
            let shared = Bytes::from(vec![9_u8; 3000]);
            let mut expected = Vec::new();
            let mut seen = Vec::new();
            for round in 0..40_u8 {
                outbox.append(&mut pool, |block| block.extend([round; 700]));
                expected.extend([round; 700]);
                outbox.append_shared(&mut pool, &shared);
                expected.extend_from_slice(&shared);
                if round % 3 == 0 {
                    let octets = waiting(&mut outbox, step);
                    seen.extend_from_slice(&octets);
                    outbox.sent(octets.len(), &mut pool);
                }
                assert_eq!(outbox.len(), expected.len() - seen.len());
            }
            while !outbox.is_empty() {
                let octets = waiting(&mut outbox, step);
                assert!(!octets.is_empty());
                seen.extend_from_slice(&octets);
                outbox.sent(octets.len(), &mut pool);
            }
            assert!(seen == expected, "step {step}");
        }
    }

    #[test]
    fn what_was_given_out_does_not_move_while_more_is_appended() {
        let mut pool = Pool::new();
        let mut outbox = Outbox::default();
        outbox.append(&mut pool, |block| block.extend([1; 10]));
        let mut slices = Slices::new();
        outbox.gather(&mut slices);
        let address = slices[0].as_ptr();
        drop(slices);
        outbox.append(&mut pool, |block| block.extend([2; 100_000]));
        let queue = outbox.queue.as_ref().unwrap();
        assert_eq!(queue.segments[0].as_slice().as_ptr(), address);
        assert_eq!(queue.segments[0].as_slice().len(), 10);
        outbox.sent(4, &mut pool);
        assert_eq!(outbox.len(), 100_006);
    }

    #[test]
    fn an_empty_outbox_owns_nothing_and_buffers_are_reused() {
        let mut pool = Pool::new();
        let mut outbox = Outbox::default();
        for _ in 0..3 {
            outbox.append(&mut pool, |block| block.extend([0; 500]));
            outbox.sent(500, &mut pool);
            assert!(outbox.is_empty());
            assert!(pool.kept() >= 500);
        }
        outbox.append(&mut pool, |_| ());
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_connection_that_is_never_quite_empty_does_not_hold_what_has_left() {
        let mut pool = Pool::new();
        let mut outbox = Outbox::default();
        outbox.append(&mut pool, |block| block.extend([0; 1000]));
        for _ in 0..if cfg!(miri) { 300 } else { 10_000 } {
            outbox.append(&mut pool, |block| block.extend([0; 1000]));
            outbox.sent(1000, &mut pool);
        }
        let held: usize = outbox
            .queue
            .as_ref()
            .unwrap()
            .segments
            .iter()
            .map(|s| s.as_slice().len())
            .sum();
        assert!(
            held <= 2 * (BLOCK_LEN + 1000),
            "{held} octets held for 1000 that wait"
        );
    }
}
