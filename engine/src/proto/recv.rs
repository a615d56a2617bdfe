//! The receiver: octets in, whole messages and control frames out.
//!
//! Works in place. A frame that lies whole in the input is unmasked (and, as text, validated) in
//! one pass where it lies, and lent to the caller: no copy, no allocation. Only what is torn, by
//! the network or by fragmentation, is copied into an assembly buffer, by the same pass that
//! unmasks it. A torn header waits in the receiver itself.
//!
//! Fails at the first octet that proves a violation: a header at the bit that is wrong, a length
//! at its header, UTF-8 inside an unfinished frame. Nothing is ever allocated from a declared
//! length; the assembly buffer grows with octets that came.
//!
//! Per message that lies whole in the input: 0 copies, 0 allocations, 1 pass over the payload.

use wirebahn_nvx as nvx;
use wirebahn_nvx::Buffer;

use super::deflate::{Inflating, PerMessageDeflate, Target};
use super::frame::{self, CONTROL_LEN_MAX, Decoded, HEADER_LEN_MAX, Header};
use super::pool::Pool;
use crate::close::CloseCode;
use crate::config::Limits;
use crate::error::Violation;
use crate::message::{Kind, Message, Opcode, Role};

/// Received octets, and how far they were taken.
#[derive(Debug)]
pub struct Input<'b> {
    octets: &'b mut [u8],
    at: usize,
}

impl<'b> Input<'b> {
    /// All of `octets` are still to be taken; they are unmasked in place as they are.
    pub fn new(octets: &'b mut [u8]) -> Self {
        Self { octets, at: 0 }
    }

    /// What was not taken yet.
    #[inline]
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.octets.get(self.at..).unwrap_or_default()
    }

    /// Throws away what was not taken.
    pub fn discard(&mut self) {
        self.at = self.octets.len();
    }

    /// Takes all that is left.
    pub(crate) fn take_all(&mut self) -> &mut [u8] {
        self.take(usize::MAX)
    }

    /// Takes up to `count` octets.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> &mut [u8] {
        let rest = self.octets.get_mut(self.at..).unwrap_or_default();
        let (taken, _) = rest.split_at_mut(count.min(rest.len()));
        self.at += taken.len();
        taken
    }
}

