//! What a receiver takes and what it does not: RFC 7692 sections 6 and 7.2, frame by frame.

use super::*;

const HELLO: &[u8] = &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
/// Refers to the text of the message before.
const AGAIN: &[u8] = &[0xF2, 0x00, 0x11, 0x00, 0x00];
const STORED: &[u8] = &[
    0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00,
];
/// RFC 7692 section 7.2.3.4.
const FINAL: &[u8] = &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00];

/// In every mode, whole and torn.
fn every(octets: &[u8], mut judge: impl FnMut(Vec<Seen>, &str)) {
    for mode in MODES {
        for step in [1, 2, 3, 7, usize::MAX] {
            let mut end = End::server(mode());
            let seen = end.feed(octets, step);
            judge(seen, &format!("{:?} in steps of {step}", mode().mode));
            end.finish();
        }
    }
}

#[test]
fn the_examples_of_the_rfc() {
    let mut octets = frame(0xC1, HELLO);
    octets.extend(frame(0xC1, STORED));
    // In fragments, with a ping between (section 7.2.3.1).
    octets.extend(frame(0x41, &HELLO[..3]));
    octets.extend(frame(0x89, b"?"));
    octets.extend(frame(0x00, &[]));
    octets.extend(frame(0x80, &HELLO[3..]));
    // Two blocks, a final block, an empty message, one without any octet.
    octets.extend(frame(
        0xC1,
        &[
            0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00,
        ],
    ));
    octets.extend(frame(0xC1, FINAL));
    octets.extend(frame(0xC1, &[0x00]));
    octets.extend(frame(0xC1, &[]));
    // Compressed or not is for each message to say.
    octets.extend(frame(0x81, b"plain"));
    octets.extend(frame(0xC2, HELLO));
    let expected = [
        text("Hello"),
        text("Hello"),
        Seen::Ping(b"?".to_vec()),
        text("Hello"),
        text("Hello"),
        text("Hello"),
        text(""),
        text(""),
        text("plain"),
        Seen::Message(Kind::Binary, b"Hello".to_vec()),
    ];
    every(&octets, |seen, how| assert_eq!(seen, expected, "{how}"));
}

#[test]
fn context_is_taken_over_where_that_was_agreed_on_and_nowhere_else() {
    let octets = [frame(0xC1, HELLO), frame(0xC1, AGAIN), frame(0xC1, AGAIN)].concat();
    every(&octets, |seen, how| {
        if how.starts_with("Shared") {
            assert_eq!(
                seen,
                [text("Hello"), Seen::Failed(Violation::CorruptDeflate)]
            );
        } else {
            assert_eq!(seen, [text("Hello"), text("Hello"), text("Hello")], "{how}");
        }
    });
}

#[test]
fn a_final_block_ends_nothing_but_itself() {
    // Between ordinary messages that refer to one another and to it; in the middle of a message;
    // several in one; without the octet that should follow it.
    let middle = [&FINAL[..7], HELLO].concat();
    let several = [&FINAL[..7], &FINAL[..7], FINAL].concat();
    let octets = [
        frame(0xC1, HELLO),
        frame(0xC1, FINAL),
        frame(0xC1, AGAIN),
        frame(0xC1, &middle),
        frame(0x41, &several[..9]),
        frame(0x80, &several[9..]),
        frame(0xC1, &FINAL[..7]),
        frame(0xC1, AGAIN),
        frame(0xC1, &[0x01]), // the tail itself completes a final block
        frame(0xC1, HELLO),
    ]
    .concat();
    let expected = [
        text("Hello"),
        text("Hello"),
        text("Hello"),
        text("HelloHello"),
        text("HelloHelloHello"),
        text("Hello"),
        text("Hello"),
        text(""),
        text("Hello"),
    ];
    for mode in [Compression::history, Compression::dedicated] {
        for step in [1, 5, usize::MAX] {
            let mut end = End::server(mode());
            assert_eq!(
                end.feed(&octets, step),
                expected,
                "{:?} {step}",
                mode().mode
            );
            end.finish();
        }
    }
    // Without context: the same, but for the references.
    let octets = [
        frame(0xC1, FINAL),
        frame(0xC1, &middle),
        frame(0xC1, &several),
        frame(0xC1, &FINAL[..7]),
        frame(0xC1, &[0x01]),
        frame(0xC1, HELLO),
    ]
    .concat();
    let mut end = End::server(Compression::shared());
    let expected = [
        "Hello",
        "HelloHello",
        "HelloHelloHello",
        "Hello",
        "",
        "Hello",
    ]
    .map(text);
    assert_eq!(end.feed(&octets, 4), expected);
    end.finish();
}

