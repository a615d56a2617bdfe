//! permessage-deflate under attack: offers that are none, streams that are none, and messages that
//! would become a thousand times what they were.

use std::time::Duration;

use crate::cases::{check_all, eventually};
use crate::peer::{BINARY, CONTINUATION, FIN, Heard, PING, Peer, TEXT, frame};
use crate::target::Target;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// RSV1: compressed.
const PRESSED: u8 = 0x40;

/// The modes of the server.
const MODES: [&str; 3] = ["shared", "history", "dedicated"];

/// The offer of browsers.
const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// The limit of a message in these tests.
const LIMIT: usize = 1 << 20;

fn target(mode: &str) -> Target {
    Target::testee(&["--deflate", mode, "--max-message-size", "1M"])
}

/// A compressor of messages, without the four octets that do not travel.
fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut stream = zlib_rs::Deflate::new(6, false, 15);
    let mut out = vec![0; plain.len() + plain.len() / 100 + 64];
    stream
        .compress(plain, &mut out, zlib_rs::DeflateFlush::SyncFlush)
        .expect("there is room");
    out.truncate(stream.total_out() as usize - 4);
    out
}

/// A message that inflates to zeros, a thousand times its length.
fn bomb(len: usize) -> Vec<u8> {
    deflated(&vec![0; len])
}

/// What an offer is answered with.
fn answer(target: &Target, offer: &str) -> Result<Option<String>, String> {
    let mut peer = Peer::dial(target.addr)?;
    let head = peer.upgrade_offering(offer)?;
    peer.closes()?;
    Ok(head
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "))
        .map(str::to_owned))
}

/// An offer with anything wrong is declined, and the next one is looked at.
#[test]
fn wrong_offers_are_declined() {
    let target = target("dedicated");
    let rows = [
        "server_max_window_bits=7",
        "server_max_window_bits=8",
        "server_max_window_bits=16",
        "server_max_window_bits=99",
        "server_max_window_bits=08",
        "server_max_window_bits",
        "client_max_window_bits=8",
        "client_max_window_bits=16",
        "client_max_window_bits=08",
        "client_max_window_bits=\"7\"",
        "server_no_context_takeover=1",
        "client_no_context_takeover=\"x\"",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits",
        "server_max_window_bits=10; server_max_window_bits=11",
        "unknown",
        "unknown=1",
    ];
    check_all(
        "wrong offers",
        &rows,
        |row| (*row).to_owned(),
        |row| {
            let alone = answer(&target, &format!("permessage-deflate; {row}"))?;
            if let Some(answer) = alone {
                return Err(format!("answered with {answer}"));
            }
            let both =
                format!("permessage-deflate; {row}, permessage-deflate; server_max_window_bits=11");
            let expected = "permessage-deflate; server_max_window_bits=11";
            match answer(&target, &both)? {
                Some(answer) if answer == expected => Ok(()),
                other => Err(format!("the offer behind it was answered with {other:?}")),
            }
        },
    );
}

struct Bad {
    what: &'static str,
    octets: Vec<u8>,
    code: u16,
}