/// What the receiver found.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A whole message.
    Message(Message<'a>),
    /// A ping and its payload.
    Ping(&'a [u8]),
    /// A pong and its payload, asked for or not.
    Pong(&'a [u8]),
    /// A Close frame: its code, if it had one, and its reason.
    Close(Option<CloseCode>, &'a str),
}

/// The rules a receiver works by: its role and its limits.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The role of this endpoint.
    pub role: Role,
    frame_size_max: u64,
    message_size_max: u64,
    fragments_max: u32,
}

impl Rules {
    /// The rules that follow from a role and limits.
    #[must_use]
    pub fn new(role: Role, limits: &Limits) -> Self {
        Self {
            role,
            frame_size_max: limits.frame_size_max,
            message_size_max: limits.message_size_max,
            fragments_max: limits.fragments_max,
        }
    }
}

/// The receiving half of a connection.
#[derive(Debug, Default)]
pub struct Receiver {
    stage: Stage,
    /// A header that is not complete yet.
    head: [u8; HEADER_LEN_MAX],
    head_len: u8,
    /// Present while a message or a control frame is torn.
    assembly: Option<Box<Assembly>>,
}

#[derive(Debug, Default, Clone, Copy)]
enum Stage {
    #[default]
    Header,
    Payload {
        header: Header,
        missing: u64,
    },
    /// The assembly was lent to the caller; it is given back before anything else happens.
    Lent {
        message: bool,
    },
}

/// A message in pieces, and a control frame in pieces between them; lent by the pool.
#[derive(Debug, Default)]
pub struct Assembly {
    /// The kind of the open message; none when only a control frame is torn.
    kind: Option<Kind>,
    fragments: u32,
    /// Present while the open message is a compressed one.
    inflating: Option<Inflating>,
    pub(super) content: Buffer,
    control: Buffer,
}

impl Assembly {
    pub(super) fn reset(&mut self) {
        debug_assert!(self.inflating.is_none(), "it holds what the shard lent");
        self.kind = None;
        self.fragments = 0;
        self.content.clear();
        self.control.clear();
    }

    pub(super) fn capacity(&self) -> usize {
        self.content.capacity() + self.control.capacity()
    }

    /// Octets held, what waits to be inflated included.
    fn held(&self) -> usize {
        self.capacity() + self.inflating.as_ref().map_or(0, Inflating::capacity)
    }
}

impl Receiver {
    /// Whether a message has begun and is not finished.
    #[must_use]
    pub fn is_inside_message(&self) -> bool {
        self.assembly.as_ref().is_some_and(|a| a.kind.is_some())
    }

    /// Octets this receiver holds: what came of unfinished messages.
    #[must_use]
    pub fn held(&self) -> usize {
        self.assembly.as_ref().map_or(0, |assembly| assembly.held())
    }

    /// Gives back what the receiver holds; the connection is over.
    pub fn clear(&mut self, pool: &mut Pool) {
        if let Some(mut assembly) = self.assembly.take() {
            if let Some(mut inflating) = assembly.inflating.take() {
                inflating.settle(pool.codecs());
            }
            pool.keep_assembly(assembly);
        }
        self.stage = Stage::Header;
        self.head_len = 0;
    }

    /// The next item in `input`, or none when all of it was taken. Messages may be compressed where
    /// `deflate` is on.
    ///
    /// # Errors
    /// The first violation. The receiver is of no use afterwards.
    pub fn next<'a>(
        &'a mut self,
        input: &'a mut Input<'_>,
        rules: &Rules,
        pool: &mut Pool,
        deflate: &mut PerMessageDeflate,
    ) -> Result<Option<Item<'a>>, Violation> {
        if let Stage::Lent { message } = self.stage {
            self.take_back(message, pool);
        }
        loop {
            let (header, missing) = match self.stage {
                Stage::Payload { header, missing } => (header, missing),
                _ => {
                    let Some(header) = self.header(input, rules.role, deflate.is_on())? else {
                        return Ok(None);
                    };
                    let open = self.assembly.as_deref().filter(|a| a.kind.is_some());
                    admit(&header, open, rules)?;
                    let whole = header.len <= input.rest().len() as u64
                        && (header.opcode.is_control() || header.fin && open.is_none());
                    if whole && !header.compressed {
                        // The cast is exact: the payload lies in memory.
                        return in_place(&header, input.take(header.len as usize)).map(Some);
                    }
                    self.begin(&header, pool);
                    (header, header.len)
                }
            };
            let available = usize::try_from(missing).unwrap_or(usize::MAX);
            let piece = input.take(available);
            let missing = missing.saturating_sub(piece.len() as u64);
            let last = header.fin && missing == 0;
            let key = match self.inflating(&header) {
                None => self.gather(&header, piece)?,
                Some(_) => self.inflate(&header, piece, last, rules, pool, deflate)?,
            };
            if missing > 0 {
                self.stage = Stage::Payload {
                    header: Header { key, ..header },
                    missing,
                };
                return Ok(None);
            }
            self.stage = Stage::Header;
            if header.opcode.is_control() || header.fin {
                return self.lend(header.opcode).map(Some);
            }
        }
    }

    /// Completes a header from the input and from what waits of it.
    #[inline]
    fn header(
        &mut self,
        input: &mut Input<'_>,
        role: Role,
        deflate: bool,
    ) -> Result<Option<Header>, Violation> {
        if self.head_len == 0 {
            match frame::decode_agreed(input.rest(), role, deflate)? {
                Decoded::Complete(header, len) => {
                    input.take(len);
                    return Ok(Some(header));
                }
                Decoded::Incomplete(_) if input.rest().is_empty() => return Ok(None),
                Decoded::Incomplete(_) => {}
            }
        }
        self.torn_header(input, role, deflate)
    }

    #[cold]
    fn torn_header(
        &mut self,
        input: &mut Input<'_>,
        role: Role,
        deflate: bool,
    ) -> Result<Option<Header>, Violation> {
        loop {
            let held = usize::from(self.head_len);
            let head = self.head.get(..held).unwrap_or_default();
            let needed = match frame::decode_agreed(head, role, deflate)? {
                Decoded::Complete(header, _) => {
                    self.head_len = 0;
                    return Ok(Some(header));
                }
                Decoded::Incomplete(needed) => needed,
            };
            let piece = input.take(needed.saturating_sub(held));
            if piece.is_empty() {
                return Ok(None);
            }
            if let Some(target) = self.head.get_mut(held..held + piece.len()) {
                target.copy_from_slice(piece);
            }
            self.head_len += piece.len() as u8; // at most HEADER_LEN_MAX in all
        }
    }

    /// Opens the assembly for a payload that does not lie whole in the input.
    fn begin(&mut self, header: &Header, pool: &mut Pool) {
        let assembly = self.assembly.get_or_insert_with(|| pool.assembly());
        match header.opcode {
            Opcode::Text => assembly.kind = Some(Kind::Text),
            Opcode::Binary => assembly.kind = Some(Kind::Binary),
            _ => {}
        }
        if !header.opcode.is_control() {
            assembly.fragments = assembly.fragments.saturating_add(1);
        }
        if header.compressed {
            assembly.inflating = Some(Inflating::default());
        }
    }

    /// The compressed message that this frame is a part of.
    fn inflating(&mut self, header: &Header) -> Option<&mut Inflating> {
        let assembly = self.assembly.as_deref_mut()?;
        assembly
            .inflating
            .as_mut()
            .filter(|_| !header.opcode.is_control())
    }

    /// Inflates a piece of payload; returns the key as the next piece needs it.
    fn inflate(
        &mut self,
        header: &Header,
        piece: &mut [u8],
        last: bool,
        rules: &Rules,
        pool: &mut Pool,
        deflate: &mut PerMessageDeflate,
    ) -> Result<Option<[u8; 4]>, Violation> {
        let key = header.key.map(|key| nvx::mask(piece, key));
        if let Some(assembly) = self.assembly.as_deref_mut()
            && let Some(inflating) = &mut assembly.inflating
        {
            let target = Target {
                content: &mut assembly.content,
                kind: assembly.kind.unwrap_or(Kind::Binary),
                size_max: rules.message_size_max,
            };
            inflating.take(piece, last, target, deflate, pool.codecs())?;
            if last {
                assembly.inflating = None; // it has given back what it was lent
            }
        }
        Ok(key)
    }

    /// Adds a piece of payload; returns the key as the next piece needs it.
    fn gather(&mut self, header: &Header, piece: &[u8]) -> Result<Option<[u8; 4]>, Violation> {
        let Some(assembly) = self.assembly.as_deref_mut() else {
            return Ok(header.key);
        };
        if header.opcode.is_control() {
            return Ok(assembly.control.extend_bytes(piece, header.key));
        }
        match assembly.kind {
            Some(Kind::Text) => assembly
                .content
                .extend_text(piece, header.key)
                .map_err(|_| Violation::InvalidUtf8),
            _ => Ok(assembly.content.extend_bytes(piece, header.key)),
        }
    }

    /// Lends what was assembled.
    fn lend(&mut self, opcode: Opcode) -> Result<Item<'_>, Violation> {
        self.stage = Stage::Lent {
            message: !opcode.is_control(),
        };
        let Some(assembly) = self.assembly.as_deref() else {
            return Ok(Item::Message(Message::Binary(&[]))); // cannot be: `begin` made it
        };
        if opcode.is_control() {
            return control(opcode, assembly.control.as_bytes());
        }
        match assembly.kind {
            Some(Kind::Text) => match assembly.content.as_str() {
                Some(text) => Ok(Item::Message(Message::Text(text))),
                None => Err(Violation::InvalidUtf8), // ends inside a code point
            },
            _ => Ok(Item::Message(Message::Binary(assembly.content.as_bytes()))),
        }
    }

    fn take_back(&mut self, message: bool, pool: &mut Pool) {
        self.stage = Stage::Header;
        let Some(assembly) = self.assembly.as_deref_mut() else {
            return;
        };
        assembly.control.clear();
        if (message || assembly.kind.is_none())
            && let Some(assembly) = self.assembly.take()
        {
            pool.keep_assembly(assembly);
        }
    }
}

