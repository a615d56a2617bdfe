//! A connection, composed: octets and ticks in, octets and events out.
//!
//! It comes in two halves that can be borrowed apart: what receives ([`Connection::next`]) and the
//! [`Link`], which sends, keeps the [`State`] and knows the deadlines. So a handler that is lent a
//! message, which lies in the receive buffer, can answer on the link in the same call.

use crate::close::{CloseCode, CloseInfo};
use crate::config::ProtocolConfig;
use crate::error::Violation;
use crate::message::{Message, Role};
use crate::proto::deflate::{Agreed, PerMessageDeflate};
use crate::proto::handshake::{self, HeadScanner, Parsed, Refusal, Request};
use crate::proto::pool::Pool;
use crate::proto::recv::{Input, Item, Receiver, Rules};
use crate::proto::state::State;
use crate::tick::Tick;

mod link;

pub use link::{Answer, Denial, Link, Sent, Wish};

/// What a connection needs from around it for the length of a call.
#[derive(Debug)]
pub struct Env<'e> {
    /// The configuration in force.
    pub config: &'e ProtocolConfig,
    /// Spare buffers and randomness.
    pub pool: &'e mut Pool,
    /// The moment of this turn.
    pub now: Tick,
}

/// What a connection has to tell.
#[derive(Debug)]
pub enum Event<'a> {
    /// An opening handshake that keeps every rule. Answer with [`Link::accept`] or
    /// [`Link::deny`].
    Request(Request<'a>),
    /// A whole message.
    Message(Message<'a>),
    /// A ping; its pong waits to leave already.
    Ping(&'a [u8]),
    /// A pong, asked for or not.
    Pong(&'a [u8]),
    /// The peer's Close frame, which is answered already; nothing more will come.
    Closing(Option<CloseCode>, &'a str),
    /// The peer broke a rule and is told so; nothing more will come.
    Failed(Violation),
}

/// One WebSocket connection, without its socket.
#[derive(Debug)]
pub struct Connection {
    receiver: Receiver,
    opening: Option<Box<Opening>>,
    link: Link,
}

/// A head that came in pieces.
#[derive(Debug)]
struct Opening {
    scanner: HeadScanner,
    head: Vec<u8>,
}

impl Connection {
    /// A server's connection that was just accepted. `jitter` spreads its pings; any number does.
    #[must_use]
    pub fn server(now: Tick, jitter: u8) -> Self {
        Self::new(Role::Server, State::Opening, now, jitter)
    }

    /// A connection whose opening handshake is over, done by somebody else.
    #[must_use]
    pub fn opened(role: Role, now: Tick, jitter: u8) -> Self {
        Self::new(role, State::Open, now, jitter)
    }

    /// Tells what was agreed on about compression in an opening handshake that somebody else did.
    /// Before the first message.
    pub fn agree(&mut self, agreed: Agreed, env: &mut Env<'_>) {
        let codecs = env.pool.codecs();
        self.link.deflate.clear(codecs);
        self.link.deflate = PerMessageDeflate::agree(agreed, &env.config.compression, codecs);
    }

    fn new(role: Role, state: State, now: Tick, jitter: u8) -> Self {
        Self {
            receiver: Receiver::default(),
            opening: None,
            link: Link::new(role, state, now, jitter),
        }
    }

    /// The half that sends.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The half that sends, to tell it something.
    pub fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }

    /// Octets held for what is torn: of the head, of messages.
    #[must_use]
    pub fn held(&self) -> usize {
        self.receiver.held()
            + self
                .opening
                .as_ref()
                .map_or(0, |opening| opening.head.capacity())
    }

    /// Takes from `input` up to the next event, and returns it beside the link to answer on; none
    /// when all of the input was taken. Pings, closing handshakes and violations are answered on
    /// the way.
    pub fn next<'a>(
        &'a mut self,
        input: &'a mut Input<'_>,
        env: &mut Env<'_>,
    ) -> Option<(Event<'a>, &'a mut Link)> {
        let Self {
            receiver,
            opening,
            link,
        } = self;
        if link.state == State::Opening {
            return next_request(opening, link, input, env);
        }
        *opening = None;
        if !link.state.hears() {
            input.discard();
            receiver.clear(env.pool);
            return None;
        }
        let rules = Rules::new(link.role(), &env.config.limits);
        let event = match receiver.next(input, &rules, env.pool, &mut link.deflate) {
            Ok(None) => return None,
            Ok(Some(Item::Message(message))) => {
                link.talked = env.now;
                Event::Message(message)
            }
            Ok(Some(Item::Ping(payload))) => {
                link.answer_ping(payload, env);
                Event::Ping(payload)
            }
            Ok(Some(Item::Pong(payload))) => Event::Pong(payload),
            Ok(Some(Item::Close(code, reason))) => {
                link.peer_closed(code, reason, env);
                Event::Closing(code, reason)
            }
            Err(violation) => {
                link.violated(violation, env);
                Event::Failed(violation)
            }
        };
        Some((event, link))
    }

    /// The transport is gone: gives back all buffers, and how it ended if it ever was open.
    pub fn finish(&mut self, pool: &mut Pool) -> CloseInfo {
        self.receiver.clear(pool);
        self.opening = None;
        self.link.outbox.clear(pool);
        self.link.deflate.clear(pool.codecs());
        self.link.state = State::Ended;
        self.link.close_info()
    }
}

/// The opening handshake of a server (RFC 6455 section 4.2).
fn next_request<'a>(
    opening: &'a mut Option<Box<Opening>>,
    link: &'a mut Link,
    input: &'a mut Input<'_>,
    env: &mut Env<'_>,
) -> Option<(Event<'a>, &'a mut Link)> {
    let len_max = env.config.limits.head_size_max;
    let mut scanner = HeadScanner::request();
    let whole = match opening.as_deref_mut() {
        None => scanner.find_end(input.rest(), len_max),
        Some(torn) => {
            torn.head.extend_from_slice(input.rest());
            torn.scanner.find_end(&torn.head, len_max)
        }
    };
    let end = match whole {
        Ok(Some(end)) => end,
        Ok(None) => {
            if opening.is_none() && !input.rest().is_empty() {
                *opening = Some(Box::new(Opening {
                    scanner,
                    head: input.rest().to_vec(),
                }));
            }
            input.discard();
            return None;
        }
        Err(error) => {
            link.refuse(error.into(), env);
            input.discard();
            return None;
        }
    };
    let head: &[u8] = match opening.as_deref() {
        None => input.take_all(),
        Some(torn) => {
            input.discard();
            &torn.head
        }
    };
    let (head, early) = head.split_at_checked(end).unwrap_or((head, &[]));
    let refusal = match handshake::parse_request(head, &env.config.request) {
        // Octets of a client that did not wait for its answer are not a WebSocket client's: an
        // intermediary may have taken them for something else (RFC 9931).
        Ok(Parsed::Upgrade(_)) if !early.is_empty() => Refusal::EarlyData,
        Ok(Parsed::Upgrade(request)) => return Some((Event::Request(request), link)),
        Ok(Parsed::Plain(_)) => Refusal::UpgradeRequired(env.config.request.versions),
        Err(refusal) => refusal,
    };
    link.refuse(refusal, env);
    None
}
