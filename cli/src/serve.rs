//! What all servers of the program do: start, say so, print statistics, end when told.
//!
//! Runs on the main thread, which never touches a connection and never waits for a stream.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::level_filters::LevelFilter;
use wirebahn::{
    Compression, ConfigError, Context, DriverChoice, Message, OriginPolicy, Placement, Remote,
    Server, ServerConfig, ServerError, Worker,
};
use wirebahn_tuning::{Load, quick_check};

use crate::options::{AllowedOrigin, Deflate, Driver, Options};
use crate::output::Output;
use crate::service::Service;
use crate::signals::{self, Event};
use crate::statistics::Report;

/// After the first signal, connections have this long to end in order.
const DRAIN_MOST: Duration = Duration::from_secs(5);

/// Ticks and statistics further behind than this, as after the machine slept, are skipped.
const CATCH_UP_MOST: u32 = 2;

/// One of the servers.
pub(crate) struct Program {
    /// Called for every message.
    pub(crate) message: fn(&mut Context<'_>, Message<'_>),
    /// What happens by the clock.
    pub(crate) tick: Option<Tick>,
    /// Whether silent connections are pinged.
    pub(crate) pings: bool,
}

/// Something done again and again.
pub(crate) struct Tick {
    pub(crate) every: Duration,
    /// Called with the number of the tick, from 1.
    pub(crate) tell: fn(&Remote, u64),
}

/// Why the program ends otherwise than asked.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Tier(wirebahn_nvx::Refused),
    #[error("{}: {}", option_of(.0), .0.problem)]
    Config(ConfigError),
    #[error("cannot take signals: {0}")]
    Signals(io::Error),
    #[error("{0}")]
    Server(ServerError),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Tier(_) | Self::Config(_) => ExitCode::from(2),
            Self::Signals(_) | Self::Server(_) => ExitCode::FAILURE,
        }
    }
}

/// Runs a server until it is told to end.
pub(crate) fn run(
    program: &Program,
    options: &Options,
    stdout: &Output,
    stderr: &Output,
) -> Result<(), Failure> {
    log_to(stderr, options.debug);
    wirebahn_nvx::requested().map_err(Failure::Tier)?;
    let config = configure(program, options)?;

    // Before the first worker starts: a signal that comes early is not lost.
    let (events, coming) = channel();
    signals::listen(events.clone()).map_err(Failure::Signals)?;
    let path: Option<Arc<str>> = options.wsuri.path().map(Arc::from);
    let message = program.message;
    let server = Server::builder()
        .bind(options.wsuri.address())
        .config(config)
        .serve(move |_| Service::new(path.clone(), message, events.clone()))
        .map_err(Failure::Server)?;

    stdout.write(ready_line(&server, options));
    if let Some(warning) = machine_warning(&server, options) {
        stderr.write(warning);
    }
    let remote = server.remote();
    let mut report = Report::new(Instant::now(), server.workers().len());
    let outcome = attend(
        program,
        options,
        server,
        &coming,
        &mut report,
        stdout,
        stderr,
    );
    if !options.silence {
        stdout.write(report.next(Instant::now(), remote.statistics()));
    }
    outcome.map_err(Failure::Server)
}

