//! UTF-8 in text messages (RFC 6455, section 8.1), failing as soon as an octet proves it
//! wrong: inside an unfinished frame, inside an unfinished message.

use crate::cases::check_all;
use crate::peer::{CONTINUATION, FIN, Heard, MASK, Peer, TEXT, frame, header, masked};
use crate::target::Target;

/// Errors stand behind this many good octets, at most: past three vectors of 64 octets.
const OFFSET_MAX: usize = 200;

/// Octets that a torn frame announces beyond those that are sent.
const MISSING: u64 = 500;

/// Each is wrong at its last octet, and not before it (Unicode 16, table 3-7).
const WRONG: [&[u8]; 14] = [
    b"\x80",
    b"\xBF",
    b"\xC0",
    b"\xC1",
    b"\xF5",
    b"\xFF",
    b"\xC3\x28",
    b"\xE0\x9F",
    b"\xED\xA0",
    b"\xE2\x82\x28",
    b"\xF0\x8F",
    b"\xF4\x90",
    b"\xF0\x9F\x28",
    b"\xF0\x9F\x99\x28",
];

/// Cut off behind each of its octets but the last, a sequence is not finished.
const UNFINISHED: [&[u8]; 6] = [
    b"\xC3",
    b"\xE2",
    b"\xE2\x82",
    b"\xF0",
    b"\xF0\x9F",
    b"\xF0\x9F\x99",
];

/// Where the error stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In a whole, final frame, with more text behind it.
    Frame,
    /// At the beginning of the second, final fragment; what is before it in the first.
    Fragments,
    /// With the sequence itself torn between two fragments.
    Between,
    /// In a frame that announces more than was sent: fails without the rest.
    Torn,
    /// In a whole first fragment of a message that never ends: fails without the rest.
    Open,
}
const PLACES: [Place; 5] = [
    Place::Frame,
    Place::Fragments,
    Place::Between,
    Place::Torn,
    Place::Open,
];

