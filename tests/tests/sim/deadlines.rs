//! Every deadline of a connection, on simulated time: not before it is due, and not later than the
//! timer wheel is coarse.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use wirebahn::close::{Cause, Timeout};
use wirebahn::sim::{Ended, Fault, Faults, Setup, Step, World};
use wirebahn::{CloseCode, Context, Message, Sent, ServerConfig, Timeouts};
use wirebahn_tests::peer::Peer;
use wirebahn_tests::wire;

use crate::common::{Act, Echo, Log, Logged, Shared, check_end};

/// How late a deadline may be: one slot of the wheel, and the way to the client.
const LATE_MAX: Duration = Duration::from_millis(55);

const SECOND: Duration = Duration::from_secs(1);

/// Echoes; `close` closes, `flood` sends a megabyte.
struct Told;

impl Act for Told {
    fn act(&mut self, client: usize, context: &mut Context<'_>, message: Message<'_>) -> Sent {
        match message {
            Message::Text("close") => {
                context.close(CloseCode::NORMAL, "").unwrap();
                Sent::Accepted
            }
            Message::Text("flood") => context.send(&vec![7; 1 << 20]),
            other => Echo.act(client, context, other),
        }
    }
}

struct Scene {
    world: World<Logged<Told>>,
    log: Shared,
    peer: Peer,
}

impl Scene {
    fn new(change: impl FnOnce(&mut Timeouts)) -> Self {
        let log: Shared = Rc::new(RefCell::new(Log::default()));
        let config = ServerConfig::builder().timeouts(change).build().unwrap();
        let mut world = World::new(&Setup::default(), &config, |_| Logged::new(&log, Told));
        let peer = Peer::new(world.connect(0), 0);
        Self { world, log, peer }
    }

    /// A client that is open, in a world without pings.
    fn open(change: impl FnOnce(&mut Timeouts)) -> Self {
        let mut scene = Self::new(|timeouts| {
            timeouts.ping_interval = None;
            change(timeouts);
        });
        scene.peer.open();
        scene.world.settle().unwrap();
        scene.peer.hear().unwrap();
        assert!(scene.peer.is_open());
        scene
    }

    fn tell(&mut self, what: &str) {
        self.peer.message(true, what.as_bytes().to_vec());
    }

    fn run_for(&mut self, time: Duration) {
        self.world.run_for(time).unwrap();
    }

    /// Runs until `done`, in steps of a millisecond; returns when that was.
    fn until(&mut self, most: Duration, mut done: impl FnMut(&mut Self) -> bool) -> Duration {
        let end = self.world.now() + most;
        while self.world.now() < end {
            self.run_for(Duration::from_millis(1));
            if done(self) {
                return self.world.now();
            }
        }
        panic!("nothing happened in {most:?}");
    }

    /// Nothing ends the connection before `due`, and something does then.
    fn expect_end(&mut self, due: Duration) {
        let most = due.saturating_sub(self.world.now()) + SECOND;
        let ended = self.until(most, |scene| scene.world.audit()[0].connections == 0);
        assert!(
            ended >= due && ended <= due + LATE_MAX,
            "ended at {ended:?}, due at {due:?}"
        );
    }

    fn expect_cause(&mut self, cause: Cause) {
        self.peer.client().shut();
        self.world.settle().unwrap();
        check_end(&self.world, &self.log.borrow()).unwrap();
        let log = self.log.borrow();
        let info = log.close_of(0).expect("it was open");
        assert_eq!(info.cause, cause);
        assert_eq!(
            self.world.statistics()[0].timeouts,
            u64::from(matches!(cause, Cause::Timeout(_)))
        );
    }
}

#[test]
fn a_silent_client_has_ten_seconds() {
    let mut scene = Scene::new(|_| ());
    scene.run_for(Duration::from_millis(1));
    let accepted = scene.world.now();
    scene.expect_end(accepted + 10 * SECOND - Duration::from_millis(1));
    assert_eq!(scene.world.statistics()[0].timeouts, 1);
    assert!(scene.log.borrow().opened.is_empty());
}

#[test]
fn a_handshake_that_drips_has_ten_seconds_all_the_same() {
    let mut scene = Scene::new(|_| ());
    scene.run_for(Duration::from_millis(1));
    let due = scene.world.now() + 10 * SECOND - Duration::from_millis(1);
    for octet in &wire::REQUEST[..19] {
        scene.peer.write(&[*octet]);
        scene.run_for(SECOND / 2);
        assert!(scene.peer.client().ended().is_none());
    }
    scene.expect_end(due);
    assert!(scene.log.borrow().opened.is_empty());
}

