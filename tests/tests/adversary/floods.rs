//! Too much of everything: what a peer makes the server hold is bounded, whatever it sends.
//!
//! Memory is what the server's process holds, before and after, after a warm-up that
//! touches what is only ever allocated once. Bounds are per connection where the attack is.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::cases::eventually;
use crate::peer::{
    BINARY, CONTINUATION, FIN, Heard, PATIENCE, PONG, Peer, binary, frame, header, ping, request,
    text,
};
use crate::target::Target;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What an allocator may add to any figure, for pages and arenas of its own.
const SLACK: u64 = MIB;

/// A writer that makes no progress for this long is being held back.
const STALLED: Duration = Duration::from_secs(2);

/// A warmed-up server: large messages and many frames have gone through every worker. One
/// connection after another, because memory freed by the warm-up hides growth after it.
fn warm(args: &[&str]) -> Target {
    const TURNS: usize = 16; // no worker is left out, however the kernel spreads them
    let target = Target::testee(args);
    let message = vec![b'w'; 64 << 10];
    for _ in 0..TURNS {
        let mut peer = Peer::open(target.addr).unwrap();
        peer.send(&binary(&message)).unwrap();
        assert_eq!(peer.hear().unwrap(), Heard::Binary(message.clone()));
        peer.send(&text("warm").repeat(1_000)).unwrap();
        for _ in 0..1_000 {
            peer.expect(&Heard::Text(b"warm".to_vec())).unwrap();
        }
        peer.closes().unwrap();
    }
    target
}

#[track_caller]
fn grown_at_most(target: &Target, before: u64, limit: u64, what: &str) {
    let now = target.memory();
    let grown = now.saturating_sub(before);
    println!("{what}: {} KiB more", grown / KIB);
    assert!(
        grown <= limit,
        "{what}: {} KiB more instead of at most {} KiB",
        grown / KIB,
        limit / KIB
    );
}

/// What a frame announces is not allocated before it comes.
#[test]
fn announced_lengths_cost_nothing() {
    const CLAIMS: usize = 1_000;
    const PER_CLAIM: u64 = 4 * KIB;
    let target = warm(&[]);
    let mut peers: Vec<Peer> = (0..CLAIMS)
        .map(|_| Peer::open(target.addr).unwrap())
        .collect();
    for peer in &mut peers {
        peer.proves_alive().unwrap();
    }
    let before = target.memory();
    for (n, peer) in peers.iter_mut().enumerate() {
        // A beginning, a continuation, an octet of the payload: nothing makes it come true.
        let claim = match n % 3 {
            0 => header(FIN | BINARY, 16 * MIB),
            1 => [frame(BINARY, b"x"), header(FIN, 16 * MIB - 1)].concat(),
            _ => [header(FIN | BINARY, 16 * MIB), b"x".to_vec()].concat(),
        };
        peer.send_seen(&claim).unwrap();
    }
    grown_at_most(
        &target,
        before,
        CLAIMS as u64 * PER_CLAIM + SLACK,
        "1,000 claims of 16 MiB",
    );
    target.serves().unwrap();
}

/// What is held is what came, and little more, however small the pieces.
#[test]
fn tiny_fragments_cost_their_octets() {
    const PEERS: usize = 12;
    const FRAGMENTS: usize = 100_000;
    let target = warm(&[]);
    let mut peers: Vec<Peer> = (0..PEERS)
        .map(|_| Peer::open(target.addr).unwrap())
        .collect();
    let before = target.memory();
    let fragments = [
        frame(BINARY, b"f"),
        frame(CONTINUATION, b"f").repeat(FRAGMENTS - 1),
    ]
    .concat();
    for peer in &mut peers {
        peer.send(&fragments).unwrap();
        peer.proves_alive().unwrap();
    }
    let limit = PEERS as u64 * (2 * FRAGMENTS as u64 + 64 * KIB) + SLACK;
    grown_at_most(
        &target,
        before,
        limit,
        "12 × 100,000 fragments of one octet",
    );
    for mut peer in peers {
        peer.send(&frame(FIN, b"")).unwrap();
        assert_eq!(peer.hear().unwrap(), Heard::Binary(vec![b'f'; FRAGMENTS]));
        peer.closes().unwrap();
    }
}

/// A million empty continuations end at the limit of fragments, and cost nothing on the way.
#[test]
fn empty_fragments_end() {
    const FRAGMENTS: usize = 1_000_000;
    let target = warm(&[]);
    let mut probe = Peer::open(target.addr).unwrap();
    let mut peer = Peer::open(target.addr).unwrap();
    let before = target.memory();
    let part = frame(CONTINUATION, b"").repeat(1_000);
    peer.send(&frame(BINARY, b"")).unwrap();
    for _ in 0..FRAGMENTS / 1_000 {
        peer.send_freely(&part);
    }
    peer.expect_failed(1008).unwrap();
    probe.proves_alive().unwrap();
    grown_at_most(&target, before, SLACK, "1,000,000 empty fragments");
}

