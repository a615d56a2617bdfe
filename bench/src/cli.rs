//! The command line of the load driver: reads options, runs a plan, prints and writes its report.
//! What a plan does, it does not know.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::load::{
    Aggregate, BroadcastPlan, ConnectPlan, Content, Correctness, EchoPlan, Report, Target,
    WsperfPlan, WsperfResult, plot,
};

/// Load a WebSocket server and check what it answers.
#[derive(Debug, Clone, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct LoadArguments {
    /// Which load.
    #[command(subcommand)]
    pub command: LoadCommand,
}

/// The loads there are.
#[derive(Debug, Clone, Subcommand)]
pub enum LoadCommand {
    /// Keep messages in flight on every connection of an echo server
    Echo(EchoArguments),
    /// Send to a server that sends every message to everyone
    Broadcast(BroadcastArguments),
    /// Open connections, hold them, and say what one costs the server
    Connect(ConnectArguments),
    /// The handshake test of wsperf, with its arguments
    Wsperf(WsperfArguments),
    /// The message test of the older wsperf: one connection, so many messages of one size
    #[command(name = "message_test", alias = "message-test")]
    MessageTest(MessageTestArguments),
    /// The stress test of the older wsperf: connections one after another, messages at a rate
    #[command(name = "stress_test", alias = "stress-test")]
    StressTest(StressTestArguments),
}

/// Options of every load.
#[derive(Debug, Clone, Args)]
pub struct CommonArguments {
    /// Threads of the driver, each with its own event loop and its share of the connections
    #[arg(long, default_value_t = 1, value_parser = positive)]
    pub threads: usize,
    /// Processors to pin the threads to, in turn, such as 1 or 2,3
    #[arg(long, value_delimiter = ',', value_name = "PROCESSOR")]
    pub pin: Vec<usize>,
    /// Process whose processor time and memory to account for: the server's
    #[arg(long)]
    pub pid: Option<u32>,
    /// Source addresses, in turn: one, several, or a range such as 127.0.0.1-127.0.0.8. Each has
    /// about 28,000 ports for one server
    #[arg(long, value_delimiter = ',', value_name = "ADDRESS", value_parser = addresses)]
    pub sources: Vec<Addresses>,
    /// Seconds one connection may take to open
    #[arg(long, default_value_t = 10.0, value_parser = seconds, value_name = "SECONDS")]
    pub open_timeout: f64,
    /// Load a server that is neither on this machine nor in a private network
    #[arg(long)]
    pub i_own_this_server: bool,
    /// Write the report as JSON to this file; - is standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Append the report as a line of comma-separated values to this file
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Draw the distribution of latencies into this SVG file
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
}

/// Options of `load echo`.
#[derive(Debug, Clone, Args)]
pub struct EchoArguments {
    /// `ws://HOST[:PORT][/PATH]`, `ws+unix:/SOCKET[:/PATH]`, or `tcp://HOST:PORT` for a raw echo
    /// without WebSocket
    pub uri: String,
    /// Connections in all
    #[arg(long, short, default_value_t = 200, value_parser = positive)]
    pub connections: usize,
    /// Payload octets of a message: one length, or several to be taken in turn, such as
    /// 16,125,64k
    #[arg(long, short, default_value = "16", value_delimiter = ',', value_parser = octets)]
    pub size: Vec<usize>,
    /// What messages carry
    #[arg(long, value_enum, default_value_t = Content::Binary)]
    pub content: Content,
    /// Messages in flight per connection
    #[arg(long, short, default_value_t = 1, value_parser = positive, conflicts_with = "rate")]
    pub depth: usize,
    /// Messages per second of all connections together, whether or not earlier ones are back:
    /// latency then counts from when a message was due
    #[arg(long, short, value_parser = rate)]
    pub rate: Option<f64>,
    /// Send messages in frames of at most so many octets; 0: whole
    #[arg(long, default_value = "0", value_parser = octets)]
    pub fragment: usize,
    /// How closely replies are looked at
    #[arg(long, value_enum, default_value_t = Correctness::Exact)]
    pub correctness: Correctness,
    /// Seconds of load before it is measured
    #[arg(long, default_value_t = 0.5, value_parser = seconds, value_name = "SECONDS")]
    pub warmup: f64,
    /// Seconds of load that are measured
    #[arg(long, short = 't', default_value_t = 5.0, value_parser = seconds, value_name = "SECONDS")]
    pub duration: f64,
    /// Decides over the contents
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What all loads have in common
    #[command(flatten)]
    pub common: CommonArguments,
}

