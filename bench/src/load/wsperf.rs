//! The handshake test of wsperf: TCP connection, opening handshake, closing handshake, end, as
//! many as were asked for and as fast as they go, with a time for each state of each connection.
//!
//! Connections that are not open yet are kept between two water marks, as wsperf keeps them: new
//! ones are begun until there are as many as the high mark says, and again when there are fewer
//! than the low one. The result file has the fields of wsperf's, in microseconds with three
//! decimals, so that its analysis reads it.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::aside::Aside;
use super::check::{Checker, Control, Correctness, Fault};
use super::crew::{self, Faults, Phase, Score, Shared, Tally, Yield};
use super::fleet::{self, Fleet, Play, Turn};
use super::reel::{Content, Reel, ReelPlan};
use super::report::{Driver, Server};
use super::target::Target;
use super::wire::Wire;
use crate::measure::process;

/// What a client says that closes at once, as wsperf says it (RFC 6455 section 7.4.1).
const GOING_AWAY: u16 = 1001;

/// A turn waits no longer than this.
const LOOK: Duration = Duration::from_millis(10);

/// The whole run may not take longer than this for each connection it makes, on top of the time
/// one of them may live: a server that slow has failed.
const EACH_MAX: Duration = Duration::from_millis(20);

/// What a handshake test shall do. The first five are wsperf's arguments.
#[derive(Debug, Clone)]
pub struct WsperfPlan {
    /// Where to.
    pub target: Target,
    /// Threads; 0 is one, as in wsperf, which then used its main thread.
    pub threads: usize,
    /// Connections in all, not at once.
    pub connections: usize,
    /// Begin again when fewer than this are on their way to be open. At least 1.
    pub low: usize,
    /// Begin no more when this many are. At least `low`.
    pub high: usize,
    /// How long a connection may take from its beginning to its end. Default: 10 s.
    pub timeout: Duration,
    /// Processors to pin the threads to. Default: none.
    pub processors: Vec<usize>,
    /// The server, to account for its processor time. Default: none.
    pub pid: Option<u32>,
    /// No progress on standard error. Default: false.
    pub quiet: bool,
}

/// The result of a handshake test, as it is written to the result file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WsperfResult {
    /// From the first beginning to the last end, µs.
    pub total_duration: f64,
    /// When it began, µs since 1970.
    pub started: u64,
    /// When it ended, µs since 1970.
    pub ended: u64,
    /// How often the high water mark was reached.
    pub handshake_throttle_count: u64,
    /// How often connecting began again, the first time included.
    pub handshake_resume_count: u64,
    /// One for each connection, in the order they ended.
    pub connection_stats: Vec<ConnectionTimes>,
}

/// What a connection went through: each state's time counts from the one before, in µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionTimes {
    /// When it was begun, µs since the test began.
    #[serde(default)]
    pub start: f64,
    /// From being begun until the system was asked to connect.
    pub tcp_pre_init: f64,
    /// Until TCP stood.
    pub tcp_post_init: f64,
    /// Until the opening handshake was over, or had failed.
    pub open: f64,
    /// Until the closing handshake was over and the server had closed TCP.
    pub close: f64,
    /// It did not come through all of it in order.
    pub failed: bool,
}

/// A handshake test and what it cost.
#[derive(Debug, Clone)]
pub struct WsperfReport {
    /// As in the result file.
    pub result: WsperfResult,
    /// The server, per handshake, where its process was named.
    pub server: Option<Server>,
    /// The driver itself.
    pub driver: Driver,
    /// The first faults, in words.
    pub faults_told: Vec<String>,
}

impl WsperfPlan {
    /// A plan with wsperf's five arguments.
    #[must_use]
    pub fn new(
        target: Target,
        threads: usize,
        connections: usize,
        low: usize,
        high: usize,
    ) -> Self {
        Self {
            target,
            threads,
            connections,
            low,
            high,
            timeout: fleet::OPEN_TIMEOUT,
            processors: Vec::new(),
            pid: None,
            quiet: false,
        }
    }

