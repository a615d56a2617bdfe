//! The messages of a run, encoded before it begins: an endless reel of frames to send, and of the
//! frames an honest echo answers with.
//!
//! A driver that encodes while it measures measures itself. So a bounded number of messages, no two
//! of them alike, is made once for all connections of a run, each with a masking key of its own
//! drawn at random, and sent over and over, every connection beginning at another one. Repeating
//! keys is what RFC 6455 section 5.3 forbids to clients that carry data of others; ours are random
//! octets.

use wirebahn::Opcode;
use wirebahn::proto::frame::{self, HEADER_LEN_MAX, Header};

use super::random::Random;

/// Octets of all payloads together, about: a quarter of a second-level cache of today.
const REEL_LEN: usize = 256 << 10;

/// Messages at most: enough that a reply out of order is sure to be seen.
const MESSAGES_MAX: usize = 256;

/// Messages at least, however large: with two, a lost and a doubled one could cancel out.
const MESSAGES_MIN: usize = 3;

/// What messages carry.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Binary messages of random octets.
    Binary,
    /// Text messages of ASCII.
    Text,
    /// Text messages of code points of one to four octets.
    Utf8,
    /// Binary and text messages in turn.
    Mixed,
}

/// What a reel is made of.
#[derive(Debug, Clone)]
pub(crate) struct ReelPlan {
    /// Payload lengths in octets, taken in turn. At least one.
    pub sizes: Vec<usize>,
    /// What the payloads are.
    pub content: Content,
    /// Payload octets a frame at most; 0: one frame a message. Default: 0.
    pub fragment: usize,
    /// The reply is what was sent, header and mask included: a raw echo without WebSocket.
    pub raw: bool,
    /// Short text messages that begin with this are the server's own, and passed over where a
    /// binary message is due. Default: there are none.
    pub foreign: Option<String>,
    /// Decides over lengths and contents; the same seed makes the same messages. Masking keys
    /// differ all the same.
    pub seed: u64,
}

/// Messages on an endless reel.
#[derive(Debug)]
pub(crate) struct Reel {
    /// All frames to send, one message after the other, and the beginning again so that a window of
    /// several messages seldom needs two writes.
    sent: Vec<u8>,
    /// Octets of one round of `sent`.
    sent_len: usize,
    sent_starts: Vec<usize>,
    wanted: Vec<u8>,
    /// Where each reply begins in `wanted`; one more for the end.
    wanted_starts: Vec<usize>,
    /// Octets of header before each reply's payload.
    wanted_heads: Vec<usize>,
    raw: bool,
    foreign: Option<String>,
}

impl Reel {
    /// Makes all messages. Their number follows from their size: 3 to 256.
    ///
    /// # Errors
    /// The system gives no random octets for the masking keys.
    pub(crate) fn new(plan: &ReelPlan) -> Result<Self, getrandom::Error> {
        let sizes: &[usize] = if plan.sizes.is_empty() {
            &[0]
        } else {
            &plan.sizes
        };
        let mean = (sizes.iter().sum::<usize>() / sizes.len()).max(1);
        let count = (REEL_LEN / mean).clamp(MESSAGES_MIN, MESSAGES_MAX);
        // Every size has its place, as often as every other.
        let count = count.next_multiple_of(sizes.len());
        let mut random = Random::new(plan.seed);
        let mut reel = Self {
            sent: Vec::new(),
            sent_len: 0,
            sent_starts: Vec::with_capacity(count),
            wanted: Vec::new(),
            wanted_starts: Vec::with_capacity(count + 1),
            wanted_heads: Vec::with_capacity(count),
            raw: plan.raw,
            foreign: plan.foreign.clone(),
        };
        let mut payload = Vec::new();
        for (index, &size) in sizes.iter().cycle().take(count).enumerate() {
            let opcode = match plan.content {
                Content::Binary => Opcode::Binary,
                Content::Text | Content::Utf8 => Opcode::Text,
                Content::Mixed if index % 2 == 0 => Opcode::Binary,
                Content::Mixed => Opcode::Text,
            };
            payload.clear();
            match (opcode, plan.content) {
                (Opcode::Binary, _) => random.fill(&mut payload, size),
                (_, Content::Text) => random.fill_ascii(&mut payload, size),
                _ => random.fill_utf8(&mut payload, size),
            }
            reel.push(opcode, &payload, plan.fragment)?;
        }
        reel.wanted_starts.push(reel.wanted.len());
        reel.sent_len = reel.sent.len();
        reel.sent.extend_from_within(..);
        Ok(reel)
    }

