//! The load driver as a program of its own; `wirebahn load` is the same.

use std::process::ExitCode;

use clap::Parser;
use wirebahn_bench::cli::{self, LoadArguments};

/// Loads WebSocket servers and checks what they answer.
#[derive(Parser)]
#[command(name = "wirebahn-load", version)]
struct Program {
    #[command(flatten)]
    load: LoadArguments,
}

fn main() -> ExitCode {
    cli::run(&Program::parse().load)
}
