//! The gate of the load driver: servers that lie, each in its own way, are caught in every mode;
//! honest ones never.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::thread;
use std::time::Duration;

use wirebahn::proto::handshake::{Key, accept_for};
use wirebahn::{Context, Decision, Handler, Message, OriginPolicy, Request, Server, ServerConfig};
use wirebahn_bench::load::{
    BroadcastPlan, ConnectPlan, Content, Correctness, EchoPlan, Report, Target, WsperfPlan,
};

/// What an echo server does to every 50th message of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    /// One bit of the last octet changes.
    Octet,
    /// Binary becomes text.
    Kind,
    /// It never comes back.
    Lost,
    /// It comes back twice.
    Doubled,
    /// The last octet is missing.
    Shortened,
    /// One octet more.
    Lengthened,
    /// It comes back after the one that follows it.
    Late,
    /// The connection is closed instead.
    Closed,
}

const LIES: [Lie; 8] = [
    Lie::Octet,
    Lie::Kind,
    Lie::Lost,
    Lie::Doubled,
    Lie::Shortened,
    Lie::Lengthened,
    Lie::Late,
    Lie::Closed,
];

struct Liar {
    lie: Lie,
    broadcast: bool,
}

#[derive(Default)]
struct Session {
    count: usize,
    held: Option<Vec<u8>>,
}

impl Handler for Liar {
    type Session = Session;

    fn upgrade(&mut self, _: &Request<'_>, _: SocketAddr) -> Decision<Session> {
        Decision::accept(Session::default())
    }

    fn message(&mut self, session: &mut Session, context: &mut Context<'_>, message: Message<'_>) {
        session.count += 1;
        let (text, mut octets) = match message {
            Message::Text(text) => (true, text.as_bytes().to_vec()),
            Message::Binary(octets) => (false, octets.to_vec()),
        };
        let lies = session.count.is_multiple_of(50);
        let mut say = |octets: &[u8], text: bool| {
            let message = match str::from_utf8(octets) {
                Ok(octets) if text => Message::Text(octets),
                _ => Message::Binary(octets),
            };
            if self.broadcast {
                context.broadcast(message);
            } else {
                let _ = context.send(message);
            }
        };
        if let Some(held) = session.held.take() {
            say(&octets, text);
            return say(&held, text);
        }
        match self.lie {
            _ if !lies => say(&octets, text),
            Lie::None => say(&octets, text),
            Lie::Octet => {
                if let Some(last) = octets.last_mut() {
                    *last ^= 1;
                }
                say(&octets, text);
            }
            Lie::Kind => {
                octets.fill(b'a');
                say(&octets, !text);
            }
            Lie::Lost => {}
            Lie::Doubled => {
                say(&octets, text);
                say(&octets, text);
            }
            Lie::Shortened => say(&octets[..octets.len() - 1], text),
            Lie::Lengthened => {
                octets.push(b'a');
                say(&octets, text);
            }
            Lie::Late => session.held = Some(octets),
            Lie::Closed => {
                let _ = context.close(wirebahn::CloseCode::NORMAL, "enough");
            }
        }
    }
}

fn liar(lie: Lie, broadcast: bool) -> (Server, Target) {
    let config = ServerConfig::builder()
        .workers(1)
        .origin(OriginPolicy::Any)
        .build()
        .unwrap();
    let server = Server::builder()
        .bind("127.0.0.1:0")
        .config(config)
        .serve(move |_| Liar { lie, broadcast })
        .unwrap();
    let target = Target::parse(&format!("ws://{}", server.local_addr())).unwrap();
    (server, target)
}

