//! Finds the end of an HTTP head while it arrives, in any number of pieces, looking at each octet once.
//! It must not know what the head says.

use std::fmt;

use memchr::memchr;

use super::grammar::is_tchar;

/// The longest head that is taken by default, in octets: 16 KiB. The largest cookies a browser sends fit
/// twice; what is longer costs memory before anybody has proved to be a client.
pub const HEAD_LEN_MAX: usize = 16 * 1024;

/// The longest method that is taken for one, in octets. The longest registered one has 17
/// (`UPDATEREDIRECTREF`); a peer that sends more without a space does not speak HTTP.
const METHOD_LEN_MAX: usize = 32;

/// Why what came is not, and will not become, a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadError {
    /// The head does not end within the octets allowed. Answer: 431.
    TooLarge,
    /// The first octets cannot begin an HTTP message: a TLS ClientHello, a RawSocket handshake, a NUL.
    /// The peer would not understand an answer; close.
    NotHttp,
    /// A line ends with LF alone. RFC 9112 section 2.2 lets a recipient take it, and two that read it
    /// differently see two different requests; refused. Answer: 400.
    BareLf,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the head is larger than allowed",
            Self::NotHttp => "the first octets are not HTTP",
            Self::BareLf => "a line of the head ends without CR",
        })
    }
}

impl std::error::Error for HeadError {}

/// What the first octets must be, and how far that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Start {
    /// A request: a token and a space.
    #[default]
    Method,
    /// A response: `HTTP/`.
    Version,
    /// Checked.
    Passed,
}

/// Looks for the empty line that ends a head, over any number of arrivals.
///
/// Each call gets all that has arrived so far, from the same first octet on, and goes on where the call
/// before stopped: a head that arrives octet by octet costs what it costs in one piece.
/// One scanner serves one head.
///
/// ```
/// use wirebahn::proto::handshake::{HEAD_LEN_MAX, HeadScanner};
///
/// let mut scanner = HeadScanner::default();
/// assert_eq!(scanner.find_end(b"GET / HTTP/1.1\r\nHost: a\r\n\r", HEAD_LEN_MAX), Ok(None));
/// assert_eq!(scanner.find_end(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nmore", HEAD_LEN_MAX), Ok(Some(27)));
/// ```
#[derive(Debug, Clone, Default)]
pub struct HeadScanner {
    /// Octets that need not be looked at again.
    looked: usize,
    start: Start,
    /// How many octets were looked at in all: the tests hold it against the length of the head.
    #[cfg(test)]
    examined: usize,
}

impl HeadScanner {
    /// A scanner for the head of a request; the same as `default()`.
    #[must_use]
    pub fn request() -> Self {
        Self::default()
    }

    /// A scanner for the head of a response.
    #[must_use]
    pub fn response() -> Self {
        Self {
            start: Start::Version,
            ..Self::default()
        }
    }

    /// The length of the head, its closing empty line included, or `None` while that has not arrived.
    ///
    /// `received` is all that has arrived; `len_max` the longest head taken, in octets
    /// ([`HEAD_LEN_MAX`] unless there is a reason). The verdict depends on the octets alone, never on
    /// how they were cut into pieces.
    ///
    /// # Errors
    /// Each as soon as the octets prove it: [`HeadError::NotHttp`], [`HeadError::BareLf`],
    /// [`HeadError::TooLarge`] once `len_max` octets hold no end.
    pub fn find_end(
        &mut self,
        received: &[u8],
        len_max: usize,
    ) -> Result<Option<usize>, HeadError> {
        let visible = received.get(..len_max).unwrap_or(received);
        if self.start != Start::Passed && !self.check_start(visible)? {
            return too_large_or_none(received, len_max);
        }
        while let Some(at) = visible
            .get(self.looked..)
            .and_then(|rest| memchr(b'\n', rest))
        {
            #[cfg(test)]
            {
                self.examined += at + 1;
            }
            let line_feed = self.looked.saturating_add(at);
            match visible.get(..line_feed) {
                // The line feed is not passed, so that asking again gives the same answer.
                Some([.., b'\n', b'\r']) => return Ok(line_feed.checked_add(1)),
                Some([.., b'\r']) => self.looked = line_feed.saturating_add(1),
                _ => return Err(HeadError::BareLf),
            }
        }
        #[cfg(test)]
        {
            self.examined += visible.len().saturating_sub(self.looked);
        }
        self.looked = self.looked.max(visible.len());
        too_large_or_none(received, len_max)
    }