    fn push(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        fragment: usize,
    ) -> Result<(), getrandom::Error> {
        self.sent_starts.push(self.sent.len());
        let step = if fragment == 0 {
            payload.len().max(1)
        } else {
            fragment
        };
        // An empty payload is one empty frame.
        let frames = payload.len().div_ceil(step).max(1);
        for index in 0..frames {
            let piece = &payload[index * step..payload.len().min((index + 1) * step)];
            let mut key = [0; 4];
            getrandom::fill(&mut key)?;
            let header = Header {
                fin: index + 1 == frames,
                compressed: false,
                opcode: if index == 0 {
                    opcode
                } else {
                    Opcode::Continuation
                },
                key: Some(key),
                len: piece.len() as u64,
            };
            let (octets, count) = frame::encode(&header);
            self.sent.extend_from_slice(&octets[..count]);
            wirebahn_nvx::mask_extend(&mut self.sent, piece, key);
        }
        self.wanted_starts.push(self.wanted.len());
        if self.raw {
            let start = self.sent_starts.last().copied().unwrap_or_default();
            self.wanted.extend_from_slice(&self.sent[start..]);
            self.wanted_heads.push(0);
            return Ok(());
        }
        let header = Header {
            fin: true,
            compressed: false,
            opcode,
            key: None,
            len: payload.len() as u64,
        };
        let (octets, count) = frame::encode(&header);
        debug_assert!(count <= HEADER_LEN_MAX);
        self.wanted.extend_from_slice(&octets[..count]);
        self.wanted.extend_from_slice(payload);
        self.wanted_heads.push(count);
        Ok(())
    }

    /// How many messages there are before they come again.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.sent_starts.len()
    }

    /// The index of the message after this one.
    #[inline]
    #[must_use]
    pub(crate) fn after(&self, index: usize) -> usize {
        let next = index + 1;
        if next == self.sent_starts.len() {
            0
        } else {
            next
        }
    }

    /// Octets of the message's frames as sent.
    #[inline]
    #[must_use]
    pub(crate) fn sent_len(&self, index: usize) -> usize {
        let end = self.sent_starts.get(index + 1).copied();
        end.unwrap_or(self.sent_len) - self.sent_starts[index]
    }

    /// Where the message begins.
    #[must_use]
    pub(crate) fn sent_start(&self, index: usize) -> usize {
        self.sent_starts[index]
    }

    /// Up to `count` octets to send from `at` on; at least one where `count` is not 0.
    #[inline]
    #[must_use]
    pub(crate) fn to_send(&self, at: usize, count: usize) -> &[u8] {
        &self.sent[at..self.sent.len().min(at + count)]
    }

    /// The position `count` octets behind `at`.
    #[inline]
    #[must_use]
    pub(crate) fn advance(&self, at: usize, count: usize) -> usize {
        (at + count) % self.sent_len
    }

    /// The reply to a message: its header and payload in one piece.
    #[inline]
    #[must_use]
    pub(crate) fn reply(&self, index: usize) -> &[u8] {
        &self.wanted[self.wanted_starts[index]..self.wanted_starts[index + 1]]
    }

    /// The replies from `at`, a position in the reply to `index`, to the end of the reel.
    #[inline]
    pub(crate) fn replies_from(&self, index: usize, at: usize) -> &[u8] {
        &self.wanted[self.wanted_starts[index] + at..]
    }

    /// Octets of header in the reply to a message.
    #[inline]
    #[must_use]
    pub(crate) fn reply_head_len(&self, index: usize) -> usize {
        self.wanted_heads[index]
    }

    /// The payload of a message.
    #[must_use]
    pub(crate) fn payload(&self, index: usize) -> &[u8] {
        &self.reply(index)[self.wanted_heads[index]..]
    }

    /// How the server's own messages begin, if it sends any.
    pub(crate) fn foreign(&self) -> Option<&str> {
        self.foreign.as_deref()
    }

    /// Whether replies are the very octets that were sent.
    #[must_use]
    pub(crate) fn is_raw(&self) -> bool {
        self.raw
    }
}

