//! The `wirebahn` program: reads the command line, runs what it names, says how it ended.
//!
//! Exit status: 0 when it ended because it was asked to; 1 when it could not start, or a worker
//! failed; 2 when the command line asks for what does not exist.

#![forbid(unsafe_code)]

mod broadcast;
mod echo;
mod options;
mod output;
mod serve;
mod service;
mod signals;
mod size;
mod statistics;
mod testee;
mod uri;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::options::{Arguments, Command, Testee};
use crate::output::Output;

/// How long the last lines may take to leave when the reader of stdout or stderr is stuck.
const FLUSH_MOST: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let stdout = Output::stdout();
    let stderr = Output::stderr();
    let outcome = match &arguments.command {
        Command::Echo(options) => echo::run(options, &stdout, &stderr),
        Command::Broadcast(options) => broadcast::run(options, &stdout, &stderr),
        Command::Testee(Testee::Server(options)) => testee::run(options, &stdout, &stderr),
        // These are no servers: they write as they go, and are waited for.
        Command::Load(arguments) => return wirebahn_bench::cli::run(arguments),
        Command::Tune(arguments) => return wirebahn_tuning::cli::run(arguments),
    };
    let status = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            stderr.write(format!("wirebahn: {failure}\n"));
            failure.exit_code()
        }
    };
    stdout.finish(FLUSH_MOST);
    stderr.finish(FLUSH_MOST);
    status
}
