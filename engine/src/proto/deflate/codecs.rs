//! What a shard lends for compression: idle codecs, room to work in, and the account of all memory
//! that compression holds, here and in connections.

use super::codec::{Deflater, INFLATER_LEN, Inflater};
use super::oneshot::{self, ONE_SHOT_LEN, OneShot};
use super::params::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use crate::config::Compression;

/// Window sizes there are.
pub(crate) const WINDOWS: usize = (WINDOW_BITS_MAX - WINDOW_BITS_MIN + 1) as usize;

/// Idle inflaters kept: a message that lies whole in the input needs one; more are left over only
/// from messages that were torn.
const IDLE_MAX: usize = 4;

/// Messages in pieces that have an inflater to themselves at once. What comes of others waits
/// compressed, as it came, until the message is whole: 64 of 47 KB are 3 MB a shard.
const LENT_MAX: usize = 64;

/// Octets of text that unfinished messages are inflated to at once, in one shard. Above it, what
/// comes waits compressed: a peer cannot make the shard hold a thousand octets by sending one and
/// stopping there.
const TORN_MAX: usize = 16 << 20;

/// Room to inflate into, piece by piece: long enough that a call costs nothing beside the work,
/// short enough to stay in the nearest caches until it is copied on.
const BLOCK_LEN: usize = 16 << 10;

/// Room for compressed messages that is kept; a longer one is given back.
const OUT_KEPT_MAX: usize = 256 << 10;

/// The codecs of one shard, made when they are first needed.
#[derive(Debug, Default)]
pub struct Codecs {
    inflaters: Vec<Inflater>,
    deflaters: [Option<Deflater>; WINDOWS],
    one_shot: Option<OneShot>,
    block: Vec<u8>,
    out: Vec<u8>,
    /// What connections may come to hold, by what was agreed with them.
    reserved: usize,
    /// What connections do hold.
    contexts: usize,
    /// Inflaters lent to messages in pieces.
    lent: usize,
    /// Text of unfinished messages.
    torn: usize,
    /// Connections that were answered without context because the budget was spent.
    pub(crate) declined: u64,
}

impl Codecs {
    /// Octets that compression holds: idle codecs, lent ones, the contexts of connections.
    #[must_use]
    pub fn held(&self) -> usize {
        let deflaters = self.deflaters.iter().flatten().map(Deflater::len);
        (self.inflaters.len() + self.lent) * INFLATER_LEN
            + deflaters.sum::<usize>()
            + self.one_shot.as_ref().map_or(0, |_| ONE_SHOT_LEN)
            + self.block.capacity()
            + self.out.capacity()
            + self.contexts
    }

    /// Octets that open connections may come to hold at most, by what was agreed with them.
    #[must_use]
    pub fn reserved(&self) -> usize {
        self.reserved
    }

    /// Sets `octets` aside for a connection, unless `budget` is spent.
    pub(super) fn reserve(&mut self, octets: usize, budget: usize) -> bool {
        let fits = self.reserved.saturating_add(octets) <= budget;
        if fits {
            self.reserved += octets;
        }
        fits
    }

    pub(super) fn release(&mut self, octets: usize) {
        debug_assert!(octets <= self.reserved);
        self.reserved = self.reserved.saturating_sub(octets);
    }

    /// A connection's context grew.
    pub(super) fn grew(&mut self, octets: usize) {
        self.contexts += octets;
    }

    pub(super) fn shrank(&mut self, octets: usize) {
        debug_assert!(octets <= self.contexts);
        self.contexts = self.contexts.saturating_sub(octets);
    }

    /// Whether one more message in pieces may have an inflater.
    pub(super) fn may_lend(&self) -> bool {
        self.lent < LENT_MAX
    }

    /// Whether unfinished messages may be inflated further.
    pub(super) fn may_tear(&self) -> bool {
        self.torn < TORN_MAX
    }

    pub(super) fn torn(&mut self, octets: usize) {
        self.torn += octets;
    }

    pub(super) fn mended(&mut self, octets: usize) {
        debug_assert!(octets <= self.torn);
        self.torn = self.torn.saturating_sub(octets);
    }

    /// Whether no connection and no message holds anything.
    #[cfg(test)]
    pub(super) fn is_at_rest(&self) -> bool {
        (self.contexts, self.lent, self.torn) == (0, 0, 0)
    }

    #[cfg(test)]
    pub(super) fn contexts(&self) -> usize {
        self.contexts
    }

    pub(super) fn lend(&mut self) -> Inflater {
        self.lent += 1;
        self.inflaters.pop().unwrap_or_else(Inflater::new)
    }

    pub(super) fn give_back(&mut self, inflater: Inflater) {
        debug_assert!(self.lent > 0);
        self.lent = self.lent.saturating_sub(1);
        if self.inflaters.len() < IDLE_MAX {
            self.inflaters.push(inflater);
        }
    }

    pub(super) fn block(&mut self) -> Vec<u8> {
        let mut block = std::mem::take(&mut self.block);
        block.resize(BLOCK_LEN, 0);
        block
    }

    pub(super) fn keep_block(&mut self, block: Vec<u8>) {
        self.block = block;
    }

    /// An empty buffer for a compressed message.
    pub(crate) fn out(&mut self) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        out
    }

    pub(crate) fn keep_out(&mut self, out: Vec<u8>) {
        if out.capacity() <= OUT_KEPT_MAX {
            self.out = out;
        }
    }

    /// Compresses a message that is not empty without context into `out`, which is empty. `false`
    /// when that would not make it shorter.
    pub(super) fn deflate_alone(
        &mut self,
        plain: &[u8],
        window_bits: u8,
        config: &Compression,
        out: &mut Vec<u8>,
    ) -> bool {
        // No reference reaches further back than the message is long, so that a short one keeps to
        // any window.
        if plain.len() <= oneshot::PLAIN_LEN_MAX.min(1 << window_bits) {
            if self
                .one_shot
                .as_ref()
                .is_none_or(|one| one.level() != config.level)
            {
                self.one_shot = OneShot::new(config.level);
            }
            if self
                .one_shot
                .as_mut()
                .is_some_and(|one| one.deflate(plain, out))
            {
                return out.len() < plain.len();
            }
            out.clear();
            return false;
        }
        let window_bits = if plain.len() <= 1 << window_bits {
            WINDOW_BITS_MAX
        } else {
            window_bits
        };
        self.deflate_after((&[], &[]), plain, window_bits, config, out)
    }

    /// Compresses a message that is not empty, which may refer to the text before it, into `out`,
    /// which is empty. `false` when that would not make it shorter.
    pub(super) fn deflate_after(
        &mut self,
        (front, back): (&[u8], &[u8]),
        plain: &[u8],
        window_bits: u8,
        config: &Compression,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut block = self.block();
        let index = usize::from(window_bits.saturating_sub(WINDOW_BITS_MIN));
        let Some(slot) = self.deflaters.get_mut(index) else {
            return false;
        };
        let kept = slot
            .take()
            .filter(|d| d.is_like(config.level, config.mem_level));
        let deflater = slot.insert(match kept {
            Some(mut deflater) => {
                deflater.reset();
                deflater
            }
            None => Deflater::new(window_bits, config.level, config.mem_level),
        });
        deflater.prime(front);
        deflater.prime(back);
        let made = deflater.deflate(plain, &mut block, out);
        self.block = block;
        made.is_ok() && out.len() < plain.len()
    }
}
