//! Holds every octet that comes against what had to come.
//!
//! The replies of an honest echo are known to the octet before the run, so the common case is one
//! comparison of memory per read, however many messages it brought. Where the octets differ, the
//! frames are taken apart: a server may fragment its replies, and send pings, as it likes. What
//! differs then is the server's fault and ends the run.

use std::fmt;

use wirebahn::proto::frame::{self, Decoded, HEADER_LEN_MAX, Header};
use wirebahn::{Opcode, Role, Violation};

use super::reel::Reel;

/// Octets of a control frame's payload at most (RFC 6455 section 5.5).
const CONTROL_LEN_MAX: usize = frame::CONTROL_LEN_MAX;

/// What is wrong with what came.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// An octet differs from the one that was sent.
    Content {
        /// Which message of the reel.
        message: usize,
        /// Where in its payload; in the raw stream of the message for a raw echo.
        offset: usize,
    },
    /// A message of another length.
    Length {
        /// Which message of the reel.
        message: usize,
        /// Octets that had to come.
        wanted: usize,
        /// Octets that came, as far as they were counted.
        came: u64,
    },
    /// Text came back as binary, or the other way round.
    Kind {
        /// Which message of the reel.
        message: usize,
    },
    /// More messages than were sent.
    Unasked,
    /// Octets that are no WebSocket.
    Protocol(Violation),
    /// Replies were due when the run ended.
    Missing {
        /// How many.
        messages: usize,
    },
    /// The server closed the connection.
    Closed {
        /// The code of its Close frame; none if there was no such frame.
        code: Option<u16>,
    },
    /// The connection broke.
    Transport(std::io::ErrorKind),
    /// No connection, or no answer to the opening handshake, in time.
    Late,
    /// The opening handshake failed.
    Refused(String),
    /// The server falls behind the rate it is sent at, by more than the driver keeps books on.
    Behind,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content { message, offset } => {
                write!(f, "message {message} came back with octet {offset} changed")
            }
            Self::Length {
                message,
                wanted,
                came,
            } => write!(
                f,
                "message {message} of {wanted} octets came back with {came}"
            ),
            Self::Kind { message } => write!(f, "message {message} came back as another kind"),
            Self::Unasked => f.write_str("a message came that nobody sent"),
            Self::Protocol(violation) => write!(f, "what came breaks the protocol: {violation}"),
            Self::Missing { messages } => write!(f, "{messages} messages never came back"),
            Self::Closed { code: Some(code) } => write!(f, "the server closed with {code}"),
            Self::Closed { code: None } => f.write_str("the server closed without a Close frame"),
            Self::Transport(kind) => write!(f, "the connection broke: {kind}"),
            Self::Late => f.write_str("the connection did not open in time"),
            Self::Refused(why) => write!(f, "the opening handshake failed: {why}"),
            Self::Behind => f.write_str("the server fell behind the rate for too long"),
        }
    }
}

/// What came besides replies.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// A ping to answer.
    Ping(Vec<u8>),
    /// A Close frame and its code.
    Close(Option<u16>),
}

/// How closely replies are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Correctness {
    /// Every octet.
    #[default]
    Exact,
    /// Only how many octets.
    Length,
}

/// Where a connection's replies stand.
#[derive(Debug)]
pub(crate) struct Checker {
    /// The message whose reply is due.
    index: usize,
    /// Octets of that reply that came: of its frame while `apart` is none.
    at: usize,
    /// Present while the replies' frames differ from the simplest form.
    apart: Option<Box<Apart>>,
    correctness: Correctness,
}

/// A frame taken apart.
#[derive(Debug, Default)]
struct Apart {
    head: [u8; HEADER_LEN_MAX],
    head_len: usize,
    frame: Option<Frame>,
    /// Within a message of several frames.
    inside: bool,
    /// Payload octets of the message that came and fit.
    matched: usize,
}

#[derive(Debug)]
struct Frame {
    header: Header,
    missing: u64,
    /// Payload of a control frame, or of a message of the server's own.
    control: Vec<u8>,
    /// It may be a message of the server's own; how it begins will say.
    foreign: bool,
}

impl Checker {
    /// Expects the replies from that message on.
    pub(crate) fn new(index: usize, correctness: Correctness) -> Self {
        Self {
            index,
            at: 0,
            apart: None,
            correctness,
        }
    }

