//! The mass connect: opens connections, holds them, and says what one of them costs the server.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use wirebahn::Opcode;

use super::aside::Aside;
use super::check::{Checker, Control, Correctness, Fault};
use super::crew::{self, Phase, Score, Shared, Tally, Yield};
use super::fleet::{self, Fleet, OPEN_TIMEOUT, Play, Turn};
use super::reel::{Content, Reel, ReelPlan};
use super::report::{Asked, Driver, Latency, PerConnection, Report, Server};
use super::target::Target;
use super::wire::Wire;
use crate::measure::process;

/// How long the closing handshakes may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A turn waits no longer than this.
const LOOK: Duration = Duration::from_millis(10);

/// What a mass connect shall do. Make one with [`new`](Self::new) and set what differs.
#[derive(Debug, Clone)]
pub struct ConnectPlan {
    /// Where to.
    pub target: Target,
    /// Connections in all. Default: 10,000.
    pub connections: usize,
    /// Of them on their way to be open at once. Default: 128.
    pub opening_max: usize,
    /// Threads. Default: 1.
    pub threads: usize,
    /// How long to hold them once all are open. Default: 5 s.
    pub hold: Duration,
    /// How long one connection may take to open. Default: 10 s.
    pub open_timeout: Duration,
    /// Source addresses, in turn; each has some 28,000 ports for one server. Default: the system's.
    pub sources: Vec<IpAddr>,
    /// Processors to pin the threads to, in turn. Default: none.
    pub processors: Vec<usize>,
    /// The server, to account for its processor time and memory. Default: none.
    pub pid: Option<u32>,
    /// No progress on standard error. Default: false.
    pub quiet: bool,
}

impl ConnectPlan {
    /// The defaults, against a target.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            connections: 10_000,
            opening_max: 128,
            threads: 1,
            hold: Duration::from_secs(5),
            open_timeout: OPEN_TIMEOUT,
            sources: Vec::new(),
            processors: Vec::new(),
            pid: None,
            quiet: false,
        }
    }

    /// Opens, holds, closes and reports: latency is that of opening, memory is per connection.
    ///
    /// # Errors
    /// What the driver itself cannot do.
    pub fn run(&self) -> io::Result<Report> {
        let threads = self.threads.clamp(1, self.connections.max(1));
        let shared = Shared::new(threads);
        let reel = Reel::new(&ReelPlan {
            sizes: vec![0],
            content: Content::Binary,
            fragment: 0,
            raw: self.target.is_raw(),
            foreign: None,
            seed: 0,
        })
        .map_err(io::Error::other)?;
        let score = Score {
            connections: self.connections as u64,
            open_timeout: self.open_timeout
                * (1 + (self.connections / self.opening_max.max(1)) as u32),
            warmup: Duration::ZERO,
            duration: self.hold,
            pid: self.pid,
            processors: self.processors.clone(),
            quiet: self.quiet,
        };
        let before = self.pid.map(process::memory).transpose()?;
        let taken = crew::conduct(&score, &shared, |index| {
            let share = |total: usize| total / threads + usize::from(index < total % threads);
            let mut fleet =
                Fleet::new(self.target.clone(), self.sources.clone(), self.open_timeout)?;
            let mut play = Connect {
                reel: &reel,
                raw: self.target.is_raw(),
                shared: &shared,
                tally: &shared.tallies[index],
                gained: Yield::new(),
                to_open: share(self.connections),
                opening_max: share(self.opening_max).max(1),
                control: Vec::new(),
                window: None,
                deadline: None,
                closing: false,
            };
            fleet::run(&mut fleet, &mut play)?;
            Ok(play.gained)
        })?;
        let faults = taken.gained.faults.clone();
        let per_connection = before.zip(taken.memory).map(|(before, after)| {
            let each = |after: u64, before: u64| {
                (after as f64 - before as f64) / taken.opened.max(1) as f64
            };
            PerConnection {
                resident: each(after.resident, before.resident),
                anonymous: each(after.anonymous, before.anonymous),
            }
        });
        Ok(Report {
            test: "connect",
            asked: Asked {
                target: self.target.to_string(),
                connections: self.connections,
                threads,
                sizes: Vec::new(),
                content: Content::Binary,
                depth: None,
                rate: None,
                fragment: 0,
                correctness: Correctness::Exact,
                sources: self.sources.clone(),
                seconds: self.hold.as_secs_f64(),
            },
            opened: taken.opened,
            opening_s: taken.opening.as_secs_f64(),
            window_s: taken.window.as_secs_f64(),
            messages: 0,
            messages_per_s: 0.0,
            latency: Latency::of(&taken.gained.latency),
            server: taken
                .server
                .map(|cpu| Server::of(cpu, taken.memory.unwrap_or_default(), 0, taken.window)),
            driver: Driver::of(&taken, None, None),
            per_connection,
            faults: faults.count,
            faults_told: faults.told,
            distribution: Some(taken.gained.latency.clone()),
        })
    }
}