/// Waits for what comes until the server has ended.
fn attend(
    program: &Program,
    options: &Options,
    server: Server,
    coming: &Receiver<Event>,
    report: &mut Report,
    stdout: &Output,
    stderr: &Output,
) -> Result<(), ServerError> {
    let remote = server.remote();
    let mut reports = (!options.silence).then(|| Clock::new(options.interval));
    let mut ticks = program.tick.as_ref().map(|tick| Clock::new(tick.every));
    let mut ending = false;
    let mut running = server.workers().len();
    while running > 0 {
        let now = Instant::now();
        let due = [&reports, &ticks]
            .into_iter()
            .flatten()
            .map(|clock| clock.next);
        let event = match due.min() {
            Some(due) => coming.recv_timeout(due.saturating_duration_since(now)),
            None => coming.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
            Ok(Event::End) if !ending => {
                ending = true;
                let connected: u64 = remote.statistics().iter().map(|one| one.connected).sum();
                stderr.write(format!(
                    "ending: {connected} connections have {} s to close; signal again to cut them\n",
                    DRAIN_MOST.as_secs(),
                ));
                server.shutdown(DRAIN_MOST);
            }
            Ok(Event::End) => server.stop(),
            Ok(Event::Hangup) => {
                stderr.write("SIGHUP: no configuration file to reload; serving on\n");
            }
            Ok(Event::Report) => stdout.write(report.next(Instant::now(), remote.statistics())),
            Ok(Event::WorkerEnded) => {
                running -= 1;
                if !ending {
                    break; // nobody asked it to: `join` below says why
                }
            }
            // The handlers hold senders until all of them have ended.
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = Instant::now();
        if reports.as_mut().is_some_and(|clock| clock.strikes(now)) {
            stdout.write(report.next(now, remote.statistics()));
        }
        if let (Some(clock), Some(tick)) = (&mut ticks, &program.tick)
            && clock.strikes(now)
            && !ending
        {
            (tick.tell)(&remote, clock.count);
        }
    }
    if !ending {
        server.stop();
    }
    server.join()
}

/// Strikes at even intervals.
struct Clock {
    every: Duration,
    next: Instant,
    count: u64,
}

impl Clock {
    fn new(every: Duration) -> Self {
        Self {
            every,
            next: Instant::now() + every,
            count: 0,
        }
    }

    fn strikes(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.count += 1;
        self.next += self.every;
        if self.next + self.every * CATCH_UP_MOST < now {
            self.next = now + self.every;
        }
        true
    }
}

fn configure(program: &Program, options: &Options) -> Result<ServerConfig, Failure> {
    let driver = match options.driver {
        Driver::Auto => DriverChoice::Auto,
        Driver::Epoll => DriverChoice::Epoll,
        Driver::Uring => DriverChoice::Uring,
    };
    let message_size_max = options.max_message_size;
    let frame_size_max = options
        .max_frame_size
        .unwrap_or_else(|| message_size_max.max(FRAME_SIZE_LEAST));
    let mut patterns = Vec::new();
    let mut null = false;
    for origin in &options.allow_origin {
        match origin {
            AllowedOrigin::Null => null = true,
            AllowedOrigin::Pattern(pattern) => patterns.push(pattern.clone()),
        }
    }
    let origins = match options.allow_origin.is_empty() {
        true => OriginPolicy::Any,
        false => OriginPolicy::Allow(patterns),
    };
    ServerConfig::builder()
        .workers(options.workers.map_or(0, usize::from))
        .placement(match options.noaffinity {
            true => Placement::Free,
            false => Placement::Pinned,
        })
        .driver(driver)
        .compression(match options.deflate {
            Deflate::Off => Compression::off(),
            Deflate::Shared => Compression::shared(),
            Deflate::History => Compression::history(),
            Deflate::Dedicated => Compression::dedicated(),
        })
        .sockets(|sockets| sockets.backlog = options.backlog)
        .limits(|limits| {
            limits.message_size_max = message_size_max;
            limits.frame_size_max = frame_size_max;
        })
        .timeouts(|timeouts| {
            if !program.pings {
                timeouts.ping_interval = None;
            }
        })
        .origin(origins)
        .allow_null_origin(null)
        .build()
        .map_err(Failure::Config)
}

/// The option a setting of the configuration comes from.
fn option_of(error: &ConfigError) -> &'static str {
    match error.setting {
        "limits.frame_size_max" => "--max-frame-size",
        "limits.message_size_max" => "--max-message-size",
        "sockets.backlog" => "--backlog",
        "workers" => "--workers",
        other => other,
    }
}

/// Control frames are always taken (RFC 6455 section 5.5), so a limit below their size is none.
const FRAME_SIZE_LEAST: u64 = 125;

/// One line; that it begins with the URI is what scripts wait for.
fn ready_line(server: &Server, options: &Options) -> String {
    let workers = server.workers();
    format!(
        "listening on ws://{}{} with {} {}, {}, driver {}, SIMD {}\n",
        server.local_addr(),
        options.wsuri.path().unwrap_or_default(),
        workers.len(),
        if workers.len() == 1 {
            "worker"
        } else {
            "workers"
        },
        placement(workers),
        drivers(workers),
        wirebahn_nvx::tier(),
    )
}

