//! The driver for readiness events: epoll, through mio.
//!
//! mio is always edge-triggered, so a socket is registered once in its life, for reading and
//! writing, and never again. A read that came back short has drained the socket; one that filled
//! the buffer leaves the socket on a list of those that still have data, which is served after
//! everyone else had a turn: that is the fairness budget, one receive buffer a connection and
//! turn.
//!
//! Per readiness event with everything in one piece: 1 `recv`, 1 `send` (or `writev`), and a
//! share of 1 `epoll_wait`. No lock, no allocation, one clock read a turn.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};

use super::clock::Clock;
use super::listener::{ACCEPTS_PER_TURN, Listener, refuse};
use super::{Driver, End, Key, Sink, Slices};
use crate::shard::mailbox::Wake;
use crate::tick::Tick;

/// The receive buffer of a shard: what one read can bring. 128 KiB take several large messages at
/// once and still leave room for them in a second-level cache; see `bench/README.md`.
const RECEIVE_LEN: usize = 128 << 10;

/// Events fetched by one wait. More wait in the kernel.
const EVENTS_LEN: usize = 1024;

const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

// A token carries a whole key.
const _: () = assert!(usize::BITS == 64);

pub(crate) struct Epoll {
    poll: Poll,
    events: Events,
    listener: Option<Listener>,
    sockets: Vec<Option<Socket>>,
    buffer: Box<[u8]>,
    /// Sockets that may have more to read, each at most once; see [`Socket::queued`].
    ready: VecDeque<Key>,
    clock: Clock,
    wake: Arc<Waker>,
}

struct Socket {
    stream: TcpStream,
    generation: u32,
    /// There may be something to read.
    readable: bool,
    /// The peer shut its side: a read is due that says so.
    hung_up: bool,
    /// The sink wants what comes.
    wanted: bool,
    /// The transport took less than it was offered, and has not said since that there is room.
    blocked: bool,
    /// On the `ready` list.
    queued: bool,
}

