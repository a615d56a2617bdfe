//! One session, ended or torn after each of its octets, one world each: nothing is left to chance.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use wirebahn::close::{Cause, Side};
use wirebahn::sim::{Ended, Setup, World};
use wirebahn::{CloseCode, CloseInfo, Context, Message, Sent, ServerConfig};
use wirebahn_tests::peer::Peer;
use wirebahn_tests::wire::{self, Said};

use crate::common::{Act, Log, Logged, Shared, check_end};

/// How soon a connection must be gone once its client is.
const GONE_AFTER: Duration = Duration::from_millis(100);

/// Echoes; closes with 4000 when it is told `close`.
struct EchoUntilTold;

impl Act for EchoUntilTold {
    fn act(&mut self, _: usize, context: &mut Context<'_>, message: Message<'_>) -> Sent {
        if message == Message::Text("close") {
            context.close(CloseCode(4000), "as you wish").unwrap();
            return Sent::Accepted;
        }
        context.send(message)
    }
}

struct Scene {
    world: World<Logged<EchoUntilTold>>,
    log: Shared,
    peer: Peer,
}

impl Scene {
    fn new(setup: &Setup) -> Self {
        let log: Shared = Rc::new(RefCell::new(Log::default()));
        let config = ServerConfig::builder().build().unwrap();
        let mut world = World::new(setup, &config, |_| Logged::new(&log, EchoUntilTold));
        let peer = Peer::new(world.connect(0), 0);
        Self { world, log, peer }
    }

    /// Sends the first `count` octets of a session: the head, and, as a client must, the rest when
    /// the head was answered. Returns what came back meanwhile.
    fn send(&mut self, session: &Session, count: usize) -> Vec<u8> {
        let client = self.peer.client();
        let (head, rest) = session.octets[..count].split_at(count.min(session.opens_at()));
        client.send(head);
        if rest.is_empty() {
            return Vec::new();
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            self.world.step().unwrap();
            answer.extend(client.take());
        }
        client.send(rest);
        answer
    }

    /// The client is gone: soon everything else of it is.
    fn expect_gone(&mut self, what: &str) -> Option<CloseInfo> {
        self.world.run_for(GONE_AFTER).unwrap();
        self.peer.hear().unwrap();
        self.world.run_for(GONE_AFTER).unwrap();
        check_end(&self.world, &self.log.borrow()).unwrap_or_else(|e| panic!("{what}: {e}"));
        self.log.borrow().close_of(0).cloned()
    }
}

/// The frames of a session in which everything occurs, and after how many octets what is said.
struct Session {
    octets: Vec<u8>,
    /// After so many octets, this comes back.
    answers: Vec<(usize, Said)>,
}

impl Session {
    fn new() -> Self {
        let mut session = Self {
            octets: wire::REQUEST.to_vec(),
            answers: Vec::new(),
        };
        session.answer(Said::Status(101));
        session.frame(true, wire::TEXT, "grüß → dich".as_bytes());
        session.answer(Said::Message(true, "grüß → dich".as_bytes().to_vec()));
        session.frame(false, wire::BINARY, &[1; 20]);
        session.frame(true, wire::PING, b"ping");
        session.answer(Said::Pong(b"ping".to_vec()));
        session.frame(false, wire::CONTINUATION, &[]);
        session.frame(true, wire::CONTINUATION, &[2; 130]);
        let whole = [&[1; 20][..], &[2; 130]].concat();
        session.answer(Said::Message(false, whole));
        session.frame(true, wire::BINARY, &[]);
        session.answer(Said::Message(false, Vec::new()));
        session
    }

    fn closed_by_client() -> Self {
        let mut session = Self::new();
        session.frame(true, wire::CLOSE, &wire::close_payload(4001, "enough"));
        session.answer(Said::Close(Some((4001, "enough".to_owned()))));
        session
    }

    fn closed_by_server() -> Self {
        let mut session = Self::new();
        session.frame(true, wire::TEXT, b"close");
        session.answer(Said::Close(Some((4000, "as you wish".to_owned()))));
        session.frame(true, wire::CLOSE, &wire::close_payload(4000, "as you wish"));
        session
    }

    fn frame(&mut self, fin: bool, opcode: u8, payload: &[u8]) {
        wire::frame(&mut self.octets, fin, opcode, payload, [1, 2, 3, 4]);
    }

    fn answer(&mut self, said: Said) {
        self.answers.push((self.octets.len(), said));
    }

    /// What comes back for this many octets.
    fn answers_to(&self, count: usize) -> impl Iterator<Item = &Said> {
        let within = self.answers.iter().filter(move |(at, _)| *at <= count);
        within.map(|(_, said)| said)
    }

    fn opens_at(&self) -> usize {
        wire::REQUEST.len()
    }
}

/// Reads everything a client has got.
fn said(octets: &[u8]) -> Vec<Said> {
    let mut said = Vec::new();
    wire::Reader::default().read(octets, &mut said).unwrap();
    said
}