struct Connect<'a> {
    reel: &'a Reel,
    raw: bool,
    shared: &'a Shared,
    tally: &'a Tally,
    gained: Yield,
    to_open: usize,
    opening_max: usize,
    control: Vec<Control>,
    window: Option<(Instant, Duration)>,
    deadline: Option<Instant>,
    closing: bool,
}

struct Seat {
    begun: Instant,
    checker: Checker,
    aside: Aside,
}

impl Play for Connect<'_> {
    type Seat = Seat;

    fn turn(&mut self, fleet: &mut Fleet<Seat>, now: Instant) -> Turn {
        let phase = self.shared.phase();
        if phase >= Phase::Measure && self.window.is_none() {
            self.window = process::thread_cpu_time().ok().map(|cpu| (now, cpu));
        }
        while self.to_open > 0 && fleet.opening() < self.opening_max {
            self.to_open -= 1;
            let seat = Seat {
                begun: now,
                checker: Checker::new(0, Correctness::Exact),
                aside: Aside::default(),
            };
            if let Err(error) = fleet.connect(seat, now) {
                self.gained
                    .faults
                    .add_text(format!("cannot connect: {error}"));
                self.tally.lost.fetch_add(1, Relaxed);
                break;
            }
        }
        if phase == Phase::Drain && !self.closing {
            self.close(fleet, now);
        }
        let late = self.deadline.is_some_and(|deadline| now >= deadline);
        if (fleet.live() == 0 && self.to_open == 0) || late {
            return Turn::Done;
        }
        Turn::Wait(LOOK)
    }

    fn opened(&mut self, _wire: &mut Wire, seat: &mut Seat, now: Instant) -> Result<(), Fault> {
        self.tally.opened.fetch_add(1, Relaxed);
        let took = now.duration_since(seat.begun).as_nanos() as u64;
        self.gained.latency.saturating_record(took.max(1));
        Ok(())
    }

    fn received(
        &mut self,
        wire: &mut Wire,
        seat: &mut Seat,
        octets: &[u8],
        _now: Instant,
    ) -> Result<(), Fault> {
        if seat.checker.hear(self.reel, octets, &mut self.control)? > 0 {
            return Err(Fault::Unasked);
        }
        for control in std::mem::take(&mut self.control) {
            match control {
                Control::Ping(payload) => seat.aside.push(Opcode::Pong, &payload)?,
                Control::Close(_) if self.closing => {}
                Control::Close(code) => return Err(Fault::Closed { code }),
            }
        }
        seat.aside.flush(wire).map(drop)
    }

    fn writable(&mut self, wire: &mut Wire, seat: &mut Seat) -> Result<(), Fault> {
        seat.aside.flush(wire).map(drop)
    }

    fn lost(&mut self, _seat: Seat, fault: Fault, _now: Instant) {
        if !(self.closing && matches!(fault, Fault::Closed { .. } | Fault::Transport(_))) {
            self.tally.lost.fetch_add(1, Relaxed);
            self.gained.faults.add(&fault);
        }
    }
}

impl Connect<'_> {
    fn close(&mut self, fleet: &mut Fleet<Seat>, now: Instant) {
        if let Some((start, before)) = self.window
            && let Ok(cpu) = process::thread_cpu_time()
        {
            self.gained.window = now.duration_since(start);
            self.gained.cpu = cpu.saturating_sub(before);
        }
        self.closing = true;
        self.to_open = 0;
        self.deadline = Some(now + CLOSE_TIMEOUT);
        let raw = self.raw;
        let lost = fleet.for_each_open(|wire, seat| {
            if raw {
                wire.shut();
                return Ok(());
            }
            seat.aside.push_close(1000)?;
            seat.aside.flush(wire).map(drop)
        });
        for (index, fault) in lost {
            if let Some(seat) = fleet.remove(index) {
                self.lost(seat, fault, now);
            }
        }
    }
}
