//! permessage-deflate (RFC 7692): negotiation, codecs, and what a connection keeps of them.
//!
//! In the order in which the files import one another: [`params`] negotiates; `codec` wraps the
//! streaming codecs and `oneshot` the one without a stream; `history` is the text a connection
//! keeps; [`codecs`] is what a shard lends; `inflating` is a compressed message on its way in. The
//! [`PerMessageDeflate`] here is a connection's part.
//!
//! # What is kept
//!
//! | [`Mode`] | between messages a connection keeps | receives with | sends with |
//! |---|---|---|---|
//! | `Shared` | nothing | a pooled inflater | libdeflate, or a pooled compressor |
//! | `History` | the last octets of text, each way | a pooled inflater, primed with them | a pooled compressor, primed with them |
//! | `Dedicated` | an inflater and a compressor | its own | its own |
//!
//! Without context takeover each mode behaves as `Shared`, each direction by itself. Whatever is
//! kept is set aside from the shard's budget when the connection opens, and made when the first
//! compressed message needs it.
//!
//! # A message sent to many
//!
//! A prepared message is compressed once, without context, and its octets go to every connection
//! whose window it keeps to. That is legal with context takeover too: a compressor may refer to
//! earlier messages but need not. What the *next* message may refer to, though, is what the
//! receiver's window holds then, and that is the text of the prepared message as well: so it is
//! added to the history, or to the window of the compressor, as if it had been compressed there
//! (RFC 7692 section 7.1.1). A message that is sent uncompressed passes both windows by.

mod codec;
pub mod codecs;
mod history;
mod inflating;
mod oneshot;
pub mod params;
#[cfg(test)]
mod tests;

use codec::{Deflater, INFLATER_LEN, Inflater, deflater_len};
use codecs::Codecs;
use history::History;
pub(crate) use inflating::{Inflating, Target};

pub use params::{Acceptance, Agreed, Direction, NotAsOffered, Offer, Terms, choose};

use crate::config::{Compression, CompressionMode as Mode};
use crate::proto::handshake::Request;

/// A connection's part of permessage-deflate; off unless it was agreed on.
#[derive(Debug, Default)]
pub struct PerMessageDeflate {
    agreed: Option<Agreed>,
    /// Present when a direction takes its context over.
    kept: Option<Box<Kept>>,
}

/// What a connection keeps from message to message.
#[derive(Debug)]
struct Kept {
    receive: ReceiveContext,
    send: SendContext,
    /// What was set aside for it.
    reserved: usize,
}

/// What is kept to receive.
#[derive(Debug)]
enum ReceiveContext {
    Nothing,
    History(History),
    /// Made by the first message.
    Dedicated(Option<Inflater>),
}

/// What is kept to send.
#[derive(Debug)]
enum SendContext {
    Nothing,
    History(History),
    /// Made by the first message.
    Dedicated(Option<Deflater>),
}

