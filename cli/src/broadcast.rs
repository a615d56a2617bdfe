//! `wirebahn broadcast`: every message to all, and a tick every second.

use std::time::Duration;

use wirebahn::{Context, Message, Remote};

use crate::options::Options;
use crate::output::Output;
use crate::serve::{self, Failure, Program, Tick};

pub(crate) fn run(options: &Options, stdout: &Output, stderr: &Output) -> Result<(), Failure> {
    let program = Program {
        message: broadcast,
        tick: Some(Tick {
            every: Duration::from_secs(1),
            tell,
        }),
        pings: true,
    };
    serve::run(&program, options, stdout, stderr)
}

fn broadcast(context: &mut Context<'_>, message: Message<'_>) {
    context.broadcast(message);
}

fn tell(remote: &Remote, number: u64) {
    if let Err(error) = remote.broadcast(&format!("tick {number}")) {
        // The next second brings the next one.
        tracing::warn!(number, %error, "a tick did not reach every worker");
    }
}