/// Exactly `length` octets of good text, in one octet a character or in up to four.
fn good(length: usize, mixed: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(length);
    let characters = if mixed { "aé€🙂" } else { "ascii" };
    for c in characters.chars().cycle() {
        let c = if out.len() + c.len_utf8() > length {
            'x'
        } else {
            c
        };
        if out.len() == length {
            break;
        }
        out.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out
}

fn octets(place: Place, before: &[u8], wrong: &[u8]) -> Vec<u8> {
    let both = [before, wrong].concat();
    match place {
        Place::Frame => frame(FIN | TEXT, &[&both[..], b" and more of it"].concat()),
        Place::Fragments => [frame(TEXT, before), frame(FIN, wrong)].concat(),
        Place::Between => {
            let (a, b) = both.split_at(before.len() + wrong.len() / 2);
            [frame(TEXT, a), frame(CONTINUATION, b)].concat()
        }
        Place::Torn => {
            let mut out = header(FIN | TEXT, both.len() as u64 + MISSING);
            out.extend(masked(&both, MASK));
            out
        }
        Place::Open => frame(TEXT, &both),
    }
}

#[test]
fn errors_are_found_at_every_offset_and_at_once() {
    let target = Target::testee(&[]);
    let mut rows = Vec::new();
    for offset in 0..=OFFSET_MAX {
        for (n, wrong) in WRONG.into_iter().enumerate() {
            // Every sequence at every offset; of the places and of the kinds of text
            // around it, every one at every offset, and with every sequence.
            for place in [PLACES[(offset + n) % 5], PLACES[(offset + n + 3) % 5]] {
                rows.push((place, offset, wrong, (offset / 5 + n) % 2 == 0));
            }
        }
    }
    let name = |row: &(Place, usize, &[u8], bool)| {
        format!(
            "{:?}: {:02x?} behind {} octets{}",
            row.0,
            row.2,
            row.1,
            if row.3 { " of mixed text" } else { "" }
        )
    };
    check_all(
        "UTF-8 errors",
        &rows,
        name,
        |&(place, offset, wrong, mixed)| {
            let mut peer = Peer::open(target.addr)?;
            peer.send_freely(&octets(place, &good(offset, mixed), wrong));
            peer.expect_failed(1007)
        },
    );
    target.serves().unwrap();
}

#[test]
fn errors_are_found_when_octets_come_one_by_one() {
    let target = Target::testee(&[]);
    let mut rows = Vec::new();
    for offset in (0..=OFFSET_MAX).step_by(7) {
        for wrong in WRONG {
            rows.push((PLACES[(offset + wrong.len()) % 5], offset, wrong));
        }
    }
    check_all(
        "UTF-8 errors, by octets",
        &rows,
        |row| format!("{row:02x?}"),
        |&(place, offset, wrong)| {
            let mut peer = Peer::open(target.addr)?;
            peer.send_octets(&octets(place, &good(offset, true), wrong));
            peer.expect_failed(1007)
        },
    );
}

#[test]
fn errors_are_found_far_behind_in_long_frames() {
    let target = Target::testee(&[]);
    let offsets = [
        4_095, 4_096, 16_383, 65_535, 65_536, 131_071, 262_143, 262_144, 1_000_000,
    ];
    let rows: Vec<(usize, Place)> = offsets
        .into_iter()
        .flat_map(|o| PLACES.map(|p| (o, p)))
        .collect();
    check_all(
        "UTF-8 errors in long frames",
        &rows,
        |row| format!("{row:?}"),
        |&(offset, place)| {
            let mut peer = Peer::open(target.addr)?;
            peer.send_freely(&octets(place, &good(offset, true), b"\xED\xA0"));
            peer.expect_failed(1007)
        },
    );
}

#[test]
fn a_message_may_not_end_inside_a_character() {
    let target = Target::testee(&[]);
    let mut rows = Vec::new();
    for offset in 0..=OFFSET_MAX {
        for unfinished in UNFINISHED {
            rows.push((offset, unfinished));
        }
    }
    check_all(
        "unfinished characters",
        &rows,
        |row| format!("{row:02x?}"),
        |&(offset, unfinished)| {
            let mut peer = Peer::open(target.addr)?;
            let before = good(offset, offset % 2 == 0);
            let octets = match offset % 3 {
                0 => frame(FIN | TEXT, &[&before[..], unfinished].concat()),
                1 => [frame(TEXT, &before), frame(FIN, unfinished)].concat(),
                _ => [
                    frame(TEXT, &[&before[..], unfinished].concat()),
                    frame(FIN, b""),
                ]
                .concat(),
            };
            peer.send_freely(&octets);
            peer.expect_failed(1007)
        },
    );
}

#[test]
fn characters_may_be_torn_between_frames_and_segments() {
    let target = Target::testee(&[]);
    let message = "κόσμε €¢ 🙂 \u{10FFFF} \u{FFFF} \u{0} \u{7F} \u{80} \u{7FF} \u{800} \u{D7FF} \u{E000} \u{10000} end".repeat(2);
    let message = message.as_bytes();
    let cuts: Vec<usize> = (0..=message.len()).collect();
    check_all(
        "torn characters",
        &cuts,
        |cut| format!("torn at {cut}"),
        |&cut| {
            let mut peer = Peer::open(target.addr)?;
            let (a, b) = message.split_at(cut);
            // Between two frames, then between two segments of one frame.
            peer.send(&[frame(TEXT, a), frame(FIN, b)].concat())?;
            peer.expect(&Heard::Text(message.to_vec()))?;
            let whole = frame(FIN | TEXT, message);
            let at = whole.len() - message.len() + cut;
            peer.send_seen(&whole[..at])?;
            peer.send(&whole[at..])?;
            peer.expect(&Heard::Text(message.to_vec()))?;
            peer.closes()
        },
    );
}

#[test]
fn binary_messages_may_hold_anything() {
    let target = Target::testee(&[]);
    check_all(
        "binary",
        &WRONG,
        |wrong| format!("{wrong:02x?}"),
        |wrong| {
            let mut peer = Peer::open(target.addr)?;
            let payload = [&good(OFFSET_MAX, true)[..], wrong].concat();
            peer.send(&frame(FIN | crate::peer::BINARY, &payload))?;
            peer.expect(&Heard::Binary(payload))?;
            peer.closes()
        },
    );
}