/// Options of `load broadcast`.
#[derive(Debug, Clone, Args)]
pub struct BroadcastArguments {
    /// `ws://HOST[:PORT][/PATH]`, `ws+unix:/SOCKET[:/PATH]`, or `tcp://HOST:PORT` without WebSocket
    pub uri: String,
    /// Connections that receive; one more sends
    #[arg(long, short = 'c', default_value_t = 1000, value_parser = positive)]
    pub subscribers: usize,
    /// Payload octets of a message: one length, or several to be taken in turn
    #[arg(long, short, default_value = "16", value_delimiter = ',', value_parser = octets)]
    pub size: Vec<usize>,
    /// What messages carry
    #[arg(long, value_enum, default_value_t = Content::Binary)]
    pub content: Content,
    /// Messages of a batch; the next one leaves when all subscribers have it
    #[arg(long, short, default_value_t = 1, value_parser = positive)]
    pub depth: usize,
    /// Short text messages that begin with this are the server's own and passed over where binary
    /// ones are due; empty: there are none
    #[arg(long, default_value = "tick ", value_name = "TEXT")]
    pub foreign: String,
    /// Seconds of load before it is measured
    #[arg(long, default_value_t = 0.5, value_parser = seconds, value_name = "SECONDS")]
    pub warmup: f64,
    /// Seconds of load that are measured
    #[arg(long, short = 't', default_value_t = 5.0, value_parser = seconds, value_name = "SECONDS")]
    pub duration: f64,
    /// Decides over the contents
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What all loads have in common
    #[command(flatten)]
    pub common: CommonArguments,
}

/// Options of `load connect`.
#[derive(Debug, Clone, Args)]
pub struct ConnectArguments {
    /// `ws://HOST[:PORT][/PATH]`, `ws+unix:/SOCKET[:/PATH]`, or `tcp://HOST:PORT` without WebSocket
    pub uri: String,
    /// Connections in all; more than 28,000 need several --sources
    #[arg(long, short, default_value_t = 10_000, value_parser = positive)]
    pub connections: usize,
    /// Connections on their way to be open at once
    #[arg(long, default_value_t = 128, value_parser = positive)]
    pub opening: usize,
    /// Seconds to hold them once all are open
    #[arg(long, default_value_t = 5.0, value_parser = seconds, value_name = "SECONDS")]
    pub hold: f64,
    /// What all loads have in common
    #[command(flatten)]
    pub common: CommonArguments,
}

/// Arguments of wsperf, and a few options of ours.
#[derive(Debug, Clone, Args)]
pub struct WsperfArguments {
    /// The server, such as ws://127.0.0.1:9000
    pub wsuri: String,
    /// Threads; 0 is one
    pub threads: usize,
    /// Connections in all, not at once
    #[arg(value_parser = positive)]
    pub connections: usize,
    /// Begin again when fewer connections than this are on their way to be open
    #[arg(value_parser = positive)]
    pub low_watermark: usize,
    /// Begin no more when this many are
    #[arg(value_parser = positive)]
    pub high_watermark: usize,
    /// Where the times of every connection are written, as JSON; with several workers, one file
    /// each, its number before the extension
    pub result_file: PathBuf,
    /// Processes to run, each with all of the above
    #[arg(long, default_value_t = 1, value_parser = positive)]
    pub workers: usize,
    /// Processors to pin the threads to, in turn
    #[arg(long, value_delimiter = ',', value_name = "PROCESSOR")]
    pub pin: Vec<usize>,
    /// Process whose processor time to account for: the server's
    #[arg(long)]
    pub pid: Option<u32>,
    /// Seconds a connection may take from its beginning to its end
    #[arg(long, default_value_t = 10.0, value_parser = seconds, value_name = "SECONDS")]
    pub timeout: f64,
    /// Load a server that is neither on this machine nor in a private network
    #[arg(long)]
    pub i_own_this_server: bool,
    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
}

