//! The words of the command line and nothing else.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{
    load::Load,
    plan::{Part, PlanOptions},
};

const STATUS_HELP: &str = "\
Exit status:
  0  fine: the stated load is carried (check), all is as planned (apply, undo, pin)
  1  a finding limits the stated load; or a value was refused, changed by someone
     else, or a worker is not where it should be
  2  the command line makes no sense
  3  something essential could not be read, or could not be done";

/// Arguments of `wirebahn tune`.
#[derive(Debug, Clone, Args)]
#[command(after_help = STATUS_HELP)]
pub struct TuneArgs {
    /// Look at (and change) the tree below DIR instead of this machine: an
    /// image, or a copy of a machine's /proc, /sys and /etc
    #[arg(long, value_name = "DIR", global = true)]
    pub root: Option<PathBuf>,

    /// What to do.
    #[command(subcommand)]
    pub command: TuneCommand,
}

/// What `wirebahn tune` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum TuneCommand {
    /// Say whether this machine carries a load, and what is in the way
    #[command(after_help = STATUS_HELP)]
    Check(CheckArgs),
    /// Print what `apply` would change
    Plan(PlanArgs),
    /// Change this machine for a load; every change is recorded (root)
    #[command(after_help = STATUS_HELP)]
    Apply(ApplyArgs),
    /// Take back what the last `apply` has changed, byte for byte (root)
    #[command(after_help = STATUS_HELP)]
    Undo(UndoArgs),
    /// Show where a running server's workers are; with --set, move them
    #[command(after_help = STATUS_HELP)]
    Pin(PinArgs),
    /// Tell what a setting does, and what changing it risks
    Explain(ExplainArgs),
}

/// The load to check and plan for.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// Connections open at the same time; 100k and 1m are understood
    #[arg(long, short = 'n', value_name = "N", default_value = "10000", value_parser = count)]
    pub connections: u64,

    /// Worker threads [default: one for each physical core that may be used]
    #[arg(long, short = 'w', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub workers: Option<u32>,

    /// The port the server listens on
    #[arg(long, short = 'p', value_name = "P", default_value_t = 9000)]
    pub port: u16,

    /// What the server passes to listen()
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub backlog: u32,

    /// New connections in the worst second [default: a tenth of --connections]
    #[arg(long, value_name = "N", value_parser = count)]
    pub arrivals: Option<u64>,

    /// Octets that wait in the kernel for an average connection
    #[arg(long, value_name = "OCTETS", default_value = "2048", value_parser = count)]
    pub queued: u64,

    /// Connections this machine opens to one address and port
    #[arg(long, value_name = "N", default_value = "0", value_parser = count)]
    pub outgoing: u64,
}

impl LoadArgs {
    /// The load they state.
    pub fn load(&self) -> Load {
        Load::new(self.connections)
            .workers(self.workers.unwrap_or(0))
            .port(self.port)
            .backlog(self.backlog)
            .arrivals(self.arrivals.unwrap_or(0))
            .queued(self.queued)
            .outgoing(self.outgoing)
    }
}

/// Arguments of `tune check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,

    /// Look at the limits and the affinity of this running process
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,

    /// Show every finding in full, the fine ones too
    #[arg(long, short = 'v')]
    pub verbose: bool,

    /// Print JSON (schema wirebahn-tune-check/1)
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `tune plan`, and of `tune apply` too.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// The load.
    #[command(flatten)]
    pub load: LoadArgs,

    /// Only these parts
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub only: Vec<Part>,

    /// The systemd unit
    #[arg(long, value_name = "NAME", default_value = "wirebahn.service")]
    pub unit: String,

    /// The command of the unit; without, a drop-in for a unit made elsewhere
    #[arg(long, value_name = "COMMAND")]
    pub exec: Option<String>,

    /// Whom limits.d is about: a user, @group or *
    #[arg(long, value_name = "USER", default_value = "*")]
    pub user: String,

    /// Leave the walls around the server out of the unit
    #[arg(long)]
    pub no_hardening: bool,

    /// Print JSON (schema wirebahn-tune-plan/1)
    #[arg(long)]
    pub json: bool,
}

impl PlanArgs {
    /// The options they state.
    pub fn options(&self) -> PlanOptions {
        let mut options = PlanOptions {
            unit: self.unit.clone(),
            exec: self.exec.clone(),
            user: self.user.clone(),
            hardening: !self.no_hardening,
            ..PlanOptions::default()
        };
        if !self.only.is_empty() {
            options.parts = self.only.iter().copied().collect();
        }
        options
    }
}

/// Arguments of `tune apply`.
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    /// What to apply.
    #[command(flatten)]
    pub plan: PlanArgs,

    /// Print exactly what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `tune undo`.
#[derive(Debug, Clone, Args)]
pub struct UndoArgs {
    /// Take back every apply, not only the last
    #[arg(long)]
    pub all: bool,

    /// Also put back what someone else has changed since
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `tune pin`.
#[derive(Debug, Clone, Args)]
pub struct PinArgs {
    /// The server's process
    pub pid: u32,

    /// Bind every worker to its planned CPU
    #[arg(long)]
    pub set: bool,

    /// Plan on these CPUs [default: all that the process may use]
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<String>,

    /// Print JSON (schema wirebahn-tune-pin/1)
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `tune explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The setting, as `check` calls it; without, all of them are listed
    pub key: Option<String>,
}

/// A number that may be written 1_000_000, 100k or 1m.
fn count(text: &str) -> Result<u64, String> {
    let plain = text.replace('_', "").to_ascii_lowercase();
    let (digits, factor) = match (plain.strip_suffix('k'), plain.strip_suffix('m')) {
        (Some(digits), _) => (digits, 1_000),
        (_, Some(digits)) => (digits, 1_000_000),
        _ => (plain.as_str(), 1),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "a number such as 10000, 100k or 1m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_as_people_write_them() {
        assert_eq!(count("10000"), Ok(10_000));
        assert_eq!(count("1_000_000"), Ok(1_000_000));
        assert_eq!(count("100k"), Ok(100_000));
        assert_eq!(count("1M"), Ok(1_000_000));
        for text in [
            "",
            "k",
            "-1",
            "1.5k",
            "99999999999999999999",
            "18446744073709551615m",
        ] {
            assert!(count(text).is_err(), "{text:?}");
        }
    }
}
