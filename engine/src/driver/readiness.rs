//! The loop of a driver by readiness, over any [`Kernel`]: epoll's, or the simulator's.
//!
//! Readiness is always edge-triggered, so a stream is watched once in its life, for reading and
//! writing, and never again. A read that came back short has drained the stream; one that filled
//! the buffer leaves it on a list of those that still have data, which is served after everyone
//! else had a turn: that is the fairness budget, one receive buffer a connection and turn.
//!
//! Per readiness event with everything in one piece: 1 `recv`, 1 `send` (or `writev`), and a
//! share of 1 wait. No lock, no allocation, one clock read a turn.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::clock::Clock;
use super::kernel::{Event, Kernel};
use super::listener::{ACCEPTS_PER_TURN, Listener, refuse};
use super::{Driver, End, Key, Sink, Slices};
use crate::tick::Tick;

pub(crate) struct Readiness<K: Kernel> {
    kernel: K,
    /// Away only while they are dealt with.
    events: Option<K::Events>,
    listener: Option<Listener<K>>,
    sockets: Vec<Option<Socket<K>>>,
    buffer: Box<[u8]>,
    /// Sockets that may have more to read, each at most once; see [`Socket::queued`].
    ready: VecDeque<Key>,
    clock: Clock,
}

struct Socket<K: Kernel> {
    stream: K::Stream,
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

impl<K: Kernel> Readiness<K> {
    /// A driver with a receive buffer of `receive_len` octets: what one read can bring.
    pub(crate) fn new(mut kernel: K, receive_len: usize) -> Self {
        Self {
            events: Some(K::events()),
            listener: Some(Listener::new(&mut kernel)),
            sockets: Vec::new(),
            buffer: vec![0; receive_len].into_boxed_slice(),
            ready: VecDeque::new(),
            clock: Clock::new(kernel.now()),
            kernel,
        }
    }

    /// The first half of a turn: all there is to do before waiting. Returns how long that may
    /// take, were nothing to come.
    pub(crate) fn lie_down(
        &mut self,
        wait: Option<Duration>,
        sink: &mut impl Sink,
    ) -> Option<Duration> {
        let asleep = sink.sleep();
        self.timeout(wait, asleep)
    }

    /// The second half: waits, and deals with what came.
    ///
    /// # Errors
    /// As [`Driver::turn`].
    pub(crate) fn get_up(
        &mut self,
        timeout: Option<Duration>,
        sink: &mut impl Sink,
    ) -> io::Result<()> {
        let mut events = self.events.take().unwrap_or_else(K::events);
        match self.kernel.wait(&mut events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => result?,
        }
        sink.woke(self.clock.turn(self.kernel.now(), timeout));

        // Those that still had data when this turn began; who joins now has its turn next time.
        let waiting = self.ready.len();
        for event in K::each(&events) {
            match event {
                Event::Incoming => {
                    if let Some(listener) = self.listener.as_mut() {
                        listener.waiting = true;
                    }
                }
                Event::Woken => {}
                Event::Stream {
                    key,
                    readable,
                    writable,
                    hung_up,
                } => {
                    let Some(socket) = self.socket(key) else {
                        continue;
                    };
                    socket.hung_up |= hung_up;
                    socket.readable |= readable || socket.hung_up;
                    if writable {
                        socket.blocked = false;
                    }
                    if !socket.queued {
                        self.serve(key, sink);
                    }
                }
            }
        }
        self.events = Some(events);
        for _ in 0..waiting {
            let Some(key) = self.ready.pop_front() else {
                break;
            };
            if let Some(socket) = self.socket(key) {
                socket.queued = false;
                self.serve(key, sink);
            }
        }
        if !sink.accepts() || self.accept_is_due() {
            self.accept(sink);
        }
        while let Some(key) = sink.next_due() {
            self.settle(key, sink);
        }
        Ok(())
    }

    fn timeout(&self, wait: Option<Duration>, asleep: bool) -> Option<Duration> {
        if !asleep || !self.ready.is_empty() || self.accept_is_due() {
            return Some(Duration::ZERO);
        }
        let retry = self
            .listener
            .as_ref()
            .and_then(|listener| listener.pause.left(|| self.kernel.now()));
        [wait, retry].into_iter().flatten().min()
    }

    fn accept_is_due(&self) -> bool {
        self.listener
            .as_ref()
            .is_some_and(|listener| listener.is_due(&self.kernel))
    }

    fn socket(&mut self, key: Key) -> Option<&mut Socket<K>> {
        self.sockets
            .get_mut(key.index as usize)?
            .as_mut()
            .filter(|socket| socket.generation == key.generation)
    }

    fn accept(&mut self, sink: &mut impl Sink) {
        if !sink.accepts() {
            // What the kernel has queued is reset: nothing was promised to it yet.
            if self.listener.take().is_some() {
                self.kernel.unlisten();
            }
            return;
        }
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listener.as_mut() else {
                return;
            };
            match listener.next(&mut self.kernel) {
                Ok(Some((stream, peer))) => self.admit(stream, peer, sink),
                Ok(None) => return,
                Err(error) => {
                    sink.accept_failed(&error);
                    if listener.is_paused() {
                        return;
                    }
                }
            }
        }
        if let Some(listener) = self.listener.as_mut() {
            listener.waiting = true;
        }
    }

    fn admit(&mut self, mut stream: K::Stream, peer: SocketAddr, sink: &mut impl Sink) {
        let Some(key) = sink.accepted(peer) else {
            return refuse(&mut stream);
        };
        let index = key.index as usize;
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, || None);
        }
        if let Err(error) = self.kernel.watch(&mut stream, key) {
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
                    let blocked = count < offered;
                    socket.blocked = blocked;
                    sink.sent(key, count);
                    if blocked {
                        sink.blocked(key);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    socket.blocked = true;
                    sink.sent(key, 0);
                    sink.blocked(key);
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
                K::shut(&mut socket.stream);
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

impl<K: Kernel> Driver for Readiness<K> {
    fn turn(&mut self, wait: Option<Duration>, sink: &mut impl Sink) -> io::Result<()> {
        let timeout = self.lie_down(wait, sink);
        self.get_up(timeout, sink)
    }

    fn now(&self) -> Tick {
        self.clock.tick()
    }
}
