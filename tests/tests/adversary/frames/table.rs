//! The table of single frames and short conversations, right and wrong.

use super::{Case, End, row_name, rows, run};
use crate::cases::check_all;
use crate::peer::{
    BINARY, CLOSE, CONTINUATION, FIN, Heard, MASK, PING, PONG, TEXT, binary, close, frame, header,
    masked, ping, text,
};
use crate::target::Target;

const RESERVED: [u8; 10] = [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF];

fn fails(name: impl Into<String>, octets: Vec<u8>, code: u16) -> Case {
    Case {
        name: name.into(),
        octets,
        says: Vec::new(),
        end: End::Fails(code),
    }
}

fn stays(name: impl Into<String>, octets: Vec<u8>, says: Vec<Heard>) -> Case {
    Case {
        name: name.into(),
        octets,
        says,
        end: End::Stays,
    }
}

fn opcode_name(opcode: u8) -> &'static str {
    match opcode {
        CONTINUATION => "continuation",
        TEXT => "text",
        BINARY => "binary",
        CLOSE => "close",
        PING => "ping",
        PONG => "pong",
        _ => "reserved",
    }
}

/// Section 5.1: a client's frame that is not masked fails the connection, at its header.
fn unmasked() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        let name = opcode_name(opcode);
        let payload: &[u8] = if opcode == CLOSE { &[3, 232] } else { b"hello" };
        let whole = [&[FIN | opcode, payload.len() as u8][..], payload].concat();
        cases.push(fails(format!("unmasked {name}"), whole, 1002));
        cases.push(fails(
            format!("unmasked empty {name}"),
            vec![FIN | opcode, 0],
            1002,
        ));
        cases.push(fails(
            format!("unmasked {name}, header alone"),
            vec![FIN | opcode, payload.len() as u8],
            1002,
        ));
    }
    let open = frame(TEXT, b"a");
    cases.push(fails(
        "unmasked continuation",
        [&open[..], &[FIN, 1, b'b']].concat(),
        1002,
    ));
    cases.push(fails(
        "unmasked, length in 16 bits",
        vec![FIN | TEXT, 126, 1, 0],
        1002,
    ));
    cases.push(fails(
        "unmasked, length in 64 bits",
        vec![FIN | BINARY, 127, 0, 0, 0, 0, 0, 1, 0, 0],
        1002,
    ));
    cases
}

/// Section 5.2: reserved bits without an extension that defines them.
fn reserved_bits() -> Vec<Case> {
    let mut cases = Vec::new();
    for bits in 1..=7u8 {
        let rsv = bits << 4;
        for opcode in [TEXT, BINARY, PING, PONG] {
            let name = format!("RSV {bits:03b} on {}", opcode_name(opcode));
            cases.push(fails(
                format!("{name}, empty"),
                frame(FIN | rsv | opcode, b""),
                1002,
            ));
            cases.push(fails(name, frame(FIN | rsv | opcode, b"hello"), 1002));
        }
        let name = format!("RSV {bits:03b} on");
        cases.push(fails(
            format!("{name} close"),
            frame(FIN | rsv | CLOSE, &[3, 232]),
            1002,
        ));
        cases.push(fails(
            format!("{name} the first fragment"),
            frame(rsv | TEXT, b"a"),
            1002,
        ));
        let later = [frame(TEXT, b"a"), frame(FIN | rsv, b"b")].concat();
        cases.push(fails(format!("{name} a continuation"), later, 1002));
        let alone = header(FIN | rsv | BINARY, 100);
        cases.push(fails(format!("{name} a header alone"), alone, 1002));
    }
    cases
}

/// Section 5.2: opcodes that mean nothing yet.
fn reserved_opcodes() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in RESERVED {
        let name = format!("opcode {opcode:#x}");
        cases.push(fails(
            format!("{name}, empty"),
            frame(FIN | opcode, b""),
            1002,
        ));
        cases.push(fails(
            format!("{name}, with payload"),
            frame(FIN | opcode, b"x"),
            1002,
        ));
        cases.push(fails(
            format!("{name}, not final"),
            frame(opcode, b"x"),
            1002,
        ));
        cases.push(fails(
            format!("{name}, header alone"),
            header(FIN | opcode, 100),
            1002,
        ));
        let inside = [frame(TEXT, b"a"), frame(FIN | opcode, b"")].concat();
        cases.push(fails(format!("{name}, inside a message"), inside, 1002));
    }
    cases
}

/// Section 5.5: control frames are whole and short.
fn control() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in [CLOSE, PING, PONG] {
        let name = opcode_name(opcode);
        cases.push(fails(
            format!("fragmented {name}, empty"),
            frame(opcode, b""),
            1002,
        ));
        let payload = if opcode == CLOSE {
            vec![3, 232]
        } else {
            b"half".to_vec()
        };
        cases.push(fails(
            format!("fragmented {name}"),
            frame(opcode, &payload),
            1002,
        ));
        let inside = [frame(TEXT, b"a"), frame(opcode, &payload)].concat();
        cases.push(fails(
            format!("fragmented {name} inside a message"),
            inside,
            1002,
        ));
        for length in [126, 127, 128, 255, 65_535, 65_536, 1 << 20] {
            cases.push(fails(
                format!("{name} announcing {length} octets"),
                header(FIN | opcode, length),
                1002,
            ));
        }
        let mut payload = vec![3, 232];
        payload.resize(126, b'a');
        cases.push(fails(
            format!("{name} of 126 octets"),
            frame(FIN | opcode, &payload),
            1002,
        ));
    }
    cases
}

