//! The negotiation of permessage-deflate (RFC 7692 sections 5 and 7.1), both sides: extensions in,
//! verdicts and extensions out, as pure functions.
//!
//! It knows the four parameters; it must not know codecs, nor what memory they take: whoever asks
//! says how much context it can afford.

use std::fmt::{self, Write as _};

use thiserror::Error;

use crate::proto::handshake::{Extension, extensions_in};

/// The name of the extension (RFC 7692 section 7).
pub const NAME: &str = "permessage-deflate";

/// The smallest window, as a power of two, that this endpoint agrees to. RFC 7692 allows 8, but no
/// codec of the zlib family keeps to 256 octets in a raw stream: it works with 512 and says
/// nothing. An offer that insists on 8 is declined rather than answered with a lie.
pub const WINDOW_BITS_MIN: u8 = 9;

/// The largest window, as a power of two: 32,768 octets, and what holds when nothing is said
/// (RFC 7692 section 7.1.2).
pub const WINDOW_BITS_MAX: u8 = 15;

/// How one direction of a connection is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Direction {
    /// Whether a message may refer to the text of the messages before it (context takeover).
    pub takeover: bool,
    /// The LZ77 window, as a power of two: from 9 to 15; 8 only in what a client may receive.
    pub window_bits: u8,
}

/// What both sides agreed on, as seen from one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Agreed {
    /// What this endpoint sends.
    pub send: Direction,
    /// What this endpoint receives.
    pub receive: Direction,
}

impl Agreed {
    /// Without context either way, and with full windows.
    pub const STATELESS: Self = Self {
        send: Direction {
            takeover: false,
            window_bits: WINDOW_BITS_MAX,
        },
        receive: Direction {
            takeover: false,
            window_bits: WINDOW_BITS_MAX,
        },
    };

    /// The same agreement, seen from the other side.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        Self {
            send: self.receive,
            receive: self.send,
        }
    }
}

/// What a server is ready to agree to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Whether contexts may be kept from message to message; otherwise every connection is
    /// answered with `no_context_takeover` both ways.
    pub takeover: bool,
    /// The largest window the server compresses with, from 9 to 15.
    pub send_window_bits_max: u8,
    /// The largest window whose text the server keeps for receiving, from 9 to 15. A client that
    /// cannot limit its window to it is asked to do without context.
    pub receive_window_bits_max: u8,
}

/// One offer of a client, or what a client is ready to offer (RFC 7692 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Offer {
    /// `server_no_context_takeover`: the server shall forget between messages.
    pub server_no_context_takeover: bool,
    /// `client_no_context_takeover`: the client can forget between messages.
    pub client_no_context_takeover: bool,
    /// `server_max_window_bits`: the largest window the server may use, from 9 to 15.
    pub server_max_window_bits: Option<u8>,
    /// `client_max_window_bits`: the client can limit its window if asked; with a value, it will
    /// not use a larger one than that, from 9 to 15, anyway.
    pub client_max_window_bits: Option<Option<u8>>,
}

impl Offer {
    /// Reads one offered extension; none when it is another extension, or one to decline: a
    /// parameter that is unknown, doubled, has a value where none belongs, or no value or a wrong
    /// one where one does (RFC 7692 section 7.1).
    #[must_use]
    pub fn parse(extension: &Extension<'_>) -> Option<Self> {
        if extension.name() != NAME {
            return None;
        }
        let mut offer = Self::default();
        for param in extension.params() {
            let value = param.value.as_deref();
            match param.name {
                "server_no_context_takeover" if value.is_none() => {
                    once(&mut offer.server_no_context_takeover)?;
                }
                "client_no_context_takeover" if value.is_none() => {
                    once(&mut offer.client_no_context_takeover)?;
                }
                "server_max_window_bits" if offer.server_max_window_bits.is_none() => {
                    let bits = window_bits(value?, WINDOW_BITS_MIN)?;
                    offer.server_max_window_bits = Some(bits);
                }
                "client_max_window_bits" if offer.client_max_window_bits.is_none() => {
                    let bits = match value {
                        None => None,
                        Some(value) => Some(window_bits(value, WINDOW_BITS_MIN)?),
                    };
                    offer.client_max_window_bits = Some(bits);
                }
                _ => return None,
            }
        }
        Some(offer)
    }