/// Short runs of every mode of `load echo`.
fn echo_modes(target: &Target) -> Vec<(&'static str, EchoPlan)> {
    let plan = EchoPlan {
        connections: 3,
        sizes: vec![40, 300],
        warmup: Duration::ZERO,
        quiet: true,
        ..EchoPlan::new(target.clone())
    };
    vec![
        ("closed loop", plan.clone()),
        (
            "pipelined",
            EchoPlan {
                depth: 16,
                threads: 2,
                ..plan.clone()
            },
        ),
        (
            "large",
            EchoPlan {
                sizes: vec![70_000],
                depth: 3,
                ..plan.clone()
            },
        ),
        (
            "open loop",
            EchoPlan {
                rate: Some(6000.0),
                ..plan.clone()
            },
        ),
        (
            "fragmented",
            EchoPlan {
                fragment: 17,
                depth: 4,
                ..plan.clone()
            },
        ),
        (
            "text",
            EchoPlan {
                content: Content::Utf8,
                ..plan.clone()
            },
        ),
        (
            "mixed",
            EchoPlan {
                content: Content::Mixed,
                depth: 5,
                ..plan.clone()
            },
        ),
        (
            "message test",
            EchoPlan {
                messages: Some(200),

                ..plan.clone()
            },
        ),
        (
            "message test, all at once",
            EchoPlan {
                messages: Some(200),
                depth: 200,

                ..plan
            },
        ),
    ]
}

/// A machine that is busy elsewhere may not get far in a short run: then a longer one decides.
const DURATIONS: [Duration; 3] = [
    Duration::from_millis(150),
    Duration::from_millis(1500),
    Duration::from_secs(15),
];

/// Runs until enough messages were checked, or a fault was found.
fn run_far(run: impl Fn(Duration) -> Report) -> Report {
    let mut last = None;
    for duration in DURATIONS {
        let report = run(duration);
        let far = report.faults > 0 || report.messages > 500;
        last = Some(report);
        if far {
            break;
        }
    }
    last.expect("there are durations")
}

fn must_fail(report: &Report, what: &str) {
    assert!(!report.passed(), "{what} was not caught:\n{report}");
    assert!(!report.faults_told.is_empty(), "{what}:\n{report}");
}

#[test]
fn an_honest_echo_passes_in_every_mode() {
    let (_server, target) = liar(Lie::None, false);
    for (name, plan) in echo_modes(&target) {
        for correctness in [Correctness::Exact, Correctness::Length] {
            let report = run_far(|duration| {
                let plan = plan.clone();
                // Of an honest server everything comes back, only not at once.
                let duration = match plan.messages {
                    Some(_) => Duration::from_secs(30),
                    None => duration,
                };
                let plan = EchoPlan {
                    correctness,
                    duration,
                    ..plan
                };
                plan.run().unwrap()
            });
            assert!(report.passed(), "{name}, {correctness:?}:\n{report}");
            assert!(report.messages > 50, "{name}, {correctness:?}:\n{report}");
            assert_eq!(report.opened, 3, "{name}");
            if let Some(messages) = plan.messages {
                assert_eq!(report.messages, 3 * messages as u64, "{name}");
            }
        }
    }
}

#[test]
fn every_lie_is_caught_in_every_mode_of_echo() {
    for lie in LIES {
        let (_server, target) = liar(lie, false);
        for (name, plan) in echo_modes(&target) {
            let report = run_far(|duration| {
                let plan = EchoPlan {
                    duration,
                    drain_timeout: duration.min(Duration::from_secs(2)),
                    ..plan.clone()
                };
                plan.run().unwrap()
            });
            must_fail(&report, &format!("{lie:?} in {name}"));
        }
    }
}

#[test]
fn by_length_contents_may_change_and_nothing_else() {
    for lie in LIES {
        let (_server, target) = liar(lie, false);
        let plan = EchoPlan {
            connections: 2,
            depth: 3,
            sizes: vec![40, 300],
            correctness: Correctness::Length,
            warmup: Duration::ZERO,
            quiet: true,
            ..EchoPlan::new(target)
        };
        let report = run_far(|duration| {
            let plan = EchoPlan {
                duration,
                drain_timeout: Duration::from_secs(2),
                ..plan.clone()
            };
            plan.run().unwrap()
        });
        assert_eq!(report.passed(), lie == Lie::Octet, "{lie:?}:\n{report}");
    }
}