/// Section 5.2: "the minimal number of bytes MUST be used to encode the length", and the
/// top bit of a length in 64 bits is zero.
fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    let long = |first: u8, length: u64, wide: bool| {
        let mut out = vec![first];
        if wide {
            out.push(0xFF);
            out.extend(length.to_be_bytes());
        } else {
            out.push(0xFE);
            out.extend((length as u16).to_be_bytes());
        }
        out.extend(MASK);
        out
    };
    for opcode in [TEXT, BINARY, PING, PONG] {
        let name = opcode_name(opcode);
        for length in [0, 1, 125] {
            let mut octets = long(FIN | opcode, length, false);
            cases.push(fails(
                format!("{name}: {length} in 16 bits, header alone"),
                octets.clone(),
                1002,
            ));
            octets.extend(masked(&vec![b'a'; length as usize], MASK));
            cases.push(fails(format!("{name}: {length} in 16 bits"), octets, 1002));
        }
        for length in [0, 1, 125, 126, 65_535] {
            let mut octets = long(FIN | opcode, length, true);
            cases.push(fails(
                format!("{name}: {length} in 64 bits, header alone"),
                octets.clone(),
                1002,
            ));
            octets.extend(masked(&vec![b'a'; length as usize], MASK));
            cases.push(fails(format!("{name}: {length} in 64 bits"), octets, 1002));
        }
    }
    for opcode in [TEXT, BINARY, PING] {
        for length in [1 << 63, (1 << 63) + 5, u64::MAX - 1, u64::MAX] {
            let name = format!("{}: length {length:#x}", opcode_name(opcode));
            cases.push(fails(name, long(FIN | opcode, length, true), 1002));
        }
    }
    for length in [1 << 63, u64::MAX] {
        let octets = [frame(BINARY, b"a"), long(FIN, length, true)].concat();
        cases.push(fails(
            format!("continuation: length {length:#x}"),
            octets,
            1002,
        ));
    }
    cases
}

/// Section 5.4: fragments of one message follow one another, and begin with a beginning.
fn fragments() -> Vec<Case> {
    let join = |frames: &[Vec<u8>]| frames.concat();
    let hello = || Heard::Text(b"hello".to_vec());
    let wrong: Vec<(&str, Vec<u8>, Vec<Heard>)> = vec![
        ("a final continuation first", frame(FIN, b"a"), vec![]),
        ("an empty final continuation first", frame(FIN, b""), vec![]),
        ("a continuation first", frame(CONTINUATION, b"a"), vec![]),
        (
            "an empty continuation first",
            frame(CONTINUATION, b""),
            vec![],
        ),
        (
            "a continuation first, header alone",
            header(FIN, 100),
            vec![],
        ),
        (
            "a continuation after a message",
            join(&[text("hello"), frame(FIN, b"a")]),
            vec![hello()],
        ),
        (
            "a continuation after a fragmented message",
            join(&[frame(TEXT, b"hel"), frame(FIN, b"lo"), frame(FIN, b"a")]),
            vec![hello()],
        ),
        (
            "text inside text",
            join(&[frame(TEXT, b"a"), text("b")]),
            vec![],
        ),
        (
            "binary inside text",
            join(&[frame(TEXT, b"a"), binary(b"b")]),
            vec![],
        ),
        (
            "text inside binary",
            join(&[frame(BINARY, b"a"), text("b")]),
            vec![],
        ),
        (
            "a beginning inside a message",
            join(&[frame(TEXT, b"a"), frame(TEXT, b"b")]),
            vec![],
        ),
        (
            "text inside empty text",
            join(&[frame(TEXT, b""), text("")]),
            vec![],
        ),
        (
            "text inside text, header alone",
            join(&[frame(TEXT, b"a"), header(FIN | TEXT, 100)]),
            vec![],
        ),
        (
            "text after three fragments",
            join(&[frame(TEXT, b"a"), frame(0, b"b"), frame(0, b"c"), text("d")]),
            vec![],
        ),
        (
            "text inside text, after a ping",
            join(&[frame(TEXT, b"a"), ping(b"p"), text("b")]),
            vec![Heard::Pong(b"p".to_vec())],
        ),
    ];
    let right: Vec<(&str, Vec<u8>, Vec<Heard>)> = vec![
        (
            "two fragments",
            join(&[frame(TEXT, b"hel"), frame(FIN, b"lo")]),
            vec![hello()],
        ),
        (
            "an empty first fragment",
            join(&[frame(TEXT, b""), frame(FIN, b"hello")]),
            vec![hello()],
        ),
        (
            "an empty last fragment",
            join(&[frame(TEXT, b"hello"), frame(FIN, b"")]),
            vec![hello()],
        ),
        (
            "empty fragments only",
            join(&[frame(TEXT, b""), frame(0, b""), frame(FIN, b"")]),
            vec![Heard::Text(vec![])],
        ),
        (
            "five fragments, some empty",
            join(&[
                frame(TEXT, b"h"),
                frame(0, b"e"),
                frame(0, b""),
                frame(0, b"ll"),
                frame(FIN, b"o"),
            ]),
            vec![hello()],
        ),
        (
            "binary in fragments",
            join(&[frame(BINARY, &[0xFF]), frame(FIN, &[0, 1])]),
            vec![Heard::Binary(vec![0xFF, 0, 1])],
        ),
        (
            "a ping between fragments",
            join(&[frame(TEXT, b"hel"), ping(b"now"), frame(FIN, b"lo")]),
            vec![Heard::Pong(b"now".to_vec()), hello()],
        ),
        (
            "pongs between fragments",
            join(&[
                frame(TEXT, b"hel"),
                frame(FIN | PONG, b"x"),
                frame(FIN | PONG, b""),
                frame(FIN, b"lo"),
            ]),
            vec![hello()],
        ),
        (
            "two fragmented messages",
            join(&[
                frame(TEXT, b"hel"),
                frame(FIN, b"lo"),
                frame(TEXT, b"hel"),
                frame(FIN, b"lo"),
            ]),
            vec![hello(), hello()],
        ),
    ];
    let wrong = wrong.into_iter().map(|(name, octets, says)| Case {
        name: name.into(),
        octets,
        says,
        end: End::Fails(1002),
    });
    let right = right
        .into_iter()
        .map(|(name, octets, says)| stays(name, octets, says));
    wrong.chain(right).collect()
}

