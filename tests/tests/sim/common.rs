//! Handlers that keep a log, and what every world is checked for in the end.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use wirebahn::sim::World;
use wirebahn::{
    CloseInfo, ConnectionId, Context, Decision, Handler, Message, Request, Sent, Statistics,
};
use wirebahn_tests::peer::Peer;

/// What handlers were called for.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) opened: Vec<(ConnectionId, usize)>,
    pub(crate) closed: Vec<(ConnectionId, usize, CloseInfo)>,
    /// Messages that `send` said were dropped although the connection was open.
    pub(crate) dropped: usize,
    pub(crate) writable: usize,
}

impl Log {
    /// How the connection of a client was closed, if it was.
    pub(crate) fn close_of(&self, client: usize) -> Option<&CloseInfo> {
        let mut closed = self.closed.iter();
        closed.find(|close| close.1 == client).map(|close| &close.2)
    }

    /// Exactly one `close` for each `open` whose client is gone, none without one.
    fn check(&self) -> Result<(), String> {
        let mut open: HashMap<ConnectionId, usize> = HashMap::new();
        for &(id, client) in &self.opened {
            if open.insert(id, client).is_some() {
                return Err(format!("{id} was opened twice"));
            }
        }
        for (id, client, info) in &self.closed {
            if open.remove(id) != Some(*client) {
                return Err(format!("{id} was closed but not open: {info:?}"));
            }
        }
        match open.len() {
            0 => Ok(()),
            _ => Err(format!("never closed: {open:?}")),
        }
    }
}

/// The log that all handlers of a world share.
pub(crate) type Shared = Rc<RefCell<Log>>;

/// What a handler does with a message.
pub(crate) trait Act {
    /// A message came on the connection of this client.
    fn act(&mut self, client: usize, context: &mut Context<'_>, message: Message<'_>) -> Sent;

    /// It may go on sending to this client.
    fn go_on(&mut self, client: usize, context: &mut Context<'_>) -> Sent {
        let _ = (client, context);
        Sent::Accepted
    }
}

/// A handler that logs and acts.
pub(crate) struct Logged<A> {
    pub(crate) log: Shared,
    pub(crate) act: A,
}

impl<A: Act> Logged<A> {
    pub(crate) fn new(log: &Shared, act: A) -> Self {
        Self {
            log: Rc::clone(log),
            act,
        }
    }

    fn note(&self, sent: Sent) {
        self.log.borrow_mut().dropped += usize::from(sent == Sent::Dropped);
    }
}

impl<A: Act> Handler for Logged<A> {
    /// The number of the client.
    type Session = usize;

    fn upgrade(&mut self, _: &Request<'_>, peer: SocketAddr) -> Decision<usize> {
        let IpAddr::V4(address) = peer.ip() else {
            return Decision::deny(500);
        };
        let first = Ipv4Addr::new(10, 0, 0, 0).to_bits();
        Decision::accept((address.to_bits() - first) as usize)
    }

    fn open(&mut self, client: &mut usize, context: &mut Context<'_>) {
        self.log.borrow_mut().opened.push((context.id(), *client));
    }

    fn message(&mut self, client: &mut usize, context: &mut Context<'_>, message: Message<'_>) {
        let sent = self.act.act(*client, context, message);
        self.note(sent);
    }

    fn writable(&mut self, client: &mut usize, context: &mut Context<'_>) {
        self.log.borrow_mut().writable += 1;
        let sent = self.act.go_on(*client, context);
        self.note(sent);
    }

    fn close(&mut self, client: usize, id: ConnectionId, info: &CloseInfo) {
        self.log
            .borrow_mut()
            .closed
            .push((id, client, info.clone()));
    }
}

/// Sends every message back.
pub(crate) struct Echo;

impl Act for Echo {
    fn act(&mut self, _: usize, context: &mut Context<'_>, message: Message<'_>) -> Sent {
        // While closing, what still comes is heard but not answered.
        match context.send(message) {
            Sent::Dropped if context.buffered() == 0 => Sent::Accepted,
            sent => sent,
        }
    }
}

/// Turns an expectation that fails into words.
pub(crate) fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// What holds of every world that came to rest while these clients are connected.
pub(crate) fn check_rest<H: Handler>(world: &World<H>, peers: &[Peer]) -> Result<(), String> {
    let open = peers.iter().filter(|peer| peer.is_open()).count();
    let audits = world.audit();
    let sum = |of: fn(&wirebahn::sim::Audit) -> usize| audits.iter().map(of).sum::<usize>();
    let connected: u64 = world.statistics().iter().map(|s| s.connected).sum();
    require(
        sum(|a| a.sessions) == open && connected as usize == open,
        || format!("{open} clients are open, {connected} are counted: {audits:?}"),
    )?;
    // Each has the deadline of its next ping, and nothing else.
    require(
        sum(|a| a.connections) == open && sum(|a| a.deadlines) == open,
        || format!("{open} clients are open: {audits:?}"),
    )?;
    for audit in &audits {
        let left = [
            audit.held,
            audit.buffered,
            audit.paused,
            audit.backlog,
            audit.due,
        ];
        require(left == [0; 5], || format!("left behind: {audit:?}"))?;
        require(audit.spare == audit.spare_counted, || {
            format!("the pool is wrong about itself: {audit:?}")
        })?;
    }
    Ok(())
}

/// What holds of every world whose clients are all gone.
pub(crate) fn check_end<H: Handler>(world: &World<H>, log: &Log) -> Result<(), String> {
    check_rest(world, &[])?;
    log.check()?;
    let total = world
        .statistics()
        .into_iter()
        .fold(Statistics::default(), |a, b| a + b);
    let opened = log.opened.len() as u64;
    require(total.handshakes == opened && total.panics == 0, || {
        format!("{opened} were opened: {total:?}")
    })
}
