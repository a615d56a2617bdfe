//! A server in a simulated world: any number of shards in one thread, clients that are told what
//! to do, a clock that is moved, and chance that follows from a seed.
//!
//! The shards are the real ones, and so is the loop that drives them; what is simulated is the
//! operating system beneath it and the network beyond. Everything that happens follows from the
//! seed and from what the test does, so a seed that fails fails again, always in the same way.
//!
//! ```
//! use wirebahn::sim::{Setup, World};
//! use wirebahn::{Context, Message, ServerConfig, handler_fn};
//!
//! let config = ServerConfig::builder().build()?;
//! let mut world = World::new(&Setup::default(), &config, |_| {
//!     handler_fn(|context: &mut Context<'_>, message: Message<'_>| {
//!         let _ = context.send(message);
//!     })
//! });
//! let client = world.connect(0);
//! client.send(
//!     b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//!       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
//! );
//! world.settle()?;
//! assert!(client.take().starts_with(b"HTTP/1.1 101 "));
//! client.send(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
//! world.settle()?;
//! assert_eq!(client.take(), [0x81, 2, b'h', b'i']);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Time
//!
//! The world goes in [steps](World::step): a shard has half a turn (it begins to wait, or it ends
//! that and deals with what came), or some octets travel on, or the clock is moved to the next
//! moment at which something happens. A shard that waits goes on only when it has an event, was woken, or waited long enough; so a wake-up that was forgotten
//! shows, as a message that does not arrive.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use smallvec::SmallVec;
use thiserror::Error;

use crate::config::ServerConfig;
use crate::driver::Driver;
use crate::driver::readiness::Readiness;
use crate::driver::sim::network::Network;
use crate::driver::sim::{Bell, Simulated};
use crate::handler::Handler;
use crate::remote::Remote;
use crate::shard::Shard;
use crate::shard::counters::Statistics;
use crate::shard::mailbox::{Hub, Stop};
use crate::tick::Tick;

pub use crate::driver::sim::faults::{Counts, Fault, Faults};
pub use crate::driver::sim::network::Ended;
pub use crate::driver::sim::random::Random;
pub use crate::shard::audit::Audit;

/// How long nothing moves before [`World::settle`] calls it quiet. Longer than any pause the
/// engine makes when it tries something again, shorter than any deadline of a connection.
const QUIET: Duration = Duration::from_millis(400);

/// Steps in which a world must come to rest.
const STEPS_MAX: u64 = 20_000_000;

/// Turns in a row in which a shard achieves nothing: so many, and one for each millisecond that
/// passes meanwhile. More than that is spinning.
const IDLE_TURNS_MAX: u64 = 2_000;

/// The longest time between two steps in which something happens.
const STEP_MAX_US: u64 = 40;

/// Steps for which a stopped clock stands still.
const STOPPED_STEPS: u32 = 100;

const LATE_MAX: Duration = Duration::from_millis(900);
const FREEZE_MIN: Duration = Duration::from_secs(2 * 3600);
const FREEZE_MAX: Duration = Duration::from_secs(48 * 3600);

/// The shape of a world.
#[derive(Debug, Clone)]
pub struct Setup {
    /// What all chance follows from. Default 0.
    pub seed: u64,
    /// Shards, from 1. Default 1.
    pub shards: usize,
    /// What goes wrong. Default nothing.
    pub faults: Faults,
    /// The receive buffer of a shard: the most one read brings, in octets, from 1. Default 4 KiB.
    pub receive_len: usize,
    /// The most the network holds of what the server sent a client, in octets, from 1. Default
    /// 4 KiB.
    pub send_window: usize,
    /// The most the network holds for the server of what a client sent, in octets, from 1.
    /// Default 4 KiB.
    pub receive_window: usize,
    /// Commands that fit into the mailbox between two shards, and from outside, from 1. Default
    /// 64.
    pub mailbox_len: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 0,
            shards: 1,
            faults: Faults::none(),
            receive_len: 4 << 10,
            send_window: 4 << 10,
            receive_window: 4 << 10,
            mailbox_len: 64,
        }
    }
}

/// Something that must not be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Trouble {
    /// A shard has turn after turn and achieves nothing.
    #[error("shard {0} spins")]
    Spins(usize),
    /// A driver failed.
    #[error("the driver of shard {0} failed: {1}")]
    Driver(usize, #[source] io::Error),
    /// The world does not come to rest.
    #[error("no end of events")]
    Restless,
}

