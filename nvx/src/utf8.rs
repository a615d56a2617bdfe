//! The streaming UTF-8 validator: its state, its verdict and its automaton.
//!
//! Knows RFC 3629 and nothing of vectors: kernels take a [`State`], and give
//! back the next one or the index of the octet that broke the stream.

use core::fmt;

use crate::dispatch;

/// A UTF-8 validator that takes its text in pieces and fails fast.
///
/// It accepts exactly the sequences of RFC 3629 section 4: no surrogates
/// (U+D800 to U+DFFF), no overlong forms, nothing above U+10FFFF. A bad stream
/// is refused at the earliest octet that proves it bad: `ED A0` at the `A0`,
/// `F4 90` at the `90`, `C0` at the `C0`. RFC 6455 section 8.1 lets an endpoint
/// fail the connection as soon as it knows, and this is the soonest.
///
/// The state is one word, so a connection can keep it at no cost.
///
/// ```
/// use wirebahn_nvx::Utf8;
///
/// let mut utf8 = Utf8::new();
/// utf8.validate(b"caf\xc3")?; // "caf" and one half of "é"
/// assert!(!utf8.is_boundary());
/// utf8.validate(b"\xa9")?;
/// assert!(utf8.is_boundary());
///
/// let error = utf8.validate(b"ab\xed\xa0\x80").unwrap_err(); // a surrogate
/// assert_eq!(error.index, 3);
/// # Ok::<(), wirebahn_nvx::InvalidAt>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8 {
    state: State,
}

impl Utf8 {
    /// A validator at the start of a text.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: State::Boundary,
        }
    }

    /// Validates the next piece of the text.
    ///
    /// # Errors
    ///
    /// [`InvalidAt`] with the index in `bytes` of the first octet that makes
    /// the stream invalid. The validator then stays failed: every later call
    /// answers index 0 until [`reset`](Self::reset).
    #[inline]
    pub fn validate(&mut self, bytes: &[u8]) -> Result<(), InvalidAt> {
        let verdict = dispatch::validate(bytes, self.state);
        self.settle(verdict)
    }

    /// Starts over, as for the next message.
    pub const fn reset(&mut self) {
        self.state = State::Boundary;
    }

    /// Whether what came so far is whole: valid, and not inside a character.
    ///
    /// A text message may end here and nowhere else.
    #[must_use]
    #[inline]
    pub const fn is_boundary(&self) -> bool {
        matches!(self.state, State::Boundary)
    }

    /// Whether the stream was found invalid.
    #[must_use]
    #[inline]
    pub const fn is_failed(&self) -> bool {
        matches!(self.state, State::Failed)
    }

    #[inline]
    pub(crate) const fn state(self) -> State {
        self.state
    }

    /// Takes what a kernel found into the validator.
    #[inline]
    pub(crate) fn settle(&mut self, verdict: Verdict) -> Result<(), InvalidAt> {
        match verdict {
            Ok(state) => {
                self.state = state;
                Ok(())
            }
            Err(index) => {
                self.state = State::Failed;
                Err(InvalidAt { index })
            }
        }
    }
}

/// Where a stream stopped being UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InvalidAt {
    /// Index, in the slice of this call, of the first octet that makes the
    /// stream invalid: at most the length of the slice, and equal to it only
    /// where a whole text ended inside a character ([`validate_whole`]), or
    /// where an empty slice met a failed validator.
    pub index: usize,
}

impl fmt::Display for InvalidAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid UTF-8 at octet {}", self.index)
    }
}

impl core::error::Error for InvalidAt {}

/// Validates a whole text: valid, and ending between two characters.
///
/// # Errors
///
/// [`InvalidAt`] with the index of the first bad octet, or with the length of
/// `bytes` when the text ends inside a character: what is bad then is the octet
/// that is missing.
///
/// ```
/// use wirebahn_nvx::{InvalidAt, validate_whole};
///
/// assert_eq!(validate_whole("κόσμε".as_bytes()), Ok(()));
/// assert_eq!(validate_whole(b"\xce"), Err(InvalidAt { index: 1 }));
/// ```
#[inline]
pub fn validate_whole(bytes: &[u8]) -> Result<(), InvalidAt> {
    let mut utf8 = Utf8::new();
    utf8.validate(bytes)?;
    if utf8.is_boundary() {
        Ok(())
    } else {
        Err(InvalidAt { index: bytes.len() })
    }
}

