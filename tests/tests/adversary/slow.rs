//! Peers that are slow, silent, half gone or gone: every state of a connection has a deadline.
//!
//! The deadlines are the real ones, so everything that waits for one waits at the same
//! time, in one test. Windows are wide: they tell a deadline from none and from another,
//! not how good the timer is.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::cases::{check_all, eventually};
use crate::peer::{
    FIN, Heard, PATIENCE, Peer, TEXT, close, close_payload, frame, header, ping, request, text,
};
use crate::target::Target;

/// From accept to the end of the request's head.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// From our Close to the end of TCP.
const CLOSING: Duration = Duration::from_secs(5);

/// Silence before a ping, at most: so that many connections are not pinged at one moment,
/// each of them waits up to a quarter less.
const IDLE: Duration = Duration::from_secs(20);
const IDLE_LEAST: Duration = Duration::from_secs(15);

/// From the ping to the end of a peer that does not answer it.
const PONG: Duration = Duration::from_secs(20);

/// A deadline may be this early (timer wheels round) and this late (machines are busy).
const EARLY: Duration = Duration::from_millis(700);
const LATE: Duration = Duration::from_secs(15);

/// A slowloris: this often an octet.
const DRIP: Duration = Duration::from_millis(500);

/// Slow clients at once while a new one has to be served.
const CROWD: usize = 400;

