//! `wirebahn tune` alone, to try it without the rest of the program.

use std::process::ExitCode;

use clap::Parser;
use wirebahn_tuning::cli::{TuneArgs, run};

/// Says whether this machine carries a WebSocket server's load, and helps.
#[derive(Parser)]
#[command(name = "tune")]
struct Program {
    #[command(flatten)]
    tune: TuneArgs,
}

fn main() -> ExitCode {
    run(&Program::parse().tune)
}