/// What is right: every length at the border of a form, empty messages, pings, pongs.
fn right() -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [
        0, 1, 2, 3, 124, 125, 126, 127, 128, 255, 256, 4_095, 4_096, 65_535, 65_536, 65_537,
        200_000,
    ] {
        let payload: Vec<u8> = (0..length).map(|n| (n * 31 % 251) as u8).collect();
        cases.push(stays(
            format!("binary of {length}"),
            binary(&payload),
            vec![Heard::Binary(payload)],
        ));
        let payload = "x".repeat(length).into_bytes();
        cases.push(stays(
            format!("text of {length}"),
            frame(FIN | TEXT, &payload),
            vec![Heard::Text(payload)],
        ));
    }
    for length in [0, 1, 2, 124, 125] {
        let payload: Vec<u8> = (0..length).map(|n| 255 - n).collect();
        cases.push(stays(
            format!("ping of {length}"),
            ping(&payload),
            vec![Heard::Pong(payload.clone())],
        ));
        cases.push(stays(
            format!("unasked pong of {length}"),
            frame(FIN | PONG, &payload),
            vec![],
        ));
    }
    let many: Vec<Heard> = (0..1_000)
        .map(|n| Heard::Text(format!("message {n}").into_bytes()))
        .collect();
    let octets = (0..1_000)
        .flat_map(|n| text(&format!("message {n}")))
        .collect();
    cases.push(stays("a thousand messages at once", octets, many));
    let kinds = [text("a"), binary(b"b"), text(""), binary(b""), ping(b"c")].concat();
    let says = vec![
        Heard::Text(b"a".to_vec()),
        Heard::Binary(b"b".to_vec()),
        Heard::Text(vec![]),
        Heard::Binary(vec![]),
        Heard::Pong(b"c".to_vec()),
    ];
    cases.push(stays("text, binary, empty ones and a ping", kinds, says));
    cases
}

/// After a Close nothing counts any more, and nothing is answered.
fn after_the_end() -> Vec<Case> {
    let said = Some((1000, b"bye".to_vec()));
    let rows: [(&str, Vec<u8>); 6] = [
        ("text", text("late")),
        ("a ping", ping(b"late")),
        ("a second close", close(1001, b"late")),
        ("an unmasked frame", vec![0x81, 1, b'a']),
        ("garbage", vec![0xFF; 100]),
        ("half a frame", text("late")[..4].to_vec()),
    ];
    let after_close = rows.iter().map(|(name, late)| Case {
        name: format!("{name} after close"),
        octets: [close(1000, b"bye"), late.clone()].concat(),
        says: vec![],
        end: End::Closes(said.clone()),
    });
    let after_failure = rows.iter().map(|(name, late)| Case {
        name: format!("{name} after a violation"),
        octets: [vec![0x83, 0x80, 0, 0, 0, 0], late.clone()].concat(),
        says: vec![],
        end: End::Fails(1002),
    });
    after_close.chain(after_failure).collect()
}

#[test]
fn every_frame_is_answered_by_the_rule_it_keeps_or_breaks() {
    let target = Target::testee(&[]);
    let groups = [
        unmasked(),
        reserved_bits(),
        reserved_opcodes(),
        control(),
        lengths(),
        fragments(),
        right(),
        after_the_end(),
    ];
    let cases: Vec<Case> = groups.into_iter().flatten().collect();
    check_all("frames", &rows(&cases), row_name, |row| {
        run(target.addr, row)
    });
    target.serves().unwrap();
}