/// At most one pong waits (RFC 6455, section 5.5.3), however many pings come.
#[test]
fn unread_pongs_do_not_pile_up() {
    const PINGS: usize = 96 << 20 >> 7; // of 131 octets: 96 MiB and a little
    const TURN: usize = 500;
    let target = warm(&[]);
    let mut probe = Peer::open(target.addr).unwrap();
    let mut peer = narrow(target.addr);
    let before = target.memory();
    let payload = |n: usize| format!("{n:0125}").into_bytes();
    let stop = AtomicBool::new(false);
    let turns = AtomicUsize::new(0);
    thread::scope(|scope| {
        let mut writer = peer.stream().try_clone().unwrap();
        let (stop, turns) = (&stop, &turns);
        let writer = scope.spawn(move || {
            for turn in 0..PINGS / TURN {
                let pings: Vec<u8> = (turn * TURN..(turn + 1) * TURN)
                    .flat_map(|n| ping(&payload(n)))
                    .collect();
                if !write_or_stop(&mut writer, &pings, stop) {
                    break;
                }
                turns.store(turn + 1, Ordering::Relaxed);
            }
        });
        settles(turns, || writer.is_finished());
        grown_at_most(
            &target,
            before,
            2 * MIB + SLACK,
            "96 MiB of pings whose pongs nobody reads",
        );
        probe.proves_alive().unwrap();
        // Whether it was held back or swallowed all: now the peer reads, and is answered,
        // at the very least for the newest ping.
        let mut last = None;
        while last != Some(PINGS / TURN * TURN - 1) {
            match peer.hear().unwrap() {
                Heard::Pong(octets) => {
                    let n: usize = String::from_utf8(octets).unwrap().parse().unwrap();
                    assert!(last < Some(n), "pong {n} after {last:?}");
                    last = Some(n);
                }
                other => {
                    stop.store(true, Ordering::Relaxed);
                    panic!("{} after pong {last:?}", other.brief());
                }
            }
        }
    });
    peer.proves_alive().unwrap();
    peer.closes().unwrap();
}

/// Pongs nobody asked for are dropped.
#[test]
fn unasked_pongs_cost_nothing() {
    const PONGS: usize = 1_000_000;
    let target = warm(&[]);
    let mut peer = Peer::open(target.addr).unwrap();
    let before = target.memory();
    let pongs = frame(FIN | PONG, b"unasked").repeat(1_000);
    for _ in 0..PONGS / 1_000 {
        peer.send(&pongs).unwrap();
    }
    peer.proves_alive().unwrap();
    grown_at_most(&target, before, SLACK, "1,000,000 pongs");
    peer.closes().unwrap();
}

/// An echo server whose client does not read stops reading, and loses nothing.
#[test]
fn a_client_that_does_not_read_is_held_back() {
    const MESSAGES: usize = 4_096;
    const LENGTH: usize = 64 << 10; // 256 MiB in all
    /// What is sent when the client does read: the rest would only take time.
    const ENOUGH: usize = 1_024;
    let target = warm(&[]);
    let mut probe = Peer::open(target.addr).unwrap();
    let mut peer = narrow(target.addr);
    let before = target.memory();
    let message = |n: usize| {
        let mut octets = vec![(n % 251) as u8; LENGTH];
        octets[..8].copy_from_slice(&(n as u64).to_be_bytes());
        octets
    };
    let stop = AtomicBool::new(false);
    let sent = AtomicUsize::new(0);
    let wanted = AtomicUsize::new(MESSAGES);
    thread::scope(|scope| {
        let mut writer = peer.stream().try_clone().unwrap();
        let (stop, sent, wanted) = (&stop, &sent, &wanted);
        let writer = scope.spawn(move || {
            for n in 0..MESSAGES {
                if n >= wanted.load(Ordering::Relaxed) {
                    break;
                }
                if !write_or_stop(&mut writer, &binary(&message(n)), stop) {
                    break;
                }
                sent.store(n + 1, Ordering::Relaxed);
            }
        });
        settles(sent, || writer.is_finished());
        let held = sent.load(Ordering::Relaxed);
        println!("held back after {held} messages of 64 KiB");
        assert!(
            !writer.is_finished(),
            "256 MiB were taken from a client that reads nothing"
        );
        // One MiB may wait to leave, and one message may be under way on either side of it.
        grown_at_most(
            &target,
            before,
            2 * MIB + SLACK,
            "a client that does not read",
        );
        probe.proves_alive().unwrap();
        // The message that is held back goes out too, and at least one after it.
        let total = ENOUGH.max(held + 2);
        wanted.store(total, Ordering::Relaxed);
        for n in 0..total {
            let heard = peer.hear().unwrap();
            if heard != Heard::Binary(message(n)) {
                stop.store(true, Ordering::Relaxed);
                panic!("{} instead of message {n}", heard.brief());
            }
        }
    });
    peer.proves_alive().unwrap();
    peer.closes().unwrap();
}