/// Streams that are none, and bits that do not belong where they are: what came before them is
/// echoed, then the connection is failed.
#[test]
fn wrong_streams_are_failed() {
    let bad = |what, octets, code| Bad { what, octets, code };
    let message = |payload: &[u8]| frame(FIN | PRESSED | BINARY, payload);
    let rows = [
        bad("a block type that does not exist", message(&[0x07]), 1007),
        bad(
            "a reference to nothing",
            message(&[0xF2, 0x00, 0x11, 0x00, 0x00]),
            1007,
        ),
        bad(
            "a stored block with a wrong complement",
            message(&[0x00, 0x01, 0x00, 0x00, 0x00, 0x41, 0x00]),
            1007,
        ),
        bad(
            "a stored block that is cut off",
            message(&[0x00, 0x05, 0x00, 0xFA, 0xFF, 0x41]),
            1007,
        ),
        bad(
            "octets at random",
            message(&(0..200).map(|n| (n * 167 + 13) as u8).collect::<Vec<_>>()),
            1007,
        ),
        bad(
            "text that is not UTF-8",
            frame(FIN | PRESSED | TEXT, &deflated(b"a\xFF")),
            1007,
        ),
        bad(
            "text that ends inside a character",
            frame(FIN | PRESSED | TEXT, &deflated(b"gr\xC3")),
            1007,
        ),
        bad("RSV1 on a ping", frame(FIN | PRESSED | PING, b""), 1002),
        bad(
            "RSV1 on a continuation",
            [
                frame(PRESSED | BINARY, &[0xF2]),
                frame(FIN | PRESSED, &[0x48]),
            ]
            .concat(),
            1002,
        ),
        bad(
            "RSV1 first on a continuation",
            [frame(BINARY, &[0xF2]), frame(FIN | PRESSED, &[0x48])].concat(),
            1002,
        ),
        bad("RSV2", frame(FIN | 0x20 | BINARY, b""), 1002),
        bad("RSV1 and RSV2", frame(FIN | 0x60 | BINARY, &[0x00]), 1002),
        bad("RSV1 and RSV3", frame(FIN | 0x50 | BINARY, &[0x00]), 1002),
    ];
    for mode in MODES {
        let target = target(mode);
        check_all(
            mode,
            &rows,
            |row| row.what.to_owned(),
            |row| {
                for tear in [false, true] {
                    let mut peer = Peer::dial(target.addr)?;
                    peer.upgrade_offering(OFFER)?;
                    let good = frame(
                        FIN | PRESSED | TEXT,
                        &[0x00, 0x02, 0x00, 0xFD, 0xFF, b'o', b'k', 0x00],
                    );
                    peer.send(&good)?;
                    match tear {
                        false => peer.send_freely(&row.octets),
                        true => peer.send_octets(&row.octets),
                    }
                    peer.expect(&Heard::Text(b"ok".to_vec()))?;
                    peer.expect_failed(row.code)?;
                }
                Ok(())
            },
        );
        let mut peer = Peer::open(target.addr).unwrap();
        peer.send_freely(&frame(FIN | PRESSED | TEXT, &[0x00]));
        peer.expect_failed(1002)
            .expect("RSV1 that was not agreed on");
    }
}

/// The limit is that of the text, to the octet.
#[test]
fn the_limit_is_exact() {
    for mode in MODES {
        let target = target(mode);
        let rows = [0, 1, 2, 300];
        check_all(
            mode,
            &rows,
            |over| format!("{over} above the limit"),
            |over| {
                let plain = vec![b'7'; LIMIT + over];
                let whole = deflated(&plain);
                let (front, back) = whole.split_at(whole.len() / 2);
                for octets in [
                    frame(FIN | PRESSED | BINARY, &whole),
                    [
                        frame(PRESSED | BINARY, front),
                        frame(FIN | CONTINUATION, back),
                    ]
                    .concat(),
                ] {
                    let mut peer = Peer::dial(target.addr)?;
                    peer.upgrade_offering(OFFER)?;
                    peer.send_freely(&octets);
                    match over {
                        0 => peer.expect(&Heard::Binary(plain.clone()))?,
                        _ => peer.expect_failed(1009)?,
                    }
                }
                Ok(())
            },
        );
    }
}

/// 100 KB that would become 100 MB: whole, ten at once, in seven fragments.
#[test]
fn bombs_end_in_1009_and_hold_little() {
    const AT_ONCE: u64 = 10;
    let whole = bomb(100 << 20);
    assert!(whole.len() < 105 << 10);
    let sevenths: Vec<u8> = whole
        .chunks(whole.len().div_ceil(7))
        .enumerate()
        .flat_map(|(n, piece)| {
            let first = if n == 0 {
                PRESSED | BINARY
            } else {
                CONTINUATION
            };
            frame(first, piece)
        })
        .chain(frame(FIN | CONTINUATION, &[]))
        .collect();
    let whole = frame(FIN | PRESSED | BINARY, &whole);
    for mode in MODES {
        let target = target(mode);
        let go_off = |octets: &[u8]| {
            let mut peer = Peer::dial(target.addr).unwrap();
            peer.upgrade_offering(OFFER).unwrap();
            peer.send_freely(octets);
            peer.expect_failed(1009).unwrap();
        };
        for _ in 0..8 {
            go_off(&whole); // every worker has had one, and its buffers
        }
        let (memory, cpu) = (target.memory(), target.cpu());
        for octets in [&whole, &sevenths] {
            std::thread::scope(|scope| {
                for _ in 0..AT_ONCE {
                    scope.spawn(|| (0..20).for_each(|_| go_off(octets)));
                }
            });
        }
        let each = (target.cpu() - cpu) / (2 * AT_ONCE as u32 * 20);
        let most = AT_ONCE * (LIMIT as u64 + 64 * KIB);
        let grown = target.memory().saturating_sub(memory);
        println!(
            "{mode}: {} KiB more after 400 bombs, {each:?} of processor each",
            grown / KIB
        );
        assert!(grown <= most, "{mode}: {} KiB more", grown / KIB);
        // A debug build inflates some thirty times slower than a release build.
        assert!(each <= Duration::from_millis(150), "{mode}: {each:?} each");
        target.serves().unwrap();
    }
}

