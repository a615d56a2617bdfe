//! What the main thread waits for: signals, and workers that ended.
//!
//! One thread turns signals into events of a channel, since a wait for a signal has no deadline
//! and the main thread has statistics to print.

use std::io;
use std::sync::mpsc::Sender;
use std::thread;

use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// SIGTERM or SIGINT.
    End,
    /// SIGHUP.
    Hangup,
    /// SIGUSR1.
    Report,
    /// A worker is gone, whyever.
    WorkerEnded,
}

/// From now on signals become events.
///
/// SIGALRM, which would end the program, is taken and means nothing: some supervisors send it.
/// SIGPIPE is ignored by the runtime of Rust.
pub(crate) fn listen(events: Sender<Event>) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGALRM])?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in &mut signals {
                let event = match signal {
                    SIGTERM | SIGINT => Event::End,
                    SIGHUP => Event::Hangup,
                    SIGUSR1 => Event::Report,
                    _ => continue,
                };
                if events.send(event).is_err() {
                    return; // nobody waits any more
                }
            }
        })?;
    Ok(())
}