/// Resets at every stage leave nothing behind.
#[test]
fn a_storm_of_resets_leaves_nothing() {
    const RESETS: usize = 1_500;
    let target = warm(&[]);
    let fds = target.at_rest();
    let before = target.memory();
    let storm = || {
        for n in 0..RESETS {
            let mut peer = Peer::dial(target.addr).unwrap();
            match n % 5 {
                0 => {}
                1 => peer.send_freely(&request()[..50]),
                2 => peer.send_freely(&request()),
                3 => {
                    peer.upgrade().unwrap();
                    peer.send_freely(&text("unread").repeat(100));
                }
                _ => {
                    peer.upgrade().unwrap();
                    peer.send_freely(&header(FIN | BINARY, 1 << 20));
                }
            }
            peer.reset();
        }
        target.settles_at(fds, PATIENCE).unwrap();
    };
    storm();
    grown_at_most(&target, before, 2 * SLACK, "1,500 resets");
    let after = target.memory();
    storm();
    grown_at_most(&target, after, SLACK, "1,500 resets more");
    target.serves().unwrap();
}

/// Connections without a handshake leave nothing behind.
#[test]
fn churn_leaves_nothing() {
    const CONNECTS: usize = 3_000;
    let target = warm(&[]);
    let fds = target.at_rest();
    let churn = || {
        for _ in 0..CONNECTS {
            drop(Peer::dial(target.addr).unwrap());
        }
        target.settles_at(fds, PATIENCE).unwrap();
    };
    churn();
    let before = target.memory();
    churn();
    churn();
    grown_at_most(&target, before, SLACK, "6,000 connections more");
    target.serves().unwrap();
}

/// A burst waits in the backlog, and is served, every one of it.
#[test]
fn a_burst_of_connections_is_served() {
    const BURST: usize = 800;
    let target = warm(&[]);
    // Stopped, the server accepts nothing: all of the burst is in the backlog at once.
    target.signal("STOP");
    let dialled: Vec<Result<Peer, String>> = (0..BURST)
        .map(|_| {
            let mut peer = Peer::dial(target.addr)?;
            peer.send(&request())?;
            Ok(peer)
        })
        .collect();
    target.signal("CONT");
    let mut failures = Vec::new();
    for (n, peer) in dialled.into_iter().enumerate() {
        let served = peer.and_then(|mut peer| {
            peer.head()?;
            peer.proves_alive()?;
            peer.closes()
        });
        if let Err(why) = served {
            failures.push(format!("  connection {n}: {why}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {BURST}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// An idle connection owns no buffer.
#[test]
fn idle_connections_are_small() {
    const IDLE: usize = 4_000;
    const PER_IDLE: u64 = 512;
    let target = warm(&[]);
    let open = |count: usize| -> Vec<Peer> {
        (0..count)
            .map(|_| Peer::open(target.addr).unwrap())
            .collect()
    };
    // The table itself grows in steps: the first ones are not counted.
    drop(open(IDLE / 4));
    let before = target.memory();
    let mut peers = open(IDLE);
    for peer in &mut peers {
        peer.proves_alive().unwrap();
    }
    grown_at_most(
        &target,
        before,
        IDLE as u64 * PER_IDLE + SLACK,
        "4,000 idle connections",
    );
    for peer in &mut peers {
        peer.proves_alive().unwrap();
    }
}

/// A connection with a small window: what the kernel holds for a client that does not
/// read stays small too.
fn narrow(addr: SocketAddr) -> Peer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    socket.connect(&addr.into()).unwrap();
    let mut peer = Peer::over(TcpStream::from(socket)).unwrap();
    peer.upgrade().unwrap();
    peer
}

/// Writes all of it, however long the server holds it back, unless told to stop.
fn write_or_stop(stream: &mut TcpStream, mut octets: &[u8], stop: &AtomicBool) -> bool {
    stream
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    while !octets.is_empty() && !stop.load(Ordering::Relaxed) {
        match stream.write(octets) {
            Ok(n) => octets = &octets[n..],
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(_) => return false,
        }
    }
    octets.is_empty()
}

/// Waits until a writer is done or makes no progress any more.
fn settles(progress: &AtomicUsize, done: impl Fn() -> bool) {
    let mut last = (progress.load(Ordering::Relaxed), Instant::now());
    let settled = eventually(Duration::from_secs(120), || {
        let now = progress.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
        done() || last.1.elapsed() > STALLED
    });
    assert!(settled, "the writer neither ends nor stalls");
}
