//! Assembles a server: binds one socket a worker, starts the threads, ends them in order.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use crate::config::{DriverChoice, Placement, ServerConfig};
use crate::driver::Driver;
use crate::driver::epoll::Epoll;
use crate::driver::readiness::Readiness;
use crate::driver::uring::Uring;
use crate::handler::Handler;
use crate::remote::Remote;
use crate::shard::Shard;
use crate::shard::counters::Statistics;
use crate::shard::mailbox::{Hub, Stop, Wake};
use crate::shard::pin;

/// A running server. Dropping it stops it at once; see [`shutdown`](Self::shutdown) for the
/// orderly way.
#[derive(Debug)]
pub struct Server {
    hub: Arc<Hub>,
    local_addr: SocketAddr,
    workers: Vec<Worker>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

/// One worker, as it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Worker {
    /// Its number, from 0.
    pub index: usize,
    /// The processor it is pinned to.
    pub processor: Option<usize>,
    /// The name of the driver that moves its octets: `epoll` or `io_uring`.
    pub driver: &'static str,
    /// Why it is not the one that was asked for, if it is not.
    pub refused: Option<io::ErrorKind>,
}

/// A server that could not start, or a worker that could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// No address was given, or the name of the host has none.
    #[error("no address to listen on")]
    NoAddress,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A worker could not be started.
    #[error("cannot start worker {worker}: {source}")]
    Start {
        /// Its number.
        worker: usize,
        /// What the system said.
        source: io::Error,
    },
    /// A worker ended although nobody asked it to.
    #[error("worker {worker} failed: {source}")]
    Worker {
        /// Its number.
        worker: usize,
        /// Why.
        source: io::Error,
    },
    /// The name of a host was not resolved.
    #[error("cannot resolve the address to listen on: {0}")]
    Resolve(io::Error),
}

impl Server {
    /// Begins with the default configuration and no address.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            config: ServerConfig::default(),
            address: Ok(None),
        }
    }

    /// The address listened on; with the port the system chose when 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The workers, as they were started.
    #[must_use]
    pub fn workers(&self) -> &[Worker] {
        &self.workers
    }

    /// A handle that sends, closes and counts from any thread.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote::new(Arc::clone(&self.hub))
    }

    /// What each worker has counted since the start, as of its last turn.
    #[must_use]
    pub fn statistics(&self) -> Vec<Statistics> {
        self.hub.statistics()
    }

    /// Ends the server in order: nothing new is accepted, what is on its way is answered, every
    /// connection gets a Close frame with 1001, and what has not ended after `most` is cut.
    /// Returns at once; [`join`](Self::join) waits for the end.
    pub fn shutdown(&self, most: Duration) {
        self.hub.stop(Stop::Drain(most));
    }

    /// Ends the server at once: every connection is cut.
    pub fn stop(&self) {
        self.hub.stop(Stop::Now);
    }

    /// Waits until all workers have ended.
    ///
    /// # Errors
    /// [`ServerError::Worker`] for the first worker that failed; the others were stopped then.
    pub fn join(mut self) -> Result<(), ServerError> {
        self.join_all()
    }

    fn join_all(&mut self) -> Result<(), ServerError> {
        let mut result = Ok(());
        for (worker, thread) in self.threads.drain(..).enumerate() {
            let outcome = thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("panicked")));
            if let Err(source) = outcome {
                self.hub.stop(Stop::Now);
                result = result.and(Err(ServerError::Worker { worker, source }));
            }
        }
        result
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.hub.stop(Stop::Now);
        // Somebody who wants to know how it ended has called `join`.
        let _ = self.join_all();
    }
}

/// Starts a [`Server`].
#[derive(Debug)]
pub struct ServerBuilder {
    config: ServerConfig,
    address: Result<Option<SocketAddr>, io::Error>,
}

impl ServerBuilder {
    /// The address to listen on: `"127.0.0.1:9000"`, `"[::]:9000"`, `("localhost", 9000)`. Of a
    /// name with several addresses the first is taken. Port 0 lets the system choose.
    #[must_use]
    pub fn bind(mut self, address: impl ToSocketAddrs) -> Self {
        self.address = address
            .to_socket_addrs()
            .map(|mut addresses| addresses.next());
        self
    }

    /// The configuration. Default: [`ServerConfig::default`].
    #[must_use]
    pub fn config(mut self, config: ServerConfig) -> Self {
        self.config = config;
        self
    }