/// The worst of what this machine lacks for a busy server, in one line. Only what is cheap to
/// see is looked at: about a tenth of a millisecond.
fn machine_warning(server: &Server, options: &Options) -> Option<String> {
    let workers = u32::try_from(server.workers().len()).unwrap_or(u32::MAX);
    let load = Load::default()
        .workers(workers)
        .backlog(options.backlog)
        .port(server.local_addr().port());
    let findings = quick_check(&load);
    let worst = findings.first()?.one_line();
    let more = match findings.len() {
        1 => String::new(),
        count => format!(" ({} more)", count - 1),
    };
    Some(format!("{worst}{more}; see `wirebahn tune check`\n"))
}

fn placement(workers: &[Worker]) -> String {
    let processors: Vec<usize> = workers
        .iter()
        .filter_map(|worker| worker.processor)
        .collect();
    match processors.len() {
        0 => "not pinned".to_owned(),
        pinned if pinned == workers.len() => format!("pinned to {}", ranges(processors)),
        pinned => format!("{pinned} of them pinned to {}", ranges(processors)),
    }
}

/// What moves the octets, and why it is not what was asked for.
fn drivers(workers: &[Worker]) -> String {
    let mut drivers: Vec<String> = workers
        .iter()
        .map(|worker| match worker.refused {
            None => worker.driver.to_owned(),
            Some(why) => format!("{} (io_uring was refused: {why})", worker.driver),
        })
        .collect();
    drivers.dedup(); // one kernel, one answer
    drivers.join(" and ")
}

/// Processors as people write them: `processor 3`, `processors 0-3,8`.
fn ranges(mut processors: Vec<usize>) -> String {
    processors.sort_unstable();
    processors.dedup(); // more workers than processors
    let noun = if processors.len() == 1 {
        "processor"
    } else {
        "processors"
    };
    let parts: Vec<String> = processors
        .chunk_by(|left, right| left + 1 == *right)
        .map(|run| match run {
            [first, .., last] => format!("{first}-{last}"),
            [only] => only.to_string(),
            [] => String::new(),
        })
        .collect();
    format!("{noun} {}", parts.join(","))
}

fn log_to(stderr: &Output, debug: bool) {
    let level = if debug {
        LevelFilter::TRACE
    } else {
        LevelFilter::WARN
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(stderr.clone())
        .finish();
    // Fails only if there is one already, and nobody else sets one.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Arguments, Command};
    use clap::Parser;

    fn configured(arguments: &[&str]) -> Result<ServerConfig, Failure> {
        let line = ["wirebahn", "echo"].iter().chain(arguments);
        let Command::Echo(options) = Arguments::parse_from(line).command else {
            panic!("echo is no echo");
        };
        let program = Program {
            message: crate::echo::echo,
            tick: None,
            pings: false,
        };
        configure(&program, &options)
    }

    #[test]
    fn the_limit_of_frames_follows_that_of_messages() {
        for (arguments, message, frame) in [
            (&[][..], 16 << 20, 16 << 20),
            (&["--max-message-size=17M"], 17 << 20, 17 << 20),
            (&["--max-message-size=7"], 7, 125),
            (&["--max-frame-size=1k"], 16 << 20, 1 << 10),
        ] {
            let config = configured(arguments).unwrap();
            assert_eq!(config.limits().message_size_max, message);
            assert_eq!(config.limits().frame_size_max, frame);
            assert_eq!(config.timeouts().ping_interval, None);
        }
        let failure = configured(&["--max-frame-size=7"]).unwrap_err();
        assert!(failure.to_string().starts_with("--max-frame-size: "));
    }

    #[test]
    fn processors_are_told_in_short() {
        for (processors, text) in [
            (vec![3], "processor 3"),
            (vec![0, 1], "processors 0-1"),
            (vec![0, 1, 0, 1], "processors 0-1"),
            (vec![9, 2, 1, 0, 4], "processors 0-2,4,9"),
        ] {
            assert_eq!(ranges(processors), text);
        }
    }

    #[test]
    fn a_clock_keeps_its_beat_and_does_not_rush_after_a_pause() {
        let mut clock = Clock::new(Duration::from_secs(1));
        let first = clock.next;
        assert!(!clock.strikes(first - Duration::from_millis(1)));
        assert!(clock.strikes(first + Duration::from_millis(300)));
        assert_eq!(
            clock.next,
            first + Duration::from_secs(1),
            "late once, even again"
        );
        let much_later = first + Duration::from_secs(3600);
        assert!(clock.strikes(much_later));
        assert!(
            !clock.strikes(much_later),
            "what was slept through is skipped"
        );
        assert_eq!(clock.count, 2);
    }
}
