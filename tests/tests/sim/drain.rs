//! The end of a server: everybody is answered and told, and nobody can hold it up.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use wirebahn::close::{Cause, Side};
use wirebahn::sim::{Ended, Faults, Random, Setup, World};
use wirebahn::{Context, Message, Sent, ServerConfig};
use wirebahn_tests::peer::Peer;

use crate::common::{Act, Echo, Log, Logged, Shared, check_end};

const SECOND: Duration = Duration::from_secs(1);

/// Echoes; `flood` sends a megabyte.
struct EchoOrFlood;

impl Act for EchoOrFlood {
    fn act(&mut self, client: usize, context: &mut Context<'_>, message: Message<'_>) -> Sent {
        match message {
            Message::Text("flood") => context.send(&vec![7; 1 << 20]),
            other => Echo.act(client, context, other),
        }
    }
}

struct Scene {
    world: World<Logged<EchoOrFlood>>,
    log: Shared,
    peers: Vec<Peer>,
}

impl Scene {
    /// So many clients, all open, spread over the shards.
    fn new(setup: &Setup, clients: usize) -> Self {
        let log: Shared = Rc::new(RefCell::new(Log::default()));
        let config = ServerConfig::builder().build().unwrap();
        let world = World::new(setup, &config, |_| Logged::new(&log, EchoOrFlood));
        let mut scene = Self {
            world,
            log,
            peers: Vec::new(),
        };
        for number in 0..clients {
            let client = scene.world.connect(number % setup.shards);
            let mut peer = Peer::new(client, number as u64);
            peer.open();
            scene.peers.push(peer);
        }
        scene.rest();
        scene
    }

    fn rest(&mut self) {
        loop {
            self.world.settle().unwrap();
            let heard: Vec<bool> = self.peers.iter_mut().map(|p| p.hear().unwrap()).collect();
            if !heard.contains(&true) {
                return;
            }
        }
    }

    /// Runs until the server has ended; the clients answer meanwhile. Returns how long it took.
    fn run_to_the_end(&mut self, most: Duration) -> Duration {
        let start = self.world.now();
        while !self.world.is_finished() {
            self.world.run_for(Duration::from_millis(1)).unwrap();
            for peer in &mut self.peers {
                peer.hear().unwrap();
            }
            assert!(self.world.now() - start <= most, "still there");
        }
        let took = self.world.now() - start;
        self.rest();
        check_end(&self.world, &self.log.borrow()).unwrap();
        took
    }

    fn expect_farewell(&self, index: usize) {
        let peer = &self.peers[index];
        let farewell = Some(Some((1001, "server going away".to_owned())));
        assert_eq!(peer.closed().cloned(), farewell, "client {index}");
        assert_eq!(peer.client().ended(), Some(Ended::Fin), "client {index}");
        let log = self.log.borrow();
        let info = log.close_of(peer.client().number()).unwrap();
        assert!(info.clean && info.by == Side::Local, "{info:?}");
        assert_eq!(info.cause, Cause::Handshake);
    }
}

#[test]
fn everybody_is_answered_and_told() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let setup = Setup {
            seed,
            shards: 1 << random.index(3),
            receive_len: 16 + random.size(4096),
            ..Setup::default()
        };
        let mut scene = Scene::new(&setup, 12);
        for peer in &mut scene.peers {
            for _ in 0..random.index(6) {
                let len = random.size(2_000);
                peer.binary(vec![9; len]);
            }
        }
        // So far that what was sent has arrived: what is on its way is answered.
        while scene.peers.iter().any(|peer| peer.client().in_flight() > 0) {
            scene.world.step().unwrap();
        }
        scene.world.shutdown(5 * SECOND);
        let took = scene.run_to_the_end(5 * SECOND);
        assert!(took <= SECOND, "seed {seed}: {took:?}");
        for (index, peer) in scene.peers.iter().enumerate() {
            scene.expect_farewell(index);
            let (sent, came) = (peer.sent().len(), peer.messages().len());
            assert_eq!(came, sent, "seed {seed}, client {index}");
        }
    }
}

#[test]
fn a_drain_survives_a_rough_network() {
    for seed in 0..300 {
        let setup = Setup {
            seed,
            shards: 1 << (seed % 3),
            faults: Faults::default(),
            ..Setup::default()
        };
        let mut scene = Scene::new(&setup, 8);
        let open: Vec<bool> = scene.peers.iter().map(Peer::is_open).collect();
        for peer in &mut scene.peers {
            peer.binary(vec![1; 300]);
        }
        scene.world.shutdown(60 * SECOND);
        scene.world.run_for(SECOND).unwrap();
        scene.world.calm();
        scene.run_to_the_end(100 * 3600 * SECOND);
        for (index, was_open) in open.into_iter().enumerate() {
            if was_open && scene.peers[index].client().befallen().is_none() {
                scene.expect_farewell(index);
            }
        }
    }
}

#[test]
fn nobody_holds_it_up() {
    let setup = Setup {
        shards: 2,
        ..Setup::default()
    };
    let mut scene = Scene::new(&setup, 6);
    // One takes nothing, one never answers, one has not opened; three are well.
    scene.peers[0].client().stall(true);
    scene.peers[0].message(true, b"flood".to_vec());
    scene.peers[1].client().hold(true);
    let silent = Peer::new(scene.world.connect(0), 9);
    scene.peers.push(silent);
    scene.rest();
    scene.world.shutdown(3 * SECOND);
    let took = scene.run_to_the_end(4 * SECOND);
    assert!(
        took >= 3 * SECOND && took <= 3 * SECOND + SECOND / 10,
        "{took:?}"
    );
    for index in 2..6 {
        scene.expect_farewell(index);
    }
    let log = scene.log.borrow();
    for stuck in [0, 1] {
        let info = log.close_of(stuck).unwrap();
        assert!(!info.clean, "{info:?}");
        assert_eq!((info.by, info.code.0), (Side::Local, 1006), "{info:?}");
    }
    assert!(scene.peers[6].client().ended().is_some());
}

#[test]
fn however_little_time_there_is_everybody_is_told() {
    for most in [1, 10, 50, 100, 500] {
        let mut scene = Scene::new(&Setup::default(), 5);
        scene.world.shutdown(Duration::from_millis(most));
        scene.run_to_the_end(SECOND);
        for peer in &scene.peers {
            let code = peer.closed().map(|close| close.as_ref().map(|c| c.0));
            assert_eq!(code, Some(Some(1001)), "in {most} ms");
        }
    }
}

#[test]
fn who_comes_while_it_ends_is_not_let_in() {
    let mut scene = Scene::new(&Setup::default(), 1);
    scene.peers[0].client().hold(true);
    scene.world.shutdown(2 * SECOND);
    scene.world.run_for(SECOND).unwrap();
    let mut late = Peer::new(scene.world.connect(0), 1);
    late.open();
    scene.peers.push(late);
    scene.run_to_the_end(3 * SECOND);
    assert_eq!(scene.peers[1].client().ended(), Some(Ended::Refused));
    assert_eq!(scene.log.borrow().opened.len(), 1);
}

#[test]
fn a_second_word_ends_it_at_once() {
    let mut scene = Scene::new(&Setup::default(), 3);
    scene.peers[0].client().hold(true);
    scene.world.shutdown(3600 * SECOND);
    scene.world.run_for(SECOND).unwrap();
    assert!(!scene.world.is_finished());
    scene.world.stop();
    let took = scene.run_to_the_end(SECOND);
    assert!(took <= SECOND / 10, "{took:?}");
}