#[test]
fn a_close_frame_waits_five_seconds_for_its_answer() {
    let mut scene = Scene::open(|_| ());
    scene.tell("close");
    let due = scene.world.now() + 5 * SECOND;
    // Other messages are no answer.
    for _ in 0..8 {
        scene.tell("still here");
        scene.run_for(SECOND / 2);
    }
    scene.expect_end(due);
    scene.expect_cause(Cause::Timeout(Timeout::Closing));
}

#[test]
fn a_client_that_does_not_shut_is_let_go_after_two_seconds() {
    let mut scene = Scene::open(|_| ());
    scene.peer.misbehave(&[0x80, 0x80, 0, 0, 0, 0]);
    let told = scene.until(SECOND, |scene| {
        scene.peer.client().ended() == Some(Ended::Fin)
    });
    // What it goes on sending is thrown away, and moves nothing.
    for _ in 0..3 {
        scene.peer.write(&[0; 1000]);
        scene.run_for(SECOND / 2);
        assert_eq!(scene.peer.client().unread(), 0);
    }
    scene.expect_end(told + 2 * SECOND - Duration::from_millis(2));
    let cause = Cause::Violation(wirebahn::Violation::NothingToContinue);
    scene.expect_cause(cause);
}

#[test]
fn a_ping_waits_twenty_seconds_for_a_sign_of_life() {
    let mut scene = Scene::new(|_| ());
    scene.peer.open();
    scene.world.settle().unwrap();
    assert!(!scene.peer.client().take().is_empty());
    let heard = scene.world.now();
    let pinged = scene.until(21 * SECOND, |scene| scene.peer.client().take() == [0x89, 0]);
    let silence = pinged - heard;
    assert!(
        silence >= 14 * SECOND && silence <= 20 * SECOND + LATE_MAX,
        "pinged after {silence:?}"
    );
    scene.expect_end(pinged + 20 * SECOND - Duration::from_millis(2));
    scene.expect_cause(Cause::Timeout(Timeout::Pong));
}

#[test]
fn a_client_that_answers_pings_is_kept() {
    let mut scene = Scene::new(|_| ());
    scene.peer.open();
    for _ in 0..600 {
        scene.run_for(SECOND);
        scene.peer.hear().unwrap();
    }
    assert!(scene.peer.is_open());
    let came = scene.world.statistics()[0].wire_in - wire::REQUEST.len() as u64;
    let pongs = came / 6;
    // One every 15 to 20 seconds, and up to one more until its answer is heard.
    assert!((28..=40).contains(&pongs), "{pongs} pings in ten minutes");
}

#[test]
fn a_client_that_takes_nothing_has_a_minute_from_the_last_octet_it_took() {
    let mut scene = Scene::open(|_| ());
    scene.peer.client().stall(true);
    scene.tell("flood");
    scene.run_for(45 * SECOND);
    // It takes a little, which is progress.
    scene.peer.client().stall(false);
    scene.until(SECOND, |scene| !scene.peer.client().take().is_empty());
    scene.peer.client().stall(true);
    scene.run_for(Duration::from_millis(5));
    let due = scene.world.now() + 60 * SECOND - Duration::from_millis(10);
    scene.expect_end(due);
    scene.expect_cause(Cause::Timeout(Timeout::WriteStall));
}

#[test]
fn silence_while_nobody_listened_is_no_silence() {
    let mut scene = Scene::new(|_| ());
    scene.peer.open();
    scene.world.settle().unwrap();
    scene.peer.hear().unwrap();
    let id = scene.log.borrow().opened[0].0;
    // A ping is on its way to a client that takes nothing for a while; behind it comes so much
    // that the client is not read from until it does.
    scene.peer.client().stall(true);
    let before = scene.world.statistics()[0].wire_out;
    scene.until(21 * SECOND, |scene| {
        scene.world.statistics()[0].wire_out > before
    });
    for _ in 0..3 {
        scene.world.remote().send(id, &vec![7; 1 << 20]).unwrap();
    }
    scene.run_for(40 * SECOND);
    assert_eq!(scene.world.audit()[0].connections, 1);
    // It reads on, and answers within the twenty seconds a ping has.
    scene.peer.client().stall(false);
    scene.run_for(15 * SECOND);
    assert_eq!(scene.world.audit()[0].connections, 1, "cut off");
    scene.peer.hear().unwrap();
    scene.run_for(SECOND);
    assert!(scene.peer.is_open());
    assert_eq!(scene.peer.messages().len(), 3);
}

#[test]
fn an_idle_connection_is_closed_after_the_time_configured() {
    let mut scene = Scene::open(|timeouts| timeouts.idle = Some(30 * SECOND));
    scene.run_for(20 * SECOND);
    scene.tell("not idle");
    scene.run_for(Duration::from_millis(1));
    let due = scene.world.now() + 30 * SECOND - Duration::from_millis(1);
    let told = scene.until(31 * SECOND, |scene| {
        scene.peer.hear().unwrap();
        scene.peer.closed().is_some()
    });
    assert!(
        told >= due && told <= due + LATE_MAX,
        "{told:?}, due at {due:?}"
    );
    assert_eq!(scene.peer.closed(), Some(&Some((1000, "idle".to_owned()))));
    scene.world.settle().unwrap();
    scene.peer.hear().unwrap();
    scene.expect_cause(Cause::Timeout(Timeout::Idle));
}

