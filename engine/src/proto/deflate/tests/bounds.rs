//! How much a compressed message may become, and what may be held meanwhile.

use std::time::Instant;

use super::*;

/// A message of zeros as the best compressor sends it: about a thousandth.
fn bomb(len: usize) -> Vec<u8> {
    Ordinary::new(agreed(false, 15).send).deflate(&vec![0; len])
}

/// Octets held for a connection and by its shard for compression, torn text included.
fn held(end: &End) -> usize {
    end.connection.held() + end.pool.compression().held()
}

#[test]
fn the_limit_is_that_of_the_text_to_the_octet() {
    for mode in MODES {
        for limit in [1, 125, 1000, 16_383, 16_384, 16_385, 70_000] {
            for over in [0, 1, 2, 300] {
                for step in [1000, usize::MAX] {
                    let plain = vec![7; limit + over];
                    let whole = Ordinary::new(agreed(false, 15).send).deflate(&plain);
                    let (front, back) = whole.split_at(whole.len() / 2);
                    for octets in [
                        frame(0xC2, &whole),
                        [frame(0x42, front), frame(0x80, back)].concat(),
                    ] {
                        let mut end = End::server(mode()).limit(limit as u64);
                        let expected = match over {
                            0 => Seen::Message(Kind::Binary, plain.clone()),
                            _ => Seen::Failed(Violation::MessageTooBig),
                        };
                        assert_eq!(end.feed(&octets, step), [expected], "{limit} + {over}");
                        end.finish();
                    }
                }
            }
        }
    }
}

#[test]
fn compressed_octets_are_not_counted_as_the_message() {
    // Incompressible, with a flush after every octet: many times as long as its text.
    let mut sender = Deflater::new(15, 6, 8);
    let mut whole = Vec::new();
    let plain: Vec<u8> = (0..500_u32).map(|n| (n * 167) as u8).collect();
    for octet in &plain {
        sender.deflate(&[*octet], &mut [0; 64], &mut whole).unwrap();
        whole.extend([0, 0, 0xFF, 0xFF]);
    }
    whole.truncate(whole.len() - 4);
    assert!(whole.len() > 6 * plain.len());
    for mode in MODES {
        for step in [1, usize::MAX] {
            let mut end = End::server(mode()).limit(500);
            assert_eq!(
                end.feed(&frame(0xC2, &whole), step),
                [Seen::Message(Kind::Binary, plain.clone())]
            );
            end.finish();
        }
    }
    // On the wire, the limit of frames holds.
    let mut end = End::server(Compression::shared());
    end.config.limits.frame_size_max = 125;
    assert_eq!(
        end.feed(&frame(0xC2, &[0; 126]), 1),
        [Seen::Failed(Violation::FrameTooBig)]
    );
}

#[test]
fn a_bomb_goes_off_in_a_small_room() {
    const LIMIT: usize = 1 << 20;
    let whole = bomb(100 << 20);
    assert!(whole.len() < 105 << 10, "{}", whole.len());
    let sevenths: Vec<u8> = whole
        .chunks(whole.len().div_ceil(7))
        .enumerate()
        .flat_map(|(n, piece)| frame([0x42, 0x00][usize::from(n > 0)], piece))
        .chain(frame(0x80, &[]))
        .collect();
    for mode in MODES {
        for (octets, what) in [
            (frame(0xC2, &whole), "whole"),
            (sevenths.clone(), "in seven"),
        ] {
            for step in [1000, 65_536, usize::MAX] {
                let mut end = End::server(mode()).limit(LIMIT as u64);
                let begin = Instant::now();
                let mut seen = Vec::new();
                let mut most = 0;
                for piece in octets.chunks(step) {
                    seen.extend(end.feed(piece, usize::MAX));
                    most = most.max(held(&end));
                }
                let took = begin.elapsed();
                assert_eq!(seen, [Seen::Failed(Violation::MessageTooBig)]);
                let left = frames(&end.leave());
                assert_eq!(left[0].1[..2], 1009_u16.to_be_bytes());
                // The text up to the limit, an inflater, a block, and what buffers have to spare.
                println!(
                    "{:?} {what} by {step}: {most} octets held, {took:?}",
                    mode().mode
                );
                assert!(most <= LIMIT + (130 << 10), "{most} octets held");
                assert!(end.feed(b"more", 4).is_empty());
                assert_eq!(end.connection.held(), 0);
                end.finish();
            }
        }
    }
}