/// The rules that depend on what came before: order of fragments, and limits.
#[inline]
fn admit(header: &Header, open: Option<&Assembly>, rules: &Rules) -> Result<(), Violation> {
    if header.opcode.is_control() {
        return Ok(());
    }
    match (header.opcode, open) {
        (Opcode::Continuation, None) => return Err(Violation::NothingToContinue),
        (Opcode::Text | Opcode::Binary, Some(_)) => return Err(Violation::MessageInMessage),
        _ => {}
    }
    if header.len > rules.frame_size_max {
        return Err(Violation::FrameTooBig);
    }
    let (before, fragments) = open.map_or((0, 0), |a| (a.content.len() as u64, a.fragments));
    let compressed = header.compressed || open.is_some_and(|a| a.inflating.is_some());
    // How long a compressed message is shows when it is inflated, not before.
    if !compressed && before.saturating_add(header.len) > rules.message_size_max {
        return Err(Violation::MessageTooBig);
    }
    if fragments >= rules.fragments_max {
        return Err(Violation::TooManyFragments);
    }
    Ok(())
}

/// A payload that lies whole in the input: unmasked, and judged, where it lies.
#[inline]
fn in_place<'a>(header: &Header, payload: &'a mut [u8]) -> Result<Item<'a>, Violation> {
    match header.opcode {
        Opcode::Text => {
            let text = match header.key {
                Some(key) => nvx::mask_validate_str(payload, key),
                None => nvx::validate_str(payload),
            };
            text.map(|text| Item::Message(Message::Text(text)))
                .map_err(|_| Violation::InvalidUtf8)
        }
        opcode => {
            if let Some(key) = header.key {
                nvx::mask(payload, key);
            }
            if opcode.is_control() {
                return control(opcode, payload);
            }
            Ok(Item::Message(Message::Binary(payload)))
        }
    }
}