    /// Binds, starts the workers, and returns when all of them accept. `make` is called on each
    /// worker's thread, with the worker, for the handler of its shard.
    ///
    /// # Errors
    /// [`ServerError`]; nothing runs then.
    pub fn serve<H, F>(self, make: F) -> Result<Server, ServerError>
    where
        H: Handler + 'static,
        F: Fn(Worker) -> H + Send + Sync + 'static,
    {
        let address = self
            .address
            .map_err(ServerError::Resolve)?
            .ok_or(ServerError::NoAddress)?;
        let config = self.config;
        let processors = pin::allowed();
        let count = match config.workers {
            0 => processors.len().max(1),
            count => count,
        };
        let listeners = listen(address, count, &config)
            .map_err(|source| ServerError::Listen { address, source })?;
        let local_addr = listeners
            .first()
            .ok_or(ServerError::NoAddress)?
            .local_addr()
            .map_err(|source| ServerError::Listen { address, source })?;

        let hub = Arc::new(Hub::new(count));
        let make = Arc::new(make);
        let protocol = Arc::new(config.protocol.clone());
        let (started, starting) = mpsc::channel();
        let mut server = Server {
            hub,
            local_addr,
            workers: Vec::new(),
            threads: Vec::new(),
        };
        for (index, listener) in listeners.into_iter().enumerate() {
            let processor = match config.placement {
                Placement::Pinned if !processors.is_empty() => {
                    processors.get(index % processors.len()).copied()
                }
                _ => None,
            };
            let (hub, make, protocol, started) = (
                Arc::clone(&server.hub),
                Arc::clone(&make),
                Arc::clone(&protocol),
                started.clone(),
            );
            let choice = config.driver;
            let run = move || {
                let processor = processor.filter(|&processor| {
                    let pinned = pin::pin(processor);
                    if !pinned {
                        tracing::warn!(worker = index, processor, "could not be pinned");
                    }
                    pinned
                });
                let opened = match open(choice, listener) {
                    Ok(opened) => opened,
                    Err(error) => {
                        let _ = started.send(Err((index, error)));
                        return Ok(());
                    }
                };
                let worker = Worker {
                    index,
                    processor,
                    driver: opened.name(),
                    refused: opened.refused,
                };
                // Fits: the configuration allows at most 1024 workers.
                let shard_index = index as u16;
                hub.inbox(shard_index).set_waker(opened.waker);
                let mut shard = Shard::new(shard_index, make(worker), protocol, hub);
                let _ = started.send(Ok(worker));
                drop(started);
                // The driver goes before the shard, whose memory it may have lent to the kernel.
                match opened.driver {
                    AnyDriver::Epoll(mut driver) => run(&mut driver, &mut shard),
                    AnyDriver::Uring(mut driver) => run(&mut *driver, &mut shard),
                }
            };
            let thread = std::thread::Builder::new()
                .name(format!("wirebahn-{index}"))
                .spawn(run)
                .map_err(|source| ServerError::Start {
                    worker: index,
                    source,
                })?;
            server.threads.push(thread);
        }
        drop(started);
        for outcome in starting {
            match outcome {
                Ok(worker) => server.workers.push(worker),
                Err((worker, source)) => return Err(ServerError::Start { worker, source }),
            }
        }
        if server.workers.len() < count {
            // Only a panic in `make` ends a thread without a word.
            return Err(ServerError::Start {
                worker: server.workers.len(),
                source: io::Error::other("its handler could not be made"),
            });
        }
        server.workers.sort_unstable_by_key(|worker| worker.index);
        Ok(server)
    }
}

/// A driver, and how it came to be this one.
struct Opened {
    driver: AnyDriver,
    waker: Arc<dyn Wake>,
    refused: Option<io::ErrorKind>,
}

enum AnyDriver {
    Epoll(Readiness<Epoll>),
    Uring(Box<Uring>),
}

impl Opened {
    fn name(&self) -> &'static str {
        match self.driver {
            AnyDriver::Epoll(_) => "epoll",
            AnyDriver::Uring(_) => "io_uring",
        }
    }
}

/// Opens the driver that was chosen, or epoll where the kernel does not let it.
fn open(choice: DriverChoice, listener: TcpListener) -> io::Result<Opened> {
    let mut refused = None;
    if choice == DriverChoice::Uring {
        match Uring::new(listener.try_clone()?) {
            Ok((driver, waker)) => {
                return Ok(Opened {
                    driver: AnyDriver::Uring(Box::new(driver)),
                    waker,
                    refused,
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no io_uring here; epoll takes its place");
                refused = Some(error.kind());
                listener.set_nonblocking(true)?;
            }
        }
    }
    let (driver, waker) = Epoll::driver(listener)?;
    Ok(Opened {
        driver: AnyDriver::Epoll(driver),
        waker,
        refused,
    })
}

/// The loop of one core.
fn run<D: Driver, H: Handler>(driver: &mut D, shard: &mut Shard<H>) -> io::Result<()> {
    loop {
        let wait = shard.wait(driver.now());
        driver.turn(wait, shard)?;
        shard.publish_counters();
        if shard.is_finished() {
            return Ok(());
        }
    }
}

/// How long an address that is in use is tried again. What a killed process had in flight in an
/// io_uring is let go of a moment after the process itself, its listening sockets among it.
const REBIND_MAX: Duration = Duration::from_millis(250);

/// How often it is tried.
const REBIND_STEP: Duration = Duration::from_millis(10);

/// As [`listen_once`], and again while the address is still about to be let go of.
fn listen(
    address: SocketAddr,
    count: usize,
    config: &ServerConfig,
) -> io::Result<Vec<TcpListener>> {
    let end = Instant::now() + REBIND_MAX;
    loop {
        match listen_once(address, count, config) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {
                std::thread::sleep(REBIND_STEP);
            }
            result => return result,
        }
    }
}

/// One listening socket a worker, all on the same address.
fn listen_once(
    address: SocketAddr,
    count: usize,
    config: &ServerConfig,
) -> io::Result<Vec<TcpListener>> {
    let stream = |address| {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        // A server that was killed can be started again at once.
        socket.set_reuse_address(true)?;
        io::Result::Ok(socket)
    };
    if count > 1 {
        // SO_REUSEPORT would let this server share the port with one that runs already, and
        // half of the connections go astray. Without it the system tells; the socket ends here.
        stream(address)?.bind(&address.into())?;
    }
    let mut address = address;
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = stream(address)?;
        if count > 1 {
            socket.set_reuse_port(true)?;
        }
        socket.set_nonblocking(true)?;
        // Accepted sockets inherit it: one system call a server instead of one a connection.
        socket.set_tcp_nodelay(config.sockets.nodelay)?;
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(config.sockets.backlog).unwrap_or(i32::MAX))?;
        let listener = TcpListener::from(socket);
        // With port 0 the first socket decides for all.
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(listeners)
}
