//! The listening socket of a shard, and what keeps accepting alive when descriptors run out.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};

/// Connections accepted in one turn, so that a burst of them does not starve those that are open.
pub(super) const ACCEPTS_PER_TURN: usize = 128;

/// After accepting failed for want of descriptors or memory: the first pause and the longest. The
/// longest is how late a returned descriptor may be noticed.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(1);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_millis(64);

/// The listening socket, and what keeps accepting from it alive.
pub(super) struct Listener {
    socket: TcpListener,
    /// Given up to accept, and so to turn away, a connection there is no descriptor for: it would
    /// otherwise wait in the kernel's queue without an answer.
    reserve: Option<File>,
    /// There may be connections to accept.
    pub(super) waiting: bool,
    pause: Duration,
    pub(super) retry_at: Option<Instant>,
}

impl Listener {
    pub(super) fn new(socket: TcpListener) -> Self {
        Self {
            socket,
            reserve: File::open("/dev/null").ok(),
            waiting: false,
            pause: ACCEPT_PAUSE_MIN,
            retry_at: None,
        }
    }

    pub(super) fn is_due(&self) -> bool {
        match self.retry_at {
            Some(at) => Instant::now() >= at,
            None => self.waiting,
        }
    }

    /// The next connection; none when there is none for now.
    pub(super) fn next(&mut self) -> io::Result<Option<(TcpStream, std::net::SocketAddr)>> {
        self.retry_at = None;
        match self.socket.accept() {
            Ok(accepted) => {
                self.pause = ACCEPT_PAUSE_MIN;
                if self.reserve.is_none() {
                    self.reserve = File::open("/dev/null").ok();
                }
                Ok(Some(accepted))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.waiting = false;
                Ok(None)
            }
            Err(error) if is_starved(&error) => {
                self.turn_away();
                self.retry_at = Some(Instant::now() + self.pause);
                self.pause = (self.pause * 2).min(ACCEPT_PAUSE_MAX);
                Err(error)
            }
            // The connection is to blame (it is gone already, or a filter forbids it): the next
            // one may be sound.
            Err(error) => Err(error),
        }
    }

    /// Closes what waits to be accepted, with an answer, by means of the reserve.
    fn turn_away(&mut self) {
        for _ in 0..ACCEPTS_PER_TURN {
            if self.reserve.take().is_none() {
                return;
            }
            let Ok((mut stream, _)) = self.socket.accept() else {
                self.reserve = File::open("/dev/null").ok();
                return;
            };
            refuse(&mut stream);
            drop(stream);
            self.reserve = File::open("/dev/null").ok();
        }
    }
}

/// Out of descriptors (the process, the system) or of memory for sockets: no connection's fault.
fn is_starved(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// Tells a client that there is no room, as far as one write does.
pub(super) fn refuse(stream: &mut TcpStream) {
    let _ = stream.write(
        b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
    );
}
