//! The broadcast load: one connection sends, all others must receive everything, in order.
//!
//! Closed loop: a batch of `depth` messages leaves when every subscriber has the one before.
//! Every delivery is checked to the octet and timed from the write that sent its batch. The sender
//! may get its own messages or not: servers differ, and it is not counted.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

use wirebahn::Opcode;

use super::aside::Aside;
use super::check::{Checker, Control, Correctness, Fault};
use super::crew::{self, Phase, Score, Shared, Tally, Yield};
use super::fleet::{self, Fleet, OPEN_TIMEOUT, Play, Turn};
use super::reel::{Content, Reel, ReelPlan};
use super::report::{Asked, Driver, Latency, Report, Server};
use super::target::Target;
use super::wire::Wire;
use crate::measure::process;

/// Connections a thread opens at once.
const OPENING_MAX: usize = 128;

/// Default of the option of that name.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the closing handshakes may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A turn waits no longer than this.
const LOOK: Duration = Duration::from_millis(10);

/// What a broadcast run shall do. Make one with [`new`](Self::new) and set what differs.
#[derive(Debug, Clone)]
pub struct BroadcastPlan {
    /// Where to: a server that sends every message to everyone.
    pub target: Target,
    /// Connections that receive; one more sends. Default: 1000.
    pub subscribers: usize,
    /// Threads. Default: 1.
    pub threads: usize,
    /// Payload lengths in octets, taken in turn. Default: 16.
    pub sizes: Vec<usize>,
    /// Default: binary.
    pub content: Content,
    /// Messages of a batch. Default: 1.
    pub depth: usize,
    /// Text messages of at most 125 octets that begin with this are the server's own and passed
    /// over where binary ones are due: `tick `, say. Default: there are none.
    pub foreign: Option<String>,
    /// Load that is not measured. Default: 0.5 s.
    pub warmup: Duration,
    /// Load that is measured. Default: 5 s.
    pub duration: Duration,
    /// How long one connection may take to open. Default: 10 s.
    pub open_timeout: Duration,
    /// How long deliveries are awaited after the last batch was sent. Default: 10 s.
    pub drain_timeout: Duration,
    /// Source addresses, in turn. Default: the system's.
    pub sources: Vec<IpAddr>,
    /// Processors to pin the threads to, in turn. Default: none.
    pub processors: Vec<usize>,
    /// The server, to account for its processor time and memory. Default: none.
    pub pid: Option<u32>,
    /// Decides over contents. Default: 1.
    pub seed: u64,
    /// No progress on standard error. Default: false.
    pub quiet: bool,
}

/// What the threads of a broadcast share besides phases and counters.
#[derive(Debug)]
struct Stage {
    /// Messages sent so far.
    sent: AtomicU64,
    /// When the last batch was sent, in nanoseconds since the run began.
    sent_at: AtomicU64,
    /// Subscribers that do not have all of the last batch yet.
    waiting: AtomicUsize,
    /// Subscribers that are open.
    subscribed: AtomicUsize,
    /// Wakes the thread of the sender.
    waker: std::sync::OnceLock<Arc<mio::Waker>>,
}