    /// Takes what came; returns how many replies it completed. `control` gets what is no reply.
    #[inline]
    pub(crate) fn hear(
        &mut self,
        reel: &Reel,
        mut input: &[u8],
        control: &mut Vec<Control>,
    ) -> Result<usize, Fault> {
        let mut messages = 0;
        while !input.is_empty() {
            if self.apart.is_some() {
                let (taken, completed) = self.hear_apart(reel, input, control)?;
                input = &input[taken..];
                messages += completed;
                continue;
            }
            let wanted = reel.replies_from(self.index, self.at);
            let count = wanted.len().min(input.len());
            let (piece, rest) = input.split_at(count);
            if piece == &wanted[..count] {
                messages += self.advance(reel, count);
                input = rest;
                continue;
            }
            let same = common_prefix(piece, wanted);
            messages += self.advance(reel, same);
            input = &input[same..];
            self.take_apart(reel)?;
        }
        Ok(messages)
    }

    /// Moves on by octets that came as expected.
    #[inline]
    fn advance(&mut self, reel: &Reel, mut count: usize) -> usize {
        let mut messages = 0;
        loop {
            let due = reel.reply(self.index).len() - self.at;
            if count < due {
                self.at += count;
                return messages;
            }
            count -= due;
            self.at = 0;
            self.index = reel.after(self.index);
            messages += 1;
        }
    }

    /// The next octet is not the expected one: reconstructs what was seen of the frame.
    #[cold]
    fn take_apart(&mut self, reel: &Reel) -> Result<(), Fault> {
        let head_len = reel.reply_head_len(self.index);
        if reel.is_raw() || (self.at >= head_len && self.correctness == Correctness::Exact) {
            return Err(Fault::Content {
                message: self.index,
                offset: self.at - head_len,
            });
        }
        let mut apart = Box::new(Apart::default());
        let seen = &reel.reply(self.index)[..self.at.min(head_len)];
        apart.head[..seen.len()].copy_from_slice(seen);
        apart.head_len = seen.len();
        if self.at >= head_len {
            // Only lengths count: the header was whole, and part of the payload came.
            apart.begin()?;
            apart.matched = self.at - head_len;
            if let Some(frame) = &mut apart.frame {
                frame.missing -= apart.matched as u64;
            }
        }
        self.at = 0;
        self.apart = Some(apart);
        Ok(())
    }

    /// Takes one step; returns octets taken and replies completed.
    #[cold]
    fn hear_apart(
        &mut self,
        reel: &Reel,
        input: &[u8],
        control: &mut Vec<Control>,
    ) -> Result<(usize, usize), Fault> {
        let Some(apart) = self.apart.as_deref_mut() else {
            return Ok((0, 0));
        };
        let mut taken = 0;
        if apart.frame.is_none() {
            taken = apart.hear_head(input)?;
            let Some(frame) = &apart.frame else {
                return Ok((taken, 0));
            };
            let foreign = apart.admit(reel, self.index, &frame.header)?;
            if let Some(frame) = &mut apart.frame {
                frame.foreign = foreign;
            }
        }
        let Some(frame) = &mut apart.frame else {
            return Ok((taken, 0));
        };
        let rest = &input[taken..];
        let count = usize::try_from(frame.missing)
            .unwrap_or(usize::MAX)
            .min(rest.len());
        let piece = &rest[..count];
        taken += count;
        frame.missing -= count as u64;
        if frame.header.opcode.is_control() || frame.foreign {
            frame.control.extend_from_slice(piece);
        } else {
            let wanted = &reel.payload(self.index)[apart.matched..];
            if self.correctness == Correctness::Exact && piece != &wanted[..count] {
                return Err(Fault::Content {
                    message: self.index,
                    offset: apart.matched + common_prefix(piece, wanted),
                });
            }
            apart.matched += count;
        }
        if frame.missing > 0 {
            return Ok((taken, 0));
        }
        let Frame {
            header,
            control: payload,
            foreign,
            ..
        } = match apart.frame.take() {
            Some(frame) => frame,
            None => return Ok((taken, 0)),
        };
        let mut completed = 0;
        match header.opcode {
            _ if foreign => {
                let begins = reel.foreign().unwrap_or_default().as_bytes();
                if !payload.starts_with(begins) {
                    return Err(Fault::Kind {
                        message: self.index,
                    });
                }
            }
            Opcode::Ping => control.push(Control::Ping(payload)),
            Opcode::Pong => {}
            Opcode::Close => {
                let code = payload
                    .first_chunk::<2>()
                    .map(|code| u16::from_be_bytes(*code));
                control.push(Control::Close(code));
            }
            _ if header.fin => {
                let wanted = reel.payload(self.index).len();
                if apart.matched != wanted {
                    return Err(Fault::Length {
                        message: self.index,
                        wanted,
                        came: apart.matched as u64,
                    });
                }
                apart.inside = false;
                apart.matched = 0;
                self.index = reel.after(self.index);
                completed = 1;
            }
            _ => apart.inside = true,
        }
        if !apart.inside {
            self.apart = None;
        }
        Ok((taken, completed))
    }
}

