//! Ten thousand worlds by chance: echo, broadcast and a server that paces itself, with every
//! fault there is.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use wirebahn::sim::{Counts, Ended, Fault, Faults, Random, Setup, World};
use wirebahn::{
    Context, Handler, Message, Sent, ServerConfig, ServerConfigBuilder, SlowPolicy, Statistics,
};
use wirebahn_tests::peer::Peer;
use wirebahn_tests::wire;

use crate::common::{Act, Echo, Log, Logged, Shared, check_end, check_rest, require};

mod broadcast;
mod echo;
mod pace;

const SEEDS: u64 = 10_000;

/// How often each fault must have happened for the run to mean something.
const HITS_MIN: u64 = 100;

#[test]
fn ten_thousand_worlds() {
    let number = |name| {
        let given = std::env::var(name).ok()?;
        Some(given.parse::<u64>().expect("a number"))
    };
    let only = number("WIREBAHN_SEED");
    let seeds = match only {
        Some(seed) => seed..=seed,
        None => 1..=number("WIREBAHN_SEEDS").unwrap_or(SEEDS),
    };
    let mut total = Tally::default();
    for seed in seeds {
        let outcome = catch_unwind(AssertUnwindSafe(|| run(seed)));
        let problem = match outcome {
            Ok(Ok(more)) => {
                total.add(&more);
                continue;
            }
            Ok(Err(problem)) => problem,
            Err(panic) => {
                eprintln!("{}", failure(seed));
                resume_unwind(panic);
            }
        };
        panic!("{}: {problem}", failure(seed));
    }
    println!("{}{total:#?}", total.counts);
    if total.worlds < SEEDS {
        return; // too few to expect anything of
    }
    for fault in Fault::ALL {
        let hits = total.counts.of(fault);
        let sabotage = matches!(fault, Fault::LostOctet | Fault::LostWake);
        assert!(sabotage || hits >= HITS_MIN, "{fault:?}: only {hits}");
    }
    for (what, hits) in total.rare() {
        assert!(hits >= HITS_MIN, "{what}: only {hits}");
    }
}

/// What happened in worlds.
#[derive(Debug, Default)]
struct Tally {
    worlds: u64,
    counts: Counts,
    /// Messages that were checked, octet for octet.
    messages: u64,
    /// Times the program was told that it may go on.
    writable: u64,
    /// Messages that slow subscribers did not get, by either policy.
    missed: u64,
    /// Worlds in which a publisher was paused because another shard's mailbox was full.
    paused: u64,
    /// Connections failed for a violation.
    violations: u64,
    /// Failures to accept.
    accept_errors: u64,
    simulated: Duration,
}

impl Tally {
    fn of<H: Handler>(world: &World<H>, log: &Log, peers: &[Peer]) -> Self {
        let statistics = world.statistics();
        let sum = |of: fn(&Statistics) -> u64| statistics.iter().map(of).sum();
        Self {
            worlds: 1,
            counts: world.counts(),
            messages: peers.iter().map(|peer| peer.messages().len() as u64).sum(),
            writable: log.writable as u64,
            missed: sum(|s| s.dropped),
            paused: 0,
            violations: sum(|s| s.violations),
            accept_errors: sum(|s| s.accept_errors),
            simulated: world.now(),
        }
    }

    fn add(&mut self, more: &Self) {
        self.worlds += more.worlds;
        self.counts += more.counts;
        self.messages += more.messages;
        self.writable += more.writable;
        self.missed += more.missed;
        self.paused += more.paused;
        self.violations += more.violations;
        self.accept_errors += more.accept_errors;
        self.simulated += more.simulated;
    }

    /// What must have happened for the run to mean something.
    fn rare(&self) -> [(&'static str, u64); 5] {
        [
            ("writable", self.writable),
            ("missed", self.missed),
            ("paused", self.paused),
            ("violations", self.violations),
            ("accept errors", self.accept_errors),
        ]
    }
}

#[test]
fn a_seed_repeats_itself() {
    for seed in 1..=40 {
        let (first, second) = (run(seed).unwrap(), run(seed).unwrap());
        assert_eq!(format!("{first:?}"), format!("{second:?}"), "seed {seed}");
    }
}

fn failure(seed: u64) -> String {
    format!(
        "seed {seed} fails; `WIREBAHN_SEED={seed} cargo test -p wirebahn-tests --test sim ten_thousand` runs only it"
    )
}

fn run(seed: u64) -> Result<Tally, String> {
    match seed % 4 {
        0 | 1 => echo::run(seed),
        2 => broadcast::run(seed),
        _ => pace::run(seed),
    }
}

/// A world by chance.
fn setup(seed: u64, random: &mut Random) -> Setup {
    Setup {
        seed,
        shards: 1 << random.index(3),
        faults: Faults::default(),
        receive_len: 16 + random.size(8 << 10),
        send_window: 16 + random.size(8 << 10),
        receive_window: 16 + random.size(8 << 10),
        mailbox_len: random.size(64),
    }
}

/// A configuration whose marks are low enough to matter. Stalls must not add up to a deadline, so
/// the closing has longer than by default.
fn config(random: &mut Random) -> ServerConfigBuilder {
    let high = 256 + random.size(16 << 10);
    let low = high / 2;
    ServerConfig::builder()
        .limits(|limits| {
            limits.outbound_high = high;
            limits.outbound_low = low;
            limits.outbound_max = 1 << 20;
        })
        .timeouts(|timeouts| {
            timeouts.closing = Duration::from_secs(60);
            timeouts.linger = Duration::from_secs(60);
            timeouts.opening = Duration::from_secs(60);
        })
}

/// Lets a little time pass.
fn a_while<H: Handler>(world: &mut World<H>, random: &mut Random) -> Result<(), String> {
    let time = Duration::from_micros(random.size(2_000) as u64);
    world.run_for(time).map_err(|trouble| trouble.to_string())
}

/// Lets everything come to rest, while the clients go on answering.
fn rest<H: Handler>(world: &mut World<H>, peers: &mut [Peer]) -> Result<(), String> {
    for _ in 0..1_000 {
        world.settle().map_err(|trouble| trouble.to_string())?;
        let mut heard = false;
        for peer in &mut *peers {
            heard |= peer.hear()?;
        }
        if !heard {
            return Ok(());
        }
    }
    Err("the clients never come to rest".to_owned())
}

/// Half a minute without a message: pings and pongs.
fn silence<H: Handler>(world: &mut World<H>, peers: &mut [Peer]) -> Result<(), String> {
    for _ in 0..30 {
        world
            .run_for(Duration::from_secs(1))
            .map_err(|trouble| trouble.to_string())?;
        for peer in &mut *peers {
            peer.hear()?;
        }
    }
    Ok(())
}

/// Ends all clients that are still there, one way or another, and checks what is left.
fn end<H: Handler>(
    world: &mut World<H>,
    peers: &mut [Peer],
    log: &Shared,
    random: &mut Random,
) -> Result<(), String> {
    check_rest(world, peers)?;
    for peer in &mut *peers {
        peer.reappear();
        match random.index(3) {
            0 if peer.is_open() => peer.close(Some((1000, "bye"))),
            1 => peer.leave(),
            _ => peer.shut(),
        }
    }
    rest(world, peers)?;
    for peer in &*peers {
        require(peer.client().ended().is_some(), || {
            format!("client {} was never let go", peer.client().number())
        })?;
    }
    check_end(world, &log.borrow())
}