/// What a step was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// This shard had half a turn.
    Turn(usize),
    /// Something travelled on.
    Carried,
    /// Time passed, up to the next moment at which something happens.
    Waited,
    /// Nothing will ever happen again, unless somebody does something; or not before the limit.
    Idle,
}

/// A server with its shards, its network and its clients.
pub struct World<H: Handler> {
    network: Rc<RefCell<Network>>,
    hub: Arc<Hub>,
    workers: Vec<Worker<H>>,
    /// For how many steps the clock stands still yet.
    stopped: u32,
}

struct Worker<H: Handler> {
    driver: Readiness<Simulated>,
    shard: Shard<H>,
    bell: Arc<Bell>,
    /// It waits. If not, it has had its turn and is about to: what others do meanwhile is what a
    /// wake-up can be lost over.
    waits: bool,
    /// How long it said it would wait, and since when it does.
    timeout: Option<Duration>,
    since: Duration,
    /// It has no turn before.
    late_until: Duration,
    ended: bool,
    idle_turns: u64,
    active_at: Duration,
}

impl<H: Handler> Worker<H> {
    fn wakes_at(&self) -> Duration {
        match self.timeout {
            Some(timeout) => self.since.saturating_add(timeout),
            None => Duration::MAX,
        }
    }

    /// Whether something has come that ends its wait.
    fn is_called(&self, network: &Network, index: usize) -> bool {
        !self.ended
            && (!self.waits
                || self.bell.is_rung()
                || network.has_events(index)
                || self.wakes_at() <= network.now)
    }

    fn lie_down(&mut self, now: Duration) {
        let wait = self.shard.wait(self.driver.now());
        self.timeout = self.driver.lie_down(wait, &mut self.shard);
        self.since = now;
        self.waits = true;
    }
}

impl<H: Handler> World<H> {
    /// A world at rest. `make` is called for the handler of each shard, with its number.
    #[must_use]
    pub fn new(setup: &Setup, config: &ServerConfig, mut make: impl FnMut(usize) -> H) -> Self {
        let network = Rc::new(RefCell::new(Network::new(
            setup.seed,
            setup.shards,
            setup.faults.clone(),
            setup.send_window.max(1),
            setup.receive_window.max(1),
        )));
        let mailbox_len = setup.mailbox_len.max(1);
        let hub = Arc::new(Hub::with_room(setup.shards, mailbox_len, mailbox_len));
        let protocol = Arc::new(config.protocol.clone());
        let workers = (0..setup.shards)
            .map(|index| {
                let bell = Arc::new(Bell::default());
                let number = u16::try_from(index).unwrap_or(u16::MAX);
                hub.inbox(number).set_waker(Arc::clone(&bell) as _);
                let kernel = Simulated::new(Rc::clone(&network), index, Arc::clone(&bell));
                Worker {
                    driver: Readiness::new(kernel, setup.receive_len.max(1)),
                    shard: Shard::new(number, make(index), Arc::clone(&protocol), Arc::clone(&hub)),
                    bell,
                    waits: false,
                    timeout: None,
                    since: Duration::ZERO,
                    late_until: Duration::ZERO,
                    ended: false,
                    idle_turns: 0,
                    active_at: Duration::ZERO,
                }
            })
            .collect();
        Self {
            network,
            hub,
            workers,
            stopped: 0,
        }
    }

    /// A new client, on its way to this shard.
    pub fn connect(&mut self, shard: usize) -> Client {
        let line = self.network.borrow_mut().dial(shard);
        Client {
            network: Rc::clone(&self.network),
            line,
        }
    }

    /// Lets the next thing happen.
    ///
    /// # Errors
    /// [`Trouble`]; the world is of no use then.
    pub fn step(&mut self) -> Result<Step, Trouble> {
        self.step_until(Duration::MAX)
    }

