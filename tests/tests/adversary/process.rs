//! What happens to the process: descriptors running out, signals, sudden death.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::cases::eventually;
use crate::peer::{Heard, PATIENCE, Peer, text};
use crate::target::Target;

/// Without descriptors the server waits; it does not spin, and it recovers.
#[test]
fn descriptors_running_out_starve_nobody_who_is_there() {
    const HUNGRY: usize = 50;
    const SPARE: u64 = 3;
    const WATCHED: Duration = Duration::from_secs(3);
    let mut target = Target::testee(&[]);
    target.serves().unwrap();
    let free = target.at_rest();
    let mut early = Peer::open(target.addr).unwrap();
    early.proves_alive().unwrap();
    // The limit is on numbers: nothing above the highest one in use now, and a few more.
    target.limit_descriptors(target.descriptors() as u64 + SPARE);
    let hungry: Vec<Peer> = (0..HUNGRY)
        .map(|_| Peer::dial(target.addr).unwrap())
        .collect();
    thread::sleep(Duration::from_millis(500));
    let before = target.cpu();
    thread::sleep(WATCHED);
    let spent = target.cpu() - before;
    assert!(
        target.wait(Duration::ZERO).is_none(),
        "the server died: {}",
        target.said()
    );
    early.proves_alive().unwrap();
    early.send(&text("still served")).unwrap();
    early
        .expect(&Heard::Text(b"still served".to_vec()))
        .unwrap();
    // A loop that tries again at once takes all the time there is on its worker.
    assert!(
        spent < WATCHED / 5,
        "{spent:?} of processor time in {WATCHED:?} without descriptors"
    );
    // The hungry leave: there is room, without a limit raised and without a restart.
    drop(hungry);
    let mut served = Err(String::new());
    eventually(PATIENCE, || {
        served = target.serves();
        served.is_ok()
    });
    served.unwrap();
    // And those who wait are served when the limit rises.
    let mut hungry: Vec<Peer> = (0..HUNGRY)
        .map(|_| Peer::dial(target.addr).unwrap())
        .collect();
    thread::sleep(Duration::from_millis(300));
    target.limit_descriptors(4_096);
    // The server may have turned some of them away meanwhile; the last is new.
    for peer in &mut hungry {
        peer.send_freely(&crate::peer::request());
    }
    let mut late = Peer::open(target.addr).unwrap();
    late.proves_alive().unwrap();
    late.closes().unwrap();
    early.closes().unwrap();
    drop((hungry, early, late));
    target.settles_at(free, PATIENCE).unwrap();
}

/// SIGTERM: what came is echoed, everybody is told 1001, the process ends with 0.
#[test]
fn sigterm_drains() {
    for signal in ["TERM", "INT"] {
        drains(signal);
    }
}

