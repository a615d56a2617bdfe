//! A compressed message on its way in: inflated piece by piece as its octets come, under a limit
//! that is counted while inflating.
//!
//! It knows the text made so far and what the connection keeps; it must not know frames.
//!
//! # Bounds
//!
//! The limit of a message is that of its text, exact to the octet: at most one octet more than
//! allowed is ever made. What the message's frames announce says nothing about it and reserves
//! nothing. Of messages that are not finished, a shard inflates only as much as
//! [`codecs`](super::codecs) allows; the octets of others wait as they came, up to
//! [`WAITING_FACTOR`] times the limit. A message that comes whole, the usual case, borrows an idle
//! inflater for the call.

use wirebahn_nvx::Buffer;

use super::codec::Inflater;
use super::codecs::Codecs;
use super::{Kept, PerMessageDeflate, ReceiveContext, remember};
use crate::error::Violation;
use crate::message::Kind;

/// Blocks with BFINAL that one message may have. After each the decoder begins anew and is given
/// its window again, which costs up to a microsecond for two octets of input; more than a few are
/// nobody's way to compress. 4,096 of them cost about as much as inflating 16 MiB.
const FINAL_BLOCKS_MAX: u16 = 4096;

/// Octets that may wait compressed, in limits of a message, and [`WAITING_SPARE`] more. An honest
/// compressor adds five octets to 65,535 that do not shrink, and five to a flush; a message
/// flushed after every few octets may grow to several times its text.
const WAITING_FACTOR: u64 = 4;

/// See [`WAITING_FACTOR`].
const WAITING_SPARE: u64 = 64 << 10;

/// The window of any deflate stream.
const WINDOW: usize = 1 << 15;

/// An unfinished compressed message.
#[derive(Debug, Default)]
pub(crate) struct Inflating {
    /// Lent by the shard, unless the connection has its own.
    inflater: Option<Inflater>,
    /// What waits to be inflated.
    waiting: Vec<u8>,
    /// Text made so far that the shard was told of.
    torn: usize,
    /// Blocks with BFINAL so far.
    final_blocks: u16,
    /// Whether any octet came.
    begun: bool,
    /// The last block had BFINAL: before the next one, the decoder begins anew.
    ended: bool,
}

impl Inflating {
    /// Takes a piece of the message, unmasked, and adds its text to `content`; `last` when it is
    /// the end of it.
    pub(crate) fn take(
        &mut self,
        piece: &[u8],
        last: bool,
        target: Target<'_>,
        deflate: &mut PerMessageDeflate,
        codecs: &mut Codecs,
    ) -> Result<(), Violation> {
        let mut nothing = ReceiveContext::Nothing;
        let receive = match deflate.kept.as_deref_mut() {
            Some(Kept { receive, .. }) => receive,
            None => &mut nothing,
        };
        self.begun |= !piece.is_empty();
        let has_one = self.inflater.is_some() || matches!(receive, ReceiveContext::Dedicated(_));
        let goes_on = last || codecs.may_tear() && (has_one || codecs.may_lend());
        if !goes_on {
            return self.wait(piece, target.size_max);
        }
        let mut block = codecs.block();
        let mut work = Work {
            target,
            block: &mut block,
            final_blocks: &mut self.final_blocks,
            ended: &mut self.ended,
            finish: last && self.begun,
        };
        let waiting = std::mem::take(&mut self.waiting);
        let result = match receive {
            ReceiveContext::Dedicated(own) => {
                let inflater = own.get_or_insert_with(|| {
                    codecs.grew(super::INFLATER_LEN);
                    Inflater::new()
                });
                // Of a stream that ended, only this message's text is still there; no sender that
                // ends its streams refers to more.
                work.run(inflater, (&[], &[]), [&waiting, piece])
            }
            ReceiveContext::Nothing | ReceiveContext::History(_) => {
                let past = match &*receive {
                    ReceiveContext::History(history) => history.pieces(),
                    _ => (&[][..], &[][..]),
                };
                let inflater = self.inflater.get_or_insert_with(|| {
                    let mut inflater = codecs.lend();
                    inflater.reset();
                    inflater.prime(past.0);
                    inflater.prime(past.1);
                    inflater
                });
                work.run(inflater, past, [&waiting, piece])
            }
        };
        let made = work.target.content.len();
        if last
            && result.is_ok()
            && let ReceiveContext::History(history) = receive
        {
            remember(history, work.target.content.as_bytes(), codecs);
        }
        codecs.keep_block(block);
        if last {
            self.settle(codecs);
        } else {
            codecs.torn(made.saturating_sub(self.torn));
            self.torn = made;
        }
        result
    }

