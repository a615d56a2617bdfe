//! The command line of the load driver: reads options, runs a plan, prints and writes its report.
//! What a plan does, it does not know.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::load::{Content, Correctness, EchoPlan, Report, Target};

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
    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
}

/// Options of `load echo`.
#[derive(Debug, Clone, Args)]
pub struct EchoArguments {
    /// ws://HOST[:PORT][/PATH], ws+unix:/SOCKET[:/PATH], or tcp://HOST:PORT for a raw echo
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

/// Runs a load. The exit status is 0 if everything came back unchanged, 1 if not, 2 if the run
/// could not be made.
#[must_use]
pub fn run(arguments: &LoadArguments) -> ExitCode {
    let result = match &arguments.command {
        LoadCommand::Echo(echo) => run_echo(echo),
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

impl CommonArguments {
    fn target(&self, uri: &str) -> io::Result<Target> {
        Target::parse(uri)
            .and_then(|target| target.permit(self.i_own_this_server))
            .map_err(io::Error::other)
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
