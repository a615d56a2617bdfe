//! WAMP-CRA: the client signs a challenge with a shared secret, which does not travel (Advanced
//! Profile, "Challenge Response Authentication"). The secret may be derived from a password and a
//! salt, so that no password needs to be stored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{AuthError, Credential, Timestamp};
use crate::id::Id;
use crate::message::{Authenticate, Challenge};
use crate::serializer::{self, Format};
use crate::value::{Dict, Value};

/// How a key is derived from a password: PBKDF2 with HMAC-SHA256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salt {
    /// The salt.
    pub salt: String,
    /// How often the hash is applied.
    pub iterations: u32,
    /// Octets of the key.
    pub key_len: usize,
}

impl Salt {
    /// A salt, the number of iterations, and the key's length in octets.
    pub fn new(salt: impl Into<String>, iterations: u32, key_len: usize) -> Self {
        Self {
            salt: salt.into(),
            iterations,
            key_len,
        }
    }
}

/// What a client grants to a challenge: the router chooses how its password is hardened, and must
/// not choose so little that a signature gives the password away, nor so much that the client
/// stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CraLimits {
    /// The fewest iterations. Default 100: what examples in use have. Raise it if you know the
    /// router's number.
    pub iterations_min: u32,
    /// The most iterations. Default 600,000: about a second of work.
    pub iterations_max: u32,
    /// The longest key, in octets. Default 64.
    pub key_len_max: usize,
}

impl Default for CraLimits {
    fn default() -> Self {
        Self {
            iterations_min: 100,
            iterations_max: 600_000,
            key_len_max: 64,
        }
    }
}

/// A key shorter than this is none.
const KEY_LEN_MIN: usize = 16;

/// A principal and its secret, or its password if the router salts.
#[derive(Clone)]
pub struct Wampcra {
    authid: String,
    secret: String,
    limits: CraLimits,
}

impl Wampcra {
    /// A principal and its secret.
    pub fn new(authid: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            authid: authid.into(),
            secret: secret.into(),
            limits: CraLimits::default(),
        }
    }

    /// What is granted to challenges.
    #[must_use]
    pub fn limits(mut self, limits: CraLimits) -> Self {
        self.limits = limits;
        self
    }

    fn salt(&self, extra: &Dict) -> Result<Option<Salt>, AuthError> {
        let Some(salt) = extra.get("salt") else {
            return Ok(None);
        };
        let salt = salt.as_str().ok_or(AuthError::Malformed("salt"))?;
        // The text names both numbers and gives no default; these are those of clients in use.
        let number = |key, default| match extra.get(key) {
            None => Ok(default),
            Some(value) => value.as_u64().ok_or(AuthError::Malformed(key)),
        };
        let iterations = u32::try_from(number("iterations", 1000)?)
            .ok()
            .filter(|iterations| {
                (self.limits.iterations_min..=self.limits.iterations_max).contains(iterations)
            })
            .ok_or(AuthError::Cost("iterations"))?;
        let key_len = usize::try_from(number("keylen", 32)?)
            .ok()
            .filter(|len| (KEY_LEN_MIN..=self.limits.key_len_max).contains(len))
            .ok_or(AuthError::Cost("keylen"))?;
        Ok(Some(Salt::new(salt, iterations, key_len)))
    }
}

impl Credential for Wampcra {
    fn method(&self) -> &'static str {
        "wampcra"
    }

    fn authid(&self) -> Option<&str> {
        Some(&self.authid)
    }

    fn answer(&mut self, challenge: &Challenge<'_>) -> Result<Authenticate<'static>, AuthError> {
        let text = challenge
            .extra
            .get("challenge")
            .and_then(Value::as_str)
            .ok_or(AuthError::Malformed("challenge"))?;
        let signature = match self.salt(&challenge.extra)? {
            None => sign(self.secret.as_bytes(), text),
            Some(salt) => sign(derive_key(&self.secret, &salt).as_bytes(), text),
        };
        Ok(Authenticate {
            signature: signature.into(),
            extra: Dict::new(),
        })
    }
}

impl std::fmt::Debug for Wampcra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wampcra")
            .field("authid", &self.authid)
            .finish_non_exhaustive()
    }
}

/// The key derived from a password, in Base64: this text, not the octets it encodes, is the
/// secret that signs. So do all clients.
pub fn derive_key(password: &str, salt: &Salt) -> String {
    let mut key = vec![0; salt.key_len];
    pbkdf2::pbkdf2_hmac::<Sha256>(
        password.as_bytes(),
        salt.salt.as_bytes(),
        salt.iterations,
        &mut key,
    );
    STANDARD.encode(key)
}

/// The signature of a challenge: HMAC-SHA256, in Base64.
pub fn sign(secret: &[u8], challenge: &str) -> String {
    STANDARD.encode(hmac(secret, challenge).finalize().into_bytes())
}

/// Whether a signature is that of a challenge. Takes as long for one that is nearly right as for
/// one that is not right at all.
pub fn verify(secret: &[u8], challenge: &str, signature: &str) -> bool {
    let decoded = STANDARD.decode(signature).unwrap_or_default();
    hmac(secret, challenge).verify_slice(&decoded).is_ok()
}