fn drains(signal: &str) {
    const PEERS: usize = 1_000;
    const MESSAGES: usize = 3;
    let mut target = Target::testee(&[]);
    let mut peers: Vec<Peer> = (0..PEERS)
        .map(|_| Peer::open(target.addr).unwrap())
        .collect();
    let mut waiting = Peer::dial(target.addr).unwrap();
    waiting.send(b"GET / HTTP/1.1\r\n").unwrap();
    for (n, peer) in peers.iter_mut().enumerate() {
        // Some peers are quiet, some have sent something and not read the echo. The first
        // octet of it, still unread, tells that the server got all of that segment.
        let sent: Vec<u8> = (0..n % (MESSAGES + 1))
            .flat_map(|m| text(&format!("{n}.{m}")))
            .collect();
        peer.send(&sent).unwrap();
        if !sent.is_empty() {
            peer.stream().peek(&mut [0]).unwrap();
        }
    }
    target.signal(signal);
    let mut failures = Vec::new();
    for (n, peer) in peers.iter_mut().enumerate() {
        let mut told = || {
            for m in 0..n % (MESSAGES + 1) {
                peer.expect(&Heard::Text(format!("{n}.{m}").into_bytes()))?;
            }
            peer.hear().and_then(|heard| match heard {
                Heard::Close(Some((1001, _))) => Ok(()),
                other => Err(format!("{} instead of close 1001", other.brief())),
            })?;
            peer.send_freely(&crate::peer::close(1001, b""));
            peer.expect(&Heard::Fin)
        };
        if let Err(why) = told() {
            failures.push(format!("  peer {n}: {why}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {PEERS} after SIG{signal}:\n{}",
        failures.len(),
        failures.join("\n")
    );
    let (_, end) = waiting.drain();
    assert!(
        matches!(end, Heard::Fin | Heard::Reset),
        "a handshake under way: {}",
        end.brief()
    );
    let status = target
        .wait(PATIENCE)
        .unwrap_or_else(|| panic!("still there: {}", target.said()));
    assert_eq!(status.code(), Some(0), "{}", target.said());
    let refused = TcpStream::connect(target.addr).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// A peer that ignores the Close holds the end up for the close deadline, not longer.
#[test]
fn sigterm_does_not_wait_for_ever() {
    let mut target = Target::testee(&[]);
    let peers: Vec<Peer> = (0..10).map(|_| Peer::open(target.addr).unwrap()).collect();
    target.signal("TERM");
    let status = target
        .wait(PATIENCE)
        .unwrap_or_else(|| panic!("still there: {}", target.said()));
    assert_eq!(status.code(), Some(0), "{}", target.said());
    drop(peers);
}

/// A second SIGTERM means now.
#[test]
fn a_second_sigterm_means_now() {
    let mut target = Target::testee(&[]);
    let peers: Vec<Peer> = (0..10).map(|_| Peer::open(target.addr).unwrap()).collect();
    target.signal("TERM");
    thread::sleep(Duration::from_millis(200));
    if target.wait(Duration::ZERO).is_none() {
        target.signal("TERM");
    }
    assert!(
        target.wait(PATIENCE).is_some(),
        "still there: {}",
        target.said()
    );
    drop(peers);
}

/// Killed under load and started again at the same address, twenty times.
#[test]
fn killed_and_restarted_it_listens_again() {
    const TIMES: usize = 20;
    let mut target = Target::testee(&[]);
    for _ in 0..TIMES {
        let mut peers: Vec<Peer> = (0..20).map(|_| Peer::open(target.addr).unwrap()).collect();
        for peer in &mut peers {
            peer.send(&text("load").repeat(100)).unwrap();
        }
        let addr = target.addr;
        target.kill();
        target = Target::at(addr);
        assert_eq!(target.addr, addr);
        target.serves().unwrap();
        drop(peers);
    }
}

/// Stopped for three seconds: connections survive, and nobody is pinged for the lost time.
#[test]
fn stopped_and_continued_everybody_is_still_there() {
    let target = Target::testee(&[]);
    let mut peers: Vec<Peer> = (0..100).map(|_| Peer::open(target.addr).unwrap()).collect();
    for peer in &mut peers {
        peer.proves_alive().unwrap();
    }
    target.signal("STOP");
    for peer in peers.iter_mut().step_by(2) {
        peer.send(&text("meanwhile")).unwrap();
    }
    thread::sleep(Duration::from_secs(3));
    target.signal("CONT");
    let start = Instant::now();
    for (n, peer) in peers.iter_mut().enumerate() {
        if n % 2 == 0 {
            peer.expect(&Heard::Text(b"meanwhile".to_vec())).unwrap();
        }
        peer.proves_alive().unwrap();
    }
    // Idle connections are pinged after 15 s at the earliest: a hundred round trips that
    // took longer would have met pings that are right.
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "too slow to tell a ping storm from idle pings"
    );
    for peer in &mut peers {
        peer.closes().unwrap();
    }
}

/// Signals that mean nothing to a server do not end it.
#[test]
fn stray_signals_do_no_harm() {
    let target = Target::testee(&[]);
    let mut peer = Peer::open(target.addr).unwrap();
    for _ in 0..20 {
        for signal in ["PIPE", "HUP", "CHLD", "ALRM"] {
            target.signal(signal);
            peer.proves_alive()
                .unwrap_or_else(|why| panic!("after SIG{signal}: {why}"));
        }
    }
    peer.closes().unwrap();
    target.serves().unwrap();
}
