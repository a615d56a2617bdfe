//! Lengths and limits: refused at the header that proves them, exact to the octet.

use super::{Case, End, row_name, rows, run};
use crate::cases::check_all;
use crate::peer::{BINARY, CONTINUATION, FIN, Heard, Peer, TEXT, binary, frame, header, text};
use crate::target::Target;

/// The server's default limit of a message, in octets.
const MESSAGE_MAX: u64 = 16 << 20;

/// Fragments of one message, at most: more are refused with 1008, however short.
const FRAGMENTS_MAX: usize = 131_072;

fn too_big(name: String, octets: Vec<u8>) -> Case {
    Case {
        name,
        octets,
        says: Vec::new(),
        end: End::Fails(1009),
    }
}

fn echoes(name: impl Into<String>, octets: Vec<u8>, says: Heard) -> Case {
    Case {
        name: name.into(),
        octets,
        says: vec![says],
        end: End::Stays,
    }
}

/// Announced lengths around every width a length could be cut to.
#[test]
fn announced_lengths_over_the_limit_are_refused_at_the_header() {
    let target = Target::testee(&[]);
    let mut cases = Vec::new();
    let edges: [u64; 4] = [1 << 31, 1 << 32, 1 << 53, 1 << 62];
    let around = edges
        .iter()
        .flat_map(|e| [e - 1, *e, e + 1, e + 5, e + 125, e + 126]);
    let lengths: Vec<u64> = [
        MESSAGE_MAX + 1,
        MESSAGE_MAX + 2,
        MESSAGE_MAX * 2,
        1 << 25,
        1 << 40,
    ]
    .into_iter()
    .chain(around)
    .chain([i64::MAX as u64 - 1, i64::MAX as u64])
    .collect();
    for length in lengths {
        for (kind, opcode) in [("text", TEXT), ("binary", BINARY)] {
            cases.push(too_big(
                format!("{kind} announcing {length:#x}"),
                header(FIN | opcode, length),
            ));
            cases.push(too_big(
                format!("a first fragment, {kind}, announcing {length:#x}"),
                header(opcode, length),
            ));
        }
        // The sum of the fragments, not this one alone, and no sum that wraps.
        let later = [frame(BINARY, b"0123456789"), header(FIN, length)].concat();
        cases.push(too_big(
            format!("a continuation announcing {length:#x}"),
            later,
        ));
    }
    let sum = [frame(BINARY, b"0123456789"), header(FIN, MESSAGE_MAX - 9)].concat();
    cases.push(too_big(
        "ten octets, then all but nine of the limit".into(),
        sum,
    ));
    check_all("announced lengths", &rows(&cases), row_name, |row| {
        run(target.addr, row)
    });
}

#[test]
fn the_default_limit_of_a_message_is_exact() {
    let target = Target::testee(&[]);
    let payload: Vec<u8> = (0..MESSAGE_MAX).map(|n| (n * 7 % 253) as u8).collect();
    let mut peer = Peer::open(target.addr).unwrap();
    peer.send(&binary(&payload)).unwrap();
    let heard = peer.hear().unwrap();
    assert!(heard == Heard::Binary(payload.clone()), "{}", heard.brief());
    // The same over fragments of different lengths.
    let (a, b) = payload.split_at(1_000_001);
    let (b, c) = b.split_at(70_000);
    peer.send(&[frame(BINARY, a), frame(CONTINUATION, b), frame(FIN, c)].concat())
        .unwrap();
    let heard = peer.hear().unwrap();
    assert!(heard == Heard::Binary(payload), "{}", heard.brief());
    peer.closes().unwrap();
}