#[test]
fn a_thousand_bombs_that_never_end_hold_what_was_sent_and_a_named_bound() {
    // Each connection sends 8 KiB that would become 8 MiB, without an end: a thousand of them would
    // become 8 GiB. All belong to one shard.
    let config = ProtocolConfig {
        compression: Compression::shared(),
        ..ProtocolConfig::default()
    };
    let whole = bomb(8 << 20);
    let octets = frame(0x42, &whole);
    let mut pool = Pool::new();
    let mut connections = Vec::new();
    let mut held = 0;
    for _ in 0..1000 {
        let mut connection = Connection::opened(Role::Server, Tick::default(), 0);
        let mut env = Env {
            config: &config,
            pool: &mut pool,
            now: Tick::default(),
        };
        connection.agree(Agreed::STATELESS, &mut env);
        let mut piece = octets.clone();
        assert!(
            connection
                .next(&mut Input::new(&mut piece), &mut env)
                .is_none()
        );
        held += connection.held();
        connections.push(connection);
    }
    let sent = 1000 * octets.len();
    let codecs = pool.compression().held();
    println!("{sent} octets sent, {held} held for messages, {codecs} by codecs");
    // 16 MiB may be inflated for all of them together, and one message more that was begun before.
    assert!(held <= 2 * sent + (26 << 20), "{held} octets held");
    assert!(codecs <= 65 * INFLATER_LEN + (64 << 10), "{codecs}");
    // Those that wait are served nevertheless, one after the other.
    for mut connection in connections {
        let mut env = Env {
            config: &config,
            pool: &mut pool,
            now: Tick::default(),
        };
        let mut end = frame(0x80, &[]);
        let mut input = Input::new(&mut end);
        let Some((Event::Message(message), _)) = connection.next(&mut input, &mut env) else {
            panic!("the message is whole");
        };
        assert_eq!(message.len(), 8 << 20);
        assert!(connection.next(&mut input, &mut env).is_none());
        connection.finish(&mut pool);
    }
    assert!(pool.compression().is_at_rest());
}

#[test]
fn what_waits_compressed_is_limited_too() {
    // The only inflaters that may be lent are with others.
    let none_left = |end: &mut End| {
        let codecs = end.pool.codecs();
        let lent = || codecs.may_lend().then(|| codecs.lend());
        let others: Vec<_> = std::iter::from_fn(lent).collect();
        assert_eq!(others.len(), 64);
        others
    };
    let give_back = |mut end: End, others: Vec<_>| {
        for inflater in others {
            end.pool.codecs().give_back(inflater);
        }
        end.finish();
    };
    // Empty stored blocks: they never become any text.
    let mut end = End::server(Compression::shared()).limit(1000);
    let others = none_left(&mut end);
    let empty = [0x00, 0x00, 0x00, 0xFF, 0xFF].repeat(1000);
    let mut octets = frame(0x42, &empty);
    (0..20).for_each(|_| octets.extend(frame(0x00, &empty)));
    assert_eq!(
        end.feed(&octets, 4096),
        [Seen::Failed(Violation::MessageTooBig)]
    );
    assert!(end.connection.held() < 200 << 10);
    end.feed(b"more", 4);
    give_back(end, others);
    // A message that waited is inflated when it is whole.
    let mut end = End::server(Compression::history()).limit(1000);
    let others = none_left(&mut end);
    let octets = [
        frame(0x41, &[0xF2, 0x48, 0xCD]),
        frame(0x80, &[0xC9, 0xC9, 0x07, 0x00]),
        frame(0xC1, &[0xF2, 0x00, 0x11, 0x00, 0x00]),
    ];
    for step in [1, 100] {
        let seen = end.feed(&octets.concat(), step);
        assert_eq!(seen, [text("Hello"), text("Hello")]);
    }
    give_back(end, others);
}

#[test]
fn an_idle_connection_holds_what_its_mode_says() {
    let json = "{\"id\":1,\"symbol\":\"WIRE\",\"price\":101.25,\"side\":\"buy\"},".repeat(20);
    for (mode, used_once, full) in [
        (Compression::shared(), 0, 0),
        (Compression::history(), 2 * 2048, 2 * 4096),
        (
            Compression::dedicated(),
            INFLATER_LEN + deflater_len(15, 8),
            INFLATER_LEN + deflater_len(15, 8),
        ),
    ] {
        let takeover = mode.mode != Mode::Shared;
        let bits = mode.send_window_bits;
        let mut end = End::new(Role::Server, mode.clone(), Some(agreed(takeover, bits)));
        assert_eq!(
            end.pool.compression().held(),
            0,
            "nothing before the first message"
        );
        let mut peer = Ordinary::new(agreed(takeover, bits).send);
        let mut exchange = |end: &mut End| {
            let whole = peer.deflate(json.as_bytes());
            assert_eq!(end.feed(&frame(0xC1, &whole), 1000), [text(&json)]);
            let _ = end.tell(|link, env| link.send(Message::Text(&json), env));
            end.leave();
        };
        exchange(&mut end);
        assert_eq!(end.connection.held(), 0);
        assert_eq!(end.connection.link().compression().held(), used_once);
        assert_eq!(end.pool.compression().contexts(), used_once);
        (0..20).for_each(|_| exchange(&mut end));
        assert_eq!(end.connection.link().compression().held(), full);
        assert!(full <= end.pool.compression().reserved());
        end.finish();
    }
}