impl BroadcastPlan {
    /// The defaults, against a target.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            subscribers: 1000,
            threads: 1,
            sizes: vec![16],
            content: Content::Binary,
            depth: 1,
            foreign: None,
            warmup: Duration::from_millis(500),
            duration: Duration::from_secs(5),
            open_timeout: OPEN_TIMEOUT,
            drain_timeout: DRAIN_TIMEOUT,
            sources: Vec::new(),
            processors: Vec::new(),
            pid: None,
            seed: 1,
            quiet: false,
        }
    }

    /// Runs the load and reports; a message of the report is a delivery.
    ///
    /// # Errors
    /// What the driver itself cannot do.
    pub fn run(&self) -> io::Result<Report> {
        let threads = self.threads.clamp(1, self.subscribers.max(1));
        let reel = Reel::new(&ReelPlan {
            sizes: self.sizes.clone(),
            content: self.content,
            fragment: 0,
            raw: self.target.is_raw(),
            foreign: self.foreign.clone(),
            seed: self.seed,
        })
        .map_err(io::Error::other)?;
        let shared = Shared::new(threads);
        let stage = Stage {
            sent: AtomicU64::new(0),
            sent_at: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            subscribed: AtomicUsize::new(0),
            waker: std::sync::OnceLock::new(),
        };
        let score = Score {
            connections: self.subscribers as u64 + 1,
            open_timeout: self.open_timeout
                * (1 + (self.subscribers / OPENING_MAX / threads) as u32),
            warmup: self.warmup,
            duration: self.duration,
            pid: self.pid,
            processors: self.processors.clone(),
            quiet: self.quiet,
        };
        let start = Instant::now();
        let taken = crew::conduct(&score, &shared, |index| {
            let share =
                self.subscribers / threads + usize::from(index < self.subscribers % threads);
            let mut fleet =
                Fleet::new(self.target.clone(), self.sources.clone(), self.open_timeout)?;
            if index == 0 {
                // The first and only time it is set.
                let _ = stage.waker.set(Arc::new(fleet.waker()?));
            }
            let mut play = Broadcast {
                plan: self,
                reel: &reel,
                shared: &shared,
                stage: &stage,
                tally: &shared.tallies[index],
                gained: Yield::new(),
                start,
                to_open: share + usize::from(index == 0),
                leads: index == 0,
                messages: 0,
                phase: Phase::Open,
                sending: false,
                control: Vec::new(),
                window: None,
                deadline: None,
                closing: false,
            };
            fleet::run(&mut fleet, &mut play)?;
            Ok(play.gained)
        })?;
        let mut faults = taken.gained.faults.clone();
        if taken.opened < score.connections && faults.count == 0 {
            faults.add(&Fault::Late);
        }
        Ok(Report {
            test: "broadcast",
            asked: Asked {
                target: self.target.to_string(),
                connections: self.subscribers,
                threads,
                sizes: self.sizes.clone(),
                content: self.content,
                depth: Some(self.depth),
                rate: None,
                fragment: 0,
                correctness: Correctness::Exact,
                sources: self.sources.clone(),
                seconds: self.duration.as_secs_f64(),
            },
            opened: taken.opened,
            opening_s: taken.opening.as_secs_f64(),
            window_s: taken.window.as_secs_f64(),
            messages: taken.messages,
            messages_per_s: taken.messages as f64 / taken.window.as_secs_f64().max(1e-9),
            latency: Latency::of(&taken.gained.latency),
            server: taken.server.map(|cpu| {
                Server::of(
                    cpu,
                    taken.memory.unwrap_or_default(),
                    taken.messages,
                    taken.window,
                )
            }),
            driver: Driver::of(&taken, None, None),
            per_connection: None,
            faults: faults.count,
            faults_told: faults.told,
            distribution: Some(taken.gained.latency.clone()),
        })
    }
}

struct Broadcast<'a> {
    plan: &'a BroadcastPlan,
    reel: &'a Reel,
    shared: &'a Shared,
    stage: &'a Stage,
    tally: &'a Tally,
    gained: Yield,
    start: Instant,
    to_open: usize,
    /// This thread has the sender, as its first connection.
    leads: bool,
    messages: u64,
    phase: Phase,
    sending: bool,
    control: Vec<Control>,
    window: Option<(Instant, Duration)>,
    deadline: Option<Instant>,
    closing: bool,
}

struct Seat {
    checker: Checker,
    /// It sends, and what it hears does not count.
    sends: bool,
    /// The next octet to send, of the reel, and how many are due.
    at: usize,
    due: usize,
    /// The message after the last one that was put in line.
    index: usize,
    /// Messages that came.
    came: u64,
    aside: Aside,
    closed: bool,
}