    /// Gives back what was lent; the message is whole, or will never be.
    pub(crate) fn settle(&mut self, codecs: &mut Codecs) {
        if let Some(inflater) = self.inflater.take() {
            codecs.give_back(inflater);
        }
        codecs.mended(std::mem::take(&mut self.torn));
        self.waiting = Vec::new();
    }

    /// Octets that wait.
    pub(crate) fn capacity(&self) -> usize {
        self.waiting.capacity()
    }

    fn wait(&mut self, piece: &[u8], size_max: u64) -> Result<(), Violation> {
        let most = size_max
            .saturating_mul(WAITING_FACTOR)
            .saturating_add(WAITING_SPARE);
        if (self.waiting.len() as u64).saturating_add(piece.len() as u64) > most {
            return Err(Violation::MessageTooBig);
        }
        self.waiting.extend_from_slice(piece);
        Ok(())
    }
}

/// Where the text of a message goes.
pub(crate) struct Target<'t> {
    pub(crate) content: &'t mut Buffer,
    pub(crate) kind: Kind,
    /// The most octets the text may have.
    pub(crate) size_max: u64,
}

/// The inflating of one call.
struct Work<'w, 't> {
    target: Target<'t>,
    block: &'w mut Vec<u8>,
    final_blocks: &'w mut u16,
    ended: &'w mut bool,
    /// Whether the message is whole. One without any octet is understood as an empty message and
    /// leaves the decoder alone: by the letter it would have to be one octet (RFC 7692 section
    /// 7.2.3.6), but not all senders know.
    finish: bool,
}

impl Work<'_, '_> {
    /// Inflates pieces in order; after the last ones, the end of the message.
    fn run(
        &mut self,
        inflater: &mut Inflater,
        past: (&[u8], &[u8]),
        pieces: [&[u8]; 2],
    ) -> Result<(), Violation> {
        for piece in pieces {
            self.inflate(inflater, past, piece)?;
        }
        if !self.finish {
            return Ok(());
        }
        if *self.ended {
            // A sender that forgot the octet of RFC 7692 section 7.2.3.4 behind a block with
            // BFINAL. All of the message is there; what the missing octet would have begun with
            // the tail is an empty block.
            return self.begin_anew(inflater, past);
        }
        inflater
            .finish(self.block)
            .map_err(|_| Violation::CorruptDeflate)
    }

    /// Inflates all of `input`. Every round takes input, makes text, or is the last.
    fn inflate(
        &mut self,
        inflater: &mut Inflater,
        past: (&[u8], &[u8]),
        mut input: &[u8],
    ) -> Result<(), Violation> {
        while !input.is_empty() {
            if *self.ended {
                self.begin_anew(inflater, past)?;
            }
            let stuck = loop {
                let made = self.target.content.len() as u64;
                let left = self.target.size_max.saturating_sub(made);
                // One more than allowed, to see that there is more.
                let most = usize::try_from(left.saturating_add(1)).unwrap_or(usize::MAX);
                let most = most.min(self.block.len());
                let room = self.block.get_mut(..most).unwrap_or_default();
                let step = inflater
                    .inflate(input, room)
                    .map_err(|_| Violation::CorruptDeflate)?;
                input = input.get(step.taken..).unwrap_or_default();
                if step.made as u64 > left {
                    return Err(Violation::MessageTooBig);
                }
                let text = room.get(..step.made).unwrap_or_default();
                match self.target.kind {
                    Kind::Text => self
                        .target
                        .content
                        .extend_text(text, None)
                        .map(drop)
                        .map_err(|_| Violation::InvalidUtf8)?,
                    Kind::Binary => drop(self.target.content.extend_bytes(text, None)),
                }
                if step.ended {
                    *self.ended = true;
                    break false;
                }
                if step.made < most {
                    break step.taken == 0 && step.made == 0;
                }
            };
            if stuck && !input.is_empty() {
                return Err(Violation::CorruptDeflate); // cannot be: it took and made nothing
            }
        }
        Ok(())
    }

    /// After a block with BFINAL: a new stream, with the window of the old one. That is how a
    /// message flushed by such blocks is understood "in the same manner" as any other (RFC 7692
    /// section 7.2.3.4).
    fn begin_anew(
        &mut self,
        inflater: &mut Inflater,
        (front, back): (&[u8], &[u8]),
    ) -> Result<(), Violation> {
        *self.final_blocks += 1;
        if *self.final_blocks > FINAL_BLOCKS_MAX {
            return Err(Violation::TooManyFragments);
        }
        *self.ended = false;
        inflater.reset();
        let text = self.target.content.as_bytes();
        if text.len() < WINDOW {
            inflater.prime(front);
            inflater.prime(back);
        }
        inflater.prime(
            text.get(text.len().saturating_sub(WINDOW)..)
                .unwrap_or_default(),
        );
        Ok(())
    }
}
