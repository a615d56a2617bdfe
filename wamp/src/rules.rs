//! How much a decoder puts up with: the bounds on what a peer may send, in one place.
//! Knows nothing of any format.

use crate::uri::UriRule;

/// Nesting beyond this is never accepted, whatever [`Rules::depth_max`] says: the octet stack of
/// a thread is finite, and owned values are dropped recursively.
pub const DEPTH_LIMIT: usize = 128;

/// The bounds of decoding.
///
/// The defaults hold against a hostile peer: nesting bombs and huge declared counts are refused
/// before anything is allocated for them.
///
/// ```
/// use wirebahn_wamp::Rules;
/// use wirebahn_wamp::serializer::{Codec, Format};
///
/// let rules = Rules { depth_max: 8, ..Rules::default() };
/// let mut codec = Codec::with_rules(Format::Json, rules);
/// assert!(codec.decode(br#"[16,1,{},"a.b",[[[[[[[[1]]]]]]]]]"#).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The most octets of one message. Default 16 MiB, what RawSocket can announce at most in
    /// its ordinary form. Raise it only together with the transport's own limit.
    pub len_max: usize,
    /// The deepest nesting of lists and dictionaries, the message itself counted as one.
    /// Default 64, at most [`DEPTH_LIMIT`].
    pub depth_max: usize,
    /// The most values of one message, keys not counted. Default 1,048,576: it bounds the
    /// memory of a message whose payload is asked for as [`Value`](crate::Value)s, each of which
    /// takes 32 octets where its encoding may take one.
    pub items_max: usize,
    /// Whether URIs are held to the loose rule (default, what the specification demands) or to
    /// the strict one (what it recommends).
    pub uri_rule: UriRule,
}

impl Rules {
    /// For octets that were let through before, under rules of their own: their number of values
    /// was bounded then.
    pub(crate) const ACCEPTED: Self = Self {
        len_max: usize::MAX,
        depth_max: DEPTH_LIMIT,
        items_max: usize::MAX,
        uri_rule: UriRule::Loose,
    };

    /// The depth in force: never more than [`DEPTH_LIMIT`].
    pub(crate) fn depth(&self) -> usize {
        self.depth_max.min(DEPTH_LIMIT)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            len_max: 16 << 20,
            depth_max: 64,
            items_max: 1 << 20,
            uri_rule: UriRule::Loose,
        }
    }
}