/// Arguments of wsperf's `message_test`, by their names there.
#[derive(Debug, Clone, Args)]
pub struct MessageTestArguments {
    /// The server, such as ws://127.0.0.1:9000
    pub uri: String,
    /// Payload octets of a message
    #[arg(long, default_value = "4096", value_parser = octets)]
    pub size: usize,
    /// Messages
    #[arg(long, default_value_t = 1000, value_parser = positive)]
    pub count: usize,
    /// Binary messages instead of text
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    pub binary: bool,
    /// Send a message when the one before is back, instead of all at once
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub sync: bool,
    /// How closely replies are looked at
    #[arg(long, value_enum, default_value_t = Correctness::Exact)]
    pub correctness: Correctness,
    /// Into how many groups of equal size the times are sorted
    #[arg(long, default_value_t = 10, value_parser = positive)]
    pub quantile_count: usize,
    /// Milliseconds the test may take
    #[arg(long, default_value_t = 10_000.0, value_parser = seconds, value_name = "MILLISECONDS")]
    pub timeout: f64,
    /// What all loads have in common
    #[command(flatten)]
    pub common: CommonArguments,
}

/// Arguments of wsperf's `stress_test`.
#[derive(Debug, Clone, Args)]
pub struct StressTestArguments {
    /// The server, such as ws://127.0.0.1:9000
    pub uri: String,
    /// Connections
    #[arg(long, default_value_t = 100, value_parser = positive)]
    pub connections: usize,
    /// Milliseconds between the beginnings of two connections
    #[arg(long, default_value_t = 10.0, value_parser = seconds, value_name = "MILLISECONDS")]
    pub handshake_delay: f64,
    /// Payload octets of a message
    #[arg(long, default_value = "16", value_parser = octets)]
    pub message_size: usize,
    /// Messages per second on each connection
    #[arg(long, default_value_t = 1.0, value_parser = rate)]
    pub rate: f64,
    /// Seconds of load once all connections are open
    #[arg(long, short = 't', default_value_t = 10.0, value_parser = seconds, value_name = "SECONDS")]
    pub duration: f64,
    /// What all loads have in common
    #[command(flatten)]
    pub common: CommonArguments,
}

/// Runs a load. The exit status is 0 if everything came back unchanged, 1 if not, 2 if the run
/// could not be made.
#[must_use]
pub fn run(arguments: &LoadArguments) -> ExitCode {
    let result = match &arguments.command {
        LoadCommand::Echo(arguments) => run_echo(arguments),
        LoadCommand::Broadcast(arguments) => run_broadcast(arguments),
        LoadCommand::Connect(arguments) => run_connect(arguments),
        LoadCommand::Wsperf(arguments) => run_wsperf(arguments),
        LoadCommand::MessageTest(arguments) => run_message_test(arguments),
        LoadCommand::StressTest(arguments) => run_stress_test(arguments),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "load: {error}");
            ExitCode::from(2)
        }
    }
}

fn run_echo(arguments: &EchoArguments) -> io::Result<bool> {
    let common = &arguments.common;
    let plan = EchoPlan {
        connections: arguments.connections,
        threads: common.threads,
        sizes: arguments.size.clone(),
        content: arguments.content,
        depth: arguments.depth,
        rate: arguments.rate,
        fragment: arguments.fragment,
        correctness: arguments.correctness,
        warmup: Duration::from_secs_f64(arguments.warmup),
        duration: Duration::from_secs_f64(arguments.duration),
        open_timeout: Duration::from_secs_f64(common.open_timeout),
        sources: common.sources(),
        processors: common.pin.clone(),
        pid: common.pid,
        seed: arguments.seed,
        quiet: common.quiet,
        ..EchoPlan::new(common.target(&arguments.uri)?)
    };
    let report = plan.run()?;
    common.publish(&report)?;
    Ok(report.passed())
}

