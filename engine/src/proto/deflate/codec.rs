//! The two streaming codecs, zlib-rs behind the few verbs that permessage-deflate needs.
//!
//! It knows streams and windows; it must not know messages, limits of messages, nor where a codec
//! lives.
//!
//! Two habits of zlib-rs 0.6 this file works around: `Inflate::reset` goes back to a window of
//! 32,768 octets whatever it began with (harmless: a larger window understands a smaller one), and
//! a raw compressor with window bits 8 panics (never made: see
//! [`WINDOW_BITS_MIN`](super::params::WINDOW_BITS_MIN)).

use std::fmt;

use zlib_rs::{
    Deflate, DeflateConfig, DeflateFlush, Inflate, InflateError, InflateFlush, Method, Status,
    Strategy,
};

use super::params::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};

/// What every flush ends with, and what is left out on the wire: the length of an empty stored
/// block (RFC 7692 section 7.2.1).
pub(super) const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// What an [`Inflater`] occupies, whatever its window: measured, see `sizes` below.
pub(super) const INFLATER_LEN: usize = 47_552;

/// What a [`Deflater`] occupies: hash heads of a fixed 128 KiB, the window twice, its chains, and
/// what waits to be written (measured; see `sizes` below).
pub(super) const fn deflater_len(window_bits: u8, mem_level: u8) -> usize {
    let window = 1_usize << window_bits;
    let symbols = 1_usize << (mem_level + 6);
    (128 << 10) + 4 * window + 7 * symbols + 3200
}

/// A compressor of raw deflate streams.
pub(super) struct Deflater {
    stream: Deflate,
    window_bits: u8,
    level: u8,
    mem_level: u8,
}

impl Deflater {
    /// Window bits from 9 to 15, level and memory level from 1 to 9.
    pub(super) fn new(window_bits: u8, level: u8, mem_level: u8) -> Self {
        debug_assert!((WINDOW_BITS_MIN..=WINDOW_BITS_MAX).contains(&window_bits));
        Self {
            stream: Deflate::new_with_config(DeflateConfig {
                level: i32::from(level),
                method: Method::Deflated,
                window_bits: -i32::from(window_bits), // negative: raw, without a header
                mem_level: i32::from(mem_level),
                strategy: Strategy::Default,
            }),
            window_bits,
            level,
            mem_level,
        }
    }

    pub(super) fn is_like(&self, level: u8, mem_level: u8) -> bool {
        self.level == level && self.mem_level == mem_level
    }

    /// Octets it occupies.
    pub(super) fn len(&self) -> usize {
        deflater_len(self.window_bits, self.mem_level)
    }

    /// Forgets what was compressed.
    pub(super) fn reset(&mut self) {
        self.stream.reset();
    }

    /// Takes text that the receiver knows already into the window, so that what follows may refer
    /// to it. Between messages only.
    pub(super) fn prime(&mut self, text: &[u8]) {
        if !text.is_empty() {
            let primed = self.stream.set_dictionary(text);
            debug_assert!(primed.is_ok(), "between messages a raw stream takes text");
        }
    }

