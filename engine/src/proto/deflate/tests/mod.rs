//! Whole connections with compression, octet by octet, held against a naive decoder and against
//! codecs that keep their context in the ordinary way.

use std::time::Duration;

use super::*;
use crate::close::CloseCode;
use crate::config::ProtocolConfig;
use crate::error::Violation;
use crate::message::{Kind, Message, Role};
use crate::proto::connection::{Connection, Env, Event, Link};
use crate::proto::outbox::Slices;
use crate::proto::pool::Pool;
use crate::proto::recv::Input;
use crate::tick::Tick;

mod bounds;
mod mixed;
mod naive;
mod rules;

const MODES: [fn() -> Compression; 3] = [
    Compression::shared,
    Compression::history,
    Compression::dedicated,
];

/// One end of a connection, with a shard of its own.
struct End {
    config: ProtocolConfig,
    pool: Pool,
    connection: Connection,
}

/// What a connection told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Closing(Option<CloseCode>),
    Failed(Violation),
}

fn text(text: &str) -> Seen {
    Seen::Message(Kind::Text, text.as_bytes().to_vec())
}

fn agreed(takeover: bool, window_bits: u8) -> Agreed {
    let direction = Direction {
        takeover,
        window_bits,
    };
    Agreed {
        send: direction,
        receive: direction,
    }
}

impl End {
    fn new(role: Role, compression: Compression, agreed: Option<Agreed>) -> Self {
        let mut end = Self {
            config: ProtocolConfig {
                compression,
                ..ProtocolConfig::default()
            },
            pool: Pool::new(),
            connection: Connection::opened(role, Tick::default(), 0),
        };
        if let Some(agreed) = agreed {
            let (connection, mut env) = end.parts();
            connection.agree(agreed, &mut env);
        }
        end
    }

    /// A server with context takeover and full windows.
    fn server(compression: Compression) -> Self {
        let takeover = compression.mode != Mode::Shared;
        Self::new(Role::Server, compression, Some(agreed(takeover, 15)))
    }

    fn limit(mut self, message_size_max: u64) -> Self {
        self.config.limits.message_size_max = message_size_max;
        self
    }

    fn parts(&mut self) -> (&mut Connection, Env<'_>) {
        let env = Env {
            config: &self.config,
            pool: &mut self.pool,
            now: Tick::default().after(Duration::from_secs(1)),
        };
        (&mut self.connection, env)
    }

    fn tell<R>(&mut self, what: impl FnOnce(&mut Link, &mut Env<'_>) -> R) -> R {
        let (connection, mut env) = self.parts();
        what(connection.link_mut(), &mut env)
    }

    /// Hands over octets in pieces of at most `step`.
    fn feed(&mut self, octets: &[u8], step: usize) -> Vec<Seen> {
        let mut seen = Vec::new();
        let (connection, mut env) = self.parts();
        for piece in octets.chunks(step) {
            let mut piece = piece.to_vec();
            let mut input = Input::new(&mut piece);
            while let Some((event, _)) = connection.next(&mut input, &mut env) {
                seen.push(match event {
                    Event::Message(message) => {
                        Seen::Message(message.kind(), message.as_bytes().to_vec())
                    }
                    Event::Ping(payload) => Seen::Ping(payload.to_vec()),
                    Event::Pong(_) | Event::Request(_) => continue,
                    Event::Closing(code, _) => Seen::Closing(code),
                    Event::Failed(violation) => Seen::Failed(violation),
                });
            }
        }
        seen
    }

    /// What leaves.
    fn leave(&mut self) -> Vec<u8> {
        let mut left = Vec::new();
        loop {
            let (connection, mut env) = self.parts();
            let mut slices = Slices::new();
            connection.link_mut().gather(&mut slices);
            let count = left.len();
            slices
                .iter()
                .for_each(|slice| left.extend_from_slice(slice));
            let count = left.len() - count;
            drop(slices);
            if count == 0 {
                return left;
            }
            connection.link_mut().sent(count, &mut env);
        }
    }

    /// Ends the connection; whatever compression held for it is given back.
    fn finish(mut self) -> Pool {
        self.connection.finish(&mut self.pool);
        let codecs = self.pool.compression();
        assert_eq!(codecs.reserved(), 0);
        assert!(codecs.is_at_rest(), "{codecs:?}");
        self.pool
    }
}

/// A frame of a client with a key of zeros, which masks with nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut octets = server_frame(first, payload);
    let head_len = octets.len() - payload.len();
    octets[1] |= 0x80;
    octets.splice(head_len..head_len, [0; 4]);
    octets
}

fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![first];
    match payload.len() {
        len @ 0..126 => octets.push(len as u8),
        len @ 126..0x1_0000 => {
            octets.push(126);
            octets.extend((len as u16).to_be_bytes());
        }
        len => {
            octets.push(127);
            octets.extend((len as u64).to_be_bytes());
        }
    }
    octets.extend(payload);
    octets
}

/// The frames of a server: first octets and payloads.
fn frames(mut octets: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = octets {
        assert!(second & 0x80 == 0, "a server does not mask");
        let (len, rest) = match second {
            126 => (
                usize::from(u16::from_be_bytes([rest[0], rest[1]])),
                &rest[2..],
            ),
            127 => {
                let len = u64::from_be_bytes(*rest.first_chunk().unwrap());
                (len as usize, &rest[8..])
            }
            len => (usize::from(*len), rest),
        };
        frames.push((*first, rest[..len].to_vec()));
        octets = &rest[len..];
    }
    frames
}

/// A compressor as other programs keep it: one stream, and its context or not.
struct Ordinary {
    deflater: Deflater,
    takeover: bool,
}

impl Ordinary {
    fn new(agreed: Direction) -> Self {
        Self {
            deflater: Deflater::new(agreed.window_bits, 6, 8),
            takeover: agreed.takeover,
        }
    }

    fn deflate(&mut self, plain: &[u8]) -> Vec<u8> {
        if !self.takeover {
            self.deflater.reset();
        }
        if plain.is_empty() {
            return vec![0];
        }
        let mut out = Vec::new();
        self.deflater
            .deflate(plain, &mut vec![0; 4096], &mut out)
            .unwrap();
        out
    }
}

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % most
    }

    /// A message: something like JSON, octets of some spread, or what was said before.
    fn message(&mut self, before: &[(Kind, Vec<u8>)]) -> (Kind, Vec<u8>) {
        let len = match self.below(8) {
            0 => self.below(4),
            1 => self.below(40_000),
            2 => 9_990 + self.below(20),
            3 => 500 + self.below(30),
            _ => self.below(1200),
        };
        match self.below(4) {
            0 if !before.is_empty() => before[self.below(before.len())].clone(),
            1 => {
                let spread = 1 + self.below(256);
                (
                    Kind::Binary,
                    (0..len).map(|_| self.below(spread) as u8).collect(),
                )
            }
            _ => {
                let mut text = String::new();
                while text.len() < len {
                    let (id, side) = (self.below(100_000), self.below(3));
                    text += &format!(
                        "{{\"id\":{id},\"side\":\"{}\"}},",
                        ["buy", "sell", "grüß"][side]
                    );
                }
                text.truncate(text.floor_char_boundary(len));
                (Kind::Text, text.into_bytes())
            }
        }
    }
}

fn message(of: &(Kind, Vec<u8>)) -> Message<'_> {
    match of.0 {
        Kind::Text => Message::Text(str::from_utf8(&of.1).unwrap()),
        Kind::Binary => Message::Binary(&of.1),
    }
}