impl Apart {
    /// Takes octets of a header; sets `frame` when it is whole.
    fn hear_head(&mut self, input: &[u8]) -> Result<usize, Fault> {
        let mut taken = 0;
        loop {
            if self.begin()? {
                return Ok(taken);
            }
            let Some(&octet) = input.get(taken) else {
                return Ok(taken);
            };
            self.head[self.head_len] = octet;
            self.head_len += 1;
            taken += 1;
        }
    }

    /// Sets `frame` if the header is whole.
    fn begin(&mut self) -> Result<bool, Fault> {
        match frame::decode(&self.head[..self.head_len], Role::Client).map_err(Fault::Protocol)? {
            Decoded::Incomplete(_) => Ok(false),
            Decoded::Complete(header, _) => {
                self.head_len = 0;
                self.frame = Some(Frame {
                    header,
                    missing: header.len,
                    control: Vec::new(),
                    foreign: false,
                });
                Ok(true)
            }
        }
    }

    /// What a header alone can have wrong. Says whether it may begin a message of the server's own.
    fn admit(&self, reel: &Reel, index: usize, header: &Header) -> Result<bool, Fault> {
        if header.opcode.is_control() {
            debug_assert!(header.len <= CONTROL_LEN_MAX as u64);
            return Ok(false);
        }
        match (header.opcode, self.inside) {
            (Opcode::Continuation, false) => {
                return Err(Fault::Protocol(Violation::NothingToContinue));
            }
            (Opcode::Text | Opcode::Binary, true) => {
                return Err(Fault::Protocol(Violation::MessageInMessage));
            }
            _ => {}
        }
        let kind = reel.reply(index)[0] & 0x0F;
        if !self.inside && header.opcode as u8 != kind {
            let short = header.fin && header.len <= CONTROL_LEN_MAX as u64;
            if header.opcode == Opcode::Text && short && reel.foreign().is_some() {
                return Ok(true);
            }
            return Err(Fault::Kind { message: index });
        }
        let wanted = reel.payload(index).len();
        let came = (self.matched as u64).saturating_add(header.len);
        if came > wanted as u64 {
            return Err(Fault::Length {
                message: index,
                wanted,
                came,
            });
        }
        Ok(false)
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::super::reel::{Content, ReelPlan};
    use super::*;

    fn reel(sizes: &[usize], raw: bool) -> Reel {
        Reel::new(&ReelPlan {
            sizes: sizes.to_vec(),
            content: Content::Mixed,
            fragment: 0,
            raw,
            foreign: None,
            seed: 1,
        })
        .unwrap()
    }

    /// Feeds in pieces of `step`; returns completed replies and control frames.
    fn feed(
        reel: &Reel,
        input: &[u8],
        step: usize,
        correctness: Correctness,
    ) -> Result<(usize, Vec<Control>), Fault> {
        let mut checker = Checker::new(0, correctness);
        let mut control = Vec::new();
        let mut messages = 0;
        for piece in input.chunks(step) {
            messages += checker.hear(reel, piece, &mut control)?;
        }
        Ok((messages, control))
    }

    fn frame_of(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            fin,
            compressed: false,
            opcode,
            key: None,
            len: payload.len() as u64,
        };
        let (octets, count) = frame::encode(&header);
        [&octets[..count], payload].concat()
    }

    #[test]
    fn an_honest_echo_passes_however_torn() {
        for raw in [false, true] {
            let reel = reel(&[0, 1, 16, 125, 126, 300], raw);
            let input: Vec<u8> = (0..2 * reel.count())
                .flat_map(|index| reel.reply(index % reel.count()).to_vec())
                .collect();
            for step in [1, 2, 3, 7, 64, 1000, usize::MAX] {
                let (messages, control) = feed(&reel, &input, step, Correctness::Exact).unwrap();
                assert_eq!((messages, control.len()), (2 * reel.count(), 0), "{step}");
            }
        }
    }