/// Bombs that never end: a thousand connections, each with a megabyte to be in eight kilobytes.
#[test]
fn unfinished_bombs_hold_what_was_sent_and_a_bound() {
    const CONNECTIONS: u64 = 1000;
    let target = target("shared");
    let piece = frame(PRESSED | BINARY, &bomb(LIMIT));
    let mut peers: Vec<Peer> = (0..CONNECTIONS)
        .map(|_| {
            let mut peer = Peer::dial(target.addr).unwrap();
            peer.upgrade_offering(OFFER).unwrap();
            peer
        })
        .collect();
    let before = target.memory();
    for peer in &mut peers {
        peer.send(&piece).unwrap();
        peer.proves_alive().unwrap();
    }
    let grown = target.memory().saturating_sub(before);
    println!(
        "{} KiB more for {CONNECTIONS} unfinished bombs",
        grown / KIB
    );
    // Two workers: 16 MiB of text each, twice what was sent, 64 inflaters each, an allocator.
    let bound =
        2 * (17 * MIB + 64 * 48 * KIB) + CONNECTIONS * (2 * piece.len() as u64 + KIB) + 4 * MIB;
    assert!(
        grown <= bound,
        "{} KiB more instead of {}",
        grown / KIB,
        bound / KIB
    );
    // And they can be finished, those that waited too.
    for peer in peers.iter_mut().step_by(50) {
        peer.send(&frame(FIN | CONTINUATION, &[])).unwrap();
        assert_eq!(peer.hear().unwrap(), Heard::Binary(vec![0; LIMIT]));
    }
    target.serves().unwrap();
}

/// Idle connections that agreed on compression hold what their mode says.
#[test]
fn idle_connections_hold_what_their_mode_says() {
    const CONNECTIONS: u64 = 5000;
    // Octets of text in each direction; the figures are octets a connection.
    let json = "{\"id\":1,\"symbol\":\"WIRE\",\"price\":101.25,\"side\":\"buy\"},".repeat(20);
    for (mode, idle_most, used_most) in [
        ("shared", KIB, KIB),
        ("history", KIB, 2 * 4096 + KIB),
        // The budget of 64 MiB a worker stops it at some 150 connections a worker.
        ("dedicated", KIB, 2 * 64 * MIB / CONNECTIONS + KIB),
    ] {
        let target = target(mode);
        let mut warm = Peer::dial(target.addr).unwrap();
        warm.upgrade_offering(OFFER).unwrap();
        warm.closes().unwrap();
        let before = target.memory();
        let mut peers: Vec<Peer> = (0..CONNECTIONS)
            .map(|_| {
                let mut peer = Peer::dial(target.addr).unwrap();
                peer.upgrade_offering(OFFER).unwrap();
                peer
            })
            .collect();
        let idle = target.memory().saturating_sub(before) / CONNECTIONS;
        for peer in &mut peers {
            peer.send(&frame(FIN | PRESSED | TEXT, &deflated(json.as_bytes())))
                .unwrap();
        }
        for peer in &mut peers {
            peer.expect(&Heard::Text(json.clone().into_bytes()))
                .unwrap();
        }
        let mut used = 0;
        eventually(Duration::from_secs(2), || {
            used = target.memory().saturating_sub(before) / CONNECTIONS;
            used <= used_most
        });
        println!("{mode}: {idle} octets a connection idle, {used} after one message each way");
        // 1 KiB is a connection itself; 300 octets a connection are what the codecs of two
        // workers are.
        assert!(idle <= idle_most, "{mode}: {idle} idle");
        assert!(used <= used_most + 300, "{mode}: {used} used");
    }
}