fn run_broadcast(arguments: &BroadcastArguments) -> io::Result<bool> {
    let common = &arguments.common;
    let plan = BroadcastPlan {
        subscribers: arguments.subscribers,
        threads: common.threads,
        sizes: arguments.size.clone(),
        content: arguments.content,
        depth: arguments.depth,
        foreign: (!arguments.foreign.is_empty()).then(|| arguments.foreign.clone()),
        warmup: Duration::from_secs_f64(arguments.warmup),
        duration: Duration::from_secs_f64(arguments.duration),
        open_timeout: Duration::from_secs_f64(common.open_timeout),
        sources: common.sources(),
        processors: common.pin.clone(),
        pid: common.pid,
        seed: arguments.seed,
        quiet: common.quiet,
        ..BroadcastPlan::new(common.target(&arguments.uri)?)
    };
    let report = plan.run()?;
    common.publish(&report)?;
    Ok(report.passed())
}

fn run_connect(arguments: &ConnectArguments) -> io::Result<bool> {
    let common = &arguments.common;
    let plan = ConnectPlan {
        connections: arguments.connections,
        opening_max: arguments.opening,
        threads: common.threads,
        hold: Duration::from_secs_f64(arguments.hold),
        open_timeout: Duration::from_secs_f64(common.open_timeout),
        sources: common.sources(),
        processors: common.pin.clone(),
        pid: common.pid,
        quiet: common.quiet,
        ..ConnectPlan::new(common.target(&arguments.uri)?)
    };
    let report = plan.run()?;
    common.publish(&report)?;
    Ok(report.passed())
}

fn run_wsperf(arguments: &WsperfArguments) -> io::Result<bool> {
    let target = target(&arguments.wsuri, arguments.i_own_this_server)?;
    if arguments.workers > 1 {
        return run_wsperf_workers(arguments);
    }
    let plan = WsperfPlan {
        timeout: Duration::from_secs_f64(arguments.timeout),
        processors: arguments.pin.clone(),
        pid: arguments.pid,
        quiet: arguments.quiet,
        ..WsperfPlan::new(
            target,
            arguments.threads,
            arguments.connections,
            arguments.low_watermark,
            arguments.high_watermark,
        )
    };
    let report = plan.run()?;
    report.result.write(&arguments.result_file)?;
    let mut out = io::stdout();
    write!(
        out,
        "{}",
        Aggregate::of(std::slice::from_ref(&report.result))
    )?;
    if let Some(server) = &report.server {
        writeln!(
            out,
            "\n  server: {:.2} us of processor time a handshake ({:.2} user, {:.2} system), {:.0} % busy",
            server.cpu_us,
            server.user_us,
            server.system_us,
            server.share * 100.0
        )?;
    }
    if let Some(why) = &report.driver.bottleneck {
        writeln!(out, "  CAUTION: {why}")?;
    }
    for fault in &report.faults_told {
        writeln!(out, "  {fault}")?;
    }
    Ok(report.passed())
}

/// Runs this program several times with the same arguments, and aggregates what all of them wrote:
/// each process has descriptors of its own.
fn run_wsperf_workers(arguments: &WsperfArguments) -> io::Result<bool> {
    let program = std::env::current_exe()?;
    // What stands before `wsperf` on our command line leads to it on theirs.
    let words: Vec<_> = std::env::args_os()
        .skip(1)
        .take_while(|word| word != "wsperf")
        .collect();
    let path = |worker: usize| {
        let mut name = arguments
            .result_file
            .file_stem()
            .unwrap_or_default()
            .to_owned();
        name.push(format!("_{worker}"));
        if let Some(extension) = arguments.result_file.extension() {
            name.push(".");
            name.push(extension);
        }
        arguments.result_file.with_file_name(name)
    };
    let workers: Vec<_> = (0..arguments.workers)
        .map(|worker| {
            let mut command = std::process::Command::new(&program);
            command.args(&words).arg("wsperf").arg(&arguments.wsuri);
            for number in [
                arguments.threads,
                arguments.connections,
                arguments.low_watermark,
                arguments.high_watermark,
            ] {
                command.arg(number.to_string());
            }
            command.arg(path(worker)).arg("--quiet");
            command.arg("--timeout").arg(arguments.timeout.to_string());
            if let Some(processor) = arguments.pin.get(worker % arguments.pin.len().max(1)) {
                command.arg("--pin").arg(processor.to_string());
            }
            if arguments.i_own_this_server {
                command.arg("--i-own-this-server");
            }
            command.stdout(std::process::Stdio::null()).spawn()
        })
        .collect();
    let mut passed = true;
    for worker in workers {
        passed &= worker?.wait()?.success();
    }
    let results: Vec<_> = (0..arguments.workers)
        .map(|worker| WsperfResult::read(&path(worker)))
        .collect::<io::Result<_>>()?;
    write!(io::stdout(), "{}", Aggregate::of(&results))?;
    Ok(passed)
}

