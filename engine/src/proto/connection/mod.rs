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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::UseError;
    use crate::proto::outbox::Slices;
    use crate::proto::state::{End, State};

    const REQUEST: &[u8] =
        b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Protocol: chat, superchat\r\n\r\n";

    /// A server's connection and what it needs.
    struct Bench {
        connection: Connection,
        config: ProtocolConfig,
        pool: Pool,
        now: Tick,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                connection: Connection::server(Tick(0), 0),
                config: ProtocolConfig::default(),
                pool: Pool::new(),
                now: Tick(0),
            }
        }

        /// Hears octets; answers requests with `answer` and echoes messages. Returns what it says.
        fn hear(&mut self, octets: &[u8], answer: &Answer) -> String {
            let mut octets = octets.to_vec();
            let mut input = Input::new(&mut octets);
            let mut env = Env {
                config: &self.config,
                pool: &mut self.pool,
                now: self.now,
            };
            while let Some((event, link)) = self.connection.next(&mut input, &mut env) {
                match event {
                    Event::Request(request) => {
                        let _ = link.accept(&request, answer, &mut env);
                    }
                    Event::Message(message) => {
                        let _ = link.send(message, &mut env);
                    }
                    _ => {}
                }
            }
            self.said()
        }

        fn said(&mut self) -> String {
            let mut slices = Slices::new();
            self.connection.link_mut().gather(&mut slices);
            let said: Vec<u8> = slices.iter().flat_map(|s| s.iter().copied()).collect();
            drop(slices);
            let mut env = Env {
                config: &self.config,
                pool: &mut self.pool,
                now: self.now,
            };
            self.connection.link_mut().sent(said.len(), &mut env);
            said.iter().map(|&octet| char::from(octet)).collect()
        }

        fn tick(&mut self, now: u64) -> String {
            self.now = Tick(now);
            let mut env = Env {
                config: &self.config,
                pool: &mut self.pool,
                now: self.now,
            };
            self.connection.link_mut().tick(&mut env);
            self.said()
        }

        fn state(&self) -> State {
            self.connection.link().state()
        }
    }

    fn chosen(name: &str) -> Answer {
        Answer {
            subprotocol: Some(name.to_owned()),
            ..Answer::default()
        }
    }

    #[test]
    fn only_an_offered_subprotocol_can_be_chosen() {
        let said = Bench::new().hear(REQUEST, &chosen("superchat"));
        assert!(
            said.contains("\r\nSec-WebSocket-Protocol: superchat\r\n"),
            "{said}"
        );
        let mut bench = Bench::new();
        let said = bench.hear(REQUEST, &chosen("mqtt"));
        assert!(
            said.starts_with("HTTP/1.1 500 ") && !said.contains("mqtt"),
            "{said}"
        );
        assert_eq!(bench.state(), State::Flushing(End::Linger));
    }

    #[test]
    fn a_request_in_pieces_is_answered_once_and_octets_after_it_are_not_taken() {
        let whole = Bench::new().hear(REQUEST, &Answer::default());
        assert!(whole.starts_with("HTTP/1.1 101 "));
        for cut in 1..REQUEST.len() {
            let mut bench = Bench::new();
            assert_eq!(bench.hear(&REQUEST[..cut], &Answer::default()), "");
            assert_eq!(bench.hear(&REQUEST[cut..], &Answer::default()), whole);
            assert_eq!(
                bench.connection.held() + bench.hear(b"", &Answer::default()).len(),
                0
            );
        }
        let early = [REQUEST, b"\x81\x80\0\0\0\0"].concat();
        assert!(
            Bench::new()
                .hear(&early, &Answer::default())
                .starts_with("HTTP/1.1 400 ")
        );
    }

    #[test]
    fn every_state_ends_by_its_deadline() {
        let mut silent = Bench::new();
        silent.tick(9_999);
        assert_eq!(silent.state(), State::Opening);
        silent.tick(10_000);
        assert_eq!(silent.state(), State::Ended);

        let mut open = Bench::new();
        open.hear(REQUEST, &Answer::default());
        assert_eq!(open.tick(19_999), "");
        assert_eq!(open.tick(20_000), "\u{89}\0", "a ping");
        open.tick(39_999);
        assert_eq!(open.state(), State::Open);
        open.tick(40_000);
        assert_eq!(open.state(), State::Ended);

        let mut closing = Bench::new();
        closing.hear(REQUEST, &Answer::default());
        let mut env = Env {
            config: &closing.config,
            pool: &mut closing.pool,
            now: Tick(0),
        };
        let link = closing.connection.link_mut();
        assert_eq!(
            link.close(CloseCode::NO_STATUS, "", &mut env),
            Err(UseError::CloseCode(CloseCode::NO_STATUS))
        );
        link.close(CloseCode::NORMAL, "", &mut env)
            .expect("1000 may travel");
        closing.tick(4_999);
        assert_eq!(closing.state(), State::Closing);
        closing.tick(5_000);
        assert_eq!(closing.state(), State::Ended);
    }

    #[test]
    fn how_a_violation_ends_is_configured_as_autobahn_does() {
        let bad = b"\x83\x80\0\0\0\0"; // a reserved opcode
        let good = b"\x82\x81\0\0\0\0a";
        let mut bench = Bench::new();
        bench.hear(REQUEST, &Answer::default());
        let said = bench.hear(&[&good[..], bad].concat(), &Answer::default());
        assert!(
            said.starts_with("\u{82}\u{1}a\u{88}"),
            "the echo, then a Close frame: {said:?}"
        );
        assert_eq!(bench.state(), State::Flushing(End::Linger));

        let mut drops = Bench::new();
        drops.config.fail_by_drop = true;
        drops.hear(REQUEST, &Answer::default());
        assert_eq!(
            drops.hear(&[&good[..], bad].concat(), &Answer::default()),
            "\u{82}\u{1}a"
        );
        assert_eq!(drops.state(), State::Flushing(End::Close));

        let close = b"\x88\x85\0\0\0\0\x0b\xb8bye"; // 3000
        for (echo, answer) in [
            (true, "\u{88}\u{5}\u{b}\u{b8}bye"),
            (false, "\u{88}\u{2}\u{3}\u{e8}"),
        ] {
            let mut bench = Bench::new();
            bench.config.echo_close = echo;
            bench.hear(REQUEST, &Answer::default());
            assert_eq!(bench.hear(close, &Answer::default()), answer);
            let info = bench.connection.finish(&mut bench.pool);
            assert!(info.clean);
            assert_eq!((info.code, info.reason.as_str()), (CloseCode(3000), "bye"));
        }
    }

    #[test]
    fn a_peer_that_takes_nothing_is_owed_one_pong() {
        let mut bench = Bench::new();
        bench.hear(REQUEST, &Answer::default());
        let blocked = |bench: &mut Bench| {
            let mut env = Env {
                config: &bench.config,
                pool: &mut bench.pool,
                now: Tick(0),
            };
            let link = bench.connection.link_mut();
            let _ = link.send(Message::Binary(b"stuck"), &mut env);
            link.blocked(Tick(0));
        };
        blocked(&mut bench);
        let mut octets: Vec<u8> = Vec::new();
        for payload in 0..100 {
            octets.extend([0x89, 0x81, 0, 0, 0, 0, payload]);
        }
        let mut input = Input::new(&mut octets);
        let mut env = Env {
            config: &bench.config,
            pool: &mut bench.pool,
            now: Tick(0),
        };
        while bench.connection.next(&mut input, &mut env).is_some() {}
        assert_eq!(bench.connection.link().buffered(), 7, "the message alone");
        assert!(
            !bench
                .connection
                .link_mut()
                .wish(&bench.config, Tick(0))
                .read
        );
        assert_eq!(bench.said(), "\u{82}\u{5}stuck");
        assert_eq!(bench.said(), "\u{8a}\u{1}\u{63}", "the newest");
        assert!(
            bench
                .connection
                .link_mut()
                .wish(&bench.config, Tick(0))
                .read
        );
    }
}
