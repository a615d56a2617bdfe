//! The threads of a run and the one that conducts them: phases, progress, and what is sampled at
//! the two ends of the measured window.
//!
//! Counters are stored by the threads and sampled by the conductor together with the processor
//! time of the server, so that both are of the same moment.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use hdrhistogram::Histogram;

use super::check::Fault;
use crate::measure::process::{self, CpuTime, Memory};

/// Faults told in full; the rest are counted.
pub(crate) const FAULTS_TOLD: usize = 8;

/// The longest latency told apart: a minute, in nanoseconds. A longer one counts as this.
pub(crate) const LATENCY_MAX_NS: u64 = 60_000_000_000;

/// How often the conductor looks.
const LOOK: Duration = Duration::from_millis(20);

/// How often progress is shown on a terminal, and elsewhere.
const PROGRESS: Duration = Duration::from_millis(200);
const PROGRESS_LOG: Duration = Duration::from_secs(5);

/// Where a run stands. Each phase is entered by all threads when they see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Connections are opened.
    Open,
    /// Load runs, unmeasured.
    Warm,
    /// Load runs and is measured.
    Measure,
    /// Nothing new is sent; what is due is awaited.
    Drain,
}

/// What the threads and the conductor share.
#[derive(Debug)]
pub(crate) struct Shared {
    phase: AtomicU8,
    pub(crate) tallies: Vec<CachePadded<Tally>>,
}

/// The counters of one thread, written by it alone.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Connections that opened.
    pub(crate) opened: AtomicU64,
    /// Connections that were lost, before or after they opened.
    pub(crate) lost: AtomicU64,
    /// Messages that came back and were right.
    pub(crate) messages: AtomicU64,
    /// The thread is through.
    pub(crate) through: AtomicU8,
}

impl Shared {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Open as u8),
            tallies: (0..threads).map(|_| CachePadded::default()).collect(),
        }
    }

    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Open,
            1 => Phase::Warm,
            2 => Phase::Measure,
            _ => Phase::Drain,
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    fn sum(&self, of: impl Fn(&Tally) -> &AtomicU64) -> u64 {
        self.tallies
            .iter()
            .map(|tally| of(tally).load(Relaxed))
            .sum()
    }

    fn all_through(&self) -> bool {
        self.tallies
            .iter()
            .all(|tally| tally.through.load(Relaxed) != 0)
    }
}

/// What a thread brings home.
#[derive(Debug)]
pub(crate) struct Yield {
    /// Latency in nanoseconds of what came back in the measured window.
    pub(crate) latency: Histogram<u64>,
    /// How late the thread itself sent, in nanoseconds; only with a fixed rate.
    pub(crate) lag: Histogram<u64>,
    /// Processor time of the thread in the measured window.
    pub(crate) cpu: Duration,
    /// How long that window was for the thread.
    pub(crate) window: Duration,
    pub(crate) faults: Faults,
}

impl Yield {
    pub(crate) fn new() -> Self {
        Self {
            latency: histogram(),
            lag: histogram(),
            cpu: Duration::ZERO,
            window: Duration::ZERO,
            faults: Faults::default(),
        }
    }
}

/// From a nanosecond to a minute, three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3)
        .expect("the bounds are in order and the digits in range")
}

/// What went wrong, the first of it in full.
#[derive(Debug, Default, Clone)]
pub(crate) struct Faults {
    pub(crate) count: u64,
    pub(crate) told: Vec<String>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: &Fault) {
        self.add_text(fault.to_string());
    }

    pub(crate) fn add_text(&mut self, text: String) {
        self.count += 1;
        if self.told.len() < FAULTS_TOLD && !self.told.contains(&text) {
            self.told.push(text);
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        let count = self.count + other.count;
        for text in other.told {
            self.add_text(text);
        }
        self.count = count;
    }
}

/// How a run is conducted.
#[derive(Debug, Clone)]
pub(crate) struct Score {
    /// Connections that shall open.
    pub(crate) connections: u64,
    /// How long all of them may take.
    pub(crate) open_timeout: Duration,
    pub(crate) warmup: Duration,
    pub(crate) duration: Duration,
    /// Whose processor time and memory to sample.
    pub(crate) pid: Option<u32>,
    /// Processors to pin threads to, in turn; empty: none.
    pub(crate) processors: Vec<usize>,
    pub(crate) quiet: bool,
}

/// What the conductor saw.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) opened: u64,
    /// How long opening took.
    pub(crate) opening: Duration,
    /// Messages in the measured window.
    pub(crate) messages: u64,
    /// The measured window.
    pub(crate) window: Duration,
    pub(crate) server: Option<CpuTime>,
    pub(crate) memory: Option<Memory>,
    pub(crate) gained: Yield,
    /// The largest share of a processor that one of the threads used.
    pub(crate) busiest: f64,
}