fn run_message_test(arguments: &MessageTestArguments) -> io::Result<bool> {
    let common = &arguments.common;
    let plan = EchoPlan {
        connections: 1,
        sizes: vec![arguments.size],
        content: if arguments.binary {
            Content::Binary
        } else {
            Content::Text
        },
        depth: if arguments.sync { 1 } else { arguments.count },
        messages: Some(arguments.count),
        correctness: arguments.correctness,
        warmup: Duration::ZERO,
        duration: Duration::from_secs_f64(arguments.timeout / 1000.0),
        drain_timeout: Duration::ZERO,
        open_timeout: Duration::from_secs_f64(common.open_timeout),
        sources: common.sources(),
        processors: common.pin.clone(),
        pid: common.pid,
        quiet: common.quiet,
        ..EchoPlan::new(common.target(&arguments.uri)?)
    };
    let report = plan.run()?;
    common.publish(&report)?;
    if let Some(histogram) = report.distribution()
        && common
            .json
            .as_deref()
            .is_none_or(|path| path.as_os_str() != "-")
    {
        let mut out = io::stdout();
        writeln!(
            out,
            "  quantiles, us, in {} groups",
            arguments.quantile_count
        )?;
        for group in 1..=arguments.quantile_count {
            let share = group as f64 / arguments.quantile_count as f64;
            let us = histogram.value_at_quantile(share) as f64 / 1e3;
            writeln!(out, "               {us:>14.1}   {:.1} %", share * 100.0)?;
        }
    }
    Ok(report.passed())
}

fn run_stress_test(arguments: &StressTestArguments) -> io::Result<bool> {
    let common = &arguments.common;
    let delay = Duration::from_secs_f64(arguments.handshake_delay / 1000.0);
    let plan = EchoPlan {
        connections: arguments.connections,
        threads: common.threads,
        sizes: vec![arguments.message_size],
        rate: Some(arguments.rate * arguments.connections as f64),
        opening_gap: delay,
        warmup: Duration::ZERO,
        duration: Duration::from_secs_f64(arguments.duration),
        open_timeout: Duration::from_secs_f64(common.open_timeout),
        sources: common.sources(),
        processors: common.pin.clone(),
        pid: common.pid,
        quiet: common.quiet,
        ..EchoPlan::new(common.target(&arguments.uri)?)
    };
    let report = plan.run()?;
    common.publish(&report)?;
    Ok(report.passed())
}

/// Where the load goes, if it may go there.
fn target(uri: &str, owned: bool) -> io::Result<Target> {
    Target::parse(uri)
        .and_then(|target| target.permit(owned))
        .map_err(io::Error::other)
}

impl CommonArguments {
    fn target(&self, uri: &str) -> io::Result<Target> {
        target(uri, self.i_own_this_server)
    }

    fn sources(&self) -> Vec<IpAddr> {
        self.sources
            .iter()
            .flat_map(|some| some.0.clone())
            .collect()
    }

    fn publish(&self, report: &Report) -> io::Result<()> {
        let to_stdout = |path: &PathBuf| path.as_os_str() == "-";
        if !self.json.as_ref().is_some_and(to_stdout) {
            write!(io::stdout(), "{report}")?;
        }
        if let Some(path) = &self.json {
            if to_stdout(path) {
                writeln!(io::stdout(), "{}", report.to_json())?;
            } else {
                fs::write(path, report.to_json() + "\n")?;
            }
        }
        if let Some(path) = &self.csv {
            let mut file = fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)?;
            if file.metadata()?.len() == 0 {
                writeln!(file, "{}", Report::CSV_HEADER)?;
            }
            writeln!(file, "{}", report.to_csv())?;
        }
        if let (Some(path), Some(histogram)) = (&self.plot, report.distribution()) {
            let title = format!("{} to {}", report.test, report.asked.target);
            fs::write(path, plot::svg(&title, &[(report.test, histogram)]))?;
        }
        Ok(())
    }
}

