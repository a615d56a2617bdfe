//! The kernel that is none: a seed decides what becomes possible, when, and what fails.
//!
//! The loop of `readiness` runs over it as it runs over epoll, one shard after the other in one
//! thread; the world in [`crate::sim`] decides who is next and what time it is.
//!
//! Knows nothing of shards but how to wake them.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Key;
use super::kernel::{Event, Kernel};
use crate::shard::mailbox::Wake;

pub(crate) mod faults;
pub(crate) mod network;
pub(crate) mod random;

use network::Network;

/// The kernel of one shard.
pub(crate) struct Simulated {
    network: Rc<RefCell<Network>>,
    port: usize,
    wake: Arc<Bell>,
}

impl Simulated {
    pub(crate) fn new(network: Rc<RefCell<Network>>, port: usize, wake: Arc<Bell>) -> Self {
        Self {
            network,
            port,
            wake,
        }
    }
}

/// What wakes a shard.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    /// Sabotage: it makes no sound.
    pub(crate) muffled: AtomicBool,
}

impl Bell {
    pub(crate) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(&self) {
        if !self.muffled.load(Ordering::Relaxed) {
            self.rung.store(true, Ordering::Relaxed);
        }
    }
}

/// The server's end of a line.
pub(crate) struct Stream {
    network: Rc<RefCell<Network>>,
    line: u32,
}

/// A descriptor held back.
pub(crate) struct Reserve {
    network: Rc<RefCell<Network>>,
    port: usize,
}

impl Kernel for Simulated {
    type Stream = Stream;
    type Reserve = Reserve;
    type Events = Vec<Event>;

    fn events() -> Vec<Event> {
        Vec::new()
    }

    fn wait(&mut self, events: &mut Vec<Event>, _: Option<Duration>) -> io::Result<()> {
        self.network.borrow_mut().harvest(self.port, events)?;
        if self.wake.rung.swap(false, Ordering::Relaxed) {
            events.push(Event::Woken);
        }
        Ok(())
    }

    fn each(events: &Vec<Event>) -> impl Iterator<Item = Event> {
        events.iter().copied()
    }

    fn now(&self) -> Duration {
        self.network.borrow().now
    }

    fn accept(&mut self) -> io::Result<(Stream, SocketAddr)> {
        let line = self.network.borrow_mut().accept(self.port)?;
        let stream = Stream {
            network: Rc::clone(&self.network),
            line,
        };
        // The address names the line, for a handler that wants to tell clients apart.
        let address = Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + line);
        Ok((stream, SocketAddr::from((address, 1))))
    }

    fn watch(&mut self, stream: &mut Stream, key: Key) -> io::Result<()> {
        self.network.borrow_mut().watch(stream.line, key)
    }

    fn shut(stream: &mut Stream) {
        stream.network.borrow_mut().finish(stream.line);
    }

    fn unlisten(&mut self) {
        self.network.borrow_mut().unlisten(self.port);
    }

    fn reserve(&mut self) -> Option<Reserve> {
        let free = self.network.borrow_mut().take_spare(self.port);
        free.then(|| Reserve {
            network: Rc::clone(&self.network),
            port: self.port,
        })
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.network.borrow_mut().read(self.line, buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(octets)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.network.borrow_mut().write(self.line, slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.network.borrow_mut().close(self.line);
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        self.network.borrow_mut().give_spare(self.port);
    }
}