#[test]
fn an_end_after_any_octet_is_noticed_and_what_was_owed_comes_first() {
    for (by_server, session) in [
        (false, Session::closed_by_client()),
        (true, Session::closed_by_server()),
    ] {
        for count in 0..=session.octets.len() {
            let mut scene = Scene::new(&Setup::default());
            let client = scene.peer.client().clone();
            scene.send(&session, count);
            client.shut();
            let what = format!("FIN after {count} octets, closed by server: {by_server}");
            let info = scene.expect_gone(&what);
            assert_eq!(client.ended(), Some(Ended::Fin), "{what}");
            let opened = count >= session.opens_at();
            assert_eq!(info.is_some(), opened, "{what}");
            let Some(info) = info else { continue };
            let clean = count == session.octets.len();
            assert_eq!(info.clean, clean, "{what}");
            let told = session.answers_to(count).last();
            let expected = match told {
                Some(Said::Close(_)) if by_server => (Side::Local, Cause::Handshake),
                Some(Said::Close(_)) => (Side::Remote, Cause::Handshake),
                _ => (Side::Remote, Cause::Ended),
            };
            assert_eq!((info.by, info.cause), expected, "{what}");
            let code = match (clean, by_server) {
                (false, _) => 1006,
                (true, true) => 4000,
                (true, false) => 4001,
            };
            assert_eq!(info.code.0, code, "{what}");
        }
    }
}

#[test]
fn an_end_after_any_octet_takes_nothing_away_that_was_owed() {
    let session = Session::closed_by_client();
    for count in 0..=session.octets.len() {
        let mut scene = Scene::new(&Setup {
            // So small that everything waits at some time.
            send_window: 3,
            receive_window: 5,
            receive_len: 7,
            seed: count as u64,
            ..Setup::default()
        });
        let client = scene.peer.client().clone();
        let mut octets = scene.send(&session, count);
        client.shut();
        scene.world.settle().unwrap();
        octets.extend(client.take());
        let said = said(&octets);
        assert!(
            said.iter().eq(session.answers_to(count)),
            "{count}: {said:?}"
        );
        assert_eq!(client.ended(), Some(Ended::Fin), "{count}");
    }
}

#[test]
fn a_reset_after_any_octet_is_noticed() {
    for session in [Session::closed_by_client(), Session::closed_by_server()] {
        for count in 0..=session.octets.len() {
            let mut scene = Scene::new(&Setup::default());
            let client = scene.peer.client().clone();
            scene.send(&session, count);
            scene.world.run_for(GONE_AFTER).unwrap();
            client.reset();
            let what = format!("RST after {count} octets");
            let info = scene.expect_gone(&what);
            assert_eq!(info.is_some(), count >= session.opens_at(), "{what}");
            let Some(info) = info else { continue };
            let both = count == session.octets.len();
            assert_eq!(info.clean, both, "{what}");
        }
    }
}

#[test]
fn a_reset_after_any_octet_that_came_is_noticed() {
    let session = Session::closed_by_server();
    let total = {
        let mut scene = Scene::new(&Setup::default());
        let client = scene.peer.client().clone();
        let before = scene.send(&session, session.octets.len()).len();
        scene.world.settle().unwrap();
        before + client.take().len()
    };
    assert!(total > 300, "{total}");
    for count in 0..total {
        let mut scene = Scene::new(&Setup {
            send_window: 1,
            ..Setup::default()
        });
        let client = scene.peer.client().clone();
        let head = session.opens_at();
        client.send(&session.octets[..head]);
        let (mut came, mut opened) = (0, false);
        while came < count {
            scene.world.step().unwrap();
            came += client.take().len();
            if !opened && !scene.log.borrow().opened.is_empty() {
                opened = true;
                client.send(&session.octets[head..]);
            }
        }
        client.reset();
        scene.expect_gone(&format!("RST after {count} octets that came"));
        assert!(scene.log.borrow().closed.len() <= 1);
    }
}

#[test]
fn a_session_torn_after_any_octet_goes_as_if_it_were_whole() {
    for session in [Session::closed_by_client(), Session::closed_by_server()] {
        for count in 0..=session.octets.len() {
            let mut scene = Scene::new(&Setup::default());
            let client = scene.peer.client().clone();
            let mut octets = scene.send(&session, count);
            scene.world.settle().unwrap();
            octets.extend(client.take());
            let first = said(&octets);
            assert!(first.iter().eq(session.answers_to(count)), "{count}");
            let (head, rest) =
                session.octets[count..].split_at(session.opens_at().saturating_sub(count));
            for part in [head, rest] {
                client.send(part);
                scene.world.settle().unwrap();
                octets.extend(client.take());
            }
            let all = said(&octets);
            assert!(
                all.iter().eq(session.answers_to(usize::MAX)),
                "{count}: {all:?}"
            );
            client.shut();
            let info = scene.expect_gone("all was said").unwrap();
            assert!(info.clean, "{count}: {info:?}");
        }
    }
}

#[test]
fn a_session_in_single_octets_goes_as_if_it_were_whole() {
    for session in [Session::closed_by_client(), Session::closed_by_server()] {
        let mut scene = Scene::new(&Setup {
            receive_len: 1,
            receive_window: 1,
            send_window: 1,
            ..Setup::default()
        });
        let client = scene.peer.client().clone();
        let mut octets = scene.send(&session, session.octets.len());
        scene.world.settle().unwrap();
        octets.extend(client.take());
        let all = said(&octets);
        assert!(all.iter().eq(session.answers_to(usize::MAX)), "{all:?}");
        client.shut();
        let info = scene.expect_gone("all was said").unwrap();
        assert!(info.clean, "{info:?}");
    }
}