    /// Lets everything happen that happens within this time.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn run_for(&mut self, time: Duration) -> Result<(), Trouble> {
        let until = self.now().saturating_add(time);
        while self.step_until(until)? != Step::Idle {}
        Ok(())
    }

    /// Lets things happen until nothing moves any more for a while, which only a deadline will
    /// end.
    ///
    /// # Errors
    /// As [`step`](Self::step); [`Trouble::Restless`].
    pub fn settle(&mut self) -> Result<(), Trouble> {
        let mut activity = self.network.borrow().activity;
        let mut since = self.now();
        for _ in 0..STEPS_MAX {
            let until = since.saturating_add(QUIET);
            let step = self.step_until(until)?;
            let network = self.network.borrow();
            if network.activity != activity {
                activity = network.activity;
                since = network.now;
            } else if step == Step::Idle {
                since = network.now;
                drop(network);
                if self.is_quiet() {
                    return Ok(());
                }
            }
        }
        Err(Trouble::Restless)
    }

    /// The whole process stands still for so long; its clock does not.
    pub fn freeze(&mut self, time: Duration) {
        self.network.borrow_mut().now += time;
    }

    /// From now on nothing goes wrong any more. What clients were told to do stays.
    pub fn calm(&mut self) {
        self.stopped = 0;
        self.network.borrow_mut().calm();
        for worker in &mut self.workers {
            worker.late_until = Duration::ZERO;
            worker.bell.muffled.store(false, Ordering::Relaxed);
        }
    }

    /// Asks the server to end in order; see [`Server::shutdown`](crate::Server::shutdown).
    pub fn shutdown(&mut self, most: Duration) {
        self.hub.stop(Stop::Drain(most));
    }

    /// Asks the server to end at once; see [`Server::stop`](crate::Server::stop).
    pub fn stop(&mut self) {
        self.hub.stop(Stop::Now);
    }

    /// How long the world has existed.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.network.borrow().now
    }

    /// What time it is for the deadlines of a shard.
    #[must_use]
    pub fn tick(&self, shard: usize) -> Tick {
        self.workers[shard].driver.now()
    }

    /// Whether all shards have ended, as they were asked to.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.workers.iter().all(|worker| worker.ended)
    }

    /// A handle as other threads have it.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote::new(Arc::clone(&self.hub))
    }

    /// What each shard has counted.
    #[must_use]
    pub fn statistics(&self) -> Vec<Statistics> {
        self.hub.statistics()
    }

    /// What each shard holds.
    #[must_use]
    pub fn audit(&self) -> Vec<Audit> {
        self.workers
            .iter()
            .map(|worker| worker.shard.audit())
            .collect()
    }

    /// What went wrong so far, as it was asked for.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.network.borrow().counts
    }

    fn step_until(&mut self, limit: Duration) -> Result<Step, Trouble> {
        let choice = {
            let mut network = self.network.borrow_mut();
            pass_time(&mut network, &mut self.stopped);
            if network.now >= limit {
                return Ok(Step::Idle);
            }
            let runnable: SmallVec<[usize; 8]> = self
                .workers
                .iter()
                .enumerate()
                .filter(|(index, worker)| {
                    worker.late_until <= network.now && worker.is_called(&network, *index)
                })
                .map(|(index, _)| index)
                .collect();
            // What travels, and each shard that can run, have the same chance.
            let choices = runnable.len() + usize::from(network.can_carry());
            if choices == 0 {
                return Ok(wait_until(&mut network, &self.workers, limit));
            }
            let choice = runnable.get(network.random.index(choices)).copied();
            if choice.is_none() {
                network.carry();
            }
            choice
        };
        let Some(index) = choice else {
            return Ok(Step::Carried);
        };
        self.turn(index)?;
        Ok(Step::Turn(index))
    }

    fn turn(&mut self, index: usize) -> Result<(), Trouble> {
        let worker = &mut self.workers[index];
        if !worker.waits {
            worker.lie_down(self.network.borrow().now);
            return Ok(());
        }
        worker.waits = false;
        let (before, muffled, late_until) = {
            let mut network = self.network.borrow_mut();
            let late_until = if network.strikes(Fault::LateShard) {
                network.soon(LATE_MAX)
            } else {
                network.now
            };
            (
                network.activity,
                network.strikes(Fault::LostWake),
                late_until,
            )
        };
        for worker in &self.workers {
            worker.bell.muffled.store(muffled, Ordering::Relaxed);
        }
        let worker = &mut self.workers[index];
        worker
            .driver
            .get_up(worker.timeout, &mut worker.shard)
            .map_err(|error| Trouble::Driver(index, error))?;
        worker.shard.publish_counters();
        worker.late_until = late_until;
        let (now, activity) = {
            let network = self.network.borrow();
            (network.now, network.activity)
        };
        if worker.shard.is_finished() {
            worker.ended = true;
            return Ok(());
        }
        if activity != before {
            worker.idle_turns = 0;
            worker.active_at = now;
            return Ok(());
        }
        worker.idle_turns += 1;
        let passed = u64::try_from((now - worker.active_at).as_millis()).unwrap_or(u64::MAX);
        if worker.idle_turns > IDLE_TURNS_MAX.saturating_add(passed) {
            return Err(Trouble::Spins(index));
        }
        Ok(())
    }

    /// Whether all is done that was begun, up to the next deadline.
    fn is_quiet(&self) -> bool {
        let network = self.network.borrow();
        let workers = self.workers.iter().enumerate();
        network.is_quiet()
            && workers
                .filter(|(_, worker)| !worker.ended)
                .all(|(index, worker)| {
                    !network.has_edges(index) && !worker.is_called(&network, index)
                })
    }
}

