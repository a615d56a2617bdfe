//! The frame header: encode and decode, pure functions (RFC 6455 section 5.2).
//!
//! Knows octets and the rules that a header alone can break; knows nothing of messages.

use crate::error::Violation;
use crate::message::{Opcode, Role};

/// The longest header: two octets, eight of length, four of mask.
pub const HEADER_LEN_MAX: usize = 14;

/// The longest payload of a control frame (RFC 6455 section 5.5).
pub const CONTROL_LEN_MAX: usize = 125;

/// A decoded frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The last frame of its message.
    pub fin: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// RSV1: the first frame of a compressed message (RFC 7692 section 6).
    pub compressed: bool,
    /// The masking key, if the payload is masked.
    pub key: Option<[u8; 4]>,
    /// Length of the payload in octets, at most 2^63 - 1.
    pub len: u64,
}

/// What [`decode`] made of the octets it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoded {
    /// The header ends later: it has this many octets in all (or at least this many).
    Incomplete(usize),
    /// The header, and its own length in octets.
    Complete(Header, usize),
}

/// Decodes the header at the start of `bytes`, as sent to an endpoint of the given role.
///
/// Each rule is checked as soon as the octets that can break it are there, so a torn header fails
/// at the same octet as a whole one.
///
/// # Errors
/// The [`Violation`] that the header commits.
#[inline]
pub fn decode(bytes: &[u8], role: Role) -> Result<Decoded, Violation> {
    decode_agreed(bytes, role, false)
}

/// As [`decode`], on a connection where permessage-deflate was agreed on or not: if it was, RSV1
/// may be set on the first frame of a message, and nowhere else (RFC 7692 section 6.1).
///
/// # Errors
/// The [`Violation`] that the header commits.
#[inline]
pub fn decode_agreed(bytes: &[u8], role: Role, deflate: bool) -> Result<Decoded, Violation> {
    let Some(&first) = bytes.first() else {
        return Ok(Decoded::Incomplete(2));
    };
    let compressed = first & 0x70 != 0;
    // Text is 1 and binary 2: the frames that begin a message.
    if compressed && !(deflate && first & 0x70 == 0x40 && matches!(first & 0x0F, 1 | 2)) {
        return Err(Violation::ReservedBit);
    }
    let Some(opcode) = Opcode::from_bits(first & 0x0F) else {
        return Err(Violation::ReservedOpcode);
    };
    let fin = first & 0x80 != 0;
    if opcode.is_control() && !fin {
        return Err(Violation::FragmentedControl);
    }
    let Some(&second) = bytes.get(1) else {
        return Ok(Decoded::Incomplete(2));
    };
    let masked = second & 0x80 != 0;
    match (role, masked) {
        (Role::Server, false) => return Err(Violation::Unmasked),
        (Role::Client, true) => return Err(Violation::Masked),
        _ => {}
    }
    let short = second & 0x7F;
    if opcode.is_control() && usize::from(short) > CONTROL_LEN_MAX {
        return Err(Violation::LongControl);
    }
    let (len, at) = match short {
        126 => {
            let Some(octets) = bytes.get(2..4).and_then(|s| s.first_chunk::<2>()) else {
                return Ok(Decoded::Incomplete(if masked { 8 } else { 4 }));
            };
            let len = u64::from(u16::from_be_bytes(*octets));
            if len < 126 {
                return Err(Violation::LengthForm);
            }
            (len, 4)
        }
        127 => {
            // The top bit can be judged by its own octet.
            if bytes.get(2).is_some_and(|&top| top & 0x80 != 0) {
                return Err(Violation::LengthForm);
            }
            let Some(octets) = bytes.get(2..10).and_then(|s| s.first_chunk::<8>()) else {
                return Ok(Decoded::Incomplete(if masked { 14 } else { 10 }));
            };
            let len = u64::from_be_bytes(*octets);
            if len <= 0xFFFF {
                return Err(Violation::LengthForm);
            }
            (len, 10)
        }
        short => (u64::from(short), 2),
    };
    if !masked {
        return Ok(Decoded::Complete(
            Header {
                fin,
                opcode,
                compressed,
                key: None,
                len,
            },
            at,
        ));
    }
    let Some(key) = bytes.get(at..).and_then(|s| s.first_chunk::<4>()) else {
        return Ok(Decoded::Incomplete(at + 4));
    };
    Ok(Decoded::Complete(
        Header {
            fin,
            opcode,
            compressed,
            key: Some(*key),
            len,
        },
        at + 4,
    ))
}