impl PerMessageDeflate {
    /// Whether messages may be compressed.
    #[inline]
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.agreed.is_some()
    }

    /// What was agreed on.
    #[must_use]
    pub fn agreed(&self) -> Option<Agreed> {
        self.agreed
    }

    /// A server's answer to what a client offers, for Sec-WebSocket-Extensions, and what follows
    /// from it; none when the connection opens without compression.
    pub(crate) fn answer(
        request: &Request<'_>,
        config: &Compression,
        codecs: &mut Codecs,
    ) -> Option<(Self, String)> {
        if config.mode == Mode::Off {
            return None;
        }
        let terms = Terms {
            takeover: config.mode != Mode::Shared,
            send_window_bits_max: config.send_window_bits,
            receive_window_bits_max: config.receive_window_bits,
        };
        let (agreed, answer) = choose(request.extension_offers(), &terms)?;
        let needed = needs(agreed, config);
        if needed == 0 || codecs.reserve(needed, config.budget) {
            return Some((Self::with(agreed, config, needed), answer));
        }
        codecs.declined += 1;
        let terms = Terms {
            takeover: false,
            ..terms
        };
        let (agreed, answer) = choose(request.extension_offers(), &terms)?;
        Some((Self::with(agreed, config, 0), answer))
    }

    /// What was agreed on elsewhere, whatever the budget.
    pub(crate) fn agree(agreed: Agreed, config: &Compression, codecs: &mut Codecs) -> Self {
        let needed = needs(agreed, config);
        codecs.reserve(needed, usize::MAX);
        Self::with(agreed, config, needed)
    }

    fn with(agreed: Agreed, config: &Compression, reserved: usize) -> Self {
        let dedicated = config.mode == Mode::Dedicated;
        let receive = match agreed.receive {
            Direction {
                takeover: false, ..
            } => ReceiveContext::Nothing,
            _ if dedicated => ReceiveContext::Dedicated(None),
            Direction { window_bits, .. } => ReceiveContext::History(History::new(window_bits)),
        };
        let send = match agreed.send {
            Direction {
                takeover: false, ..
            } => SendContext::Nothing,
            _ if dedicated => SendContext::Dedicated(None),
            Direction { window_bits, .. } => SendContext::History(History::new(window_bits)),
        };
        let keeps = agreed.receive.takeover || agreed.send.takeover;
        Self {
            agreed: Some(agreed),
            kept: keeps.then(|| {
                Box::new(Kept {
                    receive,
                    send,
                    reserved,
                })
            }),
        }
    }

    /// Gives back what is kept; the connection is over.
    pub(crate) fn clear(&mut self, codecs: &mut Codecs) {
        self.agreed = None;
        let Some(kept) = self.kept.take() else {
            return;
        };
        codecs.release(kept.reserved);
        codecs.shrank(kept.receive.len() + kept.send.len());
    }

    /// Octets kept from message to message.
    #[must_use]
    pub fn held(&self) -> usize {
        self.kept
            .as_ref()
            .map_or(0, |kept| kept.receive.len() + kept.send.len())
    }

    /// Compresses a message into `out`, which is empty, as it travels. `false` when it shall
    /// travel as it is, because it is short or would not become shorter.
    pub(crate) fn deflate(
        &mut self,
        plain: &[u8],
        config: &Compression,
        codecs: &mut Codecs,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(agreed) = self.agreed.filter(|_| plain.len() >= config.threshold) else {
            return false;
        };
        let window_bits = agreed.send.window_bits;
        match self.kept.as_deref_mut().map(|kept| &mut kept.send) {
            None | Some(SendContext::Nothing) => {
                codecs.deflate_alone(plain, window_bits, config, out)
            }
            Some(SendContext::History(history)) => {
                let shorter =
                    codecs.deflate_after(history.pieces(), plain, window_bits, config, out);
                if shorter {
                    remember(history, plain, codecs);
                }
                shorter
            }
            Some(SendContext::Dedicated(deflater)) => {
                let deflater = dedicated(deflater, window_bits, config, codecs);
                let mut block = codecs.block();
                let made = deflater.deflate(plain, &mut block, out);
                codecs.keep_block(block);
                if made.is_err() {
                    // Without its window it refers to nothing, which is always understood.
                    deflater.reset();
                }
                // Also when it is longer: the window has it now, so the receiver must have it.
                made.is_ok()
            }
        }
    }

    /// A message that was compressed elsewhere, without context, is sent: the receiver's window
    /// will hold its text.
    pub(crate) fn sent_prepared(
        &mut self,
        plain: &[u8],
        config: &Compression,
        codecs: &mut Codecs,
    ) {
        let Some(agreed) = self.agreed else {
            return;
        };
        match self.kept.as_deref_mut().map(|kept| &mut kept.send) {
            None | Some(SendContext::Nothing) => {}
            Some(SendContext::History(history)) => remember(history, plain, codecs),
            Some(SendContext::Dedicated(deflater)) => {
                dedicated(deflater, agreed.send.window_bits, config, codecs).prime(plain);
            }
        }
    }

    /// The window that a message prepared for this connection must keep to, as a power of two;
    /// none when it is to be sent as it is.
    #[inline]
    pub(crate) fn prepared_window(&self, len: usize, config: &Compression) -> Option<u8> {
        let agreed = self.agreed.filter(|_| len >= config.threshold)?;
        Some(agreed.send.window_bits)
    }
}

/// Compresses a message without context, for every connection with this window.
pub(crate) fn deflate_prepared(
    plain: &[u8],
    window_bits: u8,
    config: &Compression,
    codecs: &mut Codecs,
    out: &mut Vec<u8>,
) -> bool {
    codecs.deflate_alone(plain, window_bits, config, out)
}

/// What a connection with this agreement may come to hold.
fn needs(agreed: Agreed, config: &Compression) -> usize {
    let Direction {
        takeover,
        window_bits,
    } = agreed.receive;
    let receive = match (takeover, config.mode) {
        (false, _) => 0,
        (true, Mode::Dedicated) => INFLATER_LEN,
        (true, _) => 1 << window_bits,
    };
    let Direction {
        takeover,
        window_bits,
    } = agreed.send;
    let send = match (takeover, config.mode) {
        (false, _) => 0,
        (true, Mode::Dedicated) => deflater_len(window_bits, config.mem_level),
        (true, _) => 1 << window_bits,
    };
    receive + send
}

fn remember(history: &mut History, plain: &[u8], codecs: &mut Codecs) {
    let before = history.capacity();
    history.push(plain);
    codecs.grew(history.capacity().saturating_sub(before));
}

fn dedicated<'d>(
    deflater: &'d mut Option<Deflater>,
    window_bits: u8,
    config: &Compression,
    codecs: &mut Codecs,
) -> &'d mut Deflater {
    deflater.get_or_insert_with(|| {
        let deflater = Deflater::new(window_bits, config.level, config.mem_level);
        codecs.grew(deflater.len());
        deflater
    })
}

impl ReceiveContext {
    fn len(&self) -> usize {
        match self {
            Self::Nothing | Self::Dedicated(None) => 0,
            Self::History(history) => history.capacity(),
            Self::Dedicated(Some(_)) => INFLATER_LEN,
        }
    }
}

impl SendContext {
    fn len(&self) -> usize {
        match self {
            Self::Nothing | Self::Dedicated(None) => 0,
            Self::History(history) => history.capacity(),
            Self::Dedicated(Some(deflater)) => deflater.len(),
        }
    }
}