#[test]
fn every_state_has_a_deadline() {
    let failures: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let run = |what: &str, result: Result<(), String>| {
        if let Err(why) = result {
            failures.lock().unwrap().push(format!("  {what}: {why}"));
        }
    };
    // Three servers, because two groups count descriptors. The first one pings; a testee does not.
    let target = Target::echo(&[]);
    let crowded = Target::testee(&[]);
    let closing = Target::testee(&[]);
    thread::scope(|scope| {
        let half = request()[..60].to_vec();
        let without_end = request()[..request().len() - 2].to_vec();
        for (what, octets) in [
            ("a client that says nothing", Vec::new()),
            ("a client that says one octet", b"G".to_vec()),
            ("half a head", half),
            ("a head without its last line end", without_end),
        ] {
            let (run, target) = (&run, &target);
            scope.spawn(move || run(what, cut_off(target, &octets, false)));
        }
        scope.spawn(|| {
            run(
                "a drip of one octet every half second",
                cut_off(&target, b"G", true),
            );
        });
        scope.spawn(|| run("a crowd of slow clients", crowd(&crowded)));
        scope.spawn(|| run("peers that do not close", stalled_closes(&closing)));
        scope.spawn(|| run("a peer that answers no ping", mute(&target, b"")));
        scope.spawn(|| {
            run(
                "a peer gone inside a frame",
                mute(&target, &header(FIN | TEXT, 100)),
            );
        });
        scope.spawn(|| {
            run(
                "a peer gone inside a message",
                mute(&target, &frame(TEXT, b"half")),
            );
        });
        scope.spawn(|| run("an idle peer that answers pings", faithful(&target)));
        scope.spawn(|| run("a peer that talks and answers no ping", talkative(&target)));
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "deadlines:\n{}", failures.join("\n"));
    for target in [&target, &crowded, &closing] {
        target.serves().unwrap();
    }
}

/// A handshake that never ends is ended by the server at its deadline, counted from
/// accept, whether octets still come or not.
fn cut_off(target: &Target, octets: &[u8], drip: bool) -> Result<(), String> {
    let mut peer = Peer::dial(target.addr)?;
    let start = Instant::now();
    peer.send(octets)?;
    if drip {
        let writer = peer.stream().try_clone().map_err(|e| e.to_string())?;
        let mut writer = Peer::over(writer)?;
        thread::spawn(move || {
            for octet in request().into_iter().skip(1) {
                thread::sleep(DRIP);
                if writer.send(&[octet]).is_err() {
                    break;
                }
            }
        });
    }
    patient(&peer, HANDSHAKE + LATE)?;
    let (said, end) = peer.drain();
    let took = start.elapsed();
    if said.starts_with(b"HTTP/1.1 101") {
        return Err("upgraded".into());
    }
    // A drip may cross the server's last words; that is a reset of the client's making.
    if end != Heard::Fin && !(drip && end == Heard::Reset) {
        return Err(format!("{} after {took:?}", end.brief()));
    }
    within(took, HANDSHAKE, HANDSHAKE)
}

/// Hundreds of drips at once do not keep a new client from being served, and all end.
fn crowd(target: &Target) -> Result<(), String> {
    target.serves()?;
    let before = target.at_rest();
    let start = Instant::now();
    let mut drips = Vec::new();
    for _ in 0..CROWD {
        drips.push(Peer::dial(target.addr)?);
    }
    let head = request();
    let mut served = 0;
    for octet in &head[..12] {
        for drip in &mut drips {
            drip.send_freely(&[*octet]);
        }
        target.serves()?;
        served += 1;
        thread::sleep(DRIP);
    }
    if served < 10 {
        return Err(format!("only {served} clients were served in between"));
    }
    // The clients stay; it is the server that ends them.
    let left = (HANDSHAKE + LATE).saturating_sub(start.elapsed());
    target.settles_at(before, left)
}

/// A closing handshake that the peer does not finish is finished without it.
fn stalled_closes(target: &Target) -> Result<(), String> {
    target.serves()?;
    let before = target.at_rest();
    // Both Closes are said, and the client does not end TCP.
    let mut stays = Peer::open(target.addr)?;
    stays.send(&close(1000, b""))?;
    stays.expect(&Heard::Close(Some((1000, vec![]))))?;
    stays.expect(&Heard::Fin)?;
    // The server said Close, and the client does neither answer nor end.
    let mut silent = Peer::open(target.addr)?;
    silent.send(&frame(FIN | 0x3, b""))?;
    silent.expect_failed(1002)?;
    // The same, and the client goes on talking for ever.
    let mut talks = Peer::open(target.addr)?;
    talks.send(&frame(FIN | 0x3, b""))?;
    talks.expect_failed(1002)?;
    // The same, and the client never reads what the server said last.
    let mut deaf = Peer::open(target.addr)?;
    deaf.send(&[text("unread"), close(1000, b"")].concat())?;
    // A refused request whose client goes on.
    let mut refused = Peer::dial(target.addr)?;
    refused.send(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n")?;
    refused.head()?;
    let limit = CLOSING + LATE;
    let start = Instant::now();
    let gone = eventually(limit, || {
        talks.send_freely(&text("still here"));
        refused.send_freely(b"still here");
        target.descriptors() == before
    });
    drop((stays, silent, deaf));
    if !gone {
        return Err(format!(
            "{} descriptors instead of {before} after {:?}",
            target.descriptors(),
            start.elapsed()
        ));
    }
    Ok(())
}

/// A peer that is connected and never answers a ping, having last said `octets`.
fn mute(target: &Target, octets: &[u8]) -> Result<(), String> {
    let mut peer = Peer::open(target.addr)?;
    peer.send(octets)?;
    let start = Instant::now();
    patient(&peer, IDLE + LATE)?;
    match peer.hear()? {
        Heard::Ping(_) => within(start.elapsed(), IDLE_LEAST, IDLE)?,
        other => return Err(format!("{} instead of a ping", other.brief())),
    }
    let start = Instant::now();
    patient(&peer, PONG + LATE)?;
    loop {
        match peer.hear()? {
            Heard::Fin | Heard::Reset => return within(start.elapsed(), PONG, PONG),
            Heard::Silence => return Err("still connected".into()),
            _ => {}
        }
    }
}

/// A peer with nothing to say but pongs stays connected past both deadlines.
fn faithful(target: &Target) -> Result<(), String> {
    let mut peer = Peer::open(target.addr)?;
    let start = Instant::now();
    patient(&peer, IDLE + LATE)?;
    let mut pings = 0;
    while start.elapsed() < IDLE + PONG + EARLY * 4 {
        match peer.hear()? {
            Heard::Ping(payload) => peer.send(&frame(FIN | 0xA, &payload))?,
            other => return Err(format!("{} after {:?}", other.brief(), start.elapsed())),
        }
        pings += 1;
    }
    if pings > 4 {
        return Err(format!("{pings} pings in {:?}", start.elapsed()));
    }
    peer.proves_alive()?;
    peer.closes()
}

/// A peer whose traffic never stops is alive, whatever it does with pings.
fn talkative(target: &Target) -> Result<(), String> {
    let mut peer = Peer::open(target.addr)?;
    let start = Instant::now();
    while start.elapsed() < IDLE + PONG + LATE {
        peer.send(&text("here"))?;
        loop {
            match peer.hear()? {
                Heard::Text(_) => break,
                Heard::Ping(_) => {}
                other => return Err(format!("{} after {:?}", other.brief(), start.elapsed())),
            }
        }
        thread::sleep(Duration::from_secs(2));
    }
    peer.closes()
}

fn patient(peer: &Peer, limit: Duration) -> Result<(), String> {
    let set = peer.stream().set_read_timeout(Some(limit.max(PATIENCE)));
    set.map_err(|e| format!("read timeout: {e}"))
}

fn within(took: Duration, least: Duration, most: Duration) -> Result<(), String> {
    if took + EARLY < least || took > most + LATE {
        return Err(format!("after {took:?} instead of {least:?} to {most:?}"));
    }
    Ok(())
}

/// FIN after every octet of a session: what was whole is answered first, then FIN.
#[test]
fn a_peer_may_half_close_after_every_octet() {
    let target = Target::testee(&[]);
    target.serves().unwrap();
    let before = target.at_rest();
    // Frames after the head, and what each is answered with once it is whole.
    let frames: [(Vec<u8>, Option<Heard>); 7] = [
        (text("one"), Some(Heard::Text(b"one".to_vec()))),
        (ping(b"two"), Some(Heard::Pong(b"two".to_vec()))),
        (frame(TEXT, b"thr"), None),
        (ping(b""), Some(Heard::Pong(vec![]))),
        (frame(FIN, b"ee"), Some(Heard::Text(b"three".to_vec()))),
        (
            frame(FIN | 0x2, &[4; 200]),
            Some(Heard::Binary(vec![4; 200])),
        ),
        (
            close(1000, b"end"),
            Some(Heard::Close(Some((1000, b"end".to_vec())))),
        ),
    ];
    let length: usize = frames.iter().map(|(octets, _)| octets.len()).sum();
    let cuts: Vec<usize> = (0..=length).collect();
    check_all(
        "half-close",
        &cuts,
        |cut| format!("after octet {cut}"),
        |&cut| {
            let mut peer = Peer::open(target.addr)?;
            let all: Vec<u8> = frames
                .iter()
                .flat_map(|(octets, _)| octets.clone())
                .collect();
            peer.send(&all[..cut])?;
            peer.half_close();
            let mut end = 0;
            for (octets, says) in &frames {
                end += octets.len();
                if end > cut {
                    break;
                }
                if let Some(says) = says {
                    peer.expect(says)?;
                }
            }
            // A client that leaves without a Close may be told that it did; then FIN.
            match peer.hear()? {
                Heard::Fin => Ok(()),
                Heard::Close(_) if cut < length => peer.expect(&Heard::Fin),
                other => Err(format!("{} instead of FIN", other.brief())),
            }
        },
    );
    let head = request();
    let cuts: Vec<usize> = (0..head.len()).collect();
    check_all(
        "half-close in the head",
        &cuts,
        |cut| format!("after octet {cut} of the head"),
        |&cut| {
            let mut peer = Peer::dial(target.addr)?;
            peer.send(&head[..cut])?;
            peer.half_close();
            let (said, end) = peer.drain();
            if end != Heard::Fin || said.starts_with(b"HTTP/1.1 101") {
                return Err(format!(
                    "{} after {:?}",
                    end.brief(),
                    String::from_utf8_lossy(&said)
                ));
            }
            Ok(())
        },
    );
    target.settles_at(before, PATIENCE).unwrap();
    target.serves().unwrap();
}

/// A reset after every octet of a session frees everything, and nobody else notices.
#[test]
fn a_peer_may_reset_after_every_octet() {
    let target = Target::testee(&[]);
    target.serves().unwrap();
    let before = target.at_rest();
    let head = request();
    let frames = [
        text("one"),
        ping(b"two"),
        frame(TEXT, b"thr"),
        frame(FIN, b"ee"),
        frame(0x88, &close_payload(1000, b"")),
    ];
    let frames = frames.concat();
    let cuts: Vec<usize> = (0..=head.len() + frames.len()).collect();
    check_all(
        "resets",
        &cuts,
        |cut| format!("after octet {cut}"),
        |&cut| {
            let mut peer = Peer::dial(target.addr)?;
            peer.send(&head[..cut.min(head.len())])?;
            if cut >= head.len() {
                peer.head()?;
                peer.send_freely(&frames[..cut - head.len()]);
            }
            peer.reset();
            Ok(())
        },
    );
    target.settles_at(before, PATIENCE).unwrap();
    target.serves().unwrap();
}
