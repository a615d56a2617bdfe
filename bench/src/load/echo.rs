//! The echo load: every connection keeps messages in flight, every one that comes back is checked.
//!
//! Closed loop: a connection has `depth` messages in flight, and sends another for each that comes
//! back; all that one read completed is answered with one write. Open loop: messages leave at the
//! times a fixed rate sets, whether or not earlier ones are back, and latency counts from those
//! times, so that a stall of the server shows in every message it delays and not in one alone.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use wirebahn::Opcode;

use super::aside::Aside;
use super::check::{Checker, Control, Correctness, Fault};
use super::crew::{self, Phase, Score, Shared, Taken, Tally, Yield};
use super::fleet::{self, Fleet, OPEN_TIMEOUT, Play, Turn};
use super::reel::{Content, Reel, ReelPlan};
use super::report::{Asked, Driver, Latency, Report, Server};
use super::target::Target;
use super::wire::Wire;
use crate::measure::process;

/// Connections a thread opens at once; more would overflow a listening queue of common length.
const OPENING_MAX: usize = 128;

/// Replies a connection may owe before it counts as behind: bounds the books on send times.
const OWED_MAX: usize = 1 << 16;

/// Default of the option of that name.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the closing handshakes may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A turn waits no longer than this, to see the next phase in time.
const LOOK: Duration = Duration::from_millis(10);

/// What an echo run shall do. Make one with [`new`](Self::new) and set what differs.
#[derive(Debug, Clone)]
pub struct EchoPlan {
    /// Where to.
    pub target: Target,
    /// Connections in all. Default: 200.
    pub connections: usize,
    /// Threads; each has its share of the connections and of the rate. Default: 1.
    pub threads: usize,
    /// Payload lengths in octets, taken in turn. Default: 16.
    pub sizes: Vec<usize>,
    /// Default: binary.
    pub content: Content,
    /// Messages in flight per connection, in a closed loop. Default: 1.
    pub depth: usize,
    /// Messages per second of all connections together: an open loop. Default: none.
    pub rate: Option<f64>,
    /// Messages per connection after which the run ends, unmeasured load then excluded; it still
    /// ends after `duration` if they are not back by then. Default: none.
    pub messages: Option<usize>,
    /// How long to wait between the beginnings of two connections. Default: 0.
    pub opening_gap: Duration,
    /// Payload octets a frame at most; 0: whole messages. Default: 0.
    pub fragment: usize,
    /// How closely replies are looked at. Default: every octet.
    pub correctness: Correctness,
    /// Load that is not measured. Default: 0.5 s.
    pub warmup: Duration,
    /// Load that is measured. Default: 5 s.
    pub duration: Duration,
    /// How long one connection may take to open. Default: 10 s.
    pub open_timeout: Duration,
    /// How long replies are awaited after the last message was sent. Default: 10 s.
    pub drain_timeout: Duration,
    /// Source addresses, in turn; each has some 28,000 ports for one server. Default: the system's.
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

impl EchoPlan {
    /// The defaults, against a target.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            connections: 200,
            threads: 1,
            sizes: vec![16],
            content: Content::Binary,
            depth: 1,
            rate: None,
            messages: None,
            opening_gap: Duration::ZERO,
            fragment: 0,
            correctness: Correctness::Exact,
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

    /// Runs the load and reports. A fault of the server is not an error but a report that
    /// [failed](Report::passed).
    ///
    /// # Errors
    /// What the driver itself cannot do: threads, polls, pinning, a `pid` that is not there.
    pub fn run(&self) -> io::Result<Report> {
        let threads = self.threads.clamp(1, self.connections.max(1));
        let reel = Reel::new(&ReelPlan {
            sizes: self.sizes.clone(),
            content: self.content,
            fragment: self.fragment,
            raw: self.target.is_raw(),
            foreign: None,
            seed: self.seed,
        })
        .map_err(io::Error::other)?;
        let shared = Shared::new(threads);
        let score = Score {
            connections: self.connections as u64,
            // Each thread opens its connections in groups, which follow one another.
            open_timeout: self.open_timeout
                * (1 + (self.connections / OPENING_MAX / threads) as u32)
                + self.opening_gap * self.connections as u32,
            warmup: self.warmup,
            duration: self.duration,
            pid: self.pid,
            processors: self.processors.clone(),
            quiet: self.quiet,
        };
        let taken = crew::conduct(&score, &shared, |index| {
            let share = |total: usize| total / threads + usize::from(index < total % threads);
            let mut play = Echo {
                plan: self,
                reel: &reel,
                shared: &shared,
                tally: &shared.tallies[index],
                gained: Yield::new(),
                to_open: share(self.connections),
                open_next: None,
                first: index,
                stride: threads,
                messages: 0,
                given_up: 0,
                share: share(self.connections),
                last: None,
                owed: 0,
                phase: Phase::Open,
                sending: false,
                pace: self.rate.map(|rate| Pace {
                    gap: Duration::from_secs_f64(threads as f64 / rate.max(1e-3)),
                    due: None,
                    next: 0,
                    connections: share(self.connections),
                }),
                control: Vec::new(),
                window: None,
                deadline: None,
                closing: false,
            };
            let mut fleet =
                Fleet::new(self.target.clone(), self.sources.clone(), self.open_timeout)?;
            fleet::run(&mut fleet, &mut play)?;
            Ok(play.gained)
        })?;
        Ok(self.report(&taken, threads))
    }

