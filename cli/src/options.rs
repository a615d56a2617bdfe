//! The command line. Its names are an interface: scripts of users rely on them.
//!
//! Knows what may be asked for and the defaults; does nothing.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use wirebahn::OriginPattern;
use wirebahn_bench::cli::LoadArguments;
use wirebahn_tuning::cli::TuneArgs;

use crate::size::{Size, parse_size};
use crate::uri::ListenUri;

/// WebSocket servers on all cores, by the Wirebahn engine.
#[derive(Debug, Parser)]
#[command(name = "wirebahn", version, propagate_version = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  wirebahn echo                                  echo on ws://127.0.0.1:9000, all cores
  wirebahn echo --wsuri ws://0.0.0.0:80/ws       on all addresses, path /ws only
  wirebahn broadcast --workers 2 --interval 1    two workers, statistics each second
  wirebahn testee server --silence               the target of a conformance suite
  wirebahn load echo ws://127.0.0.1:9000         load it, and check what comes back
  wirebahn tune check --connections 100000       what this machine lacks for so many

A server prints one line that begins with `listening on ws://` when it accepts connections.

Signals:
  SIGTERM, SIGINT   end in order: accept nothing new, answer what came, close every
                    connection with 1001 within 5 s; a second one cuts at once
  SIGUSR1           print the statistics now, even with --silence
  SIGHUP            noted and otherwise ignored: there is no configuration file to reload

