//! What one connection does must not hurt another: slow subscribers, panics, hogs. With real
//! sockets, on two workers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use wirebahn::close::Cause;
use wirebahn::{
    CloseInfo, ConnectionId, Context, Decision, Handler, Message, Request, Server, ServerConfig,
    SlowPolicy, Statistics,
};
use wirebahn_tests::open;
use wirebahn_tests::wire::{Said, frame};

/// Detects a hang, nothing else: machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Echoes; broadcasts what begins with `*`; panics at `!`.
struct Service {
    closed: Arc<Mutex<Vec<CloseInfo>>>,
}

impl Handler for Service {
    type Session = ();

    fn upgrade(&mut self, _: &Request<'_>, _: SocketAddr) -> Decision<()> {
        Decision::accept(())
    }

    fn message(&mut self, (): &mut (), context: &mut Context<'_>, message: Message<'_>) {
        match message.as_bytes().first() {
            Some(b'*') => context.broadcast(message),
            Some(b'!') => panic!("a handler that panics, as the test asked"),
            _ => {
                let _ = context.send(message);
            }
        }
    }

    fn close(&mut self, (): (), _: ConnectionId, info: &CloseInfo) {
        self.closed
            .lock()
            .expect("nobody panics with it")
            .push(info.clone());
    }
}

fn serve(policy: SlowPolicy) -> (Server, Arc<Mutex<Vec<CloseInfo>>>) {
    let closed = Arc::new(Mutex::new(Vec::new()));
    let config = ServerConfig::builder()
        .workers(2)
        .slow_policy(policy)
        .limits(|limits| {
            limits.outbound_high = 256 << 10;
            limits.outbound_low = 64 << 10;
        })
        .build()
        .expect("a sound configuration");
    let for_workers = Arc::clone(&closed);
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .config(config)
        .serve(move |_| Service {
            closed: Arc::clone(&for_workers),
        })
        .expect("it starts");
    (server, closed)
}

fn text(payload: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    frame(&mut octets, true, 1, payload, [1, 2, 3, 4]);
    octets
}

fn total(server: &Server) -> Statistics {
    server
        .statistics()
        .into_iter()
        .fold(Statistics::default(), |sum, worker| sum + worker)
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Publishes numbered messages to one healthy subscriber and one that does not read.
fn broadcast_past_a_slow_one(policy: SlowPolicy) -> (Statistics, Vec<CloseInfo>) {
    const MESSAGES: usize = 4_000;
    const LEN: usize = 4_000;
    let (server, closed) = serve(policy);
    let slow: Vec<_> = (0..4).map(|_| open(server.local_addr())).collect();
    let (healthy, mut frames) = open(server.local_addr());
    let (mut publisher, _) = open(server.local_addr());
    eventually("all are open", || total(&server).connected == 6);

    let received = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&received);
    let mut stream = healthy.try_clone().expect("a second handle");
    let reader = thread::spawn(move || {
        let mut said = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        let mut next = 0;
        while next < MESSAGES {
            let len = stream.read(&mut buffer).expect("it goes on");
            assert!(len > 0, "the healthy subscriber was cut at message {next}");
            frames
                .read(&buffer[..len], &mut said)
                .expect("sound frames");
            for said in said.drain(..) {
                let Said::Message(_, payload) = said else {
                    continue;
                };
                let number = String::from_utf8_lossy(&payload[1..9]).into_owned();
                assert_eq!(
                    number,
                    format!("{next:08}"),
                    "in order, none missing, none twice"
                );
                next += 1;
                count.store(next, Ordering::Relaxed);
            }
        }
    });
    // The publisher hears itself, and paces itself by that: it does not outrun the healthy one.
    let mut echoes = publisher.try_clone().expect("a second handle");
    let drain = thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while echoes.read(&mut buffer).is_ok_and(|len| len > 0) {}
    });
    for number in 0..MESSAGES {
        let mut payload = format!("*{number:08}").into_bytes();
        payload.resize(LEN, b'.');
        publisher
            .write_all(&text(&payload))
            .expect("it is read from");
        while received.load(Ordering::Relaxed) + 20 < number {
            assert!(!reader.is_finished(), "the healthy subscriber failed");
            thread::sleep(Duration::from_micros(200));
        }
    }
    reader
        .join()
        .expect("the healthy subscriber got everything");
    let statistics = total(&server);
    drop((slow, healthy));
    let _ = publisher.shutdown(std::net::Shutdown::Both);
    drain.join().expect("the publisher's echo ends");
    eventually("all are gone", || total(&server).connected == 0);
    let closed = closed.lock().expect("nobody panics with it").clone();
    (statistics, closed)
}