/// A little time passes between any two things that happen; now and then much, or none.
fn pass_time(network: &mut Network, stopped: &mut u32) {
    if *stopped > 0 {
        *stopped -= 1;
        return;
    }
    network.now += Duration::from_micros(network.random.below(STEP_MAX_US));
    if network.strikes(Fault::StoppedClock) {
        *stopped = STOPPED_STEPS;
    }
    if network.strikes(Fault::Freeze) {
        let more = (FREEZE_MAX - FREEZE_MIN).as_secs();
        let hours = Duration::from_secs(network.random.below(more));
        network.now += FREEZE_MIN + hours;
    }
}

/// Nothing can happen now: lets time pass until something can, or up to the limit.
fn wait_until<H: Handler>(network: &mut Network, workers: &[Worker<H>], limit: Duration) -> Step {
    let next = workers
        .iter()
        .enumerate()
        .filter(|(_, worker)| !worker.ended)
        .map(|(index, worker)| match worker.is_called(network, index) {
            true => worker.late_until,
            false => worker.wakes_at().max(worker.late_until),
        })
        .fold(network.next_event(), Duration::min);
    if next < limit {
        network.now = network.now.max(next);
        return Step::Waited;
    }
    if limit < Duration::MAX {
        network.now = network.now.max(limit);
    }
    Step::Idle
}

/// A client of the simulated world: it does what it is told, and knows nothing of any protocol.
/// Cheap to clone; a clone is the same client.
#[derive(Clone)]
pub struct Client {
    network: Rc<RefCell<Network>>,
    line: u32,
}

impl Client {
    /// Sends octets; they travel as the world goes on. Does nothing once the client has shut.
    pub fn send(&self, octets: &[u8]) {
        self.network.borrow_mut().send(self.line, octets);
    }

    /// Shuts this side, behind all that was sent: the server sees the end, and may go on sending.
    pub fn shut(&self) {
        self.network.borrow_mut().shut(self.line);
    }

    /// Shuts this side and takes nothing more, as a closed socket does: what still comes is
    /// answered with a reset.
    pub fn leave(&self) {
        self.network.borrow_mut().leave(self.line);
    }

    /// Resets the connection, now: what was on its way is lost.
    pub fn reset(&self) {
        self.network.borrow_mut().reset(self.line);
    }

    /// Stops taking what the server sends; or goes on.
    pub fn stall(&self, on: bool) {
        self.network.borrow_mut().stall(self.line, on);
    }

    /// Holds back what is sent; or lets it go.
    pub fn hold(&self, on: bool) {
        self.network.borrow_mut().hold(self.line, on);
    }

    /// What has come from the server since this was last asked.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        self.network.borrow_mut().take(self.line)
    }

    /// How the server's side has ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.network.borrow().ended(self.line)
    }

    /// Octets that were sent and the server has not read.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.network.borrow().unread(self.line)
    }

    /// Octets the client has sent that have not arrived where the server could read them.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.network.borrow().in_flight(self.line)
    }

    /// Octets the server has read.
    #[must_use]
    pub fn read_so_far(&self) -> u64 {
        self.network.borrow().read_so_far(self.line)
    }

    /// What chance did to this client, as opposed to its network: whatever has it was promised
    /// less.
    #[must_use]
    pub fn befallen(&self) -> Option<Fault> {
        self.network.borrow().befallen(self.line)
    }

    /// Its number among the clients of its world, from 0. The handler sees it in the peer's
    /// address: client `n` has 10.0.0.0 plus `n`.
    #[must_use]
    pub fn number(&self) -> usize {
        self.line as usize
    }
}