    fn report(&self, taken: &Taken, threads: usize) -> Report {
        let mut faults = taken.gained.faults.clone();
        if taken.opened < self.connections as u64 && faults.count == 0 {
            faults.add(&Fault::Late);
        }
        let lag = &taken.gained.lag;
        // A run of so many messages is over when they are back, not when the conductor looks.
        let (messages, window) = match self.messages {
            Some(_) => (taken.gained.latency.len(), taken.gained.window),
            None => (taken.messages, taken.window),
        };
        Report {
            test: "echo",
            asked: Asked {
                target: self.target.to_string(),
                connections: self.connections,
                threads,
                sizes: self.sizes.clone(),
                content: self.content,
                depth: self.rate.is_none().then_some(self.depth),
                rate: self.rate,
                fragment: self.fragment,
                correctness: self.correctness,
                sources: self.sources.clone(),
                seconds: self.duration.as_secs_f64(),
            },
            opened: taken.opened,
            opening_s: taken.opening.as_secs_f64(),
            window_s: window.as_secs_f64(),
            messages,
            messages_per_s: messages as f64 / window.as_secs_f64().max(1e-9),
            latency: Latency::of(&taken.gained.latency),
            server: taken
                .server
                .map(|cpu| Server::of(cpu, taken.memory.unwrap_or_default(), messages, window)),
            driver: Driver::of(
                taken,
                (!lag.is_empty()).then(|| Latency::of(lag)),
                self.rate,
            ),
            per_connection: None,
            faults: faults.count,
            faults_told: faults.told,
            distribution: Some(taken.gained.latency.clone()),
        }
    }
}

/// The echo of one thread.
struct Echo<'a> {
    plan: &'a EchoPlan,
    reel: &'a Reel,
    shared: &'a Shared,
    tally: &'a Tally,
    gained: Yield,
    to_open: usize,
    /// When the next connection may be begun, where there is a gap between them.
    open_next: Option<Instant>,
    /// The reel's message the next connection begins with, and how far it is to the one after.
    first: usize,
    stride: usize,
    messages: u64,
    /// Messages of lost connections that will not be back, where so many were to be sent.
    given_up: u64,
    /// Connections of this thread.
    share: usize,
    /// When the last reply came.
    last: Option<Instant>,
    /// Replies due, of all connections.
    owed: usize,
    phase: Phase,
    sending: bool,
    pace: Option<Pace>,
    control: Vec<Control>,
    /// When the window began, and the processor time used until then.
    window: Option<(Instant, Duration)>,
    deadline: Option<Instant>,
    closing: bool,
}

/// When messages leave in an open loop.
struct Pace {
    gap: Duration,
    due: Option<Instant>,
    /// The connection whose turn it is.
    next: usize,
    connections: usize,
}

/// A connection's place.
struct Seat {
    checker: Checker,
    /// The next message to send, of the reel.
    index: usize,
    /// The next octet to send, of the reel.
    at: usize,
    /// Octets due to leave.
    due: usize,
    /// Replies due.
    owed: usize,
    /// Messages that may still be sent.
    left: usize,
    /// When the messages in flight were sent, or had to be: how many, and when.
    stamps: VecDeque<(usize, Instant)>,
    /// Pongs and Close, rare: they leave when no frame of the reel is half written.
    aside: Aside,
    /// The server sent a Close frame, or was sent one.
    closed: bool,
}

impl Seat {
    /// Puts messages in line, as many of them as are left; returns how many.
    #[inline]
    fn push(&mut self, reel: &Reel, count: usize, at: Instant) -> usize {
        let count = count.min(self.left);
        if count == 0 {
            return 0;
        }
        for _ in 0..count {
            self.due += reel.sent_len(self.index);
            self.index = reel.after(self.index);
        }
        self.left -= count;
        self.owed += count;
        self.stamps.push_back((count, at));
        count
    }