#[test]
fn no_deadline_fires_because_the_process_stood_still() {
    for hours in [1, 24, 24 * 365] {
        let mut scene = Scene::new(|_| ());
        scene.run_for(4 * SECOND);
        let before = scene.world.tick(0);
        scene.world.freeze(hours * 3600 * SECOND);
        scene.run_for(5 * SECOND);
        assert_eq!(scene.world.audit()[0].connections, 1, "{hours} hours");
        let passed = scene.world.tick(0).since(before);
        assert!(passed <= 10 * SECOND, "{passed:?} have passed");
        // What is left of the ten seconds still counts.
        scene.run_for(6 * SECOND);
        assert_eq!(scene.world.audit()[0].connections, 0, "{hours} hours");
    }
}

#[test]
fn a_stopped_clock_and_a_late_shard_only_delay() {
    let log: Shared = Rc::new(RefCell::new(Log::default()));
    let config = ServerConfig::builder().build().unwrap();
    for seed in 0..50 {
        let setup = Setup {
            seed,
            faults: Faults::none()
                .with(Fault::StoppedClock, 1_000)
                .with(Fault::LateShard, 5_000),
            ..Setup::default()
        };
        let mut world = World::new(&setup, &config, |_| Logged::new(&log, Told));
        let client = world.connect(0);
        world.run_for(10 * SECOND).unwrap();
        assert_eq!(client.ended(), None, "seed {seed}");
        world.run_for(5 * SECOND).unwrap();
        assert!(client.ended().is_some(), "seed {seed}");
    }
}

/// Clients of a crowd.
const CROWD: usize = 15_000;

/// Deadlines that may be dealt with in one turn: what the shard allows itself.
const PER_TURN_MAX: u64 = 1_024;

#[test]
fn fifteen_thousand_deadlines_at_once_are_spread_over_turns() {
    let log: Shared = Rc::new(RefCell::new(Log::default()));
    let config = ServerConfig::builder()
        .limits(|limits| limits.opening_max = CROWD)
        .build()
        .unwrap();
    let setup = Setup {
        faults: Faults::none().with(Fault::Burst, 10_000),
        ..Setup::default()
    };
    let mut world = World::new(&setup, &config, |_| Logged::new(&log, Told));
    let clients: Vec<_> = (0..CROWD).map(|_| world.connect(0)).collect();
    world.run_for(SECOND).unwrap();
    assert_eq!(world.audit()[0].connections, CROWD);
    let (mut timeouts, mut turns) = (0, 0);
    while timeouts < CROWD as u64 {
        let step = world.step().unwrap();
        assert_ne!(step, Step::Idle);
        let now = world.statistics()[0].timeouts;
        assert!(
            now - timeouts <= PER_TURN_MAX,
            "{} in a turn",
            now - timeouts
        );
        turns += u64::from(now > timeouts);
        timeouts = now;
    }
    assert!(turns >= CROWD as u64 / PER_TURN_MAX, "{turns}");
    let late = world.now() - 10 * SECOND;
    assert!(late <= LATE_MAX + Duration::from_millis(20), "{late:?}");
    world.settle().unwrap();
    assert!(clients.iter().all(|client| client.ended().is_some()));
    check_end(&world, &log.borrow()).unwrap();
}

#[test]
fn a_crowd_that_came_together_is_not_pinged_together() {
    const OPEN: usize = 2_000;
    let log: Shared = Rc::new(RefCell::new(Log::default()));
    let config = ServerConfig::builder().build().unwrap();
    let mut world = World::new(&Setup::default(), &config, |_| Logged::new(&log, Told));
    let clients: Vec<_> = (0..OPEN)
        .map(|_| {
            let client = world.connect(0);
            client.send(wire::REQUEST);
            client
        })
        .collect();
    world.settle().unwrap();
    for client in &clients {
        assert!(client.take().starts_with(b"HTTP/1.1 101 "));
    }
    let (mut pinged, mut most) = (0, 0);
    for _ in 0..200 {
        world.run_for(Duration::from_millis(100)).unwrap();
        let now = clients.iter().filter(|client| !client.take().is_empty());
        let now = now.count();
        most = most.max(now);
        pinged += now;
    }
    assert_eq!(pinged, OPEN);
    // Spread over five seconds, a tenth of one has a fiftieth; three times that is bad luck.
    assert!(
        most <= OPEN / 50 * 3,
        "{most} of {OPEN} in a tenth of a second"
    );
}