#[test]
fn every_lie_is_caught_in_a_broadcast() {
    for lie in [Lie::None].into_iter().chain(LIES) {
        for (depth, threads) in [(1, 1), (8, 2)] {
            let (_server, target) = liar(lie, true);
            let plan = BroadcastPlan {
                subscribers: 5,
                threads,
                depth,
                sizes: vec![40, 300],
                warmup: Duration::ZERO,
                quiet: true,
                ..BroadcastPlan::new(target)
            };
            let report = run_far(|duration| {
                let plan = BroadcastPlan {
                    duration,
                    drain_timeout: Duration::from_secs(2),
                    ..plan.clone()
                };
                plan.run().unwrap()
            });
            let fine = lie == Lie::None;
            assert_eq!(
                report.passed(),
                fine,
                "{lie:?}, {depth} in a batch:\n{report}"
            );
            assert!(!fine || report.messages > 50, "{report}");
        }
    }
}

/// Answers an opening handshake, properly or with another key's answer, and says `then` at once.
fn open_door(mut stream: impl Read + Write, honest: bool, then: &[u8]) -> Option<()> {
    let mut head = Vec::new();
    let mut piece = [0; 512];
    while !head.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        head.extend_from_slice(&piece[..count]);
    }
    let text = String::from_utf8(head).ok()?;
    let key = text
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "))?;
    let key = if honest {
        Key::parse(key.as_bytes())?
    } else {
        Key::from_nonce([0; 16])
    };
    let accept = String::from_utf8(accept_for(&key).to_vec()).ok()?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(&[answer.as_bytes(), then].concat()).ok()?;
    // The client speaks next, or ends.
    stream.read(&mut piece).ok().map(drop)
}

fn doorman(honest: bool, then: &'static [u8]) -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::parse(&format!("ws://{}", listener.local_addr().unwrap())).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || open_door(stream, honest, then));
        }
    });
    target
}

#[test]
fn a_unix_socket_is_loaded_like_any_other() {
    let path = std::env::temp_dir().join(format!("wirebahn-bench-{}.sock", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let target = Target::parse(&format!("ws+unix:{}:/chat", path.display())).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || open_door(stream, true, b"\x88\x02\x03\xE9"));
        }
    });
    let plan = WsperfPlan {
        quiet: true,
        ..WsperfPlan::new(target, 1, 50, 5, 10)
    };
    let report = plan.run().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(report.passed(), "{:?}", report.faults_told);
    assert_eq!(report.result.connection_stats.len(), 50);
}

#[test]
fn connections_come_from_all_source_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::parse(&format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
    let sources: Vec<_> = (1..=4_u8).map(|n| IpAddr::from([127, 0, 0, n])).collect();
    let seen = thread::spawn(move || {
        let mut held = Vec::new();
        let mut seen = BTreeSet::new();
        for _ in 0..8 {
            let (stream, peer) = listener.accept().unwrap();
            seen.insert(peer.ip());
            held.push(stream);
        }
        // The connections live until their other ends are gone.
        (seen, held)
    });
    let plan = ConnectPlan {
        connections: 8,
        hold: Duration::from_millis(50),
        sources: sources.clone(),
        quiet: true,
        ..ConnectPlan::new(target)
    };
    assert!(plan.run().unwrap().passed());
    assert!(seen.join().unwrap().0.into_iter().eq(sources));
}

#[test]
fn handshakes_that_are_none_are_caught() {
    let close = b"\x88\x02\x03\xE9";
    for (name, honest, then, passes) in [
        ("an honest one", true, &close[..], true),
        ("a wrong accept", false, &close[..], false),
        ("no closing handshake", true, b"", false),
        ("a message nobody asked for", true, b"\x82\x01a", false),
        ("no WebSocket", true, b"\xFF\xFF", false),
    ] {
        let target = doorman(honest, then);
        let plan = WsperfPlan {
            timeout: Duration::from_secs(5),
            quiet: true,
            ..WsperfPlan::new(target, 2, 40, 5, 10)
        };
        let report = plan.run().unwrap();
        assert_eq!(report.passed(), passes, "{name}: {:?}", report.faults_told);
        assert_eq!(report.result.connection_stats.len(), 40, "{name}");
        let failed = report
            .result
            .connection_stats
            .iter()
            .filter(|times| times.failed);
        assert_eq!(failed.count(), if passes { 0 } else { 40 }, "{name}");
        assert!(report.result.handshake_resume_count >= report.result.handshake_throttle_count);
    }
}

