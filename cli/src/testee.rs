//! `wirebahn testee server`: the target of a conformance suite.
//!
//! An echo without pings of its own, so that a case which takes its time sees no frame it did not
//! ask for. All else is the engine's default: Close frames are answered in kind, violations get
//! their Close frame, and limits are inclusive, so that a message of 16 MiB passes those of 16 MiB.

use crate::echo::echo;
use crate::options::Options;
use crate::output::Output;
use crate::serve::{self, Failure, Program};

pub(crate) fn run(options: &Options, stdout: &Output, stderr: &Output) -> Result<(), Failure> {
    let program = Program {
        message: echo,
        tick: None,
        pings: false,
    };
    serve::run(&program, options, stdout, stderr)
}