/// What a kernel answers: the state after the last octet, or the index of the
/// octet that broke the stream.
pub(crate) type Verdict = Result<State, usize>;

/// Where in a character the stream stands: what may come next.
///
/// The rows of RFC 3629 section 4 ("UTF8-octets"), each named after what is
/// still due.
///
/// As wide as an index, so that a [`Verdict`] is two words and comes back in
/// registers, not through memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum State {
    /// Between two characters.
    #[default]
    Boundary,
    /// One more continuation octet (`UTF8-tail`).
    Due1,
    /// Two more.
    Due2,
    /// Two more, the first in A0..=BF: after E0, below is overlong.
    Due2AfterE0,
    /// Two more, the first in 80..=9F: after ED, above is a surrogate.
    Due2AfterEd,
    /// Three more.
    Due3,
    /// Three more, the first in 90..=BF: after F0, below is overlong.
    Due3AfterF0,
    /// Three more, the first in 80..=8F: after F4, above is beyond U+10FFFF.
    Due3AfterF4,
    /// The stream is invalid, for good.
    Failed,
}

impl State {
    /// The automaton: one octet on. The definition everything else is held to.
    #[inline]
    pub(crate) const fn step(self, octet: u8) -> Self {
        match (self, octet) {
            (Self::Boundary, 0x00..=0x7F) => Self::Boundary,
            (Self::Boundary, 0xC2..=0xDF) => Self::Due1,
            (Self::Boundary, 0xE0) => Self::Due2AfterE0,
            (Self::Boundary, 0xED) => Self::Due2AfterEd,
            (Self::Boundary, 0xE1..=0xEF) => Self::Due2,
            (Self::Boundary, 0xF0) => Self::Due3AfterF0,
            (Self::Boundary, 0xF1..=0xF3) => Self::Due3,
            (Self::Boundary, 0xF4) => Self::Due3AfterF4,
            (Self::Due1, 0x80..=0xBF) => Self::Boundary,
            (Self::Due2, 0x80..=0xBF)
            | (Self::Due2AfterE0, 0xA0..=0xBF)
            | (Self::Due2AfterEd, 0x80..=0x9F) => Self::Due1,
            (Self::Due3, 0x80..=0xBF)
            | (Self::Due3AfterF0, 0x90..=0xBF)
            | (Self::Due3AfterF4, 0x80..=0x8F) => Self::Due2,
            _ => Self::Failed,
        }
    }

    /// The automaton over a few octets.
    #[inline]
    pub(crate) fn run(self, bytes: &[u8]) -> Verdict {
        let mut state = self;
        for (index, &octet) in bytes.iter().enumerate() {
            state = state.step(octet);
            if state == Self::Failed {
                return Err(index);
            }
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_at_the_octet_that_proves_it() {
        for (bytes, index) in [
            (&b"\xc0\x80"[..], 0),
            (b"\xc1", 0),
            (b"\x80", 0),
            (b"\xf5", 0),
            (b"\xff", 0),
            (b"\xed\xa0\x80", 1),
            (b"\xe0\x9f\x80", 1),
            (b"\xf0\x8f\x80\x80", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xe2\x82\x41", 2),
            (b"\xf1\x80\x80\xc2", 3),
            (b"\xc2\xc2", 1),
        ] {
            let mut utf8 = Utf8::new();
            assert_eq!(utf8.validate(bytes), Err(InvalidAt { index }), "{bytes:x?}");
            assert_eq!(utf8.validate(b"ok"), Err(InvalidAt { index: 0 }));
            assert_eq!(utf8.validate(b""), Err(InvalidAt { index: 0 }));
            assert!(utf8.is_failed() && !utf8.is_boundary());
            utf8.reset();
            assert_eq!(utf8.validate(b"ok"), Ok(()));
        }
    }

    #[test]
    fn the_state_is_one_word() {
        assert_eq!(size_of::<Utf8>(), size_of::<usize>());
        assert_eq!(size_of::<Verdict>(), 2 * size_of::<usize>());
    }
}