impl Epoll {
    pub(crate) fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        let poll = Poll::new()?;
        let wake = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let mut socket = TcpListener::from_std(listener);
        poll.registry()
            .register(&mut socket, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_LEN),
            listener: Some(Listener::new(socket)),
            sockets: Vec::new(),
            buffer: vec![0; RECEIVE_LEN].into_boxed_slice(),
            ready: VecDeque::new(),
            clock: Clock::new(),
            wake,
        })
    }

    pub(crate) fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.wake) as Arc<dyn Wake>
    }

    fn timeout(&self, wait: Option<Duration>, asleep: bool) -> Option<Duration> {
        let listener = self.listener.as_ref();
        if !asleep || !self.ready.is_empty() || listener.is_some_and(Listener::is_due) {
            return Some(Duration::ZERO);
        }
        let retry = listener
            .and_then(|listener| listener.retry_at)
            .map(|at| at.saturating_duration_since(Instant::now()));
        [wait, retry].into_iter().flatten().min()
    }

    fn socket(&mut self, key: Key) -> Option<&mut Socket> {
        self.sockets
            .get_mut(key.index as usize)?
            .as_mut()
            .filter(|socket| socket.generation == key.generation)
    }

    fn accept(&mut self, sink: &mut impl Sink) {
        if !sink.accepts() {
            // What the kernel has queued is taken first, so that closing resets nobody.
            self.listener = None;
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listener.as_mut() else {
                return;
            };
            match listener.next() {
                Ok(Some((stream, peer))) => self.admit(stream, peer, sink),
                Ok(None) => return,
                Err(error) => sink.accept_failed(&error),
            }
        }
        if let Some(listener) = self.listener.as_mut() {
            listener.waiting = true;
        }
    }

    fn admit(&mut self, mut stream: TcpStream, peer: std::net::SocketAddr, sink: &mut impl Sink) {
        let Some(key) = sink.accepted(peer) else {
            return refuse(&mut stream);
        };
        let index = key.index as usize;
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, || None);
        }
        let registered = self.poll.registry().register(
            &mut stream,
            Token(key.to_word() as usize),
            Interest::READABLE | Interest::WRITABLE,
        );
        if let Err(error) = registered {
            sink.accept_failed(&error);
            sink.closed(key, Some(error.kind()));
            return;
        }
        self.sockets[index] = Some(Socket {
            stream,
            generation: key.generation,
            readable: false,
            hung_up: false,
            wanted: true,
            blocked: false,
            queued: false,
        });
    }

    /// Gives a connection its turn: one read, then all that follows from it.
    fn serve(&mut self, key: Key, sink: &mut impl Sink) {
        let Some(socket) = self
            .sockets
            .get_mut(key.index as usize)
            .and_then(Option::as_mut)
        else {
            return;
        };
        if socket.readable && socket.wanted {
            match socket.stream.read(&mut self.buffer) {
                Ok(0) => {
                    socket.readable = false;
                    socket.hung_up = false;
                    sink.ended(key);
                }
                Ok(count) => {
                    socket.readable = count == self.buffer.len() || socket.hung_up;
                    if let Some(octets) = self.buffer.get_mut(..count) {
                        sink.received(key, octets);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => socket.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.close(key, Some(error.kind()), sink),
            }
        }
        self.settle(key, sink);
    }

    /// Writes what may leave and does what the sink wishes.
    fn settle(&mut self, key: Key, sink: &mut impl Sink) {
        let Some(socket) = self.socket(key) else {
            return;
        };
        while !socket.blocked {
            let mut slices = Slices::new();
            sink.gather(key, &mut slices);
            let (written, offered) = match slices.as_slice() {
                [] => break,
                [slice] => (socket.stream.write(slice), slice.len()),
                many => (
                    socket.stream.write_vectored(many),
                    many.iter().map(|s| s.len()).sum(),
                ),
            };
            drop(slices);
            match written {
                Ok(count) => {
                    socket.blocked = count < offered;
                    sink.sent(key, count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    socket.blocked = true;
                    sink.sent(key, 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => sink.sent(key, 0),
                Err(error) => return self.close(key, Some(error.kind()), sink),
            }
        }
        let wish = sink.wish(key);
        let Some(socket) = self.socket(key) else {
            return;
        };
        socket.wanted = wish.read;
        match wish.end {
            Some(End::Close) => return self.close(key, None, sink),
            Some(End::Linger) => {
                // An error means that the peer is gone; the read that follows says so.
                let _ = socket.stream.shutdown(Shutdown::Write);
                sink.shut(key);
            }
            None => {}
        }
        let Some(socket) = self.socket(key) else {
            return;
        };
        if socket.readable && socket.wanted && !socket.queued {
            socket.queued = true;
            self.ready.push_back(key);
        }
    }

    /// Closes the socket; the kernel forgets its registration with it.
    fn close(&mut self, key: Key, error: Option<ErrorKind>, sink: &mut impl Sink) {
        if let Some(slot) = self.sockets.get_mut(key.index as usize) {
            *slot = None;
        }
        sink.closed(key, error);
    }
}

impl Driver for Epoll {
    fn turn(&mut self, wait: Option<Duration>, sink: &mut impl Sink) -> io::Result<()> {
        let asleep = sink.sleep();
        let timeout = self.timeout(wait, asleep);
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => self.events.clear(),
            result => result?,
        }
        sink.woke(self.clock.turn(timeout));

        // Those that still had data when this turn began; who joins now has its turn next time.
        let waiting = self.ready.len();
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            match event.token() {
                LISTENER => {
                    if let Some(listener) = self.listener.as_mut() {
                        listener.waiting = true;
                    }
                }
                WAKER => {}
                Token(word) => {
                    let key = Key::from_word(word as u64);
                    let Some(socket) = self.socket(key) else {
                        continue;
                    };
                    socket.hung_up |= event.is_read_closed() || event.is_error();
                    socket.readable |= event.is_readable() || socket.hung_up;
                    if event.is_writable() {
                        socket.blocked = false;
                    }
                    if !socket.queued {
                        self.serve(key, sink);
                    }
                }
            }
        }
        self.events = events;
        for _ in 0..waiting {
            let Some(key) = self.ready.pop_front() else {
                break;
            };
            if let Some(socket) = self.socket(key) {
                socket.queued = false;
                self.serve(key, sink);
            }
        }
        if !sink.accepts() || self.listener.as_ref().is_some_and(Listener::is_due) {
            self.accept(sink);
        }
        while let Some(key) = sink.next_due() {
            self.settle(key, sink);
        }
        Ok(())
    }

    fn now(&self) -> Tick {
        self.clock.tick(self.clock.last)
    }
}

impl Wake for Waker {
    fn wake(&self) {
        // The counter of an eventfd cannot overflow by ones, and nothing else can fail.
        let _ = Self::wake(self);
    }
}
