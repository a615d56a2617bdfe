//! The kernel that is one: epoll, through mio, which always sets it edge-triggered.

use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::Key;
use super::kernel::{Event, Kernel};
use super::readiness::Readiness;
use crate::shard::mailbox::Wake;

/// The receive buffer of a shard: what one read can bring. 128 KiB take several large messages at
/// once and still leave room for them in a second-level cache; see `bench/README.md`.
const RECEIVE_LEN: usize = 128 << 10;

/// Events fetched by one wait. More wait in the kernel.
const EVENTS_LEN: usize = 1024;

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

// A token carries a whole key.
const _: () = assert!(usize::BITS == 64);

/// One epoll instance and the listening socket of its shard.
pub(crate) struct Epoll {
    poll: Poll,
    listener: Option<TcpListener>,
    start: Instant,
}

impl Epoll {
    /// A driver on this listening socket, and what wakes it from other threads.
    ///
    /// # Errors
    /// The system's, when it has no descriptor or no memory left.
    pub(crate) fn driver(
        listener: std::net::TcpListener,
    ) -> io::Result<(Readiness<Self>, Arc<dyn Wake>)> {
        let poll = Poll::new()?;
        let wake = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut listener = TcpListener::from_std(listener);
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let epoll = Self {
            poll,
            listener: Some(listener),
            start: Instant::now(),
        };
        Ok((Readiness::new(epoll, RECEIVE_LEN), wake))
    }
}

impl Kernel for Epoll {
    type Stream = TcpStream;
    type Reserve = File;
    type Events = Events;

    fn events() -> Events {
        Events::with_capacity(EVENTS_LEN)
    }

    fn wait(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        let result = self.poll.poll(events, timeout);
        if result.is_err() {
            events.clear();
        }
        result
    }

    fn each(events: &Events) -> impl Iterator<Item = Event> {
        events.iter().map(|event| match event.token() {
            LISTENER => Event::Incoming,
            WAKER => Event::Woken,
            Token(word) => Event::Stream {
                key: Key::from_word(word as u64),
                readable: event.is_readable(),
                writable: event.is_writable(),
                hung_up: event.is_read_closed() || event.is_error(),
            },
        })
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.listener {
            Some(listener) => listener.accept(),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn watch(&mut self, stream: &mut TcpStream, key: Key) -> io::Result<()> {
        self.poll.registry().register(
            stream,
            Token(key.to_word() as usize),
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    fn shut(stream: &mut TcpStream) {
        // An error means that the peer is gone; the read that follows says so.
        let _ = stream.shutdown(Shutdown::Write);
    }

    fn unlisten(&mut self) {
        self.listener = None;
    }

    fn reserve(&mut self) -> Option<File> {
        File::open("/dev/null").ok()
    }
}

impl Wake for Waker {
    fn wake(&self) {
        // The counter of an eventfd cannot overflow by ones, and nothing else can fail.
        let _ = Self::wake(self);
    }
}