Exit status of a server (load and tune tell theirs in their own help):
  0  ended because it was asked to     1  could not start, or a worker failed
  2  the command line is wrong";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sends every message back to its sender
    #[command(after_help = OPTIONS_HELP)]
    Echo(Options),
    /// Sends every message to all connected clients on all cores, and a tick every second
    ///
    /// The sender gets its message too. The tick is a text message `tick N`, N from 1. A client
    /// that does not keep up is closed with 1013.
    #[command(after_help = OPTIONS_HELP)]
    Broadcast(Options),
    /// The target of a conformance suite
    #[command(subcommand)]
    Testee(Testee),
    /// Loads a server and checks every octet that comes back
    Load(LoadArguments),
    /// Says what stands between this machine and the load you want, and changes it
    Tune(TuneArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Testee {
    /// An echo server that does nothing unasked: it sends no pings of its own
    #[command(after_help = OPTIONS_HELP)]
    Server(Options),
}

const OPTIONS_HELP: &str = "\
SIZE is a number of octets, or one with a binary unit: 1024, 64k, 16M, 1G (k = 1024 octets).
`wirebahn --help` tells signals and exit status.";

/// What all servers of the program take.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where to listen: `ws://HOST[:PORT][/PATH]`
    ///
    /// Without a port it is 80, as the scheme says (RFC 6455 section 3); port 0 lets the system
    /// choose. With a path other than `/`, requests to other paths are answered 404.
    #[arg(long, value_name = "URI", default_value = "ws://127.0.0.1:9000")]
    pub(crate) wsuri: ListenUri,

    /// Worker threads, each with its own listening socket [default: one for each processor]
    ///
    /// 1 to 1024. The processors are those this process may use.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,

    /// Leave it to the kernel where workers run; otherwise each is pinned to one processor
    #[arg(long)]
    pub(crate) noaffinity: bool,

    /// Connections the kernel queues for each worker before they are accepted
    ///
    /// The kernel cuts it to net.core.somaxconn.
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=0x7FFF_FFFF))]
    pub(crate) backlog: u32,

    /// Seconds between two prints of the statistics, 0.1 to 86400
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = parse_interval)]
    pub(crate) interval: Duration,

    /// Print no statistics
    #[arg(long)]
    pub(crate) silence: bool,

    /// Write to stderr all that the engine has to say, not only warnings
    #[arg(long)]
    pub(crate) debug: bool,

    /// The longest message taken, all its frames together; a longer one ends in 1009
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = parse_size)]
    pub(crate) max_message_size: Size,

    /// The longest frame taken, at least 125 octets [default: as --max-message-size]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_frame_size: Option<Size>,

    /// How messages are compressed, if the client offers it (permessage-deflate)
    #[arg(long, value_enum, value_name = "MODE", default_value_t = Deflate::Shared)]
    pub(crate) deflate: Deflate,

    /// What moves the octets
    #[arg(long, value_enum, default_value_t = Driver::Auto)]
    pub(crate) driver: Driver,

    /// Take browsers only from pages of this origin; may be given several times [default: any]
    ///
    /// `*` stands for any characters: `https://example.com`, `https://*.example.com`, `*:8080`.
    /// The word `null` takes pages opened from files. Others are answered 403. Clients that send no
    /// Origin, which are not browsers, always pass.
    #[arg(long, value_name = "PATTERN", value_parser = parse_origin)]
    pub(crate) allow_origin: Vec<AllowedOrigin>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Deflate {
    /// Not at all
    Off,
    /// Each message by itself; connections hold nothing between messages
    Shared,
    /// With the last 4 KiB of text in mind, which each connection keeps, each way
    History,
    /// With a compressor and a decompressor for each connection, up to 420 KB each
    Dedicated,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Driver {
    /// The one that measures better on most machines and loads: epoll
    Auto,
    /// Readiness events by epoll
    Epoll,
    /// Completions by io_uring; epoll takes its place where the kernel refuses it
    Uring,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AllowedOrigin {
    /// The origin `null`, which pages opened from files have.
    Null,
    Pattern(OriginPattern),
}

fn parse_origin(text: &str) -> Result<AllowedOrigin, String> {
    if text == "null" {
        return Ok(AllowedOrigin::Null);
    }
    OriginPattern::new(text)
        .map(AllowedOrigin::Pattern)
        .map_err(|error| error.to_string())
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.1..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "expected seconds from 0.1 to 86400".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn echo(arguments: &[&str]) -> Result<Options, clap::Error> {
        let line = ["wirebahn", "echo"].iter().chain(arguments);
        match Arguments::try_parse_from(line)?.command {
            Command::Echo(options) => Ok(options),
            other => panic!("echo became {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_documentation() {
        let options = echo(&[]).unwrap();
        assert_eq!(options.wsuri.to_string(), "ws://127.0.0.1:9000");
        assert_eq!(options.workers, None);
        assert!(!options.noaffinity && !options.silence && !options.debug);
        assert_eq!(options.backlog, 4096);
        assert_eq!(options.interval, Duration::from_secs(5));
        assert_eq!(options.max_message_size, 16 << 20);
        assert_eq!(options.max_frame_size, None);
        assert_eq!(options.deflate, Deflate::Shared);
        assert_eq!(options.driver, Driver::Auto);
        assert!(options.allow_origin.is_empty());
    }

    #[test]
    fn every_name_of_the_interface_is_taken() {
        let options = echo(&[
            "--wsuri=ws://localhost:8080/ws",
            "--workers=3",
            "--noaffinity",
            "--backlog=128",
            "--interval=0.5",
            "--silence",
            "--debug",
            "--max-message-size=64k",
            "--max-frame-size=1k",
            "--deflate=history",
            "--driver=epoll",
            "--allow-origin=null",
            "--allow-origin=https://*.example.com",
        ])
        .unwrap();
        assert_eq!(options.wsuri.path(), Some("/ws"));
        assert_eq!(options.workers, Some(3));
        assert!(options.noaffinity && options.silence && options.debug);
        assert_eq!(options.backlog, 128);
        assert_eq!(options.interval, Duration::from_millis(500));
        assert_eq!(options.max_message_size, 64 << 10);
        assert_eq!(options.max_frame_size, Some(1 << 10));
        assert_eq!(options.deflate, Deflate::History);
        assert_eq!(options.driver, Driver::Epoll);
        assert_eq!(options.allow_origin[0], AllowedOrigin::Null);
        assert!(matches!(options.allow_origin[1], AllowedOrigin::Pattern(_)));
        let testee = Arguments::try_parse_from(["wirebahn", "testee", "server"]);
        assert!(matches!(
            testee.unwrap().command,
            Command::Testee(Testee::Server(_))
        ));
        let broadcast = Arguments::try_parse_from(["wirebahn", "broadcast"]);
        assert!(matches!(broadcast.unwrap().command, Command::Broadcast(_)));
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            "--workers=0",
            "--workers=1025",
            "--backlog=0",
            "--interval=0",
            "--interval=NaN",
            "--interval=1e9",
            "--max-message-size=-1",
            "--deflate=on",
            "--driver=kqueue",
            "--allow-origin=example.com",
            "--wsuri=wss://localhost",
            "extra",
        ] {
            let error = echo(&[wrong]).expect_err(wrong);
            assert_eq!(error.exit_code(), 2, "{wrong}");
        }
    }
}
