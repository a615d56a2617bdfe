//! Sec-WebSocket-Key and the Sec-WebSocket-Accept that proves it was read (RFC 6455 sections 4.1 and 4.2.2).
//! It must not know where the random octets of a key come from.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

/// Appended to the key before hashing (RFC 6455 section 1.3).
const GUID: &[u8; 36] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Octets of a nonce.
const NONCE_LEN: usize = 16;

/// Characters of a key: 16 octets in base64, two of them padding.
const KEY_LEN: usize = 24;

/// Characters of an accept value: the 20 octets of a SHA-1 in base64.
pub const ACCEPT_LEN: usize = 28;

// The lengths above follow from one another; four characters for every three octets begun.
const _: () = assert!(NONCE_LEN.div_ceil(3) * 4 == KEY_LEN);
const _: () = assert!(20_usize.div_ceil(3) * 4 == ACCEPT_LEN);

/// A well-formed Sec-WebSocket-Key, as it stands on the wire.
///
/// ```
/// use wirebahn::proto::handshake::{Key, accept_for};
///
/// let key = Key::parse(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
/// assert_eq!(&accept_for(&key), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// assert_eq!(Key::from_nonce(*b"the sample nonce"), key);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    text: [u8; KEY_LEN],
}

impl Key {
    /// The key of 16 octets that the caller drew at random, as RFC 6455 section 4.1 (7) asks of a client.
    #[must_use]
    pub fn from_nonce(nonce: [u8; NONCE_LEN]) -> Self {
        let mut text = [0; KEY_LEN];
        let written = STANDARD.encode_slice(nonce, &mut text);
        debug_assert_eq!(written, Ok(KEY_LEN), "16 octets fill 24 characters");
        Self { text }
    }

    /// The key in a field value, or `None` unless it is base64 of exactly 16 octets: 24 characters, the last
    /// two `==`, and no bits set that the octets do not use. RFC 4648 section 3.5 allows to refuse the last,
    /// and a key that no encoder makes is not one to vouch for.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text: [u8; KEY_LEN] = value.try_into().ok()?;
        // The decoder wants room for full groups of three: 18 octets, of which it may fill only 16.
        let mut nonce = [0; KEY_LEN / 4 * 3];
        match STANDARD.decode_slice(text, &mut nonce) {
            Ok(NONCE_LEN) => Some(Self { text }),
            _ => None,
        }
    }

    /// The 24 characters.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.text
    }
}

/// The Sec-WebSocket-Accept that answers a key: base64 of the SHA-1 of the key and the GUID.
#[must_use]
pub fn accept_for(key: &Key) -> [u8; ACCEPT_LEN] {
    let digest = Sha1::new()
        .chain_update(key.text)
        .chain_update(GUID)
        .finalize();
    let mut accept = [0; ACCEPT_LEN];
    let written = STANDARD.encode_slice(digest, &mut accept);
    debug_assert_eq!(written, Ok(ACCEPT_LEN), "20 octets fill 28 characters");
    accept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn example_of_the_rfc() {
        let key = Key::parse(b"dGhlIHNhbXBsZSBub25jZQ==").expect("the key of RFC 6455 section 1.3");
        assert_eq!(&accept_for(&key), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn all_that_is_not_sixteen_octets_is_refused() {
        for wrong in [
            &b""[..],
            b"dGhlIHNhbXBsZSBub25jZQ=",   // one padding character lost
            b"dGhlIHNhbXBsZSBub25jZQ",    // both lost
            b"dGhlIHNhbXBsZSBub25jZQ===", // one too many
            b"dGhlIHNhbXBsZSBub25jZQ== ", // a space the caller should have trimmed
            b"dGhlIHNhbXBsZSBub25jZR==",  // unused bits set
            b"dGhlIHNhbXBsZSBub25jZWE=",  // 17 octets
            b"dGhlIHNhbXBsZSBub25jZWFh",  // 18 octets
            b"dGhlIHNhbXBsZSBub25j",      // 15 octets
            b"dGhlIHNhbXBsZSBub25j====",  // padding as filler
            b"dGhlIHNhbXBsZSBub2-jZQ==",  // the URL alphabet
            b"dGhlIHNhbXBsZS*ub25jZQ==",  // no alphabet
            b"dGhl=HNhbXBsZSBub25jZQ==",  // padding inside
            b"dGhlIHNhbXBsZSBub25jZQ\xFF\xFF", // not even ASCII
        ] {
            assert_eq!(Key::parse(wrong), None, "{}", wrong.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn keys_that_we_make_we_take(nonce: [u8; NONCE_LEN]) {
            let key = Key::from_nonce(nonce);
            prop_assert_eq!(Key::parse(key.as_bytes()), Some(key));
        }
    }
}