    /// What a server with these terms answers to the offer, and what is agreed on by that answer.
    #[must_use]
    pub fn accept(&self, terms: &Terms) -> (Agreed, Acceptance) {
        let window_bits = terms
            .send_window_bits_max
            .min(self.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX));
        let send = Direction {
            takeover: terms.takeover && !self.server_no_context_takeover,
            window_bits,
        };
        // What the client's window may be at most, if nothing is said about it.
        let theirs = self
            .client_max_window_bits
            .flatten()
            .unwrap_or(WINDOW_BITS_MAX);
        let can_limit = self.client_max_window_bits.is_some();
        let takeover = terms.takeover
            && !self.client_no_context_takeover
            && (can_limit || theirs <= terms.receive_window_bits_max);
        // Without context the client's window costs nothing here, so that it may as well be large.
        let limit = if takeover && theirs > terms.receive_window_bits_max {
            Some(terms.receive_window_bits_max)
        } else {
            None
        };
        let receive = Direction {
            takeover,
            window_bits: limit.unwrap_or(theirs),
        };
        let acceptance = Acceptance {
            server_no_context_takeover: !send.takeover,
            client_no_context_takeover: !receive.takeover,
            server_max_window_bits: (self.server_max_window_bits.is_some()
                || window_bits < WINDOW_BITS_MAX)
                .then_some(window_bits),
            client_max_window_bits: limit,
        };
        (Agreed { send, receive }, acceptance)
    }

    /// Reads a server's answer to this offer, for a client.
    ///
    /// # Errors
    /// [`NotAsOffered`]: the client fails the connection (RFC 7692 section 5).
    pub fn accepted(&self, extension: &Extension<'_>) -> Result<Agreed, NotAsOffered> {
        let answer = Acceptance::parse(extension)?;
        if self.server_no_context_takeover && !answer.server_no_context_takeover {
            return Err(NotAsOffered::Missing("server_no_context_takeover"));
        }
        let theirs = match (self.server_max_window_bits, answer.server_max_window_bits) {
            (Some(_), None) => return Err(NotAsOffered::Missing("server_max_window_bits")),
            (Some(most), Some(bits)) if bits > most => {
                return Err(NotAsOffered::Value("server_max_window_bits"));
            }
            (_, bits) => bits.unwrap_or(WINDOW_BITS_MAX),
        };
        let ours = match (self.client_max_window_bits, answer.client_max_window_bits) {
            (None, Some(_)) => return Err(NotAsOffered::Unasked("client_max_window_bits")),
            (None, None) => WINDOW_BITS_MAX,
            (Some(hint), bits) => {
                let hint = hint.unwrap_or(WINDOW_BITS_MAX);
                bits.unwrap_or(WINDOW_BITS_MAX).min(hint)
            }
        };
        if ours < WINDOW_BITS_MIN {
            return Err(NotAsOffered::Value("client_max_window_bits"));
        }
        Ok(Agreed {
            send: Direction {
                takeover: !answer.client_no_context_takeover && !self.client_no_context_takeover,
                window_bits: ours,
            },
            receive: Direction {
                takeover: !answer.server_no_context_takeover,
                window_bits: theirs,
            },
        })
    }
}

impl fmt::Display for Offer {
    /// As it stands in Sec-WebSocket-Extensions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        match self.client_max_window_bits {
            None => Ok(()),
            Some(None) => f.write_str("; client_max_window_bits"),
            Some(Some(bits)) => write!(f, "; client_max_window_bits={bits}"),
        }
    }
}

/// A server's answer to an offer it accepts (RFC 7692 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Acceptance {
    /// The server will forget between messages.
    pub server_no_context_takeover: bool,
    /// The client must forget between messages.
    pub client_no_context_takeover: bool,
    /// The server's window will not be larger.
    pub server_max_window_bits: Option<u8>,
    /// The client's window must not be larger; only where the offer named it.
    pub client_max_window_bits: Option<u8>,
}