fn control(opcode: Opcode, payload: &[u8]) -> Result<Item<'_>, Violation> {
    debug_assert!(payload.len() <= CONTROL_LEN_MAX);
    match opcode {
        Opcode::Ping => Ok(Item::Ping(payload)),
        Opcode::Pong => Ok(Item::Pong(payload)),
        _ => close(payload),
    }
}

/// The payload of a Close frame (RFC 6455 section 5.5.1).
fn close(payload: &[u8]) -> Result<Item<'_>, Violation> {
    match payload.split_first_chunk::<2>() {
        None if payload.is_empty() => Ok(Item::Close(None, "")),
        None => Err(Violation::CloseLength),
        Some((code, reason)) => {
            let code = CloseCode(u16::from_be_bytes(*code));
            if !code.may_travel() {
                return Err(Violation::CloseCode);
            }
            let reason = str::from_utf8(reason).map_err(|_| Violation::CloseReason)?;
            Ok(Item::Close(Some(code), reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames as a client sends them.
    fn frame(fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let key = [0xA1, 0x5C, 0x03, 0xF7];
        let (head, len) = frame::encode(&Header {
            fin,
            opcode,
            compressed: false,
            key: Some(key),
            len: payload.len() as u64,
        });
        let mut octets = head[..len].to_vec();
        nvx::mask_extend(&mut octets, payload, key);
        octets
    }

    /// What a receiver makes of octets that come in pieces of `step`.
    fn receive(
        octets: &[u8],
        step: usize,
        limits: &Limits,
    ) -> (Vec<String>, Option<Violation>, usize) {
        let (mut receiver, mut pool) = (Receiver::default(), Pool::new());
        let rules = Rules::new(Role::Server, limits);
        let mut off = PerMessageDeflate::default();
        let mut items = Vec::new();
        let mut taken = 0;
        for piece in octets.chunks(step.max(1)) {
            let mut piece = piece.to_vec();
            let mut input = Input::new(&mut piece);
            loop {
                match receiver.next(&mut input, &rules, &mut pool, &mut off) {
                    Ok(None) => break,
                    Ok(Some(item)) => items.push(format!("{item:?}")),
                    Err(violation) => return (items, Some(violation), taken),
                }
            }
            taken += step;
        }
        (items, None, taken)
    }

    #[test]
    fn pieces_make_no_difference() {
        let limits = Limits::default();
        // An interpreter takes a thousand times as long.
        let large = if cfg!(miri) { 700 } else { 70_000 };
        let mut octets = frame(true, Opcode::Text, "grüß".as_bytes());
        octets.extend(frame(false, Opcode::Text, "in drei ".as_bytes()));
        octets.extend(frame(true, Opcode::Ping, b"between"));
        octets.extend(frame(false, Opcode::Continuation, "St\u{fc}".as_bytes()));
        octets.extend(frame(false, Opcode::Continuation, b""));
        octets.extend(frame(true, Opcode::Pong, b""));
        octets.extend(frame(true, Opcode::Continuation, "cken".as_bytes()));
        octets.extend(frame(true, Opcode::Binary, &vec![7; large]));
        octets.extend(frame(true, Opcode::Binary, b""));
        octets.extend(frame(true, Opcode::Close, b"\x03\xe8bye"));
        let (whole, none, _) = receive(&octets, octets.len(), &limits);
        assert_eq!(none, None);
        assert_eq!(whole.len(), 7, "{whole:?}");
        assert_eq!(whole[3], "Message(Text(\"in drei Stücken\"))");
        for step in [1, 2, 3, 5, 7, 13, 14, 15, 64, 1000, large - 1] {
            assert_eq!(
                receive(&octets, step, &limits),
                (whole.clone(), None, octets.len().next_multiple_of(step))
            );
        }
    }

    #[test]
    fn a_bad_character_fails_before_its_frame_is_complete() {
        let limits = Limits::default();
        let octets = frame(
            true,
            Opcode::Text,
            b"sound until here: \xC0 and more after it",
        );
        let bad_at = octets.len() - " and more after it".len();
        let (items, violation, taken) = receive(&octets, 1, &limits);
        assert_eq!((items.len(), violation), (0, Some(Violation::InvalidUtf8)));
        assert_eq!(taken, bad_at - 1);
    }

    #[test]
    fn limits_are_inclusive_and_cut_at_the_header_that_breaks_them() {
        let mut limits = Limits {
            message_size_max: 10,
            frame_size_max: 8,
            fragments_max: 3,
            ..Limits::default()
        };
        let ok = [
            frame(false, Opcode::Binary, &[1; 8]),
            frame(true, Opcode::Continuation, &[1; 2]),
        ]
        .concat();
        assert_eq!(receive(&ok, 4, &limits).1, None);
        let long = [
            frame(false, Opcode::Binary, &[1; 8]),
            frame(true, Opcode::Continuation, &[1; 3]),
        ]
        .concat();
        let (_, violation, taken) = receive(&long, 1, &limits);
        assert_eq!(violation, Some(Violation::MessageTooBig));
        assert_eq!(taken, 14 + 5, "at the last octet of the second header");
        assert_eq!(
            receive(&frame(true, Opcode::Binary, &[1; 9]), 99, &limits).1,
            Some(Violation::FrameTooBig)
        );
        limits.message_size_max = 1000;
        let pieces = |count| {
            let mut octets = frame(false, Opcode::Text, b"");
            for _ in 0..count {
                octets.extend(frame(false, Opcode::Continuation, b""));
            }
            octets
        };
        assert_eq!(receive(&pieces(2), 99, &limits).1, None);
        assert_eq!(
            receive(&pieces(3), 99, &limits).1,
            Some(Violation::TooManyFragments)
        );
    }

    #[test]
    fn fragments_keep_their_order() {
        let limits = Limits::default();
        let cases = [
            (
                frame(true, Opcode::Continuation, b"x"),
                Violation::NothingToContinue,
            ),
            (
                [
                    frame(false, Opcode::Text, b"x"),
                    frame(true, Opcode::Text, b"x"),
                ]
                .concat(),
                Violation::MessageInMessage,
            ),
            (
                [
                    frame(false, Opcode::Text, b"x"),
                    frame(false, Opcode::Binary, b""),
                ]
                .concat(),
                Violation::MessageInMessage,
            ),
            (
                [
                    frame(false, Opcode::Text, b"\xE4"),
                    frame(true, Opcode::Continuation, b""),
                ]
                .concat(),
                Violation::InvalidUtf8,
            ),
            (frame(true, Opcode::Close, b"\x03"), Violation::CloseLength),
            (
                frame(true, Opcode::Close, b"\x03\xED"),
                Violation::CloseCode,
            ),
            (
                frame(true, Opcode::Close, b"\x03\xE8\xFF"),
                Violation::CloseReason,
            ),
        ];
        for (octets, violation) in cases {
            for step in [1, 3, 100] {
                assert_eq!(receive(&octets, step, &limits).1, Some(violation));
            }
        }
    }

    #[test]
    fn an_idle_receiver_holds_nothing() {
        let (mut receiver, mut pool) = (Receiver::default(), Pool::new());
        let rules = Rules::new(Role::Server, &Limits::default());
        let mut off = PerMessageDeflate::default();
        let mut octets = frame(false, Opcode::Text, b"one, ");
        octets.extend(frame(true, Opcode::Continuation, b"two"));
        let mut input = Input::new(&mut octets);
        assert!(
            receiver
                .next(&mut input, &rules, &mut pool, &mut off)
                .unwrap()
                .is_some()
        );
        assert!(receiver.held() > 0);
        assert_eq!(
            receiver.next(&mut input, &rules, &mut pool, &mut off),
            Ok(None)
        );
        assert_eq!(receiver.held(), 0);
        assert!(pool.kept() > 0);
    }
}
