//! A message encoded once, to be sent to many: plain, and compressed once for each window that
//! connections agreed on.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
#[cfg(any(test, feature = "runtime"))]
use smallvec::SmallVec;

use super::deflate::codecs::{Codecs, WINDOWS};
use super::deflate::deflate_prepared;
use super::deflate::params::{WINDOW_BITS_MAX, WINDOW_BITS_MIN};
use super::frame::{self, Header};
use crate::config::Compression;
use crate::message::{Kind, Message};

/// A message that is already a server's frame. Cloning shares it; sending it copies at most a
/// reference, whatever the number of connections. For connections that agreed on compression it is
/// compressed once, when the first of them needs it, and that is shared as well.
///
/// ```
/// use wirebahn::{Message, Prepared};
///
/// let prepared = Prepared::new(Message::Text("to everyone"));
/// assert_eq!(prepared.payload(), b"to everyone");
/// assert_eq!(prepared.frame()[..2], [0x81, 11]);
/// ```
#[derive(Debug, Clone)]
pub struct Prepared {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    frame: Bytes,
    head_len: u8,
    kind: Kind,
    /// Whether it may be compressed.
    compress: bool,
    deflated: OnceLock<Box<Forms>>,
}

/// The compressed frames, by window; none where compressing would not make it shorter.
type Forms = [OnceLock<Option<Bytes>>; WINDOWS];

impl Prepared {
    /// Encodes a message; copies its payload once.
    #[must_use]
    pub fn new<'a>(message: impl Into<Message<'a>>) -> Self {
        Self::encode(message.into(), true)
    }

    /// As [`new`](Self::new), for a message that is never compressed: one that has been already, or
    /// one with secrets in it.
    #[must_use]
    pub fn uncompressed<'a>(message: impl Into<Message<'a>>) -> Self {
        Self::encode(message.into(), false)
    }

    fn encode(message: Message<'_>, compress: bool) -> Self {
        let (frame, head_len) = framed(message.kind(), false, message.as_bytes());
        Self {
            inner: Arc::new(Inner {
                frame,
                head_len,
                kind: message.kind(),
                compress,
                deflated: OnceLock::new(),
            }),
        }
    }

    /// Text or binary.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.inner
            .frame
            .get(usize::from(self.inner.head_len)..)
            .unwrap_or_default()
    }

    /// The frame as a server sends it, uncompressed.
    #[must_use]
    pub fn frame(&self) -> &Bytes {
        &self.inner.frame
    }

    /// Whether it may be compressed.
    pub(crate) fn may_compress(&self) -> bool {
        self.inner.compress
    }

    /// The frame as a server sends it to those who agreed on a window, compressed without context;
    /// none when it is to be sent as it is. Made by whoever asks first.
    pub(crate) fn deflated(
        &self,
        window_bits: u8,
        config: &Compression,
        codecs: &mut Codecs,
    ) -> Option<&Bytes> {
        let payload = self.payload();
        if !self.inner.compress || payload.len() < config.threshold {
            return None;
        }
        // A message that is not longer than a window is the same for all larger ones.
        let window_bits = match payload.len() <= 1 << window_bits {
            true => WINDOW_BITS_MAX,
            false => window_bits,
        };
        let forms = self.inner.deflated.get_or_init(Box::default);
        let form = forms.get(usize::from(window_bits.saturating_sub(WINDOW_BITS_MIN)))?;
        form.get_or_init(|| {
            let mut out = codecs.out();
            let shorter = deflate_prepared(payload, window_bits, config, codecs, &mut out);
            let form = shorter.then(|| framed(self.kind(), true, &out).0);
            codecs.keep_out(out);
            form
        })
        .as_ref()
    }
}

/// A server's frame, and the length of its header.
fn framed(kind: Kind, compressed: bool, payload: &[u8]) -> (Bytes, u8) {
    let (octets, head_len) = frame::encode(&Header {
        fin: true,
        opcode: kind.into(),
        compressed,
        key: None,
        len: payload.len() as u64,
    });
    let mut whole = Vec::with_capacity(head_len + payload.len());
    whole.extend_from_slice(octets.get(..head_len).unwrap_or_default());
    whole.extend_from_slice(payload);
    (whole.into(), head_len as u8) // a header has at most 14 octets
}

/// Prepared messages that go to the same connections, one after the other, in one piece.
#[cfg(any(test, feature = "runtime"))] // shards broadcast; the protocol core alone does not
#[derive(Debug)]
pub(crate) struct Batch {
    messages: Vec<Prepared>,
    plain: Bytes,
    /// The same for those who agreed on compression, by window; made when first asked for.
    deflated: [Option<Bytes>; WINDOWS],
}

#[cfg(any(test, feature = "runtime"))]
impl Batch {
    /// `compression` says whether any connection may have agreed on it.
    pub(crate) fn new(messages: Vec<Prepared>, compression: bool) -> Self {
        let plain = join(messages.iter().map(Prepared::frame));
        Self {
            messages: if compression { messages } else { Vec::new() },
            plain,
            deflated: Default::default(),
        }
    }

    /// The frames, uncompressed.
    pub(crate) fn plain(&self) -> &Bytes {
        &self.plain
    }

    /// The frames, compressed where that is worth it, for a window.
    pub(crate) fn deflated(
        &mut self,
        window_bits: u8,
        config: &Compression,
        codecs: &mut Codecs,
    ) -> &Bytes {
        let index = usize::from(window_bits.saturating_sub(WINDOW_BITS_MIN));
        let Some(slot) = self.deflated.get_mut(index) else {
            return &self.plain;
        };
        let messages = &self.messages;
        slot.get_or_insert_with(|| {
            join(messages.iter().map(|message| {
                message
                    .deflated(window_bits, config, codecs)
                    .unwrap_or(message.frame())
            }))
        })
    }

    /// The messages, if any connection may have agreed on compression.
    pub(crate) fn messages(&self) -> &[Prepared] {
        &self.messages
    }
}

/// Frames one behind the other; a single one is shared, not copied.
#[cfg(any(test, feature = "runtime"))]
fn join<'a>(frames: impl Iterator<Item = &'a Bytes>) -> Bytes {
    let frames: SmallVec<[&Bytes; 16]> = frames.collect();
    if let [single] = frames.as_slice() {
        return Bytes::clone(single);
    }
    let mut joined = Vec::with_capacity(frames.iter().map(|frame| frame.len()).sum());
    for frame in frames {
        joined.extend_from_slice(frame);
    }
    joined.into()
}
