//! The sender: messages and control frames, encoded into an outbox.
//!
//! One copy of the payload, into the block that leaves at the end of the turn; a client masks in
//! the same pass. Knows nothing of whether sending is allowed: that is the connection's.

use wirebahn_nvx as nvx;

use super::frame::{self, Header};
use super::outbox::Outbox;
use super::pool::Pool;
use crate::close::CloseCode;
use crate::message::{Kind, Message, Opcode, Role};

/// Encodes one frame, final unless `fin` is false.
#[inline]
pub(crate) fn frame(
    outbox: &mut Outbox,
    pool: &mut Pool,
    role: Role,
    fin: bool,
    opcode: Opcode,
    payload: &[u8],
) {
    let head = Head {
        fin,
        compressed: false,
        opcode,
    };
    encode(outbox, pool, role, head, payload);
}

/// What a frame's first octet says.
#[derive(Clone, Copy)]
struct Head {
    fin: bool,
    compressed: bool,
    opcode: Opcode,
}

#[inline]
fn encode(outbox: &mut Outbox, pool: &mut Pool, role: Role, head: Head, payload: &[u8]) {
    let key = match role {
        Role::Server => None,
        Role::Client => Some(pool.mask_key()),
    };
    let (octets, len) = frame::encode(&Header {
        fin: head.fin,
        opcode: head.opcode,
        compressed: head.compressed,
        key,
        len: payload.len() as u64,
    });
    outbox.append(pool, |block| {
        block.reserve(len + payload.len());
        block.extend_from_slice(octets.get(..len).unwrap_or_default());
        match key {
            None => block.extend_from_slice(payload),
            Some(key) => {
                nvx::mask_extend(block, payload, key);
            }
        }
    });
}

/// Encodes a whole message as one frame.
#[inline]
pub(crate) fn message(outbox: &mut Outbox, pool: &mut Pool, role: Role, message: Message<'_>) {
    frame(
        outbox,
        pool,
        role,
        true,
        message.kind().into(),
        message.as_bytes(),
    );
}

/// Encodes a whole message that was compressed as one frame.
pub(crate) fn compressed(
    outbox: &mut Outbox,
    pool: &mut Pool,
    role: Role,
    kind: Kind,
    payload: &[u8],
) {
    let head = Head {
        fin: true,
        compressed: true,
        opcode: kind.into(),
    };
    encode(outbox, pool, role, head, payload);
}

/// The longest reason of a Close frame: a control frame less the code.
pub(crate) const REASON_LEN_MAX: usize = frame::CONTROL_LEN_MAX - 2;

/// Encodes a Close frame. A reason needs a code; a long one is cut at a code point.
pub(crate) fn close(
    outbox: &mut Outbox,
    pool: &mut Pool,
    role: Role,
    code: Option<CloseCode>,
    reason: &str,
) {
    let mut payload = smallvec::SmallVec::<[u8; 128]>::new();
    if let Some(code) = code {
        let end = reason.floor_char_boundary(REASON_LEN_MAX);
        payload.extend_from_slice(&code.0.to_be_bytes());
        payload.extend_from_slice(reason.get(..end).unwrap_or_default().as_bytes());
    }
    frame(outbox, pool, role, true, Opcode::Close, &payload);
}