/// Encodes a header into its shortest form; returns the octets and how many of them count.
#[inline]
#[must_use]
pub fn encode(header: &Header) -> ([u8; HEADER_LEN_MAX], usize) {
    let mut out = [0; HEADER_LEN_MAX];
    let [first, second, ..] = &mut out;
    *first = (u8::from(header.fin) << 7) | (u8::from(header.compressed) << 6) | header.opcode as u8;
    let mask_bit = u8::from(header.key.is_some()) << 7;
    let mut at = 2;
    // The casts keep the low octets of a length that was just compared with its bound.
    if header.len < 126 {
        *second = mask_bit | header.len as u8;
    } else if header.len <= 0xFFFF {
        *second = mask_bit | 126;
        put(&mut out, at, (header.len as u16).to_be_bytes());
        at += 2;
    } else {
        *second = mask_bit | 127;
        put(&mut out, at, header.len.to_be_bytes());
        at += 8;
    }
    if let Some(key) = header.key {
        put(&mut out, at, key);
        at += 4;
    }
    (out, at)
}

/// How long the header of a frame with this payload is.
#[must_use]
pub const fn header_len(payload_len: u64, masked: bool) -> usize {
    let length = match payload_len {
        0..=125 => 0,
        126..=0xFFFF => 2,
        _ => 8,
    };
    2 + length + if masked { 4 } else { 0 }
}

#[inline]
fn put<const N: usize>(out: &mut [u8; HEADER_LEN_MAX], at: usize, octets: [u8; N]) {
    if let Some(target) = out.get_mut(at..at + N) {
        target.copy_from_slice(&octets);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [u64; 12] = [
        0,
        1,
        2,
        124,
        125,
        126,
        127,
        0xFFFE,
        0xFFFF,
        0x1_0000,
        1 << 40,
        (1 << 63) - 1,
    ];
    const ALL: [Opcode; 6] = [
        Opcode::Continuation,
        Opcode::Text,
        Opcode::Binary,
        Opcode::Close,
        Opcode::Ping,
        Opcode::Pong,
    ];

    #[test]
    fn what_is_encoded_decodes_and_no_prefix_of_it_does() {
        for len in LENGTHS {
            for opcode in ALL {
                for key in [None, Some([1, 2, 3, 4])] {
                    let header = Header {
                        fin: true,
                        opcode,
                        compressed: false,
                        key,
                        len,
                    };
                    let role = if key.is_some() {
                        Role::Server
                    } else {
                        Role::Client
                    };
                    let (octets, count) = encode(&header);
                    assert_eq!(count, header_len(len, key.is_some()));
                    let decoded = decode(&octets[..count], role);
                    if opcode.is_control() && len > 125 {
                        assert_eq!(decoded, Err(Violation::LongControl));
                        continue;
                    }
                    assert_eq!(decoded, Ok(Decoded::Complete(header, count)));
                    for cut in 0..count {
                        match decode(&octets[..cut], role) {
                            Ok(Decoded::Incomplete(needed)) => {
                                assert!(needed > cut && needed <= count);
                            }
                            other => panic!("{cut} of {count} octets gave {other:?}"),
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_first_octet_is_judged_as_the_rfc_says() {
        for first in 0..=255_u8 {
            let expected = if first & 0x70 != 0 {
                Err(Violation::ReservedBit)
            } else if matches!(first & 0x0F, 3..=7 | 11..=15) {
                Err(Violation::ReservedOpcode)
            } else if first & 0x88 == 0x08 {
                Err(Violation::FragmentedControl)
            } else {
                Ok(Decoded::Incomplete(2))
            };
            assert_eq!(decode(&[first], Role::Server), expected, "{first:#x}");
        }
    }

    #[test]
    fn rsv1_is_for_the_first_frame_of_a_message_where_it_was_agreed_on() {
        for first in 0..=255_u8 {
            let octets = [first, 0x80, 0, 0, 0, 0];
            let plain = decode(&octets, Role::Server);
            let agreed = decode_agreed(&octets, Role::Server, true);
            if first & 0x70 == 0x40 && matches!(first & 0x0F, 1 | 2) {
                assert_eq!(plain, Err(Violation::ReservedBit));
                let Ok(Decoded::Complete(header, 6)) = agreed else {
                    panic!("{first:#x}: {agreed:?}");
                };
                assert!(header.compressed);
                assert_eq!(encode(&header).0[0], first);
            } else {
                assert_eq!(plain, agreed, "{first:#x}");
            }
        }
    }

    #[test]
    fn lengths_must_be_in_their_shortest_form() {
        for len in 0..126_u16 {
            let [high, low] = len.to_be_bytes();
            assert_eq!(
                decode(&[0x82, 0xFE, high, low], Role::Server),
                Err(Violation::LengthForm)
            );
        }
        for len in [0, 125, 126, 0xFFFF_u64] {
            let mut octets = vec![0x82, 0x7F];
            octets.extend(len.to_be_bytes());
            assert_eq!(decode(&octets, Role::Client), Err(Violation::LengthForm));
        }
        assert_eq!(
            decode(&[0x82, 0x7F, 0x80], Role::Client),
            Err(Violation::LengthForm)
        );
    }

    #[test]
    fn the_mask_bit_belongs_to_clients() {
        assert_eq!(
            decode(&[0x82, 0x00], Role::Server),
            Err(Violation::Unmasked)
        );
        assert_eq!(decode(&[0x82, 0x80], Role::Client), Err(Violation::Masked));
    }
}
