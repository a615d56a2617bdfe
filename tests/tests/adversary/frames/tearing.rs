//! Masks and tears: whatever the key, wherever the network cuts, the same octets come back.

use crate::cases::check_all;
use crate::peer::{BINARY, CONTINUATION, FIN, Heard, Peer, TEXT, binary, frame, masked, ping};
use crate::target::Target;

/// Past three vectors of 64 octets, with every tail.
const LENGTH_MAX: usize = 260;

/// Keys that hide an error least: each octet alone, none, all, and one without a pattern.
const KEYS: [[u8; 4]; 7] = [
    [0, 0, 0, 0],
    [0xFF, 0xFF, 0xFF, 0xFF],
    [1, 0, 0, 0],
    [0, 1, 0, 0],
    [0, 0, 1, 0],
    [0, 0, 0, 1],
    [0x9C, 0x51, 0xE7, 0x0B],
];

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 167 % 256) as u8).collect()
}

/// A frame with a key of its own.
fn keyed(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut out = frame(first, payload);
    let at = out.len() - payload.len();
    out[at - 4..at].copy_from_slice(&key);
    out.truncate(at);
    out.extend(masked(payload, key));
    out
}

#[test]
fn every_length_comes_back_under_every_key() {
    let target = Target::testee(&[]);
    let lengths: Vec<usize> = (0..=LENGTH_MAX)
        .chain([1_023, 4_097, 16_385, 65_533, 65_539])
        .collect();
    check_all(
        "keys",
        &lengths,
        |length| format!("{length} octets"),
        |&length| {
            let mut peer = Peer::open(target.addr)?;
            let payload = pattern(length);
            let letters: Vec<u8> = payload.iter().map(|octet| b'a' + octet % 26).collect();
            for key in KEYS {
                peer.send(&keyed(FIN | BINARY, &payload, key))?;
                peer.expect(&Heard::Binary(payload.clone()))
                    .map_err(|e| format!("{key:02x?}: {e}"))?;
                peer.send(&keyed(FIN | TEXT, &letters, key))?;
                peer.expect(&Heard::Text(letters.clone()))
                    .map_err(|e| format!("{key:02x?}: {e}"))?;
            }
            peer.closes()
        },
    );
}

#[test]
fn frames_one_after_another_come_back_wherever_each_begins() {
    // In one segment, so that payloads begin at every alignment of the receive buffer.
    let target = Target::testee(&[]);
    let shifts: Vec<usize> = (0..128).collect();
    check_all(
        "alignments",
        &shifts,
        |shift| format!("behind {shift} octets"),
        |&shift| {
            let mut peer = Peer::open(target.addr)?;
            let mut octets = binary(&pattern(shift));
            let mut says = vec![Heard::Binary(pattern(shift))];
            for length in [1, 7, 64, 125, 130, 200, 31] {
                octets.extend(keyed(FIN | BINARY, &pattern(length), KEYS[6]));
                says.push(Heard::Binary(pattern(length)));
            }
            peer.send(&octets)?;
            for heard in &says {
                peer.expect(heard)?;
            }
            peer.closes()
        },
    );
}

#[test]
fn a_frame_may_be_torn_at_every_octet() {
    let target = Target::testee(&[]);
    // Short, in 16 bits, in 64 bits: torn in every octet of the header, and in the
    // payload at every phase of the key and around every vector.
    let mut rows = Vec::new();
    for length in [5, 125, LENGTH_MAX, 65_536] {
        let whole = keyed(FIN | BINARY, &pattern(length), KEYS[6]).len();
        let cuts = 1..whole.min(LENGTH_MAX + 8);
        rows.extend(cuts.map(|cut| (length, cut)));
        rows.extend((whole.saturating_sub(70).max(1)..whole).map(|cut| (length, cut)));
    }
    check_all(
        "torn frames",
        &rows,
        |(length, cut)| format!("{length} octets torn at {cut}"),
        |&(length, cut)| {
            let mut peer = Peer::open(target.addr)?;
            let payload = pattern(length);
            let octets = keyed(FIN | BINARY, &payload, KEYS[6]);
            peer.send_seen(&octets[..cut])?;
            peer.send(&octets[cut..])?;
            peer.expect(&Heard::Binary(payload))?;
            peer.closes()
        },
    );
}

#[test]
fn a_frame_may_be_torn_in_three() {
    let target = Target::testee(&[]);
    let length = 150;
    let payload = pattern(length);
    let octets = keyed(FIN | TEXT, &b"t".repeat(length), KEYS[6]);
    let binary = keyed(FIN | BINARY, &payload, KEYS[6]);
    let mut rows = Vec::new();
    for first in (1..octets.len() - 1).step_by(3) {
        for second in (first + 1..octets.len()).step_by(11) {
            rows.push((first, second));
        }
    }
    check_all(
        "frames torn in three",
        &rows,
        |row| format!("torn at {row:?}"),
        |&(first, second)| {
            let mut peer = Peer::open(target.addr)?;
            for (octets, says) in [
                (&octets, Heard::Text(b"t".repeat(length))),
                (&binary, Heard::Binary(payload.clone())),
            ] {
                peer.send_seen(&octets[..first])?;
                // No ping fits inside a frame: the server may see these two parts together.
                peer.send(&octets[first..second])?;
                peer.send(&octets[second..])?;
                peer.expect(&says)?;
            }
            peer.closes()
        },
    );
}

#[test]
fn a_message_may_be_split_at_every_octet() {
    let target = Target::testee(&[]);
    let letters: Vec<u8> = pattern(LENGTH_MAX)
        .iter()
        .map(|octet| b'a' + octet % 26)
        .collect();
    let cuts: Vec<usize> = (0..=LENGTH_MAX).collect();
    check_all(
        "split messages",
        &cuts,
        |cut| format!("split at {cut}"),
        |&cut| {
            let mut peer = Peer::open(target.addr)?;
            let (a, b) = letters.split_at(cut);
            // The parts in one segment, under different keys, then in two with a ping between.
            peer.send(&[keyed(TEXT, a, KEYS[6]), keyed(FIN, b, KEYS[2])].concat())?;
            peer.expect(&Heard::Text(letters.clone()))?;
            peer.send_seen(&keyed(BINARY, a, KEYS[1]))?;
            peer.send(&ping(b"between"))?;
            peer.expect(&Heard::Pong(b"between".to_vec()))?;
            peer.send(&[keyed(CONTINUATION, b"", KEYS[3]), keyed(FIN, b, KEYS[6])].concat())?;
            peer.expect(&Heard::Binary(letters.clone()))?;
            peer.closes()
        },
    );
}