#[test]
fn held_connections_are_watched() {
    for (name, honest, then, passes) in [
        ("an honest one", true, &b""[..], true),
        ("a ping", true, b"\x89\x01a", true),
        ("a wrong accept", false, b"", false),
        ("a message nobody asked for", true, b"\x82\x01a", false),
        ("a Close frame", true, b"\x88\x02\x03\xE8", false),
    ] {
        let plan = ConnectPlan {
            connections: 20,
            opening_max: 4,
            threads: 2,
            hold: Duration::from_millis(100),
            pid: Some(std::process::id()),
            quiet: true,
            ..ConnectPlan::new(doorman(honest, then))
        };
        let report = plan.run().unwrap();
        // The pong a ping asks for ends this doorman's watch: that is its way, not the driver's.
        let passed = report.passed() || (name == "a ping" && report.opened == 20);
        assert_eq!(passed, passes, "{name}:\n{report}");
        assert!(report.per_connection.is_some());
    }
}

#[test]
fn water_marks_bound_what_is_in_flight() {
    let (_server, target) = liar(Lie::None, false);
    let plan = WsperfPlan {
        quiet: true,
        ..WsperfPlan::new(target.clone(), 1, 300, 5, 10)
    };
    let report = plan.run().unwrap();
    assert!(report.passed(), "{:?}", report.faults_told);
    // 300 connections, at most 10 of them in flight: throttled again and again.
    assert!(report.result.handshake_throttle_count > 5);
    // From its times, how many were on their way to be open at any moment.
    let mut edges: Vec<(f64, i32)> = Vec::new();
    for times in &report.result.connection_stats {
        edges.push((times.start, 1));
        edges.push((
            times.start + times.tcp_pre_init + times.tcp_post_init + times.open,
            -1,
        ));
    }
    edges.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let most = edges.iter().scan(0, |now, edge| {
        *now += edge.1;
        Some(*now)
    });
    assert!(most.max().unwrap() <= 10);

    let wrong = WsperfPlan::new(target, 1, 10, 6, 5);
    assert!(wrong.run().is_err());
}

#[test]
fn nobody_at_home_is_a_failure_and_no_crash() {
    // A port that was free a moment ago.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let target = Target::parse(&format!("ws://{address}")).unwrap();
    let plan = EchoPlan {
        connections: 5,
        quiet: true,
        ..EchoPlan::new(target.clone())
    };
    must_fail(&plan.run().unwrap(), "nobody");
    let plan = WsperfPlan {
        quiet: true,
        ..WsperfPlan::new(target, 1, 5, 1, 2)
    };
    assert!(!plan.run().unwrap().passed());
}

#[test]
fn a_raw_echo_is_checked_too() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::parse(&format!("tcp://{}", listener.local_addr().unwrap())).unwrap();
    thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut piece = [0; 4096];
                let mut total = 0;
                while let Ok(count @ 1..) = stream.read(&mut piece) {
                    total += count;
                    // The connections of the second run are lied to, late.
                    if index >= 2 && total > 10_000 {
                        piece[count - 1] ^= 0x80;
                    }
                    if stream.write_all(&piece[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let plan = EchoPlan {
        connections: 2,
        depth: 4,
        sizes: vec![100],
        warmup: Duration::ZERO,
        messages: Some(1000),
        duration: Duration::from_secs(30),
        quiet: true,
        ..EchoPlan::new(target)
    };
    let report = plan.run().unwrap();
    assert!(report.passed(), "{report}");
    must_fail(&plan.run().unwrap(), "a changed octet");
}