#[test]
fn a_slow_subscriber_is_closed_and_harms_nobody() {
    let (_, closed) = broadcast_past_a_slow_one(SlowPolicy::Close);
    assert_eq!(closed.len(), 6, "one close for each open: {closed:?}");
}

#[test]
fn a_slow_subscriber_misses_messages_and_harms_nobody() {
    let (statistics, closed) = broadcast_past_a_slow_one(SlowPolicy::Skip);
    assert!(
        statistics.dropped > 0,
        "four subscribers that do not read missed nothing"
    );
    assert_eq!(statistics.connected, 6, "and were cut for it");
    assert_eq!(closed.len(), 6, "one close for each open: {closed:?}");
}

#[test]
fn a_panic_ends_its_own_connection_and_no_other() {
    const PANICS: usize = 200;
    // The test's own output would drown in them.
    std::panic::set_hook(Box::new(|info| {
        if thread::current()
            .name()
            .is_none_or(|name| !name.starts_with("wirebahn-"))
        {
            eprintln!("{info}");
        }
    }));
    let (server, closed) = serve(SlowPolicy::Close);
    let mut steady: Vec<TcpStream> = (0..4).map(|_| open(server.local_addr()).0).collect();
    for _ in 0..PANICS {
        let (mut doomed, mut frames) = open(server.local_addr());
        doomed
            .write_all(&[text(b"first"), text(b"!"), text(b"never")].concat())
            .expect("it is read");
        let mut heard = Vec::new();
        doomed.read_to_end(&mut heard).expect("FIN, not a reset");
        let mut said = Vec::new();
        frames.read(&heard, &mut said).expect("sound frames");
        assert!(
            matches!(
                said.as_slice(),
                [Said::Message(true, payload), Said::Close(Some((1011, _)))] if payload == b"first"
            ),
            "{said:?}"
        );
        for stream in &mut steady {
            stream.write_all(&text(b"here")).expect("it is read");
            let mut echo = [0; 6];
            stream.read_exact(&mut echo).expect("it is answered");
            assert_eq!(&echo, b"\x81\x04here");
        }
    }
    assert_eq!(total(&server).panics, PANICS as u64);
    eventually("the doomed are gone", || total(&server).connected == 4);
    let closed = closed.lock().expect("nobody panics with it");
    assert_eq!(closed.len(), PANICS);
    assert!(
        closed
            .iter()
            .all(|info| info.cause == Cause::Panic && !info.clean)
    );
}

/// One connection sends as fast as it can, another asks now and then. The hog has one receive
/// buffer a turn, so the other waits for one buffer's worth of work, not for the hog to end.
#[test]
fn a_hog_does_not_starve_its_neighbours() {
    let (server, _) = serve(SlowPolicy::Close);
    let done = Arc::new(AtomicUsize::new(0));
    let hogs: Vec<_> = (0..2)
        .map(|_| {
            let (mut stream, _) = open(server.local_addr());
            let mut echoes = stream.try_clone().expect("a second handle");
            let done = Arc::clone(&done);
            let drain = thread::spawn(move || {
                let mut buffer = vec![0; 256 << 10];
                while echoes.read(&mut buffer).is_ok_and(|len| len > 0) {}
            });
            thread::spawn(move || {
                let burst = text(b"x").repeat(4096);
                while done.load(Ordering::Relaxed) == 0 {
                    stream.write_all(&burst).expect("it is read");
                }
                let _ = stream.shutdown(std::net::Shutdown::Both);
                drain.join().expect("the echo ends");
            })
        })
        .collect();
    let (mut probe, _) = open(server.local_addr());
    for _ in 0..200 {
        probe.write_all(&text(b"here")).expect("it is read");
        let mut echo = [0; 6];
        probe
            .read_exact(&mut echo)
            .expect("it is answered, hogs or not");
        assert_eq!(&echo, b"\x81\x04here");
        thread::sleep(Duration::from_millis(1));
    }
    let echoed = total(&server).messages_out;
    done.store(1, Ordering::Relaxed);
    for hog in hogs {
        hog.join().expect("the hog ends");
    }
    assert!(echoed > 10_000, "{echoed} echoes: there was no hog");
}