#[test]
fn a_configured_limit_of_a_message_is_exact() {
    const MAX: usize = 65_536;
    let target = Target::testee(&["--max-message-size", "65536"]);
    let payload: Vec<u8> = (0..MAX).map(|n| (n % 255) as u8).collect();
    let fragments = |count: usize| -> Vec<u8> {
        let length = MAX / count;
        let mut out = Vec::new();
        for (n, part) in payload.chunks(length).enumerate() {
            let first = if n == 0 { BINARY } else { CONTINUATION };
            let last = if n == count - 1 { FIN } else { 0 };
            out.extend(frame(first | last, part));
        }
        out
    };
    let whole = || Heard::Binary(payload.clone());
    let mut cases = vec![
        echoes("the limit in one frame", binary(&payload), whole()),
        echoes(
            "the limit as text",
            frame(FIN | TEXT, &[b'a'; MAX]),
            Heard::Text(vec![b'a'; MAX]),
        ),
        echoes(
            "one less than the limit",
            binary(&payload[1..]),
            Heard::Binary(payload[1..].to_vec()),
        ),
        echoes(
            "the limit, then an empty end",
            [frame(BINARY, &payload), frame(FIN, b"")].concat(),
            whole(),
        ),
        echoes(
            "an empty beginning, then the limit",
            [frame(BINARY, b""), frame(FIN, &payload)].concat(),
            whole(),
        ),
        echoes(
            "the limit twice: it is a limit of each message",
            [binary(&payload), text("next")].concat(),
            whole(),
        ),
        too_big(
            "one more, header alone".into(),
            header(FIN | BINARY, MAX as u64 + 1),
        ),
        too_big("one more".into(), frame(FIN | BINARY, &vec![1; MAX + 1])),
        too_big(
            "one more, as text".into(),
            frame(FIN | TEXT, &vec![b'a'; MAX + 1]),
        ),
        too_big(
            "the limit, then one octet".into(),
            [frame(BINARY, &payload), frame(FIN, b"x")].concat(),
        ),
        too_big(
            "the limit, then one octet, header alone".into(),
            [frame(BINARY, &payload), header(CONTINUATION, 1)].concat(),
        ),
        too_big(
            "half, then half and one".into(),
            [
                frame(BINARY, &payload[..MAX / 2]),
                header(FIN, MAX as u64 / 2 + 1),
            ]
            .concat(),
        ),
        too_big(
            "one octet, then the limit".into(),
            [frame(BINARY, b"x"), header(FIN, MAX as u64)].concat(),
        ),
    ];
    cases[5].says.push(Heard::Text(b"next".to_vec()));
    for count in [2, 4, 64, 1024, 16_384] {
        cases.push(echoes(
            format!("the limit in {count} fragments"),
            fragments(count),
            whole(),
        ));
        let mut more = fragments(count);
        // The last fragment loses its FIN, and one octet follows.
        let last = more.len() - frame(FIN, &payload[..MAX / count]).len();
        more[last] &= !FIN;
        more.extend(frame(FIN, b"x"));
        cases.push(too_big(
            format!("one more in {} fragments", count + 1),
            more,
        ));
    }
    check_all("limit of a message", &rows(&cases), row_name, |row| {
        run(target.addr, row)
    });
}

#[test]
fn a_configured_limit_of_a_frame_is_exact() {
    const MAX: usize = 4_096;
    let target = Target::testee(&["--max-frame-size", "4096"]);
    let payload = [b'f'; MAX];
    let cases = [
        echoes(
            "the limit",
            binary(&payload),
            Heard::Binary(payload.to_vec()),
        ),
        echoes(
            "the limit as text",
            frame(FIN | TEXT, &payload),
            Heard::Text(payload.to_vec()),
        ),
        echoes(
            "a message of three such frames",
            [
                frame(BINARY, &payload),
                frame(CONTINUATION, &payload),
                frame(FIN, &payload),
            ]
            .concat(),
            Heard::Binary(payload.repeat(3)),
        ),
        too_big(
            "one more, header alone".into(),
            header(FIN | BINARY, MAX as u64 + 1),
        ),
        too_big("one more".into(), frame(FIN | BINARY, &[b'f'; MAX + 1])),
        too_big(
            "one more in a first fragment".into(),
            frame(TEXT, &[b'f'; MAX + 1]),
        ),
        too_big(
            "one more in a continuation".into(),
            [frame(BINARY, b"a"), frame(FIN, &[b'f'; MAX + 1])].concat(),
        ),
    ];
    check_all("limit of a frame", &rows(&cases), row_name, |row| {
        run(target.addr, row)
    });
}

#[test]
fn fragments_of_one_message_are_counted_however_short() {
    let target = Target::testee(&[]);
    // (name, fragments before the final one, octets in each)
    let rows = [
        ("empty, as many as allowed", FRAGMENTS_MAX - 1, 0, true),
        (
            "of one octet, as many as allowed",
            FRAGMENTS_MAX - 1,
            1,
            true,
        ),
        ("empty, one more", FRAGMENTS_MAX, 0, false),
        ("of one octet, one more", FRAGMENTS_MAX, 1, false),
    ];
    check_all(
        "fragments",
        &rows,
        |row| row.0.to_owned(),
        |&(_, count, length, allowed)| {
            let mut peer = Peer::open(target.addr)?;
            let part = frame(CONTINUATION, &b"z"[..length]);
            let octets = [
                frame(BINARY, &b"z"[..length]),
                part.repeat(count - 1),
                frame(FIN, &b"z"[..length]),
            ]
            .concat();
            peer.send_freely(&octets);
            if allowed {
                peer.expect(&Heard::Binary(b"z".repeat((count + 1) * length)))?;
                peer.closes()
            } else {
                peer.expect_failed(1008)
            }
        },
    );
}
