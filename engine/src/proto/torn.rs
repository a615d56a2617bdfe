//! However the octets of a peer are torn, a connection tells and answers the same: whole, octet by
//! octet, and torn by chance; in both roles, whether the peer keeps the rules or not.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::connection::{Answer, Connection, Env, Event};
use super::frame;
use super::outbox::Slices;
use super::pool::Pool;
use super::recv::Input;
use super::state::State;
use crate::close::{CloseCode, CloseInfo};
use crate::config::{ProtocolConfig, ServerConfig};
use crate::error::Violation;
use crate::message::{Kind, Role};
use crate::tick::Tick;

const MESSAGE_MAX: u64 = 1_400;

fn config() -> ProtocolConfig {
    let config = ServerConfig::builder().limits(|limits| {
        limits.frame_size_max = MESSAGE_MAX - 400;
        limits.message_size_max = MESSAGE_MAX;
        limits.fragments_max = 4;
        limits.head_size_max = 512;
    });
    config.build().unwrap().protocol
}

/// An event, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Request(String),
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closing(Option<CloseCode>, String),
    Failed(Violation),
}

/// All that can be seen of a connection from outside.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    told: Vec<Told>,
    answered: Vec<u8>,
    state: State,
    info: CloseInfo,
}

/// Feeds a connection with pieces of these lengths, over and over, and then with the rest.
fn feed(mut connection: Connection, octets: &[u8], pieces: &[usize]) -> Seen {
    let config = config();
    let mut pool = Pool::new();
    let role = connection.link().role();
    let mut env = Env {
        config: &config,
        pool: &mut pool,
        now: Tick(1),
    };
    let (mut told, mut answered) = (Vec::new(), Vec::new());
    let mut rest = octets.to_vec();
    let mut pieces = pieces.iter().cycle();
    while !rest.is_empty() {
        let len = pieces.next().map_or(rest.len(), |len| rest.len().min(*len));
        let mut piece = rest;
        rest = piece.split_off(len);
        let mut input = Input::new(&mut piece);
        while let Some((event, link)) = connection.next(&mut input, &mut env) {
            told.push(match event {
                Event::Request(request) => {
                    link.accept(&request, &Answer::default(), &mut env).unwrap();
                    Told::Request(request.path().to_owned())
                }
                Event::Message(message) => {
                    Told::Message(message.kind(), message.as_bytes().to_vec())
                }
                Event::Ping(payload) => Told::Ping(payload.to_vec()),
                Event::Pong(payload) => Told::Pong(payload.to_vec()),
                Event::Closing(code, reason) => Told::Closing(code, reason.to_owned()),
                Event::Failed(violation) => Told::Failed(violation),
            });
        }
        assert!(input.rest().is_empty(), "all is taken, or thrown away");
        let link = connection.link_mut();
        let mut slices = Slices::new();
        link.gather(&mut slices);
        let before = answered.len();
        for slice in &slices {
            answered.extend_from_slice(slice);
        }
        drop(slices);
        let count = answered.len() - before;
        link.sent(count, &mut env);
        assert_eq!(link.buffered(), 0);
    }
    let state = connection.link().state();
    let info = connection.finish(env.pool);
    assert_eq!(connection.held(), 0);
    assert_eq!(pool.kept(), pool.recount());
    if role == Role::Client {
        unmask(&mut answered);
    }
    Seen {
        told,
        answered,
        state,
        info,
    }
}

/// Takes the masks of a client's frames off: they are random.
fn unmask(octets: &mut [u8]) {
    let mut at = 0;
    while at < octets.len() {
        let frame::Decoded::Complete(header, len) =
            frame::decode(&octets[at..], Role::Server).expect("we sent it")
        else {
            panic!("a frame that is not whole");
        };
        let key = header.key.expect("a client masks");
        octets[at + len - 4..at + len].fill(0);
        at += len;
        for (octet, key) in octets[at..at + header.len as usize]
            .iter_mut()
            .zip(key.iter().cycle())
        {
            *octet ^= key;
        }
        at += header.len as usize;
    }
}

/// One thing a peer sends.
#[derive(Debug, Clone)]
enum Part {
    /// First octet, and a payload.
    Frame(u8, Vec<u8>),
    /// Octets by chance.
    Noise(Vec<u8>),
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    "[a-zß→🚆]{0,40}".prop_map(String::into_bytes)
}

fn part() -> impl Strategy<Value = Part> {
    let octets = |len| proptest::collection::vec(any::<u8>(), len);
    let long = (0..1100_usize, 0..128_u8).prop_map(|(len, octet)| vec![octet; len]);
    let frame = |first: u8| move |payload| Part::Frame(first, payload);
    prop_oneof![
        8 => text().prop_map(frame(0x81)),
        4 => octets(0..300).prop_map(frame(0x82)),
        2 => long.clone().prop_map(frame(0x82)),
        4 => text().prop_map(frame(0x01)),
        2 => long.clone().prop_map(frame(0x02)),
        6 => text().prop_map(frame(0x00)),
        4 => text().prop_map(frame(0x80)),
        2 => long.prop_map(frame(0x00)),
        4 => octets(0..126).prop_map(frame(0x89)),
        2 => octets(0..126).prop_map(frame(0x8A)),
        1 => octets(0..40).prop_map(frame(0x81)),
        1 => (1000..1016_u16, text()).prop_map(|(code, reason)| {
            Part::Frame(0x88, [&code.to_be_bytes()[..], &reason].concat())
        }),
        1 => (any::<u8>(), octets(0..200)).prop_map(|(first, payload)| Part::Frame(first, payload)),
        1 => octets(0..20).prop_map(Part::Noise),
    ]
}

