//! The closing handshake: every code, every length of its payload, reasons in every state
//! (RFC 6455, sections 5.5.1, 7.1.5 and 7.4).

use super::{Case, End, ends, row_name, rows, run};
use crate::cases::check_all;
use crate::peer::{CLOSE, FIN, Heard, Peer, TEXT, close, close_payload, frame, ping, text};
use crate::target::Target;

/// What may stand in a Close frame: the codes of section 7.4.1 that are meant for the
/// wire, those registered since (1012 to 1014), and the ranges for libraries and
/// applications (7.4.2).
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[test]
fn every_close_code_is_echoed_or_refused() {
    let target = Target::testee(&[]);
    let mut codes: Vec<u16> = (0..=5_000).collect();
    codes.extend([5_001, 5_999, 9_999, 16_384, 32_767, 32_768, 65_534, 65_535]);
    check_all(
        "close codes",
        &codes,
        |code| format!("code {code}"),
        |&code| {
            let mut peer = Peer::open(target.addr)?;
            peer.send(&close(code, b"why"))?;
            let end = match may_be_sent(code) {
                true => End::Closes(Some((code, b"why".to_vec()))),
                false => End::Fails(1002),
            };
            ends(&mut peer, &end)
        },
    );
    target.serves().unwrap();
}

#[test]
fn every_close_payload_is_echoed_or_refused() {
    let target = Target::testee(&[]);
    let mut cases = Vec::new();
    let mut row = |name: String, payload: Vec<u8>, end: End| {
        cases.push(Case {
            name,
            octets: frame(FIN | CLOSE, &payload),
            says: Vec::new(),
            end,
        });
    };
    row("no payload".into(), vec![], End::Closes(None));
    for octet in [0, 3, 0xFF] {
        row(format!("one octet, {octet}"), vec![octet], End::Fails(1002));
    }
    for length in [0, 1, 2, 121, 122, 123] {
        let reason = vec![b'r'; length];
        let said = Some((1000, reason.clone()));
        row(
            format!("a reason of {length}"),
            close_payload(1000, &reason),
            End::Closes(said),
        );
    }
    row(
        "a reason of 124".into(),
        close_payload(1000, &[b'r'; 124]),
        End::Fails(1002),
    );
    for reason in ["κόσμε", "🙂", "\u{10FFFF}", "\u{FFFE}", "\0"] {
        let said = Some((3000, reason.as_bytes().to_vec()));
        row(
            format!("the reason {reason:?}"),
            close_payload(3000, reason.as_bytes()),
            End::Closes(said),
        );
    }
    let bad: [&[u8]; 12] = [
        b"\xFF",
        b"\x80",
        b"\xC0\x80",
        b"\xE2\x82",
        b"\xED\xA0\x80",
        b"\xED\xBF\xBF",
        b"\xF0\x80\x80\x80",
        b"\xF0\x9F\x99",
        b"\xF4\x90\x80\x80",
        b"\xF5\x80\x80\x80",
        b"good\xFEbad",
        b"\xE0\x9F\xBF",
    ];
    for reason in bad {
        row(
            format!("the reason {reason:02x?}"),
            close_payload(1000, reason),
            End::Fails(1007),
        );
    }
    for at in [0, 1, 50, 100, 120, 122] {
        let mut reason = vec![b'r'; 123];
        reason[at] = 0xFF;
        row(
            format!("a bad octet at {at} of a reason"),
            close_payload(1000, &reason),
            End::Fails(1007),
        );
    }
    let inside = |rest: Vec<u8>| [frame(TEXT, b"open"), rest].concat();
    let said = Some((1001, b"leaving".to_vec()));
    cases.push(Case {
        name: "a close inside a message".into(),
        octets: inside(close(1001, b"leaving")),
        says: vec![],
        end: End::Closes(said.clone()),
    });
    cases.push(Case {
        name: "a close after a ping and two messages".into(),
        octets: [text("a"), ping(b"p"), text("b"), close(1001, b"leaving")].concat(),
        says: vec![
            Heard::Text(b"a".to_vec()),
            Heard::Pong(b"p".to_vec()),
            Heard::Text(b"b".to_vec()),
        ],
        end: End::Closes(said),
    });
    check_all("close payloads", &rows(&cases), row_name, |row| {
        run(target.addr, row)
    });
}

#[test]
fn echoes_come_before_the_close_however_long_they_are() {
    let target = Target::testee(&[]);
    let message = vec![b'm'; 1 << 20];
    let endings: [(&str, Vec<u8>, End); 3] = [
        (
            "a close",
            close(1000, b"done"),
            End::Closes(Some((1000, b"done".to_vec()))),
        ),
        (
            "a violation",
            vec![0xF1, 0x80, 0, 0, 0, 0],
            End::Fails(1002),
        ),
        ("bad UTF-8", frame(FIN | TEXT, b"\xFF"), End::Fails(1007)),
    ];
    check_all(
        "a long echo and its end",
        &endings,
        |row| row.0.to_owned(),
        |(_, octets, end)| {
            let mut peer = Peer::open(target.addr)?;
            peer.send(&[frame(FIN | TEXT, &message), octets.clone()].concat())?;
            let heard = peer.hear()?;
            if heard != Heard::Text(message.clone()) {
                return Err(format!("{} instead of the echo", heard.brief()));
            }
            ends(&mut peer, end)
        },
    );
}