#[test]
fn a_message_without_end_of_final_blocks_is_ended() {
    // Two octets, an empty final block, again and again: each would cost a window to begin anew.
    let octets = frame(0xC2, &[0x03, 0x00].repeat(5000));
    every(&octets, |seen, how| {
        assert_eq!(seen, [Seen::Failed(Violation::TooManyFragments)], "{how}");
    });
    let octets = frame(0xC2, &[0x03, 0x00].repeat(4000));
    every(&octets, |seen, how| {
        assert_eq!(seen, [Seen::Message(Kind::Binary, Vec::new())], "{how}");
    });
}

#[test]
fn what_does_not_inflate_ends_in_1007() {
    let mut far = vec![0; 1000];
    let plain: Vec<u8> = (0..600_u32).map(|n| (n * n) as u8).collect();
    let mut deflater = Deflater::new(15, 9, 8);
    deflater.prime(&plain); // a window the receiver does not have
    far.clear();
    deflater.deflate(&plain, &mut [0; 4096], &mut far).unwrap();
    for (octets, what) in [
        (&[0x07][..], "a block type that does not exist"),
        (&[0xFF; 30], "the same, and more"),
        (
            &[0x00, 0x05, 0x00, 0xFB, 0xFF, 1, 2, 3, 4, 5, 0x00],
            "a wrong complement",
        ),
        (
            &[0x00, 0x05, 0x00, 0xFA, 0xFF, 1, 2],
            "a stored block cut off",
        ),
        (AGAIN, "a reference to nothing"),
        (&far, "a reference to far before the begin"),
        (&HELLO[..3], "cut off inside a symbol"),
        (&[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07], "no end of the block"),
        (&[0x04, 0x00, 0x00], "a header cut off"),
        (
            &[0x05, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            "codes that are too many",
        ),
        (
            &[
                0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00, 0x00, 0xFF, 0xFF,
            ],
            "the tail not left out",
        ),
        (
            &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x07],
            "junk behind a final block",
        ),
    ] {
        for octets in [
            frame(0xC2, octets),
            [frame(0x42, &octets[..1]), frame(0x80, &octets[1..])].concat(),
        ] {
            every(&octets, |seen, how| {
                assert_eq!(
                    seen,
                    [Seen::Failed(Violation::CorruptDeflate)],
                    "{what}: {how}"
                );
            });
        }
    }
    assert_eq!(
        Violation::CorruptDeflate.close_code(),
        CloseCode::INVALID_PAYLOAD
    );
}

#[test]
fn bits_that_nobody_agreed_on_end_in_1002() {
    for first in [0xA1, 0x91, 0xB1, 0xE1, 0xD1, 0xF1] {
        every(&frame(first, HELLO), |seen, how| {
            assert_eq!(
                seen,
                [Seen::Failed(Violation::ReservedBit)],
                "{first:#x} {how}"
            );
        });
    }
    // RSV1 on control frames, on continuations, and where it was not agreed on.
    for first in [0xC8, 0xC9, 0xCA, 0xC0, 0x40] {
        every(&frame(first, &[]), |seen, how| {
            assert_eq!(
                seen,
                [Seen::Failed(Violation::ReservedBit)],
                "{first:#x} {how}"
            );
        });
    }
    for begin in [0x42, 0x02] {
        for first in [0xC0, 0x40] {
            let octets = [frame(begin, &HELLO[..2]), frame(first, &HELLO[2..])].concat();
            every(&octets, |seen, how| {
                assert_eq!(
                    seen,
                    [Seen::Failed(Violation::ReservedBit)],
                    "{first:#x} {how}"
                );
            });
        }
    }
    let mut plain = End::new(Role::Server, Compression::shared(), None);
    assert_eq!(
        plain.feed(&frame(0xC1, HELLO), 100),
        [Seen::Failed(Violation::ReservedBit)]
    );
}