/// Runs `work` on every thread, through all phases.
pub(crate) fn conduct(
    score: &Score,
    shared: &Shared,
    work: impl Fn(usize) -> io::Result<Yield> + Sync,
) -> io::Result<Taken> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..shared.tallies.len())
            .map(|index| {
                let work = &work;
                std::thread::Builder::new()
                    .name(format!("load-{index}"))
                    .spawn_scoped(scope, move || {
                        if let Some(&processor) =
                            score.processors.get(index % score.processors.len().max(1))
                        {
                            pin(processor)?;
                        }
                        let result = work(index);
                        shared.tallies[index].through.store(1, Relaxed);
                        result
                    })
            })
            .collect::<io::Result<_>>()?;
        let conducted = Conductor {
            score,
            shared,
            start: Instant::now(),
            shown: Instant::now(),
            shown_messages: 0,
        }
        .conduct();
        shared.enter(Phase::Drain);
        let mut gained = Yield::new();
        let mut busiest = 0.0_f64;
        for thread in threads {
            let one = thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a load thread panicked")))?;
            let share = one.cpu.as_secs_f64() / one.window.as_secs_f64().max(1e-9);
            busiest = busiest.max(share);
            gained.cpu += one.cpu;
            gained.window = gained.window.max(one.window);
            add(&mut gained.latency, &one.latency);
            add(&mut gained.lag, &one.lag);
            gained.faults.merge(one.faults);
        }
        let mut taken = conducted?;
        taken.gained = gained;
        taken.busiest = busiest;
        Ok(taken)
    })
}

fn add(to: &mut Histogram<u64>, from: &Histogram<u64>) {
    to.add(from).expect("all histograms have the same bounds");
}

struct Conductor<'a> {
    score: &'a Score,
    shared: &'a Shared,
    start: Instant,
    shown: Instant,
    shown_messages: u64,
}

impl Conductor<'_> {
    fn conduct(mut self) -> io::Result<Taken> {
        let Score {
            connections,
            open_timeout,
            warmup,
            duration,
            pid,
            ..
        } = *self.score;
        self.wait(open_timeout, "opening", |shared| {
            shared.sum(|tally| &tally.opened) + shared.sum(|tally| &tally.lost) >= connections
        });
        let opened = self.shared.sum(|tally| &tally.opened);
        let opening = self.start.elapsed();
        self.shared.enter(Phase::Warm);
        self.wait(warmup, "warming up", |_| false);
        let before = pid.map(process::cpu_time).transpose()?;
        let (start, messages_before) = (Instant::now(), self.shared.sum(|tally| &tally.messages));
        self.shared.enter(Phase::Measure);
        self.wait(duration, "measuring", Shared::all_through);
        let after = pid.map(process::cpu_time).transpose()?;
        let (window, messages) = (start.elapsed(), self.shared.sum(|tally| &tally.messages));
        let memory = pid.map(process::memory).transpose()?;
        self.shared.enter(Phase::Drain);
        self.clear();
        Ok(Taken {
            opened,
            opening,
            messages: messages - messages_before,
            window,
            server: after.zip(before).map(|(after, before)| after.since(before)),
            memory,
            gained: Yield::new(),
            busiest: 0.0,
        })
    }

    /// Waits for as long, or until all threads ended or what is waited for is there.
    fn wait(&mut self, most: Duration, doing: &str, enough: impl Fn(&Shared) -> bool) {
        let until = Instant::now() + most;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || enough(self.shared) || self.shared.all_through() {
                return;
            }
            std::thread::sleep(left.min(LOOK));
            self.show(doing);
        }
    }

    fn show(&mut self, doing: &str) {
        let elapsed = self.shown.elapsed();
        let terminal = io::stderr().is_terminal();
        let every = if terminal { PROGRESS } else { PROGRESS_LOG };
        if self.score.quiet || elapsed < every {
            return;
        }
        let messages = self.shared.sum(|tally| &tally.messages);
        let rate = (messages - self.shown_messages) as f64 / elapsed.as_secs_f64();
        self.shown = Instant::now();
        self.shown_messages = messages;
        let line = format!(
            "{:6.1} s  {doing:10}  {} of {} open, {} lost, {messages} messages, {rate:.0}/s",
            self.start.elapsed().as_secs_f64(),
            self.shared.sum(|tally| &tally.opened),
            self.score.connections,
            self.shared.sum(|tally| &tally.lost),
        );
        // Nobody is helped by a run that fails because its progress cannot be shown.
        let _ = if terminal {
            write!(io::stderr(), "\r\x1b[K{line}")
        } else {
            writeln!(io::stderr(), "{line}")
        };
    }

    fn clear(&self) {
        if !self.score.quiet && io::stderr().is_terminal() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Pins the calling thread, and what it spawns, to a processor.
///
/// # Errors
/// The processor is not there or not allowed.
pub fn pin(processor: usize) -> io::Result<()> {
    let id = core_affinity::CoreId { id: processor };
    // The outcome is checked, not believed: the library drops the reason of a failure.
    let pinned = core_affinity::set_for_current(id)
        && core_affinity::get_core_ids().is_some_and(|ids| ids == [id]);
    if pinned {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "cannot run on processor {processor}"
        )))
    }
}