    /// Whether the first octets are those of an HTTP message; false while they could still become it.
    fn check_start(&mut self, visible: &[u8]) -> Result<bool, HeadError> {
        while let Some(&octet) = visible.get(self.looked) {
            #[cfg(test)]
            {
                self.examined += 1;
            }
            match self.start {
                Start::Method => match octet {
                    b' ' if self.looked > 0 => self.start = Start::Passed,
                    octet if is_tchar(octet) && self.looked < METHOD_LEN_MAX => {}
                    _ => return Err(HeadError::NotHttp),
                },
                Start::Version => match b"HTTP/".get(self.looked) {
                    Some(&expected) if expected == octet => {
                        if octet == b'/' {
                            self.start = Start::Passed;
                        }
                    }
                    _ => return Err(HeadError::NotHttp),
                },
                Start::Passed => return Ok(true),
            }
            self.looked = self.looked.saturating_add(1);
        }
        Ok(self.start == Start::Passed)
    }
}

/// No end was found in the first `len_max` octets: there is hope only if fewer came.
fn too_large_or_none(received: &[u8], len_max: usize) -> Result<Option<usize>, HeadError> {
    if received.len() >= len_max {
        Err(HeadError::TooLarge)
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &[u8] = b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";

    /// The definition: the first event in the first `len_max` octets, found by looking at all of them.
    fn naive(received: &[u8], len_max: usize) -> Result<Option<usize>, HeadError> {
        let mut in_method = true;
        for (index, &octet) in received.iter().take(len_max).enumerate() {
            if in_method {
                if octet == b' ' && index > 0 {
                    in_method = false;
                } else if !is_tchar(octet) || index >= METHOD_LEN_MAX {
                    return Err(HeadError::NotHttp);
                }
            } else if octet == b'\n' {
                if received[..=index].ends_with(b"\n\r\n") {
                    return Ok(Some(index + 1));
                }
                if received[index - 1] != b'\r' {
                    return Err(HeadError::BareLf);
                }
            }
        }
        if received.len() >= len_max {
            return Err(HeadError::TooLarge);
        }
        Ok(None)
    }

    /// Feeds `input` in growing prefixes cut at `cuts`, and gives the first verdict.
    fn in_pieces(
        input: &[u8],
        cuts: impl Iterator<Item = usize>,
        len_max: usize,
    ) -> Result<Option<usize>, HeadError> {
        let mut scanner = HeadScanner::default();
        for cut in cuts.chain([input.len()]) {
            match scanner.find_end(&input[..cut], len_max) {
                Ok(None) => {}
                verdict => return verdict,
            }
        }
        Ok(None)
    }

    #[test]
    fn end_is_found_at_every_split_and_octet_by_octet() {
        let mut input = HEAD.to_vec();
        input.extend_from_slice(b"\x81\x85early");
        for cut in 0..=input.len() {
            assert_eq!(
                in_pieces(&input, [cut].into_iter(), HEAD_LEN_MAX),
                Ok(Some(HEAD.len())),
                "cut at {cut}"
            );
        }
        assert_eq!(
            in_pieces(&input, 0..input.len(), HEAD_LEN_MAX),
            Ok(Some(HEAD.len()))
        );
    }

    #[test]
    fn asking_again_gives_the_same_end() {
        let mut scanner = HeadScanner::default();
        for _ in 0..3 {
            assert_eq!(scanner.find_end(HEAD, HEAD_LEN_MAX), Ok(Some(HEAD.len())));
        }
    }

    #[test]
    fn every_octet_is_looked_at_once() {
        let mut long = b"GET / HTTP/1.1\r\n".to_vec();
        while long.len() < HEAD_LEN_MAX - 8 {
            long.extend_from_slice(b"a:\r\n");
        }
        long.extend_from_slice(b"\r\n");
        let mut scanner = HeadScanner::default();
        let mut verdict = Ok(None);
        for end in 0..=long.len() {
            verdict = scanner.find_end(&long[..end], HEAD_LEN_MAX);
        }
        assert_eq!(verdict, Ok(Some(long.len())));
        assert_eq!(scanner.examined, long.len());
    }

    #[test]
    fn what_is_not_http_is_refused_at_its_first_wrong_octet() {
        for first in [0x00, 0x16, 0x7F, 0x80, 0xFF, b' ', b'\r', b'\n', b'<', b'{'] {
            let mut scanner = HeadScanner::default();
            assert_eq!(
                scanner.find_end(&[first], HEAD_LEN_MAX),
                Err(HeadError::NotHttp),
                "first octet {first:#04x}"
            );
        }
        let mut scanner = HeadScanner::default();
        assert_eq!(scanner.find_end(b"GET", HEAD_LEN_MAX), Ok(None));
        assert_eq!(
            scanner.find_end(b"GET\0", HEAD_LEN_MAX),
            Err(HeadError::NotHttp)
        );
        let mut scanner = HeadScanner::default();
        assert_eq!(
            scanner.find_end(&[b'A'; METHOD_LEN_MAX], HEAD_LEN_MAX),
            Ok(None)
        );
        assert_eq!(
            scanner.find_end(&[b'A'; METHOD_LEN_MAX + 1], HEAD_LEN_MAX),
            Err(HeadError::NotHttp)
        );
    }

    #[test]
    fn responses_begin_with_http() {
        let head = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        let mut scanner = HeadScanner::response();
        for end in 0..head.len() {
            assert_eq!(scanner.find_end(&head[..end], HEAD_LEN_MAX), Ok(None));
        }
        assert_eq!(scanner.find_end(head, HEAD_LEN_MAX), Ok(Some(head.len())));
        for wrong in [&b"h"[..], b"HTTP 1", b"\x15\x03", b"SSH-2.0"] {
            assert_eq!(
                HeadScanner::response().find_end(wrong, HEAD_LEN_MAX),
                Err(HeadError::NotHttp)
            );
        }
    }

    #[test]
    fn a_bare_line_feed_is_refused_at_once() {
        let mut scanner = HeadScanner::default();
        assert_eq!(
            scanner.find_end(b"GET / HTTP/1.1\n", HEAD_LEN_MAX),
            Err(HeadError::BareLf)
        );
        assert_eq!(
            HeadScanner::default().find_end(b"GET / HTTP/1.1\r\n\n", HEAD_LEN_MAX),
            Err(HeadError::BareLf)
        );
    }

    #[test]
    fn a_head_of_exactly_the_limit_passes_and_one_more_does_not() {
        assert_eq!(
            HeadScanner::default().find_end(HEAD, HEAD.len()),
            Ok(Some(HEAD.len()))
        );
        assert_eq!(
            HeadScanner::default().find_end(HEAD, HEAD.len() - 1),
            Err(HeadError::TooLarge)
        );
        let endless = [b'A'; 20]
            .into_iter()
            .chain([b' '])
            .chain([b'a'; HEAD_LEN_MAX])
            .collect::<Vec<_>>();
        let mut scanner = HeadScanner::default();
        for end in 0..HEAD_LEN_MAX {
            assert_eq!(scanner.find_end(&endless[..end], HEAD_LEN_MAX), Ok(None));
        }
        assert_eq!(
            scanner.find_end(&endless[..HEAD_LEN_MAX], HEAD_LEN_MAX),
            Err(HeadError::TooLarge)
        );
    }

    proptest! {
        #[test]
        fn any_input_in_any_pieces_agrees_with_the_definition(
            pieces in proptest::collection::vec("(GET|A| |\r\n|\r|\n|x|\0|[A-Z]{20}){0,6}", 0..6),
            len_max in 0..80_usize,
        ) {
            let input = pieces.concat().into_bytes();
            let expected = naive(&input, len_max);
            let mut ends = Vec::new();
            let mut end = 0;
            for piece in &pieces {
                end += piece.len();
                ends.push(end);
            }
            prop_assert_eq!(in_pieces(&input, [].into_iter(), len_max), expected);
            prop_assert_eq!(in_pieces(&input, ends.into_iter(), len_max), expected);
            prop_assert_eq!(in_pieces(&input, 0..input.len(), len_max), expected);
        }
    }
}
