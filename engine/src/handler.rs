//! What a program implements: a handler for each shard, and the context it is called with.

use std::net::SocketAddr;

use crate::close::{CloseCode, CloseInfo};
use crate::error::UseError;
use crate::message::Message;
pub use crate::proto::connection::{Answer, Denial, Sent};
use crate::proto::connection::{Env, Link};
use crate::proto::handshake::Request;
use crate::proto::prepared::Prepared;
use crate::remote::{ConnectionId, Remote};
use crate::shard::outside::Outside;

/// What a program does with connections. One handler lives on each shard: it is made on that
/// shard's thread and never leaves it, so it needs neither `Send` nor locks.
///
/// Every connection that was opened is closed exactly once. Nothing is re-entered: what a handler
/// does to other connections happens at the end of the turn.
///
/// A panic in a handler fails its connection with 1011 and is counted; the worker and its other
/// connections live on. The handler is used again, so what it keeps must stand that.
pub trait Handler {
    /// What the program keeps for each connection; `()` when nothing.
    type Session;

    /// Decides on an opening handshake that keeps every rule of the protocol.
    fn upgrade(&mut self, request: &Request<'_>, peer: SocketAddr) -> Decision<Self::Session>;

    /// The connection is open: messages may be sent.
    fn open(&mut self, session: &mut Self::Session, context: &mut Context<'_>) {
        let _ = (session, context);
    }

    /// A message came.
    fn message(
        &mut self,
        session: &mut Self::Session,
        context: &mut Context<'_>,
        message: Message<'_>,
    );

    /// A ping came; its pong is on its way.
    fn ping(&mut self, session: &mut Self::Session, context: &mut Context<'_>, payload: &[u8]) {
        let _ = (session, context, payload);
    }

    /// A pong came, asked for or not.
    fn pong(&mut self, session: &mut Self::Session, context: &mut Context<'_>, payload: &[u8]) {
        let _ = (session, context, payload);
    }

    /// After `send` said [`Sent::Buffered`]: at most [`Limits::outbound_low`] waits now.
    ///
    /// [`Limits::outbound_low`]: crate::Limits::outbound_low
    fn writable(&mut self, session: &mut Self::Session, context: &mut Context<'_>) {
        let _ = (session, context);
    }

    /// The connection is gone. Called once for each `open`, with who ended it, why and how clean.
    fn close(&mut self, session: Self::Session, id: ConnectionId, info: &CloseInfo) {
        let _ = (session, id, info);
    }
}

/// The answer to an opening handshake.
#[derive(Debug)]
#[non_exhaustive]
pub enum Decision<S> {
    /// The connection opens, with what the program keeps for it.
    Accept(S, Answer),
    /// It does not; the client gets this HTTP answer.
    Deny(Denial),
}

impl<S> Decision<S> {
    /// Accepts without a subprotocol and without further headers.
    pub fn accept(session: S) -> Self {
        Self::Accept(session, Answer::default())
    }

    /// Denies with a status and an empty body.
    #[must_use]
    pub fn deny(status: u16) -> Self {
        Self::Deny(Denial::new(status))
    }
}

/// A handler from one function that is called for every message; accepts every connection.
///
/// ```
/// use wirebahn::{Context, Message, handler_fn};
///
/// let echo = handler_fn(|context: &mut Context<'_>, message: Message<'_>| {
///     let _ = context.send(message);
/// });
/// # let _ = || wirebahn::Server::builder().bind("127.0.0.1:0").serve(move |_| handler_fn(|c: &mut Context<'_>, m: Message<'_>| { let _ = c.send(m); }));
/// # drop(echo);
/// ```
pub fn handler_fn<F>(message: F) -> impl Handler<Session = ()>
where
    F: FnMut(&mut Context<'_>, Message<'_>),
{
    struct FnHandler<F>(F);

    impl<F: FnMut(&mut Context<'_>, Message<'_>)> Handler for FnHandler<F> {
        type Session = ();

        fn upgrade(&mut self, _: &Request<'_>, _: SocketAddr) -> Decision<()> {
            Decision::accept(())
        }

        fn message(&mut self, _: &mut (), context: &mut Context<'_>, message: Message<'_>) {
            (self.0)(context, message);
        }
    }

    FnHandler(message)
}

/// The connection a handler is called for, and the way to all others.
#[derive(Debug)]
pub struct Context<'a> {
    pub(crate) link: &'a mut Link,
    pub(crate) env: Env<'a>,
    pub(crate) outside: &'a mut Outside,
    pub(crate) id: ConnectionId,
    pub(crate) peer: SocketAddr,
}

impl Context<'_> {
    /// Sends a message to this connection; it leaves, with all else of this turn, in one write at
    /// the end of the turn.
    #[inline]
    pub fn send<'m>(&mut self, message: impl Into<Message<'m>>) -> Sent {
        let message = message.into();
        let sent = self.link.send(message, &mut self.env);
        self.outside.counters.sent(sent, message.len());
        sent
    }

    /// As [`send`](Self::send), but never compressed: for what is compressed already, and for
    /// secrets that travel beside what a stranger chose (RFC 7692 section 8).
    pub fn send_uncompressed<'m>(&mut self, message: impl Into<Message<'m>>) -> Sent {
        let message = message.into();
        let sent = self.link.send_uncompressed(message, &mut self.env);
        self.outside.counters.sent(sent, message.len());
        sent
    }

    /// Sends a message that was encoded before; its payload is shared, not copied, when that is
    /// cheaper.
    pub fn send_prepared(&mut self, message: &Prepared) -> Sent {
        let sent = self.link.send_prepared(message, &mut self.env);
        self.outside.counters.sent(sent, message.payload().len());
        sent
    }

    /// Sends a message to every open connection of the server, on every shard, this one included.
    /// Encoded once, whatever their number. A connection that does not keep up is treated as
    /// [`ServerConfigBuilder::slow_policy`](crate::ServerConfigBuilder::slow_policy) says.
    ///
    /// Messages broadcast from one shard arrive in that order at every connection. When another
    /// shard does not keep up, its share waits, and this connection is not read from until it has.
    pub fn broadcast<'m>(&mut self, message: impl Into<Message<'m>>) {
        self.outside.broadcast(Prepared::new(message));
    }

    /// As [`broadcast`](Self::broadcast), of a message that was encoded before.
    pub fn broadcast_prepared(&mut self, message: &Prepared) {
        self.outside.broadcast(message.clone());
    }

    /// Sends a ping with up to 125 octets; the answer comes to [`Handler::pong`].
    ///
    /// # Errors
    /// [`UseError::LongControl`]; [`UseError::NotOpen`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), UseError> {
        self.link.ping(payload, &mut self.env)
    }

    /// Sends a pong nobody asked for (RFC 6455 section 5.5.3), with up to 125 octets.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), UseError> {
        self.link.pong(payload, &mut self.env)
    }

    /// Begins the closing handshake; what was sent before leaves before. A reason above 123
    /// octets is cut at a code point. Does nothing when the connection is closing already.
    ///
    /// # Errors
    /// [`UseError::CloseCode`] for a code that must not travel.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), UseError> {
        self.link.close(code, reason, &mut self.env)
    }

    /// Octets that wait to leave this connection.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.link.buffered()
    }

    /// The name of this connection, for [`Remote`].
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The address the connection came from.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// A handle for other threads and later times.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.outside.remote()
    }
}