/// Parts, most of them in an order that is allowed, so that those after them are reached.
fn parts() -> impl Strategy<Value = Vec<Part>> {
    let one = (part(), proptest::bool::weighted(0.05));
    proptest::collection::vec(one, 1..16).prop_map(|mut parts| {
        let mut open = false;
        for (part, lawless) in &mut parts {
            let Part::Frame(first, _) = part else {
                continue;
            };
            if *first & 0x7F > 2 {
                continue;
            }
            if !*lawless {
                let opcode = match (open, *first & 0x0F) {
                    (true, _) => 0,
                    (false, 0) => 1,
                    (false, opcode) => opcode,
                };
                *first = *first & 0x80 | opcode;
            }
            open = *first & 0x80 == 0;
        }
        parts.into_iter().map(|(part, _)| part).collect()
    })
}

/// What a peer of this endpoint sends.
fn encode(parts: &[Part], role: Role) -> Vec<u8> {
    let mut octets = Vec::new();
    for part in parts {
        let (first, payload) = match part {
            Part::Frame(first, payload) => (*first, payload),
            Part::Noise(noise) => {
                octets.extend(noise);
                continue;
            }
        };
        let masked = u8::from(role == Role::Server) << 7;
        octets.push(first);
        match payload.len() {
            len @ 0..=125 => octets.push(masked | len as u8),
            len => {
                octets.push(masked | 126);
                octets.extend((len as u16).to_be_bytes());
            }
        }
        if role == Role::Client {
            octets.extend(payload);
            continue;
        }
        let key = [0x37, 0xFA, 0x21, payload.len() as u8];
        octets.extend(key);
        octets.extend(payload.iter().zip(key.iter().cycle()).map(|(o, k)| o ^ k));
    }
    octets
}

/// How octets are torn by chance.
fn pieces() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![3 => 1..8_usize, 2 => 1..200_usize], 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn frames_are_the_same_however_they_are_torn(
        parts in parts(),
        pieces in pieces(),
    ) {
        for role in [Role::Server, Role::Client] {
            let octets = encode(&parts, role);
            let connection = || Connection::opened(role, Tick(0), 0);
            let whole = feed(connection(), &octets, &[]);
            prop_assert_eq!(&feed(connection(), &octets, &[1]), &whole);
            prop_assert_eq!(&feed(connection(), &octets, &pieces), &whole);
        }
    }

    #[test]
    fn heads_are_the_same_however_they_are_torn(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..3),
        pieces in pieces(),
    ) {
        let mut head = b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
Sec-WebSocket-Version: 13\r\nX-Padding: nothing of interest\r\n\r\n".to_vec();
        for (index, octet) in damage {
            let at = index.index(head.len());
            head[at] = octet;
        }
        let connection = || Connection::server(Tick(0), 0);
        let whole = feed(connection(), &head, &[]);
        prop_assert_eq!(&feed(connection(), &head, &[1]), &whole);
        prop_assert_eq!(&feed(connection(), &head, &pieces), &whole);
    }
}

#[test]
fn the_parts_reach_what_they_are_to_reach() {
    // A generator that never got beyond the first frame would prove nothing.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = parts();
    let mut told = std::collections::BTreeMap::<_, usize>::new();
    for _ in 0..3_000 {
        let parts = strategy.new_tree(&mut runner).unwrap().current();
        let seen = feed(
            Connection::opened(Role::Server, Tick(0), 0),
            &encode(&parts, Role::Server),
            &[3],
        );
        for one in seen.told {
            let what = match one {
                Told::Request(_) => "request".to_owned(),
                Told::Message(..) => "message".to_owned(),
                Told::Ping(_) => "ping".to_owned(),
                Told::Pong(_) => "pong".to_owned(),
                Told::Closing(..) => "closing".to_owned(),
                Told::Failed(violation) => format!("{violation:?}"),
            };
            *told.entry(what).or_default() += 1;
        }
    }
    for (what, least) in [
        ("message", 5_000),
        ("ping", 1_000),
        ("pong", 500),
        ("closing", 100),
        ("CloseCode", 10),
        ("FrameTooBig", 10),
        ("FragmentedControl", 3),
        ("InvalidUtf8", 50),
        ("MessageInMessage", 50),
        ("MessageTooBig", 10),
        ("NothingToContinue", 20),
        ("ReservedBit", 50),
        ("ReservedOpcode", 5),
        ("TooManyFragments", 10),
        ("Unmasked", 1),
    ] {
        let times = told.get(what).copied().unwrap_or_default();
        assert!(times >= least, "{what}: {times} times\n{told:#?}");
    }
}
