//! A TCP echo on epoll, level by level as cheap as it gets: per readable connection one `recv` and
//! one `send` of what came, per turn one `epoll_wait`.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

/// The same as our own shard's receive buffer.
const BUFFER_LEN: usize = 128 << 10;
const EVENTS_LEN: usize = 1024;
const LISTENER: Token = Token(usize::MAX);

/// What of a connection waits to leave before it is read from again.
struct Line {
    stream: TcpStream,
    left: Vec<u8>,
    /// A read came back full, or was not made because something waits to leave.
    readable: bool,
}

/// Echoes on one thread, for ever; with `broadcast`, to all connections instead of the one that
/// spoke. `listening` is called when connections can come.
///
/// # Errors
/// The address cannot be listened on; epoll fails.
pub fn serve(
    address: SocketAddr,
    broadcast: bool,
    listening: impl FnOnce(SocketAddr),
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = listen(address)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    listening(listener.local_addr()?);
    let mut events = Events::with_capacity(EVENTS_LEN);
    let mut buffer = vec![0; BUFFER_LEN];
    let mut lines: Vec<Option<Line>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut again: Vec<usize> = Vec::new();
    loop {
        let wait = (!again.is_empty()).then_some(std::time::Duration::ZERO);
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        let waiting = std::mem::take(&mut again);
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut lines, &mut free)?;
                continue;
            }
            let Token(index) = event.token();
            let Some(Some(line)) = lines.get_mut(index) else {
                continue;
            };
            line.readable |= event.is_readable() || event.is_read_closed();
            turn(
                index,
                &mut lines,
                &mut free,
                &mut again,
                &mut buffer,
                broadcast,
            );
        }
        for index in waiting {
            turn(
                index,
                &mut lines,
                &mut free,
                &mut again,
                &mut buffer,
                broadcast,
            );
        }
    }
}

/// Gives a connection its turn, and takes it off the table when it is over.
#[inline]
fn turn(
    index: usize,
    lines: &mut [Option<Line>],
    free: &mut Vec<usize>,
    again: &mut Vec<usize>,
    buffer: &mut [u8],
    broadcast: bool,
) {
    let Some(Some(line)) = lines.get_mut(index) else {
        return;
    };
    let more = if broadcast {
        match line.hear(buffer) {
            Ok(0) => Ok(line.readable),
            Ok(count) => {
                let more = line.readable;
                for line in lines.iter_mut().flatten() {
                    // One that is over is found so at its own next turn.
                    let _ = line.say(&buffer[..count]);
                }
                Ok(more)
            }
            Err(()) => Err(()),
        }
    } else {
        line.turn(buffer)
    };
    match more {
        Ok(false) => {}
        Ok(true) => again.push(index),
        Err(()) => {
            lines[index] = None;
            free.push(index);
        }
    }
}

impl Line {
    /// One read and one write. Says whether there may be more to read; an error ends the line.
    #[inline]
    fn turn(&mut self, buffer: &mut [u8]) -> Result<bool, ()> {
        let count = self.hear(buffer)?;
        if count == 0 {
            return Ok(false);
        }
        self.say(&buffer[..count])?;
        // It is read from again when what is left has left: it holds no more than a buffer.
        Ok(self.readable && self.left.is_empty())
    }

    /// Writes what is left, then reads. 0 when there is nothing to read, or it must wait.
    #[inline]
    fn hear(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        if !self.left.is_empty() {
            match self.stream.write(&self.left) {
                Ok(count) => drop(self.left.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Err(()),
            }
            if !self.left.is_empty() {
                return Ok(0);
            }
        }
        if !self.readable {
            return Ok(0);
        }
        match self.stream.read(buffer) {
            Ok(0) => Err(()),
            Ok(count) => {
                self.readable = count == buffer.len();
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(0)
            }
            Err(_) => Err(()),
        }
    }

    /// Writes what fits, and keeps the rest.
    #[inline]
    fn say(&mut self, octets: &[u8]) -> Result<(), ()> {
        let sent = if self.left.is_empty() {
            match self.stream.write(octets) {
                Ok(sent) => sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return Err(()),
            }
        } else {
            0
        };
        self.left.extend_from_slice(&octets[sent..]);
        Ok(())
    }
}

fn accept(
    poll: &Poll,
    listener: &TcpListener,
    lines: &mut Vec<Option<Line>>,
    free: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        let index = free.pop().unwrap_or(lines.len());
        poll.registry().register(
            &mut stream,
            Token(index),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        let line = Line {
            stream,
            left: Vec::new(),
            readable: false,
        };
        if index < lines.len() {
            lines[index] = Some(line);
        } else {
            lines.push(Some(line));
        }
    }
}

/// Nagle off, as accepted sockets inherit it; a queue as long as the system allows.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(TcpListener::from_std(socket.into()))
}