/// Addresses written as one or as a range.
#[derive(Debug, Clone)]
pub struct Addresses(Vec<IpAddr>);

/// Addresses in a range at most: each brings a network's worth of ports.
const ADDRESSES_MAX: u32 = 1024;

fn addresses(text: &str) -> Result<Addresses, String> {
    let parse = |text: &str| text.parse::<IpAddr>().map_err(|error| error.to_string());
    let Some((first, last)) = text.split_once('-') else {
        return parse(text).map(|address| Addresses(vec![address]));
    };
    match (parse(first)?, parse(last)?) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let (first, last) = (first.to_bits(), last.to_bits());
            match last.checked_sub(first) {
                Some(more) if more < ADDRESSES_MAX => Ok(Addresses(
                    (first..=last).map(|bits| IpAddr::V4(bits.into())).collect(),
                )),
                _ => Err(format!("a range has 1 to {ADDRESSES_MAX} addresses")),
            }
        }
        _ => Err("a range is of IPv4 addresses".to_owned()),
    }
}

/// A number of octets, with k or m for 2^10 and 2^20.
fn octets(text: &str) -> Result<usize, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, shift) = match lower.strip_suffix('k') {
        Some(digits) => (digits, 10),
        None => match lower.strip_suffix('m') {
            Some(digits) => (digits, 20),
            None => (lower.as_str(), 0),
        },
    };
    let count: usize = digits
        .parse()
        .map_err(|_| "a number of octets, such as 125, 16k or 1m".to_owned())?;
    // A reel holds several messages of this size.
    match count.checked_shl(shift) {
        Some(count) if count <= 256 << 20 => Ok(count),
        _ => Err("at most 256m".to_owned()),
    }
}

fn positive(text: &str) -> Result<usize, String> {
    match text.replace('_', "").parse() {
        Ok(number) if (1..=10_000_000).contains(&number) => Ok(number),
        _ => Err("a number from 1 to 10,000,000".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.replace('_', "").parse() {
        Ok(number) if (0.01..=1e9).contains(&number) => Ok(number),
        _ => Err("messages per second, 0.01 to 1,000,000,000".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.0..=1e6).contains(&number) => Ok(number),
        _ => Err("seconds, 0 to 1,000,000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Parser, error::ErrorKind};

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        load: LoadArguments,
    }

    #[test]
    fn sizes_rates_and_ranges_are_read() {
        assert_eq!(octets("16k"), Ok(16 << 10));
        assert_eq!(octets("1M"), Ok(1 << 20));
        assert!(octets("16 k").is_err() && octets("1g").is_err() && octets("257m").is_err());
        assert_eq!(rate("60_000"), Ok(60_000.0));
        assert!(rate("0").is_err() && rate("nan").is_err());
        assert_eq!(addresses("127.0.0.1-127.0.0.8").unwrap().0.len(), 8);
        assert_eq!(addresses("::1").unwrap().0.len(), 1);
        assert!(addresses("127.0.0.2-127.0.0.1").is_err());
        assert!(addresses("127.0.0.1-127.255.0.1").is_err());
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        let parse = |words: &[&str]| Program::try_parse_from([&["load"], words].concat());
        assert!(parse(&["echo", "ws://127.0.0.1:9"]).is_ok());
        let both = parse(&["echo", "ws://127.0.0.1:9", "--depth", "2", "--rate", "5"]);
        assert_eq!(both.unwrap_err().kind(), ErrorKind::ArgumentConflict);
        assert!(parse(&["echo", "ws://127.0.0.1:9", "--connections", "0"]).is_err());
    }

    #[test]
    fn somebody_elses_server_is_left_alone() {
        let words = ["load", "echo", "ws://192.0.2.1:9", "--json", "-"];
        let Program { load } = Program::try_parse_from(words).unwrap();
        assert_eq!(run(&load), ExitCode::from(2));
    }
}