    #[test]
    fn fragments_and_control_frames_pass() {
        let reel = reel(&[300, 10], false);
        let mut input = frame_of(true, Opcode::Ping, b"who");
        let kind = Opcode::from_bits(reel.reply(0)[0] & 15).unwrap();
        input.extend(frame_of(false, kind, &reel.payload(0)[..100]));
        input.extend(frame_of(true, Opcode::Pong, b""));
        input.extend(frame_of(false, Opcode::Continuation, b""));
        input.extend(frame_of(
            true,
            Opcode::Continuation,
            &reel.payload(0)[100..],
        ));
        input.extend(reel.reply(1));
        input.extend(frame_of(true, Opcode::Close, &[3, 232]));
        for correctness in [Correctness::Exact, Correctness::Length] {
            for step in [1, 2, 5, 99, usize::MAX] {
                let (messages, control) = feed(&reel, &input, step, correctness).unwrap();
                assert_eq!(messages, 2, "{step}");
                assert_eq!(
                    control,
                    [Control::Ping(b"who".to_vec()), Control::Close(Some(1000))]
                );
            }
        }
    }

    /// The gate of the whole bench: no octet can change unseen, nowhere.
    #[test]
    fn every_changed_octet_is_found() {
        let reel = reel(&[5, 126, 0, 40], false);
        let input: Vec<u8> = (0..4)
            .flat_map(|index| reel.reply(index).to_vec())
            .collect();
        for at in 0..input.len() {
            for bit in 0..8 {
                let mut changed = input.clone();
                changed[at] ^= 1 << bit;
                for step in [1, 13, usize::MAX] {
                    // A changed header may ask for more than comes, and be found by what is missing.
                    if let Ok((messages, _)) = feed(&reel, &changed, step, Correctness::Exact) {
                        assert!(messages < 4, "octet {at}, bit {bit}, step {step}");
                    }
                }
            }
        }
    }

    #[test]
    fn lost_and_doubled_messages_are_found() {
        let reel = reel(&[20], false);
        let replies = |indices: &[usize]| -> Vec<u8> {
            indices
                .iter()
                .flat_map(|&index| reel.reply(index).to_vec())
                .collect()
        };
        for wrong in [&[1, 2][..], &[0, 0], &[0, 2], &[0, 1, 1]] {
            let result = feed(&reel, &replies(wrong), usize::MAX, Correctness::Exact);
            assert!(
                matches!(result, Err(Fault::Content { .. } | Fault::Kind { .. })),
                "{wrong:?} gave {result:?}"
            );
        }
    }

    #[test]
    fn messages_of_the_servers_own_are_passed_over_if_they_begin_as_told() {
        let reel = Reel::new(&ReelPlan {
            sizes: vec![20],
            content: Content::Binary,
            fragment: 0,
            raw: false,
            foreign: Some("tick ".to_owned()),
            seed: 1,
        })
        .unwrap();
        let input = |foreign: &[u8]| {
            [
                reel.reply(0).to_vec(),
                frame_of(true, Opcode::Text, foreign),
                reel.reply(1).to_vec(),
            ]
            .concat()
        };
        for step in [1, 7, usize::MAX] {
            let ticked = feed(&reel, &input(b"tick 1"), step, Correctness::Exact);
            assert_eq!(ticked.unwrap().0, 2);
            let other = feed(&reel, &input(b"tock 1"), step, Correctness::Exact);
            assert_eq!(other, Err(Fault::Kind { message: 1 }));
        }
    }

    #[test]
    fn by_length_contents_may_differ_and_lengths_not() {
        let reel = reel(&[20, 200], false);
        let mut input = [reel.reply(0), reel.reply(1)].concat();
        input[5] ^= 1;
        input[100] ^= 1;
        for step in [1, 8, usize::MAX] {
            assert_eq!(feed(&reel, &input, step, Correctness::Length).unwrap().0, 2);
        }
        let kind = Opcode::from_bits(reel.reply(0)[0] & 15).unwrap();
        for len in [19, 21] {
            let input = frame_of(true, kind, &vec![0; len]);
            assert!(matches!(
                feed(&reel, &input, usize::MAX, Correctness::Length),
                Err(Fault::Length { wanted: 20, .. })
            ));
        }
    }
}