    /// Runs the test.
    ///
    /// # Errors
    /// Water marks out of order; what the driver itself cannot do.
    pub fn run(&self) -> io::Result<WsperfReport> {
        if self.low == 0 || self.low > self.high {
            return Err(io::Error::other(
                "the low water mark is at least 1 and no more than the high one",
            ));
        }
        if self.target.is_raw() {
            return Err(io::Error::other("a raw echo has no handshake"));
        }
        // No thread is without a share of the low mark.
        let threads = self.threads.clamp(1, self.low.min(self.connections.max(1)));
        let shared = Shared::new(threads);
        let patience =
            self.timeout + EACH_MAX * u32::try_from(self.connections).unwrap_or(u32::MAX);
        let score = Score {
            connections: self.connections as u64,
            open_timeout: Duration::ZERO,
            warmup: Duration::ZERO,
            duration: patience,
            pid: self.pid,
            processors: self.processors.clone(),
            quiet: self.quiet,
        };
        let reel = Reel::new(&ReelPlan {
            sizes: vec![0],
            content: Content::Binary,
            fragment: 0,
            raw: false,
            foreign: None,
            seed: 0,
        })
        .map_err(io::Error::other)?;
        let all = Mutex::new((Vec::with_capacity(self.connections), 0, 0));
        let started = SystemTime::now();
        let start = Instant::now();
        let taken = crew::conduct(&score, &shared, |index| {
            let share = |total: usize| total / threads + usize::from(index < total % threads);
            let mut play = Wsperf {
                reel: &reel,
                shared: &shared,
                tally: &shared.tallies[index],
                start,
                to_begin: share(self.connections),
                low: share(self.low),
                high: share(self.high),
                resuming: true,
                throttled: 0,
                resumed: 1,
                done: Vec::with_capacity(share(self.connections)),
                faults: Faults::default(),
                through: 0,
            };
            let mut gained = Yield::new();
            let before = process::thread_cpu_time()?;
            let mut fleet =
                Fleet::new(self.target.clone(), Vec::new(), self.timeout)?.limit_lives();
            let begun = Instant::now();
            fleet::run(&mut fleet, &mut play)?;
            gained.window = begun.elapsed();
            gained.cpu = process::thread_cpu_time()?.saturating_sub(before);
            gained.faults = play.faults;
            let mut all = all
                .lock()
                .map_err(|_| io::Error::other("a load thread panicked"))?;
            all.0.append(&mut play.done);
            all.1 += play.throttled;
            all.2 += play.resumed;
            Ok(gained)
        })?;
        let total = start.elapsed();
        let (connection_stats, handshake_throttle_count, handshake_resume_count) = all
            .into_inner()
            .map_err(|_| io::Error::other("a load thread panicked"))?;
        let since_1970 = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut faults = taken.gained.faults.clone();
        if connection_stats.len() < self.connections {
            faults.add(&Fault::Late);
        }
        Ok(WsperfReport {
            server: taken.server.map(|cpu| {
                Server::of(
                    cpu,
                    taken.memory.unwrap_or_default(),
                    taken.messages,
                    taken.window,
                )
            }),
            driver: Driver::of(&taken, None, None),
            result: WsperfResult {
                total_duration: micros(total),
                started: since_1970.as_micros() as u64,
                ended: (since_1970 + total).as_micros() as u64,
                handshake_throttle_count,
                handshake_resume_count,
                connection_stats,
            },
            faults_told: faults.told,
        })
    }
}

impl WsperfResult {
    /// Writes the result file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer(&mut file, self)?;
        writeln!(file)?;
        file.flush()
    }

    /// Reads a result file.
    ///
    /// # Errors
    /// It is not there, or not a result.
    pub fn read(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_reader(io::BufReader::new(File::open(
            path,
        )?))?)
    }
}

/// What several results come to: the block that users of wsperf know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Aggregate {
    /// From the earliest beginning to the latest end, seconds.
    pub duration_s: f64,
    /// Connections.
    pub total: usize,
    /// Those that came through.
    pub success: usize,
    /// Those that did not.
    pub fail: usize,
    /// Those that came through, per second.
    pub handshakes_per_s: f64,
    /// How long opening handshakes took, ms: min, SD, average, median, q90, q95, q99, q99.9,
    /// q99.99, max. All zero where none came through.
    pub open_ms: [f64; 10],
}

impl Aggregate {
    /// Of the results of one or several workers.
    #[must_use]
    pub fn of(results: &[WsperfResult]) -> Self {
        let connections = || results.iter().flat_map(|result| &result.connection_stats);
        let started = results
            .iter()
            .map(|result| result.started)
            .min()
            .unwrap_or(0);
        let ended = results.iter().map(|result| result.ended).max().unwrap_or(0);
        let duration_s = ended.saturating_sub(started) as f64 / 1e6;
        let mut open: Vec<f64> = connections()
            .filter(|times| !times.failed)
            .map(|times| times.open / 1e3)
            .collect();
        open.sort_unstable_by(f64::total_cmp);
        let (total, success) = (connections().count(), open.len());
        Self {
            duration_s,
            total,
            success,
            fail: total - success,
            handshakes_per_s: if duration_s > 0.0 {
                success as f64 / duration_s
            } else {
                0.0
            },
            open_ms: distribution(&open),
        }
    }
}