#[cfg(test)]
mod tests {
    use wirebahn::Role;
    use wirebahn::proto::frame::Decoded;

    use super::*;

    fn plan(sizes: &[usize], content: Content) -> ReelPlan {
        ReelPlan {
            sizes: sizes.to_vec(),
            content,
            fragment: 0,
            raw: false,
            foreign: None,
            seed: 7,
        }
    }

    /// Takes the frames of a message apart and unmasks them.
    fn decode(mut octets: &[u8]) -> (Vec<Header>, Vec<u8>) {
        let (mut headers, mut payload) = (Vec::new(), Vec::new());
        while !octets.is_empty() {
            let Ok(Decoded::Complete(header, count)) = frame::decode(octets, Role::Server) else {
                panic!("no header");
            };
            let (piece, rest) = octets[count..].split_at(header.len as usize);
            wirebahn_nvx::mask_extend(&mut payload, piece, header.key.unwrap());
            headers.push(header);
            octets = rest;
        }
        (headers, payload)
    }

    #[test]
    fn what_is_sent_is_what_is_wanted_back() {
        for content in [
            Content::Binary,
            Content::Text,
            Content::Utf8,
            Content::Mixed,
        ] {
            for fragment in [0, 1, 7, 100] {
                let plan = ReelPlan {
                    fragment,
                    ..plan(&[0, 1, 125, 126, 1000], content)
                };
                let reel = Reel::new(&plan).unwrap();
                for index in 0..reel.count() {
                    let start = reel.sent_start(index);
                    let sent = reel.to_send(start, reel.sent_len(index));
                    let (headers, payload) = decode(sent);
                    assert_eq!(payload, reel.payload(index));
                    assert_eq!(payload.len(), plan.sizes[index % 5]);
                    assert_eq!(headers.iter().filter(|h| h.fin).count(), 1);
                    if fragment > 0 {
                        assert!(headers.iter().all(|h| h.len <= fragment as u64));
                    }
                    if headers[0].opcode == Opcode::Text {
                        assert!(str::from_utf8(&payload).is_ok());
                    }
                    let mut reply = reel.reply(index);
                    assert_eq!(
                        frame::decode(reply, Role::Client),
                        Ok(Decoded::Complete(
                            Header {
                                fin: true,
                                compressed: false,
                                opcode: headers[0].opcode,
                                key: None,
                                len: payload.len() as u64
                            },
                            reel.reply_head_len(index)
                        ))
                    );
                    reply = &reply[reel.reply_head_len(index)..];
                    assert_eq!(reply, payload);
                }
            }
        }
    }

    #[test]
    fn no_two_messages_are_alike_and_their_number_is_bounded() {
        for size in [16, 125, 1024, 16 << 10, 1 << 20] {
            let reel = Reel::new(&plan(&[size], Content::Binary)).unwrap();
            assert!((MESSAGES_MIN..=MESSAGES_MAX).contains(&reel.count()));
            let mut payloads: Vec<_> = (0..reel.count()).map(|i| reel.payload(i)).collect();
            payloads.sort_unstable();
            payloads.dedup();
            assert_eq!(payloads.len(), reel.count(), "{size}");
        }
    }

    #[test]
    fn the_reel_has_no_end() {
        let reel = Reel::new(&plan(&[10, 20], Content::Binary)).unwrap();
        let total: usize = (0..reel.count()).map(|i| reel.sent_len(i)).sum();
        let mut at = reel.sent_start(1);
        let mut seen = Vec::new();
        while seen.len() < 3 * total {
            let piece = reel.to_send(at, 37);
            seen.extend_from_slice(piece);
            at = reel.advance(at, piece.len());
        }
        assert_eq!(seen[..total], seen[total..2 * total]);
        let first = reel.to_send(reel.sent_start(1), reel.sent_len(1));
        assert_eq!(first, &seen[..first.len()]);
        assert_eq!(reel.after(reel.count() - 1), 0);
    }
}