impl Acceptance {
    fn parse(extension: &Extension<'_>) -> Result<Self, NotAsOffered> {
        const BITS: [&str; 2] = ["server_max_window_bits", "client_max_window_bits"];
        if extension.name() != NAME {
            return Err(NotAsOffered::Unknown);
        }
        let mut answer = Self::default();
        for param in extension.params() {
            let value = param.value.as_deref();
            let bits = |name| {
                value
                    .and_then(|v| window_bits(v, 8))
                    .ok_or(NotAsOffered::Value(name))
            };
            let twice = match param.name {
                "server_no_context_takeover" if value.is_none() => {
                    once(&mut answer.server_no_context_takeover).is_none()
                }
                "client_no_context_takeover" if value.is_none() => {
                    once(&mut answer.client_no_context_takeover).is_none()
                }
                "server_max_window_bits" => answer
                    .server_max_window_bits
                    .replace(bits(BITS[0])?)
                    .is_some(),
                "client_max_window_bits" => answer
                    .client_max_window_bits
                    .replace(bits(BITS[1])?)
                    .is_some(),
                _ => return Err(NotAsOffered::Unknown),
            };
            if twice {
                return Err(NotAsOffered::Twice);
            }
        }
        Ok(answer)
    }
}

impl fmt::Display for Acceptance {
    /// As it stands in Sec-WebSocket-Extensions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Offer {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits,
            client_max_window_bits: self.client_max_window_bits.map(Some),
        }
        .fmt(f)
    }
}