/// Min, SD, average, median, q90, q95, q99, q99.9, q99.99 and max of sorted numbers. A quantile is
/// the least number that so large a share does not exceed.
fn distribution(sorted: &[f64]) -> [f64; 10] {
    let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
        return [0.0; 10];
    };
    let count = sorted.len() as f64;
    let mean = sorted.iter().sum::<f64>() / count;
    let squares: f64 = sorted.iter().map(|x| (x - mean).powi(2)).sum();
    let sd = (squares / (count - 1.0).max(1.0)).sqrt();
    let at = |share: f64| {
        let index = ((count * share).ceil() as usize).clamp(1, sorted.len()) - 1;
        sorted[index]
    };
    [
        min,
        sd,
        mean,
        at(0.5),
        at(0.9),
        at(0.95),
        at(0.99),
        at(0.999),
        at(0.9999),
        max,
    ]
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = 100.0 * self.fail as f64 / self.total.max(1) as f64;
        writeln!(
            f,
            "Aggregate results (WebSocket Opening+Closing Handshake)\n"
        )?;
        writeln!(f, "          Duration: {:9.1} s", self.duration_s)?;
        writeln!(f, "             Total: {:9}", self.total)?;
        writeln!(f, "           Success: {:9}", self.success)?;
        writeln!(f, "              Fail: {:9}", self.fail)?;
        writeln!(f, "            Fail %: {share:9.2}")?;
        writeln!(f, "    Handshakes/sec: {:9.0}\n", self.handshakes_per_s)?;
        let names = [
            "Min", "SD", "Avg", "Median", "q90   ", "q95   ", "q99   ", "q99.9 ", "q99.99", "Max",
        ];
        for (name, value) in names.into_iter().zip(self.open_ms) {
            writeln!(f, "{name:>8}: {value:9.3} ms")?;
        }
        Ok(())
    }
}

impl WsperfReport {
    /// Every connection came through.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.faults_told.is_empty()
            && !self.result.connection_stats.is_empty()
            && self
                .result
                .connection_stats
                .iter()
                .all(|times| !times.failed)
    }
}

struct Wsperf<'a> {
    reel: &'a Reel,
    shared: &'a Shared,
    tally: &'a Tally,
    start: Instant,
    to_begin: usize,
    low: usize,
    high: usize,
    /// The low mark was reached, and not yet the high one.
    resuming: bool,
    throttled: u64,
    resumed: u64,
    done: Vec<ConnectionTimes>,
    faults: Faults,
    through: u64,
}

struct Seat {
    begun: Instant,
    asked: Instant,
    connected: Option<Instant>,
    opened: Option<Instant>,
    checker: Checker,
    control: Vec<Control>,
    aside: Aside,
    /// The server's Close frame came.
    answered: bool,
}