#[test]
fn text_is_judged_as_it_is_inflated() {
    let mut sender = Ordinary::new(agreed(false, 15).send);
    for (plain, fails) in [
        ("grüß".as_bytes(), false),
        (b"gr\xC3", true),
        (b"ok\xFF", true),
        (b"\xED\xA0\x80", true),
    ] {
        let octets = frame(0xC1, &sender.deflate(plain));
        every(&octets, |seen, how| match fails {
            true => assert_eq!(seen, [Seen::Failed(Violation::InvalidUtf8)], "{how}"),
            false => assert_eq!(seen, [text("grüß")], "{how}"),
        });
    }
    // At the octet that proves it, though the message is far from its end.
    let plain = ["x".repeat(5000).as_bytes(), b"\xFF", &[b'y'; 5000]].concat();
    let whole = sender.deflate(&plain);
    let mut octets = frame(0x41, &whole);
    octets.extend(frame(0x00, b""));
    for mode in MODES {
        let mut end = End::server(mode());
        assert_eq!(end.feed(&octets, 3), [Seen::Failed(Violation::InvalidUtf8)]);
        let left = frames(&end.leave());
        assert_eq!(left[0].1[..2], 1007_u16.to_be_bytes());
        end.finish();
    }
}

#[test]
fn a_client_receives_by_the_same_rules() {
    let octets = [
        server_frame(0xC1, HELLO),
        server_frame(0xC1, AGAIN),
        server_frame(0xC9, b""),
    ]
    .concat();
    for step in [1, 100] {
        let mut end = End::new(Role::Client, Compression::history(), Some(agreed(true, 15)));
        assert_eq!(
            end.feed(&octets, step),
            [
                text("Hello"),
                text("Hello"),
                Seen::Failed(Violation::ReservedBit)
            ]
        );
        end.finish();
    }
}

#[test]
fn an_opening_handshake_agrees_and_the_budget_says_how_far() {
    let request = |offer: &str| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
        )
    };
    let mut pool = Pool::new();
    let mut open = |compression: Compression, offer: &str| {
        let config = ProtocolConfig {
            compression,
            ..ProtocolConfig::default()
        };
        let mut connection = Connection::server(Tick::default(), 0);
        let mut env = Env {
            config: &config,
            pool: &mut pool,
            now: Tick::default(),
        };
        let mut octets = request(offer).into_bytes();
        let mut input = Input::new(&mut octets);
        let Some((Event::Request(request), link)) = connection.next(&mut input, &mut env) else {
            panic!("a sound request");
        };
        link.accept(&request, &Default::default(), &mut env)
            .unwrap();
        let mut slices = Slices::new();
        link.gather(&mut slices);
        let head = String::from_utf8(slices.iter().flat_map(|s| s.to_vec()).collect()).unwrap();
        let answer = head
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "))
            .map(str::to_owned);
        drop(slices);
        let reserved = pool.compression().reserved();
        (connection, answer, reserved)
    };
    let browser = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let (_, answer, _) = open(Compression::off(), browser);
    assert_eq!(answer, None);
    let (connection, answer, reserved) = open(Compression::shared(), "");
    assert_eq!((answer, reserved), (None, 0));
    assert!(!connection.link().compression().is_on());
    let none = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let (_, answer, reserved) = open(Compression::shared(), browser);
    assert_eq!((answer.as_deref(), reserved), (Some(none), 0));

    let mut tight = Compression::history();
    tight.budget = 20_000;
    let kept = "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12";
    let spent = format!("{none}; server_max_window_bits=12");
    let mut all = Vec::new();
    for (expected, reserved) in [(kept, 8192), (kept, 16_384), (&spent, 16_384)] {
        let (connection, answer, held) = open(tight.clone(), browser);
        assert_eq!((answer.as_deref(), held), (Some(expected), reserved));
        all.push(connection);
    }
    // Two fields; the first offer is declined.
    let fields = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8\r\n\
                  Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n";
    let (connection, answer, _) = open(Compression::dedicated(), fields);
    assert_eq!(
        answer.as_deref(),
        Some("permessage-deflate; server_max_window_bits=9")
    );
    all.push(connection);
    assert_eq!(pool.compression().declined, 1);
    for mut connection in all {
        connection.finish(&mut pool);
    }
    assert_eq!(pool.compression().reserved(), 0);
}