fn hmac(secret: &[u8], text: &str) -> Hmac<Sha256> {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret)
        .expect("HMAC takes secrets of every length (RFC 2104, section 2)");
    hmac.update(text.as_bytes());
    hmac
}

/// What is to be signed: a JSON object with all that the session will be, so that a third party
/// can judge it too. None when JSON cannot hold it: with a name that begins with NUL.
pub(super) fn challenge_text(
    authid: &str,
    authrole: &str,
    authprovider: &str,
    nonce: &[u8; 16],
    session: Id,
    now: Timestamp,
) -> Option<String> {
    let challenge: Value = Dict::from_iter([
        ("authid", Value::from(authid)),
        ("authrole", Value::from(authrole)),
        ("authmethod", Value::from("wampcra")),
        ("authprovider", Value::from(authprovider)),
        ("nonce", Value::from(STANDARD.encode(nonce))),
        ("timestamp", Value::from(now.to_string())),
        ("session", Value::from(session)),
    ])
    .into();
    let mut text = Vec::new();
    serializer::encode_value(Format::Json, &challenge, &mut text).ok()?;
    String::from_utf8(text).ok()
}

pub(super) fn challenge_extra(text: &str, salt: Option<&Salt>) -> Dict {
    let mut extra = Dict::new();
    extra.insert("challenge", text);
    if let Some(salt) = salt {
        extra.insert("salt", salt.salt.as_str());
        extra.insert("keylen", salt.key_len as u64);
        extra.insert("iterations", salt.iterations);
    }
    extra
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64_of(hex: &str) -> String {
        let octets: Vec<u8> = (0..hex.len() / 2)
            .map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap())
            .collect();
        STANDARD.encode(octets)
    }

    #[test]
    fn hmac_of_rfc_4231() {
        // Test case 2.
        let wanted = base64_of("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let signature = sign(b"Jefe", "what do ya want for nothing?");
        assert_eq!(signature, wanted);
        assert!(verify(b"Jefe", "what do ya want for nothing?", &signature));
        for wrong in ["", "!", &signature[1..], &wanted.to_uppercase()] {
            assert!(!verify(b"Jefe", "what do ya want for nothing?", wrong));
        }
    }

    #[test]
    fn pbkdf2_of_rfc_7914() {
        // Section 11.
        let wanted = base64_of(
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc\
             49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783",
        );
        assert_eq!(derive_key("passwd", &Salt::new("salt", 1, 64)), wanted);
    }

    fn challenge(entries: Vec<(&'static str, Value)>) -> Challenge<'static> {
        let mut extra = Dict::from_iter(entries);
        extra.insert("challenge", "{}");
        Challenge {
            method: "wampcra".into(),
            extra,
        }
    }

    #[test]
    fn the_cost_a_router_asks_for_is_bounded() {
        let mut credential = Wampcra::new("peter", "secret");
        let salted = |iterations: Value, keylen: Value| {
            challenge(vec![
                ("salt", "salt123".into()),
                ("iterations", iterations),
                ("keylen", keylen),
            ])
        };
        assert!(credential.answer(&salted(100.into(), 16.into())).is_ok());
        for (iterations, keylen, error) in [
            (
                Value::from(99),
                Value::from(32),
                AuthError::Cost("iterations"),
            ),
            (600_001.into(), 32.into(), AuthError::Cost("iterations")),
            (u64::MAX.into(), 32.into(), AuthError::Cost("iterations")),
            (1000.into(), 65.into(), AuthError::Cost("keylen")),
            (1000.into(), 1.into(), AuthError::Cost("keylen")),
            ("1000".into(), 32.into(), AuthError::Malformed("iterations")),
            (1000.into(), true.into(), AuthError::Malformed("keylen")),
        ] {
            assert_eq!(credential.answer(&salted(iterations, keylen)), Err(error));
        }
        let bare = Challenge {
            method: "wampcra".into(),
            extra: Dict::new(),
        };
        assert_eq!(
            credential.answer(&bare),
            Err(AuthError::Malformed("challenge"))
        );
    }

    #[test]
    fn a_challenge_holds_what_the_text_demands() {
        let text = challenge_text(
            "peter",
            "user",
            "userdb",
            &[7; 16],
            Id::new(3_251_278_072_152_162).unwrap(),
            Timestamp::from_unix_ms(1_403_455_885_448),
        )
        .unwrap();
        let value =
            serializer::decode_value(Format::Json, text.as_bytes(), crate::Rules::default());
        let Ok(Value::Dict(dict)) = value else {
            panic!("{text}");
        };
        let text_of = |key| dict.get(key).and_then(Value::as_str);
        assert_eq!(text_of("authid"), Some("peter"));
        assert_eq!(text_of("authrole"), Some("user"));
        assert_eq!(text_of("authmethod"), Some("wampcra"));
        assert_eq!(text_of("authprovider"), Some("userdb"));
        assert_eq!(text_of("timestamp"), Some("2014-06-22T16:51:25.448Z"));
        assert!(text_of("nonce").is_some());
        assert_eq!(
            dict.get("session").and_then(Value::as_u64),
            Some(3_251_278_072_152_162)
        );
    }
}