impl Play for Wsperf<'_> {
    type Seat = Seat;

    fn turn(&mut self, fleet: &mut Fleet<Seat>, _now: Instant) -> Turn {
        if !self.resuming && fleet.opening() < self.low && self.to_begin > 0 {
            self.resuming = true;
            self.resumed += 1;
        }
        while self.resuming && self.to_begin > 0 {
            if fleet.opening() >= self.high {
                self.resuming = false;
                self.throttled += 1;
                break;
            }
            self.to_begin -= 1;
            let begun = Instant::now();
            let seat = Seat {
                begun,
                asked: Instant::now(),
                connected: None,
                opened: None,
                checker: Checker::new(0, Correctness::Exact),
                control: Vec::new(),
                aside: Aside::default(),
                answered: false,
            };
            if let Err(error) = fleet.connect(seat, begun) {
                self.faults.add_text(format!("cannot connect: {error}"));
                self.tally.lost.fetch_add(1, Relaxed);
                self.done.push(ConnectionTimes {
                    start: micros(begun.duration_since(self.start)),
                    failed: true,
                    ..ConnectionTimes::default()
                });
                // Out of descriptors or ports: what is on its way frees some.
                if fleet.live() > 0 {
                    break;
                }
            }
        }
        if (self.to_begin == 0 && fleet.live() == 0) || self.shared.phase() == Phase::Drain {
            return Turn::Done;
        }
        Turn::Wait(LOOK)
    }

    fn connected(&mut self, seat: &mut Seat, now: Instant) {
        seat.connected = Some(now);
    }

    fn opened(&mut self, wire: &mut Wire, seat: &mut Seat, now: Instant) -> Result<(), Fault> {
        seat.opened = Some(now);
        self.tally.opened.fetch_add(1, Relaxed);
        seat.aside.push_close(GOING_AWAY)?;
        seat.aside.flush(wire).map(drop)
    }

    fn received(
        &mut self,
        _wire: &mut Wire,
        seat: &mut Seat,
        octets: &[u8],
        _now: Instant,
    ) -> Result<(), Fault> {
        if seat.checker.hear(self.reel, octets, &mut seat.control)? > 0 {
            return Err(Fault::Unasked);
        }
        // A ping before the end needs no answer from someone who has said goodbye.
        seat.answered |= seat
            .control
            .drain(..)
            .any(|control| matches!(control, Control::Close(_)));
        Ok(())
    }

    fn writable(&mut self, wire: &mut Wire, seat: &mut Seat) -> Result<(), Fault> {
        seat.aside.flush(wire).map(drop)
    }

    fn lost(&mut self, seat: Seat, fault: Fault, now: Instant) {
        let failed = !(seat.answered && matches!(fault, Fault::Closed { .. }));
        if failed {
            self.faults.add(&fault);
            self.tally.lost.fetch_add(1, Relaxed);
        } else {
            self.through += 1;
            self.tally.messages.store(self.through, Relaxed);
        }
        let connected = seat.connected.unwrap_or(now);
        let opened = seat.opened.unwrap_or(now);
        self.done.push(ConnectionTimes {
            start: micros(seat.begun.duration_since(self.start)),
            tcp_pre_init: micros(seat.asked.duration_since(seat.begun)),
            tcp_post_init: micros(connected.duration_since(seat.asked)),
            open: micros(opened.duration_since(connected)),
            close: micros(now.duration_since(opened)),
            failed,
        });
    }
}

/// Microseconds with three decimals: the clock's nanoseconds, in wsperf's unit.
fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(opens_us: &[f64], failed: usize) -> WsperfResult {
        let times = |open, failed| ConnectionTimes {
            open,
            failed,
            ..ConnectionTimes::default()
        };
        WsperfResult {
            total_duration: 2e6,
            started: 1_000_000,
            ended: 3_000_000,
            handshake_throttle_count: 0,
            handshake_resume_count: 1,
            connection_stats: opens_us
                .iter()
                .map(|&open| times(open, false))
                .chain((0..failed).map(|_| times(0.0, true)))
                .collect(),
        }
    }

    #[test]
    fn the_aggregate_is_of_those_that_came_through() {
        let opens: Vec<f64> = (1..=1000).map(|n| f64::from(n) * 1000.0).collect();
        let aggregate = Aggregate::of(&[result(&opens[..500], 0), result(&opens[500..], 10)]);
        assert_eq!(
            (aggregate.total, aggregate.success, aggregate.fail),
            (1010, 1000, 10)
        );
        assert_eq!(aggregate.handshakes_per_s, 500.0);
        let [min, sd, mean, median, q90, q95, q99, q999, q9999, max] = aggregate.open_ms;
        assert_eq!((min, median, max), (1.0, 500.0, 1000.0));
        assert_eq!(
            (q90, q95, q99, q999, q9999),
            (900.0, 950.0, 990.0, 999.0, 1000.0)
        );
        assert!(
            (mean - 500.5).abs() < 1e-9 && (sd - 288.82).abs() < 0.01,
            "{sd}"
        );
        let text = aggregate.to_string();
        for line in [
            "    Handshakes/sec:       500\n",
            "            Fail %:      0.99\n",
            "  Median:   500.000 ms\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn nothing_that_came_through_makes_no_figures() {
        let aggregate = Aggregate::of(&[result(&[], 3)]);
        assert_eq!((aggregate.success, aggregate.fail), (0, 3));
        assert_eq!(aggregate.open_ms, [0.0; 10]);
        assert_eq!(Aggregate::of(&[]).total, 0);
    }

    #[test]
    fn a_result_file_has_the_names_wsperf_gave_them() {
        let json = serde_json::to_value(result(&[1.5], 0)).unwrap();
        for name in [
            "total_duration",
            "started",
            "ended",
            "handshake_throttle_count",
            "handshake_resume_count",
        ] {
            assert!(json[name].is_number(), "{name}");
        }
        let connection = &json["connection_stats"][0];
        for name in ["tcp_pre_init", "tcp_post_init", "open", "close"] {
            assert!(connection[name].is_number(), "{name}");
        }
        assert_eq!(connection["failed"], false);
    }
}