/// An answer that does not fit what was offered; the client fails the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum NotAsOffered {
    /// Another extension, or a parameter permessage-deflate does not have.
    #[error("the server chose an extension or a parameter that does not exist")]
    Unknown,
    /// A parameter that is there twice.
    #[error("the server chose a parameter twice")]
    Twice,
    /// A parameter with a value where none belongs, without one, or with a wrong one.
    #[error("the server chose {0} with a wrong value")]
    Value(&'static str),
    /// A parameter that needs to be offered first.
    #[error("the server chose {0}, which was not offered")]
    Unasked(&'static str),
    /// A parameter that an answer to this offer must have.
    #[error("the server left out {0}, which was asked for")]
    Missing(&'static str),
}

/// A server's choice among all that a client offers: the first offer of permessage-deflate that
/// can be accepted (RFC 7692 section 5), and the answer as it stands in Sec-WebSocket-Extensions.
///
/// None when there is none: the connection then opens without compression, which is no error.
///
/// ```
/// use wirebahn::proto::deflate::{Terms, choose};
///
/// let terms = Terms { takeover: true, send_window_bits_max: 15, receive_window_bits_max: 12 };
/// let field = b"permessage-deflate; server_max_window_bits=8, \
///               permessage-deflate; client_max_window_bits; server_max_window_bits=\"10\"";
/// let (agreed, answer) = choose([field.as_slice()], &terms).unwrap();
/// assert_eq!(answer, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=12");
/// assert!(agreed.send.takeover && agreed.send.window_bits == 10);
/// assert!(agreed.receive.takeover && agreed.receive.window_bits == 12);
/// ```
pub fn choose<'a>(
    fields: impl IntoIterator<Item = &'a [u8]>,
    terms: &Terms,
) -> Option<(Agreed, String)> {
    let offer = fields
        .into_iter()
        .flat_map(extensions_in)
        .map_while(Result::ok)
        .find_map(|extension| Offer::parse(&extension))?;
    let (agreed, acceptance) = offer.accept(terms);
    let mut answer = String::with_capacity(128);
    // Writing into a string cannot fail.
    let _ = write!(answer, "{acceptance}");
    Some((agreed, answer))
}

/// Sets a flag that may be set once.
fn once(flag: &mut bool) -> Option<()> {
    let fresh = !*flag;
    *flag = true;
    fresh.then_some(())
}

/// Window bits are written as a decimal integer without leading zeroes (RFC 7692 section 7.1.2).
fn window_bits(value: &str, least: u8) -> Option<u8> {
    let bits = match value.as_bytes() {
        [digit @ b'8'..=b'9'] => digit - b'0',
        [b'1', digit @ b'0'..=b'5'] => 10 + (digit - b'0'),
        _ => return None,
    };
    (bits >= least).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Terms = Terms {
        takeover: true,
        send_window_bits_max: 15,
        receive_window_bits_max: 15,
    };
    const SHORT: Terms = Terms {
        takeover: true,
        send_window_bits_max: 12,
        receive_window_bits_max: 12,
    };
    const NONE: Terms = Terms {
        takeover: false,
        ..FULL
    };

    fn answer(offers: &str, terms: &Terms) -> Option<String> {
        choose([offers.as_bytes()], terms).map(|(_, answer)| answer)
    }

    #[test]
    fn ill_offers_are_declined_alone_and_passed_over_before_a_good_one() {
        for ill in [
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=8",
            "server_max_window_bits=16",
            "server_max_window_bits=99",
            "server_max_window_bits=08",
            "server_max_window_bits=010",
            "server_max_window_bits=+10",
            "server_max_window_bits=1e1",
            "server_max_window_bits=10.0",
            "server_max_window_bits=4294967306",
            "client_max_window_bits=7",
            "client_max_window_bits=8",
            "client_max_window_bits=16",
            "client_max_window_bits=08",
            "client_max_window_bits=x",
            "server_no_context_takeover=1",
            "client_no_context_takeover=true",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover; client_no_context_takeover",
            "server_max_window_bits=10; server_max_window_bits=10",
            "client_max_window_bits; client_max_window_bits",
            "client_max_window_bits=10; client_max_window_bits",
            "unknown",
            "server_no_context_takeover; x=1",
            "Server_no_context_takeover",
        ] {
            let offer = format!("permessage-deflate; {ill}");
            assert_eq!(answer(&offer, &FULL), None, "{ill}");
            let with_another = format!("{offer}, permessage-deflate; server_max_window_bits=11");
            assert_eq!(
                answer(&with_another, &FULL).as_deref(),
                Some("permessage-deflate; server_max_window_bits=11"),
                "{ill}"
            );
        }
        assert_eq!(answer("x-webkit-deflate-frame, other; a=b", &FULL), None);
        assert_eq!(choose([], &FULL), None);
    }

    #[test]
    fn good_offers_are_answered() {
        let no_takeover =
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        for (offer, terms, expected) in [
            ("permessage-deflate", FULL, "permessage-deflate"),
            ("permessage-deflate", NONE, no_takeover),
            // A client that cannot limit its window does without context where less is kept.
            (
                "permessage-deflate",
                SHORT,
                "permessage-deflate; client_no_context_takeover; server_max_window_bits=12",
            ),
            // Browsers.
            (
                "permessage-deflate; client_max_window_bits",
                FULL,
                "permessage-deflate",
            ),
            (
                "permessage-deflate; client_max_window_bits",
                SHORT,
                "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
            ),
            (
                "permessage-deflate; client_max_window_bits",
                NONE,
                no_takeover,
            ),
            (
                "permessage-deflate; client_max_window_bits=10",
                SHORT,
                "permessage-deflate; server_max_window_bits=12",
            ),
            (
                "permessage-deflate ; server_max_window_bits = \"15\" ;client_no_context_takeover",
                FULL,
                "permessage-deflate; client_no_context_takeover; server_max_window_bits=15",
            ),
            (
                "permessage-deflate; server_max_window_bits=9; server_no_context_takeover",
                SHORT,
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
            ),
            (
                "other; x, permessage-deflate; server_max_window_bits=10, permessage-deflate",
                FULL,
                "permessage-deflate; server_max_window_bits=10",
            ),
        ] {
            assert_eq!(answer(offer, &terms).as_deref(), Some(expected), "{offer}");
        }
    }

    /// Every offer there is, in every order of its parameters.
    fn offers() -> impl Iterator<Item = Offer> {
        let bits = || std::iter::once(None).chain((9..=15).map(Some));
        (0..4).flat_map(move |flags| {
            bits().flat_map(move |server| {
                let hints = std::iter::once(None).chain(bits().map(Some));
                hints.map(move |client| Offer {
                    server_no_context_takeover: flags & 1 != 0,
                    client_no_context_takeover: flags & 2 != 0,
                    server_max_window_bits: server,
                    client_max_window_bits: client,
                })
            })
        })
    }

    #[test]
    fn both_sides_understand_one_another_whatever_is_offered_and_granted() {
        let mut count = 0;
        for offer in offers() {
            for takeover in [false, true] {
                for (send, receive) in [(15, 15), (12, 12), (9, 15), (15, 9)] {
                    let terms = Terms {
                        takeover,
                        send_window_bits_max: send,
                        receive_window_bits_max: receive,
                    };
                    let field = offer.to_string();
                    let (server, answer) = choose([field.as_bytes()], &terms).unwrap();
                    let extension = extensions_in(answer.as_bytes()).next().unwrap().unwrap();
                    let client = offer.accepted(&extension).unwrap();
                    assert_eq!(client.receive, server.send, "{field} -> {answer}");
                    assert_eq!(
                        client.send.takeover, server.receive.takeover,
                        "{field} -> {answer}"
                    );
                    // The server may have to keep more than the client uses, never less.
                    assert!(client.send.window_bits <= server.receive.window_bits);
                    assert!(!server.receive.takeover || server.receive.window_bits <= receive);
                    assert!(server.send.window_bits <= send);
                    count += 1;
                }
            }
        }
        assert_eq!(count, 4 * 8 * 9 * 8);
    }

    #[test]
    fn the_order_of_parameters_and_of_fields_does_not_matter() {
        let params = [
            "server_no_context_takeover",
            "client_no_context_takeover",
            "server_max_window_bits=10",
            "client_max_window_bits=11",
        ];
        let expected = answer(&format!("{NAME}; {}", params.join("; ")), &FULL);
        assert!(expected.is_some());
        for rotation in 0..4 {
            let mut turned = params;
            turned.rotate_left(rotation);
            assert_eq!(
                answer(&format!("{NAME}; {}", turned.join("; ")), &FULL),
                expected
            );
            turned.reverse();
            assert_eq!(
                answer(&format!("{NAME}; {}", turned.join("; ")), &FULL),
                expected
            );
        }
        let fields = [
            b"other".as_slice(),
            b"permessage-deflate; server_max_window_bits=8",
            b"permessage-deflate",
        ];
        assert_eq!(
            choose(fields, &FULL).map(|(_, answer)| answer).as_deref(),
            Some("permessage-deflate")
        );
    }

    #[test]
    fn a_client_takes_no_answer_it_did_not_ask_for() {
        let all = Offer {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: Some(12),
            client_max_window_bits: Some(None),
        };
        let check = |offer: Offer, answer: &str| {
            offer.accepted(&extensions_in(answer.as_bytes()).next().unwrap().unwrap())
        };
        for (offer, answer, expected) in [
            (Offer::default(), "permessage-bzip2", NotAsOffered::Unknown),
            (
                Offer::default(),
                "permessage-deflate; x",
                NotAsOffered::Unknown,
            ),
            (
                Offer::default(),
                "permessage-deflate; server_no_context_takeover=1",
                NotAsOffered::Unknown,
            ),
            (
                Offer::default(),
                "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
                NotAsOffered::Twice,
            ),
            (
                Offer::default(),
                "permessage-deflate; client_max_window_bits=10",
                NotAsOffered::Unasked("client_max_window_bits"),
            ),
            (
                Offer::default(),
                "permessage-deflate; server_max_window_bits",
                NotAsOffered::Value("server_max_window_bits"),
            ),
            (
                Offer::default(),
                "permessage-deflate; server_max_window_bits=7",
                NotAsOffered::Value("server_max_window_bits"),
            ),
            (
                all,
                "permessage-deflate; server_max_window_bits=12",
                NotAsOffered::Missing("server_no_context_takeover"),
            ),
            (
                all,
                "permessage-deflate; server_no_context_takeover",
                NotAsOffered::Missing("server_max_window_bits"),
            ),
            (
                all,
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=13",
                NotAsOffered::Value("server_max_window_bits"),
            ),
            (
                all,
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits",
                NotAsOffered::Value("client_max_window_bits"),
            ),
            // 256 octets is a window this endpoint cannot keep to when it compresses.
            (
                all,
                "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=8",
                NotAsOffered::Value("client_max_window_bits"),
            ),
        ] {
            assert_eq!(check(offer, answer), Err(expected), "{answer}");
        }
        let agreed = check(
            all,
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=8",
        )
        .unwrap();
        assert_eq!(
            agreed.receive.window_bits, 8,
            "receiving is possible with any"
        );
        assert!(!agreed.send.takeover, "what was offered is kept to");
        assert_eq!(agreed.mirrored().mirrored(), agreed);
        // Unasked but allowed (RFC 7692 sections 7.1.1 and 7.1.2.1).
        assert!(check(
            Offer::default(),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9"
        )
        .is_ok());
    }
}
