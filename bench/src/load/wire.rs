//! A connection's socket: connects from a chosen source address, writes what fits. Knows nothing
//! of frames.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::target::Endpoint;

/// A socket that knows whether it can be written to.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    /// The last write did not take all, and nothing was heard since.
    blocked: bool,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Wire {
    /// Begins to connect. Writing before the connection stands finds it blocked.
    pub(crate) fn connect(endpoint: &Endpoint, source: Option<IpAddr>) -> io::Result<Self> {
        let stream = match endpoint {
            Endpoint::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
            Endpoint::Tcp(address) => {
                let socket = Socket::new(
                    Domain::for_address(*address),
                    Type::STREAM,
                    Some(Protocol::TCP),
                )?;
                socket.set_nonblocking(true)?;
                socket.set_tcp_nodelay(true)?;
                if let Some(source) = source {
                    // The port is chosen here and now, so one address serves one destination with
                    // as many connections as there are ephemeral ports; we have one destination.
                    socket.bind(&SocketAddr::new(source, 0).into())?;
                }
                match socket.connect(&(*address).into()) {
                    Ok(()) => {}
                    Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
                    Err(error) => return Err(error),
                }
                Stream::Tcp(TcpStream::from_std(socket.into()))
            }
        };
        Ok(Self {
            stream,
            blocked: true,
        })
    }

    /// For reading and writing, once in its life; events come at edges.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        match &mut self.stream {
            Stream::Tcp(stream) => registry.register(stream, token, interest),
            Stream::Unix(stream) => registry.register(stream, token, interest),
        }
    }

    /// Whether the connection stands; an error if it never will.
    pub(crate) fn is_connected(&self) -> io::Result<bool> {
        let (error, peer) = match &self.stream {
            Stream::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            Stream::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
        };
        match (error, peer) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(true),
            (None, Err(error)) if error.kind() == ErrorKind::NotConnected => Ok(false),
            (None, Err(error)) => Err(error),
        }
    }

    /// There is room again.
    #[inline]
    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Writes what fits; 0 when nothing does.
    #[inline]
    pub(crate) fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.blocked {
            return Ok(0);
        }
        loop {
            let written = match &mut self.stream {
                Stream::Tcp(stream) => stream.write(octets),
                Stream::Unix(stream) => stream.write(octets),
            };
            match written {
                Ok(count) => {
                    self.blocked = count < octets.len();
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what is there; none when nothing is.
    #[inline]
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let read = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(buffer),
                Stream::Unix(stream) => stream.read(buffer),
            };
            match read {
                Ok(count) => return Ok(Some(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn shut(&self) {
        // An error means that the peer is gone, which reading will say.
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }
}
