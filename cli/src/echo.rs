//! `wirebahn echo`: every message back to its sender.

use wirebahn::{Context, Message};

use crate::options::Options;
use crate::output::Output;
use crate::serve::{self, Failure, Program};

pub(crate) fn run(options: &Options, stdout: &Output, stderr: &Output) -> Result<(), Failure> {
    let program = Program {
        message: echo,
        tick: None,
        pings: true,
    };
    serve::run(&program, options, stdout, stderr)
}

pub(crate) fn echo(context: &mut Context<'_>, message: Message<'_>) {
    // A message that is dropped, since its client does not read, is counted by the engine.
    let _ = context.send(message);
}