    /// Compresses a message that is not empty into `out`, as it travels: flushed, and without
    /// the [`TAIL`]. `block` is room to work in.
    pub(super) fn deflate(
        &mut self,
        plain: &[u8],
        block: &mut [u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        let begin = out.len();
        let mut rest = plain;
        loop {
            let (taken, made) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.compress(rest, block, DeflateFlush::SyncFlush);
            let taken = self.stream.total_in().wrapping_sub(taken) as usize;
            let made = self.stream.total_out().wrapping_sub(made) as usize;
            rest = rest.get(taken..).ok_or(Broken)?;
            out.extend_from_slice(block.get(..made).ok_or(Broken)?);
            match status {
                Ok(Status::Ok | Status::BufError) if rest.is_empty() && made < block.len() => break,
                Ok(Status::Ok) if taken + made > 0 => {}
                _ => return Err(Broken),
            }
        }
        let flushed = out.get(begin..).is_some_and(|made| made.ends_with(&TAIL));
        if !flushed {
            return Err(Broken);
        }
        out.truncate(out.len().saturating_sub(TAIL.len()));
        Ok(())
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater")
            .field("window_bits", &self.window_bits)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// A compressor that did not do what it should; the message is sent as it is instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// A decompressor of raw deflate streams.
pub(super) struct Inflater {
    stream: Inflate,
}

/// How far [`Inflater::inflate`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inflated {
    /// Octets of input that were used up.
    pub(super) taken: usize,
    /// Octets of text that were written.
    pub(super) made: usize,
    /// A block with BFINAL has ended: the stream goes on only after [`Inflater::reset`].
    pub(super) ended: bool,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self {
            stream: Inflate::new(false, WINDOW_BITS_MAX),
        }
    }

    /// Begins a new stream, with an empty window.
    pub(super) fn reset(&mut self) {
        self.stream.reset(false);
    }

    /// Takes text into the window that the stream may refer to. Only after
    /// [`reset`](Self::reset); several pieces, in order.
    pub(super) fn prime(&mut self, text: &[u8]) {
        if !text.is_empty() {
            let primed = self.stream.set_dictionary(text);
            debug_assert!(primed.is_ok(), "a raw stream takes text at its begin");
        }
    }

    /// Inflates from `input` into `block`, until one of them ends.
    pub(super) fn inflate(&mut self, input: &[u8], block: &mut [u8]) -> Result<Inflated, Corrupt> {
        self.run(input, block, InflateFlush::NoFlush)
    }

    /// Feeds the end of a message, the [`TAIL`] that did not travel. It must complete an empty
    /// stored block, and nothing must come of it: otherwise the message was cut off inside a
    /// block.
    pub(super) fn finish(&mut self, block: &mut [u8]) -> Result<(), Corrupt> {
        // One octet more than the tail. Told to stop between blocks, the decoder leaves it alone
        // exactly when the tail was the end of a block.
        const PROBE: [u8; 5] = [0x00, 0x00, 0xFF, 0xFF, 0x00];
        let end = self.run(&PROBE, block, InflateFlush::Block)?;
        if end.taken == TAIL.len() && end.made == 0 {
            Ok(())
        } else {
            Err(Corrupt)
        }
    }

    fn run(
        &mut self,
        input: &[u8],
        block: &mut [u8],
        flush: InflateFlush,
    ) -> Result<Inflated, Corrupt> {
        let (taken, made) = (self.stream.total_in(), self.stream.total_out());
        let status = match self.stream.decompress(input, block, flush) {
            Ok(status) => status,
            Err(InflateError::DataError | InflateError::NeedDict { .. }) => return Err(Corrupt),
            Err(InflateError::StreamError | InflateError::MemError) => return Err(Corrupt),
        };
        Ok(Inflated {
            taken: self.stream.total_in().wrapping_sub(taken) as usize,
            made: self.stream.total_out().wrapping_sub(made) as usize,
            ended: status == Status::StreamEnd,
        })
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

/// The octets are no deflate stream, or end inside a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Corrupt;

#[cfg(test)]
mod tests {
    use super::*;

    fn deflated(deflater: &mut Deflater, plain: &[u8], block_len: usize) -> Vec<u8> {
        let mut out = b"kept".to_vec();
        deflater
            .deflate(plain, &mut vec![0; block_len], &mut out)
            .expect("it compresses");
        assert_eq!(&out[..4], b"kept");
        out.split_off(4)
    }

    fn inflated(inflater: &mut Inflater, octets: &[u8]) -> Result<Vec<u8>, Corrupt> {
        let mut plain = Vec::new();
        let mut block = [0; 100];
        let mut rest = octets;
        loop {
            let step = inflater.inflate(rest, &mut block)?;
            plain.extend_from_slice(&block[..step.made]);
            rest = &rest[step.taken..];
            if step.ended || (rest.is_empty() && step.made < block.len()) {
                break;
            }
        }
        inflater.finish(&mut block)?;
        Ok(plain)
    }

    #[test]
    fn messages_go_and_come_whatever_room_there_is() {
        let text = "All work and no play makes Jack a dull boy. ".repeat(50);
        for block_len in [7, 64, 100, 1000, 1 << 16] {
            let mut deflater = Deflater::new(12, 6, 8);
            let mut inflater = Inflater::new();
            let first = deflated(&mut deflater, text.as_bytes(), block_len);
            let again = deflated(&mut deflater, text.as_bytes(), block_len);
            assert!(again.len() < first.len(), "context is taken over");
            assert_eq!(inflated(&mut inflater, &first).unwrap(), text.as_bytes());
            assert_eq!(inflated(&mut inflater, &again).unwrap(), text.as_bytes());
            deflater.reset();
            assert_eq!(deflated(&mut deflater, text.as_bytes(), block_len), first);
        }
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7692 section 7.2.3.
        let mut inflater = Inflater::new();
        let hello: &[u8] = &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
        let again: &[u8] = &[0xF2, 0x00, 0x11, 0x00, 0x00];
        let stored: &[u8] = &[
            0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00,
        ];
        let two_blocks: &[u8] = &[
            0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00,
        ];
        for octets in [hello, again, stored, two_blocks] {
            assert_eq!(inflated(&mut inflater, octets).unwrap(), b"Hello");
        }
        assert_eq!(inflated(&mut inflater, &[0x00]).unwrap(), b"");
    }

    #[test]
    fn a_message_that_is_cut_off_is_corrupt() {
        let mut deflater = Deflater::new(15, 6, 8);
        let plain: Vec<u8> = (0..2000_u32).map(|n| ((n * n) >> 5) as u8 % 20).collect();
        let whole = deflated(&mut deflater, &plain, 1 << 16);
        assert_eq!(whole[0] >> 1 & 3, 2, "one block with codes of its own");
        for cut in 0..whole.len() {
            let mut inflater = Inflater::new();
            assert_eq!(
                inflated(&mut inflater, &whole[..cut]),
                Err(Corrupt),
                "{cut}"
            );
        }
        // Without leaving out the tail, or with it doubled.
        let mut with_tail = whole.clone();
        with_tail.extend(TAIL);
        assert_eq!(inflated(&mut Inflater::new(), &with_tail), Err(Corrupt));
    }

    #[test]
    fn a_reference_before_the_begin_is_corrupt() {
        let mut inflater = Inflater::new();
        let again = [0xF2, 0x00, 0x11, 0x00, 0x00];
        assert_eq!(inflated(&mut inflater, &again), Err(Corrupt));
        inflater.reset();
        inflater.prime(b"He");
        inflater.prime(b"llo");
        assert_eq!(inflated(&mut inflater, &again).unwrap(), b"Hello");
    }
}
