//! What a shard lends to its connections: buffers that only exist while they hold something.
//!
//! An idle connection owns no buffer. When it has something to assemble or to send it takes what
//! it needs from here, and gives it back when that is done, so that a steady echo allocates
//! nothing. Kept memory is bounded: see [`KEPT_MAX`]. Codecs are lent likewise: see [`Codecs`].

use std::collections::VecDeque;

use wirebahn_nvx::Buffer;

use super::deflate::codecs::Codecs;
use super::outbox::Queue;
use super::recv::Assembly;

/// Octets of spare buffers a shard keeps; what is given back above it is freed. Enough for the
/// largest connection of a turn and a few torn messages, little beside the receive buffer's 1 %
/// of a machine's memory.
pub const KEPT_MAX: usize = 8 << 20;

/// A single buffer above this is freed rather than kept, so that one large message does not
/// crowd out the rest.
pub const KEPT_ONE_MAX: usize = 2 << 20;

/// Spare queue and assembly records kept; each is about a hundred octets.
const RECORDS_MAX: usize = 256;

/// Octets of randomness drawn from the kernel at once: one system call for 1,024 masks.
const ENTROPY_LEN: usize = 4096;

/// Spare buffers and randomness of one shard.
#[derive(Debug)]
// The records stay boxed while they are kept: a connection holds a pointer to one, and lending it
// must not move it.
#[allow(clippy::vec_box)]
pub struct Pool {
    blocks: Vec<Vec<u8>>,
    queues: Vec<Box<Queue>>,
    assemblies: Vec<Box<Assembly>>,
    kept: usize,
    entropy: Entropy,
    codecs: Codecs,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new()
    }
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new() -> Self {
        Self {
            blocks: Vec::new(),
            queues: Vec::new(),
            assemblies: Vec::new(),
            kept: 0,
            entropy: Entropy {
                octets: VecDeque::new(),
            },
            codecs: Codecs::default(),
        }
    }

    /// Octets of buffers kept for reuse.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// What compression holds, in this shard.
    #[must_use]
    pub fn compression(&self) -> &Codecs {
        &self.codecs
    }

    #[inline]
    pub(crate) fn codecs(&mut self) -> &mut Codecs {
        &mut self.codecs
    }

    /// What lies in the pool, added up anew; [`kept`](Self::kept) must agree.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn recount(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(Vec::capacity).sum();
        let queues: usize = self.queues.iter().map(|queue| queue.capacity()).sum();
        let assemblies: usize = self.assemblies.iter().map(|a| a.capacity()).sum();
        blocks + queues + assemblies
    }

    pub(crate) fn block(&mut self) -> Vec<u8> {
        let block = self.blocks.pop().unwrap_or_default();
        self.kept = self.kept.saturating_sub(block.capacity());
        block
    }

    pub(crate) fn keep_block(&mut self, mut block: Vec<u8>) {
        if self.room_for(block.capacity()) {
            block.clear();
            self.kept += block.capacity();
            self.blocks.push(block);
        }
    }

    #[inline]
    pub(crate) fn queue(&mut self) -> Box<Queue> {
        match self.queues.pop() {
            Some(queue) => {
                self.kept = self.kept.saturating_sub(queue.capacity());
                queue
            }
            None => Box::default(),
        }
    }

    #[inline]
    pub(crate) fn keep_queue(&mut self, mut queue: Box<Queue>) {
        debug_assert_eq!(queue.len(), 0);
        if !self.room_for(queue.capacity()) {
            queue.shed();
        }
        if self.queues.len() < RECORDS_MAX {
            self.kept += queue.capacity();
            self.queues.push(queue);
        }
    }

    pub(crate) fn assembly(&mut self) -> Box<Assembly> {
        let assembly = self.assemblies.pop().unwrap_or_default();
        self.kept = self.kept.saturating_sub(assembly.capacity());
        assembly
    }

    pub(crate) fn keep_assembly(&mut self, mut assembly: Box<Assembly>) {
        assembly.reset();
        if !self.room_for(assembly.capacity()) {
            assembly.content = Buffer::new();
        }
        if self.assemblies.len() < RECORDS_MAX {
            self.kept += assembly.capacity();
            self.assemblies.push(assembly);
        }
    }

    /// A fresh masking key, unpredictable as RFC 6455 section 5.3 demands.
    pub(crate) fn mask_key(&mut self) -> [u8; 4] {
        self.entropy.key()
    }

    fn room_for(&self, capacity: usize) -> bool {
        capacity <= KEPT_ONE_MAX && self.kept.saturating_add(capacity) <= KEPT_MAX
    }
}

/// Randomness of the operating system, drawn in advance; each octet is used once.
#[derive(Debug)]
struct Entropy {
    octets: VecDeque<[u8; 4]>,
}

impl Entropy {
    fn key(&mut self) -> [u8; 4] {
        if let Some(key) = self.octets.pop_front() {
            return key;
        }
        let mut fresh = [0; ENTROPY_LEN];
        // A system without randomness cannot keep the promise of section 5.3; std's own hash
        // maps do not start there either.
        getrandom::fill(&mut fresh).expect("the operating system has a source of randomness");
        self.octets.extend(fresh.as_chunks::<4>().0);
        self.octets.pop_front().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let mut pool = Pool::new();
        pool.keep_block(Vec::with_capacity(KEPT_ONE_MAX + 1));
        assert_eq!(pool.kept(), 0);
        for _ in 0..100 {
            pool.keep_block(Vec::with_capacity(1 << 20));
        }
        assert!(pool.kept() <= KEPT_MAX && pool.kept() >= KEPT_MAX / 2);
        while pool.kept() > 0 {
            pool.block();
        }
    }

    #[test]
    fn keys_differ() {
        let mut pool = Pool::new();
        let keys: std::collections::HashSet<_> = (0..3000).map(|_| pool.mask_key()).collect();
        assert!(keys.len() > 2990);
    }
}