impl Seat {
    fn flush(&mut self, reel: &Reel, wire: &mut Wire) -> Result<(), Fault> {
        if self.aside.is_begun() && !self.aside.flush(wire)? {
            return Ok(());
        }
        while self.due > 0 {
            let count = wire
                .write(reel.to_send(self.at, self.due))
                .map_err(|error| Fault::Transport(error.kind()))?;
            if count == 0 {
                return Ok(());
            }
            self.at = reel.advance(self.at, count);
            self.due -= count;
        }
        self.aside.flush(wire).map(drop)
    }
}

impl Play for Broadcast<'_> {
    type Seat = Seat;

    fn turn(&mut self, fleet: &mut Fleet<Seat>, now: Instant) -> Turn {
        self.enter_phase(now);
        while self.to_open > 0 && fleet.opening() < OPENING_MAX {
            self.to_open -= 1;
            let seat = Seat {
                checker: Checker::new(0, Correctness::Exact),
                sends: std::mem::take(&mut self.leads),
                at: self.reel.sent_start(0),
                due: 0,
                index: 0,
                came: 0,
                aside: Aside::default(),
                closed: false,
            };
            if let Err(error) = fleet.connect(seat, now) {
                self.gained
                    .faults
                    .add_text(format!("cannot connect: {error}"));
                self.tally.lost.fetch_add(1, Relaxed);
            }
        }
        if self.phase == Phase::Drain {
            return self.drain(fleet, now);
        }
        if self.sending && self.stage.waiting.load(Acquire) == 0 {
            self.send_batch(fleet, now);
        }
        if fleet.live() == 0 && self.to_open == 0 {
            return Turn::Done;
        }
        Turn::Wait(LOOK)
    }

    fn opened(&mut self, _wire: &mut Wire, seat: &mut Seat, _now: Instant) -> Result<(), Fault> {
        self.tally.opened.fetch_add(1, Relaxed);
        if self.phase > Phase::Open {
            // What it missed was sent before it was there: it cannot join a run that is under way.
            return Err(Fault::Late);
        }
        if !seat.sends {
            self.stage.subscribed.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    #[inline]
    fn received(
        &mut self,
        wire: &mut Wire,
        seat: &mut Seat,
        octets: &[u8],
        now: Instant,
    ) -> Result<(), Fault> {
        let count = seat.checker.hear(self.reel, octets, &mut self.control)? as u64;
        if count > 0 {
            seat.came += count;
            let sent = self.stage.sent.load(Acquire);
            if seat.came > sent {
                return Err(Fault::Unasked);
            }
            if !seat.sends {
                self.messages += count;
                self.tally.messages.store(self.messages, Relaxed);
                let since = now.saturating_duration_since(self.start).as_nanos() as u64;
                let latency = since.saturating_sub(self.stage.sent_at.load(Relaxed));
                self.gained
                    .latency
                    .saturating_record_n(latency.max(1), count);
                if seat.came == sent && self.stage.waiting.fetch_sub(1, Release) == 1 {
                    self.wake_sender();
                }
            }
        }
        if !self.control.is_empty() {
            self.hear_control(seat)?;
        }
        seat.flush(self.reel, wire)
    }

    fn writable(&mut self, wire: &mut Wire, seat: &mut Seat) -> Result<(), Fault> {
        seat.flush(self.reel, wire)
    }

    fn lost(&mut self, seat: Seat, fault: Fault, _now: Instant) {
        self.tally.lost.fetch_add(1, Relaxed);
        let sent = self.stage.sent.load(Acquire);
        if !seat.sends && sent > seat.came && !matches!(fault, Fault::Late) {
            // Nobody shall wait for it.
            if self.stage.waiting.fetch_sub(1, Release) == 1 {
                self.wake_sender();
            }
        }
        if !seat.sends {
            self.stage.subscribed.fetch_sub(1, Relaxed);
        }
        let complete = seat.sends || seat.came == sent;
        let in_order = (self.closing && matches!(fault, Fault::Closed { .. }))
            || (seat.closed && matches!(fault, Fault::Transport(_)));
        if !(in_order && complete) {
            self.gained.faults.add(&fault);
        }
    }
}

impl Broadcast<'_> {
    fn enter_phase(&mut self, now: Instant) {
        let phase = self.shared.phase();
        if phase == self.phase {
            return;
        }
        if self.phase < Phase::Warm {
            // Only the thread that has the sender can act on it.
            self.sending = self.stage.subscribed.load(Relaxed) > 0;
        }
        if self.phase < Phase::Measure && phase >= Phase::Measure {
            self.gained.latency.reset();
            self.window = process::thread_cpu_time().ok().map(|cpu| (now, cpu));
        }
        if phase == Phase::Drain {
            if let Some((start, before)) = self.window
                && let Ok(cpu) = process::thread_cpu_time()
            {
                self.gained.window = now.duration_since(start);
                self.gained.cpu = cpu.saturating_sub(before);
            }
            self.sending = false;
            self.to_open = 0;
            self.deadline = Some(now + self.plan.drain_timeout);
        }
        self.phase = phase;
    }

    fn send_batch(&mut self, fleet: &mut Fleet<Seat>, now: Instant) {
        let (reel, depth) = (self.reel, self.plan.depth);
        // The sender is the first connection its thread began.
        let Some((wire, seat)) = fleet.open_at(0) else {
            return;
        };
        if !seat.sends || seat.due > 0 {
            return;
        }
        for _ in 0..depth {
            seat.due += reel.sent_len(seat.index);
            seat.index = reel.after(seat.index);
        }
        let since = now.saturating_duration_since(self.start).as_nanos() as u64;
        self.stage
            .waiting
            .store(self.stage.subscribed.load(Relaxed), Relaxed);
        self.stage.sent_at.store(since, Relaxed);
        self.stage.sent.fetch_add(depth as u64, Release);
        if let Err(fault) = seat.flush(reel, wire)
            && let Some(seat) = fleet.remove(0)
        {
            self.lost(seat, fault, now);
        }
    }

    /// The last subscriber has everything: the next batch is due. The sender's own thread sees it
    /// at its next turn.
    fn wake_sender(&self) {
        if self.shared.tallies.len() > 1
            && let Some(waker) = self.stage.waker.get()
        {
            // Its thread looks by itself before long, should this fail.
            let _ = waker.wake();
        }
    }

    #[cold]
    fn hear_control(&mut self, seat: &mut Seat) -> Result<(), Fault> {
        for control in std::mem::take(&mut self.control) {
            match control {
                Control::Ping(payload) => seat.aside.push(Opcode::Pong, &payload)?,
                Control::Close(_) if self.closing => seat.closed = true,
                Control::Close(code) => return Err(Fault::Closed { code }),
            }
        }
        Ok(())
    }

    fn drain(&mut self, fleet: &mut Fleet<Seat>, now: Instant) -> Turn {
        let late = self.deadline.is_some_and(|deadline| now >= deadline);
        let sent = self.stage.sent.load(Acquire);
        if !self.closing && (self.stage.waiting.load(Acquire) == 0 || late) {
            self.closing = true;
            self.deadline = Some(now + CLOSE_TIMEOUT);
            let (reel, raw) = (self.reel, self.plan.target.is_raw());
            let lost = fleet.for_each_open(|wire, seat| {
                if !seat.sends && seat.came < sent {
                    return Err(Fault::Missing {
                        messages: (sent - seat.came) as usize,
                    });
                }
                if raw {
                    wire.shut();
                    return Ok(());
                }
                seat.aside.push_close(1000)?;
                seat.flush(reel, wire)
            });
            for (index, fault) in lost {
                if let Some(seat) = fleet.remove(index) {
                    self.lost(seat, fault, now);
                }
            }
            return Turn::Wait(LOOK);
        }
        if fleet.live() == 0 || (self.closing && late) {
            return Turn::Done;
        }
        Turn::Wait(LOOK)
    }
}
