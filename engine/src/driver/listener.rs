//! The listening socket of a shard, and what keeps accepting alive when descriptors run out.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::kernel::Kernel;

/// Connections accepted in one turn, so that a burst of them does not starve those that are open.
pub(super) const ACCEPTS_PER_TURN: usize = 128;

/// After accepting failed for want of descriptors or memory: the first pause and the longest. The
/// longest is how late a returned descriptor may be noticed.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(1);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_millis(64);

/// What keeps accepting alive. The listening socket itself is the kernel's.
pub(super) struct Listener<K: Kernel> {
    /// Given up to accept, and so to turn away, a connection there is no descriptor for: it would
    /// otherwise wait in the kernel's queue without an answer.
    reserve: Option<K::Reserve>,
    /// There may be connections to accept.
    pub(super) waiting: bool,
    pub(super) pause: Pause,
}

/// How long not to accept, after it failed for want of something that is nobody's fault.
#[derive(Debug)]
pub(super) struct Pause {
    next: Duration,
    until: Option<Duration>,
}

impl Default for Pause {
    fn default() -> Self {
        Self {
            next: ACCEPT_PAUSE_MIN,
            until: None,
        }
    }
}

impl Pause {
    /// Pauses from `now` on, each time in a row twice as long as the last.
    pub(super) fn begin(&mut self, now: Duration) {
        self.until = Some(now + self.next);
        self.next = (self.next * 2).min(ACCEPT_PAUSE_MAX);
    }

    /// Accepting went well.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }

    /// What is left of the pause; zero when it is over, none when there was none. `now` is asked
    /// for only if it matters.
    pub(super) fn left(&self, now: impl FnOnce() -> Duration) -> Option<Duration> {
        self.until.map(|until| until.saturating_sub(now()))
    }

    /// Accepting is tried: the pause is forgotten, but not how long the next one is.
    fn lift(&mut self) {
        self.until = None;
    }
}

impl<K: Kernel> Listener<K> {
    pub(super) fn new(kernel: &mut K) -> Self {
        Self {
            reserve: kernel.reserve(),
            waiting: false,
            pause: Pause::default(),
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.pause.until.is_some()
    }

    pub(super) fn is_due(&self, kernel: &K) -> bool {
        match self.pause.left(|| kernel.now()) {
            Some(left) => left.is_zero(),
            None => self.waiting,
        }
    }

    /// The next connection; none when there is none for now.
    pub(super) fn next(&mut self, kernel: &mut K) -> io::Result<Option<(K::Stream, SocketAddr)>> {
        self.pause.lift();
        match kernel.accept() {
            Ok(accepted) => {
                self.pause.end();
                if self.reserve.is_none() {
                    self.reserve = kernel.reserve();
                }
                Ok(Some(accepted))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.waiting = false;
                Ok(None)
            }
            Err(error) if is_starved(&error) => {
                self.turn_away(kernel);
                self.pause.begin(kernel.now());
                Err(error)
            }
            // The connection is to blame (it is gone already, or a filter forbids it): the next
            // one may be sound.
            Err(error) => Err(error),
        }
    }

    /// Closes what waits to be accepted, with an answer, by means of the reserve.
    fn turn_away(&mut self, kernel: &mut K) {
        for _ in 0..ACCEPTS_PER_TURN {
            if self.reserve.take().is_none() {
                return;
            }
            let Ok((mut stream, _)) = kernel.accept() else {
                self.reserve = kernel.reserve();
                return;
            };
            refuse(&mut stream);
            drop(stream);
            self.reserve = kernel.reserve();
        }
    }
}

/// Out of descriptors (the process, the system) or of memory for sockets: no connection's fault.
pub(super) fn is_starved(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// Tells a client that there is no room, as far as one write does.
pub(super) fn refuse(stream: &mut impl Write) {
    let _ = stream.write(
        b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    );
}