    /// Writes what fits.
    #[inline]
    fn flush(&mut self, reel: &Reel, wire: &mut Wire) -> Result<(), Fault> {
        let failed = |error: io::Error| Fault::Transport(error.kind());
        // A frame that is half written goes first, be it one of the reel or a control frame.
        if self.aside.is_begun() && !self.aside.flush(wire)? {
            return Ok(());
        }
        while self.due > 0 {
            let octets = reel.to_send(self.at, self.due);
            let count = wire.write(octets).map_err(failed)?;
            if count == 0 {
                return Ok(());
            }
            self.at = reel.advance(self.at, count);
            self.due -= count;
        }
        if !self.aside.is_empty() {
            self.aside.flush(wire)?;
        }
        Ok(())
    }
}

impl Play for Echo<'_> {
    type Seat = Seat;

    fn turn(&mut self, fleet: &mut Fleet<Seat>, now: Instant) -> Turn {
        self.enter_phase(fleet, now);
        while self.to_open > 0
            && fleet.opening() < OPENING_MAX
            && self.open_next.is_none_or(|at| now >= at)
        {
            self.to_open -= 1;
            if !self.plan.opening_gap.is_zero() {
                let gap = self.plan.opening_gap * self.stride as u32;
                self.open_next = Some(self.open_next.unwrap_or(now) + gap);
            }
            let index = self.first % self.reel.count();
            self.first += self.stride;
            let seat = Seat {
                checker: Checker::new(index, self.plan.correctness),
                index,
                at: self.reel.sent_start(index),
                due: 0,
                owed: 0,
                stamps: VecDeque::new(),
                aside: Aside::default(),
                left: self.plan.messages.unwrap_or(usize::MAX),
                closed: false,
            };
            if let Err(error) = fleet.connect(seat, now) {
                self.gained
                    .faults
                    .add_text(format!("cannot connect: {error}"));
                self.tally.lost.fetch_add(1, Relaxed);
                self.given_up += self.plan.messages.unwrap_or(0) as u64;
            }
        }
        if self.sending && self.is_exhausted(fleet) {
            self.end_window(now);
            self.sending = false;
            self.phase = Phase::Drain;
        }
        let wait = match self.phase {
            Phase::Drain => return self.drain(fleet, now),
            _ if self.sending && self.pace.is_some() => self.send_due(fleet, now),
            _ => LOOK,
        };
        if fleet.live() == 0 && self.to_open == 0 {
            return Turn::Done;
        }
        Turn::Wait(wait)
    }

    fn opened(&mut self, wire: &mut Wire, seat: &mut Seat, now: Instant) -> Result<(), Fault> {
        self.tally.opened.fetch_add(1, Relaxed);
        // A straggler joins those that run already.
        if self.sending && self.pace.is_none() {
            self.owed += seat.push(self.reel, self.plan.depth, now);
            seat.flush(self.reel, wire)?;
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
        let count = seat.checker.hear(self.reel, octets, &mut self.control)?;
        if count > 0 {
            if count > seat.owed {
                return Err(Fault::Unasked);
            }
            seat.owed -= count;
            self.owed -= count;
            self.messages += count as u64;
            self.tally.messages.store(self.messages, Relaxed);
            self.record(seat, count, now);
            self.last = Some(now);
            if self.sending && self.pace.is_none() {
                self.owed += seat.push(self.reel, count, now);
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
        self.owed -= seat.owed;
        if self.plan.messages.is_some() {
            self.given_up += (seat.left + seat.owed) as u64;
        }
        self.tally.lost.fetch_add(1, Relaxed);
        let in_order = self.closing && seat.owed == 0 && matches!(fault, Fault::Closed { .. });
        // Some servers reset what they have answered already; nothing is missing then.
        let at_the_end = seat.closed && seat.owed == 0 && matches!(fault, Fault::Transport(_));
        if !in_order && !at_the_end {
            self.gained.faults.add(&fault);
        }
    }
}

impl Echo<'_> {
    fn enter_phase(&mut self, fleet: &mut Fleet<Seat>, now: Instant) {
        let phase = self.shared.phase();
        if phase == self.phase || self.phase == Phase::Drain {
            return;
        }
        if self.phase < Phase::Warm {
            self.sending = true;
            if self.plan.messages.is_some() {
                self.begin_window(now);
            }
            if self.pace.is_none() {
                self.start_all(fleet, now);
            }
        }
        // A run of so many messages is measured from the first of them.
        if self.phase < Phase::Measure && phase >= Phase::Measure && self.plan.messages.is_none() {
            self.begin_window(now);
        }
        if phase == Phase::Drain {
            self.end_window(now);
            self.sending = false;
            self.to_open = 0;
            self.deadline = Some(now + self.plan.drain_timeout);
        }
        self.phase = phase;
    }

    fn begin_window(&mut self, now: Instant) {
        self.gained.latency.reset();
        self.gained.lag.reset();
        self.window = process::thread_cpu_time().ok().map(|cpu| (now, cpu));
    }

    fn end_window(&mut self, now: Instant) {
        if let Some((start, before)) = self.window.take()
            && let Ok(cpu) = process::thread_cpu_time()
        {
            // In a run of so many messages, nothing happened after the last of them.
            let end = match self.plan.messages {
                Some(_) => self.last.unwrap_or(now),
                None => now,
            };
            self.gained.window = end.saturating_duration_since(start);
            self.gained.cpu = cpu.saturating_sub(before);
        }
    }

    /// Whether all messages of a run of so many are back.
    fn is_exhausted(&self, fleet: &Fleet<Seat>) -> bool {
        self.plan.messages.is_some_and(|messages| {
            self.to_open == 0
                && self.owed == 0
                && fleet.opening() == 0
                && self.messages + self.given_up >= (messages * self.share) as u64
        })
    }

    fn start_all(&mut self, fleet: &mut Fleet<Seat>, now: Instant) {
        let (reel, depth) = (self.reel, self.plan.depth);
        let mut owed = 0;
        let lost = fleet.for_each_open(|wire, seat| {
            owed += seat.push(reel, depth, now);
            seat.flush(reel, wire)
        });
        self.owed += owed;
        self.lose(fleet, lost, now);
    }

    fn lose(&mut self, fleet: &mut Fleet<Seat>, lost: Vec<(usize, Fault)>, now: Instant) {
        for (index, fault) in lost {
            if let Some(seat) = fleet.remove(index) {
                self.lost(seat, fault, now);
            }
        }
    }

    /// Open loop: sends what is due by now; says for how long nothing is.
    fn send_due(&mut self, fleet: &mut Fleet<Seat>, now: Instant) -> Duration {
        let reel = self.reel;
        let Some(pace) = &mut self.pace else {
            return LOOK;
        };
        let mut lost = Vec::new();
        let mut due = pace.due.unwrap_or(now);
        while due <= now {
            let index = pace.next;
            pace.next = (pace.next + 1) % pace.connections.max(1);
            if let Some((wire, seat)) = fleet.open_at(index) {
                self.owed += seat.push(reel, 1, due);
                // What the driver itself is late by must not pass for the server's latency.
                self.gained
                    .lag
                    .saturating_record((now.duration_since(due).as_nanos() as u64).max(1));
                let sent = if seat.owed > OWED_MAX {
                    Err(Fault::Behind)
                } else {
                    seat.flush(reel, wire)
                };
                if let Err(fault) = sent {
                    lost.push((index, fault));
                }
            }
            due += pace.gap;
        }
        pace.due = Some(due);
        self.lose(fleet, lost, now);
        // A wait is rounded up to whole milliseconds by the kernel's interface: below that, spin.
        let wait = due.saturating_duration_since(Instant::now());
        if wait < Duration::from_millis(2) {
            Duration::ZERO
        } else {
            (wait - Duration::from_millis(1)).min(LOOK)
        }
    }

    #[inline]
    fn record(&mut self, seat: &mut Seat, mut count: usize, now: Instant) {
        while count > 0 {
            let Some((waiting, at)) = seat.stamps.front_mut() else {
                return;
            };
            let done = count.min(*waiting);
            let latency = now.saturating_duration_since(*at).as_nanos() as u64;
            self.gained
                .latency
                .saturating_record_n(latency.max(1), done as u64);
            *waiting -= done;
            count -= done;
            if *waiting == 0 {
                seat.stamps.pop_front();
            }
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

    /// Awaits what is due, then closes in order.
    fn drain(&mut self, fleet: &mut Fleet<Seat>, now: Instant) -> Turn {
        let late = self.deadline.is_some_and(|deadline| now >= deadline);
        if !self.closing && (self.owed == 0 || late) {
            self.closing = true;
            self.deadline = Some(now + CLOSE_TIMEOUT);
            let (reel, raw) = (self.reel, self.plan.target.is_raw());
            let lost = fleet.for_each_open(|wire, seat| {
                if seat.owed > 0 {
                    return Err(Fault::Missing {
                        messages: seat.owed,
                    });
                }
                if raw {
                    wire.shut();
                    return Ok(());
                }
                seat.aside.push_close(1000)?;
                seat.flush(reel, wire)
            });
            self.lose(fleet, lost, now);
            return Turn::Wait(LOOK);
        }
        // A server that never closes is rude, but every message came back.
        if fleet.live() == 0 || (self.closing && late) {
            return Turn::Done;
        }
        Turn::Wait(LOOK)
    }
}
