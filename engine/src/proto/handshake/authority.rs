//! The host and port of a Host field, a request target or an origin (RFC 3986 section 3.2), and patterns of
//! the hosts a server answers for. It must not know which of them is asking.

use std::{fmt, net::Ipv6Addr, str};

use super::grammar::wildcard;

/// The longest host taken, in octets: a name of the DNS has at most 253.
const HOST_LEN_MAX: usize = 255;

/// A host with an optional port, syntactically sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    whole: &'a str,
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Takes `host`, `host:port`, `[v6]` and `[v6]:port`, or gives `None`.
    ///
    /// A name consists of the characters of RFC 3986 `reg-name`, except the comma, which is how two Host
    /// fields look after somebody has folded them into one. No user information: it has no place in HTTP
    /// (RFC 9110 section 4.2.4). Port 0 names nothing and is refused.
    #[must_use]
    pub fn parse(octets: &'a [u8]) -> Option<Self> {
        // All octets that pass below are ASCII, so this refuses nothing that would be taken.
        let whole = str::from_utf8(octets).ok()?;
        let (host, after) = if let Some(literal) = whole.strip_prefix('[') {
            let (address, after) = literal.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            let host_len = whole.len().checked_sub(after.len())?;
            (whole.get(..host_len)?, after)
        } else {
            let host_len = whole.find(':').unwrap_or(whole.len());
            let (host, after) = whole.split_at_checked(host_len)?;
            if !is_reg_name(host.as_bytes()) {
                return None;
            }
            (host, after)
        };
        if host.len() > HOST_LEN_MAX {
            return None;
        }
        let port = match after.strip_prefix(':') {
            // `host:` is legal and means the default port (RFC 3986 section 3.2.3).
            Some("") => None,
            Some(digits) => Some(port_of(digits)?),
            None if after.is_empty() => None,
            None => return None,
        };
        Some(Self { whole, host, port })
    }

    /// Host and port as they were sent.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.whole
    }

    /// The host alone, an IPv6 address in its brackets.
    #[must_use]
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The port, if one was sent.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.whole)
    }
}

/// A port in 1 to 65535, written in decimal without sign.
fn port_of(digits: &str) -> Option<u16> {
    if !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|&port| port != 0)
}

/// A non-empty `reg-name` (RFC 3986 section 3.2.2) without the comma.
fn is_reg_name(octets: &[u8]) -> bool {
    let mut rest = octets;
    while let [octet, tail @ ..] = rest {
        rest = match octet {
            b'%' => match tail {
                [high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    tail
                }
                _ => return false,
            },
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => tail,
            b'!' | b'$' | b'&'..=b'+' | b';' | b'=' => tail,
            _ => return false,
        };
    }
    !octets.is_empty()
}

/// A host a server answers for, `*` standing for any characters: `example.com`, `*.example.com`.
///
/// The check is what stops DNS rebinding: a foreign page whose name was made to resolve to this server has
/// the same origin and the same Host, both foreign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    text: String,
}

impl HostPattern {
    /// A pattern for the host alone, without its port; letters match in any case. `None` if it is empty, or
    /// has a character that no host has, and so could never match.
    ///
    /// ```
    /// use wirebahn::proto::handshake::HostPattern;
    ///
    /// let pattern = HostPattern::new("*.example.com").unwrap();
    /// assert!(pattern.matches("ws.Example.com"));
    /// assert!(!pattern.matches("example.com"));
    /// assert_eq!(HostPattern::new("https://example.com"), None);
    /// ```
    #[must_use]
    pub fn new(pattern: &str) -> Option<Self> {
        let plausible = if let Some(literal) = pattern.strip_prefix('[') {
            literal.strip_suffix(']').is_some_and(|address| {
                !address.is_empty()
                    && address.bytes().all(|octet| {
                        octet.is_ascii_hexdigit() || matches!(octet, b':' | b'.' | b'*')
                    })
            })
        } else {
            is_reg_name(pattern.as_bytes())
        };
        (plausible && pattern.len() <= HOST_LEN_MAX).then(|| Self {
            text: pattern.to_ascii_lowercase(),
        })
    }

    /// Whether the host, given without port, fits.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        wildcard(self.text.as_bytes(), host.to_ascii_lowercase().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_come_apart() {
        for (text, host, port) in [
            ("example.com", "example.com", None),
            ("example.com:80", "example.com", Some(80)),
            ("example.com:", "example.com", None),
            ("EXAMPLE_1.com:65535", "EXAMPLE_1.com", Some(65535)),
            ("127.0.0.1:9000", "127.0.0.1", Some(9000)),
            ("[::1]", "[::1]", None),
            ("[::1]:", "[::1]", None),
            ("[2001:db8::1]:443", "[2001:db8::1]", Some(443)),
            ("a%2Db", "a%2Db", None),
        ] {
            let authority = Authority::parse(text.as_bytes()).expect(text);
            assert_eq!(
                (authority.host(), authority.port(), authority.as_str()),
                (host, port, text)
            );
        }
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        for wrong in [
            "",
            ":",
            ":80",
            "a:0",
            "a:65536",
            "a:99999999999",
            "a:+1",
            "a:-1",
            "a: 1",
            "a:8o",
            "a:1:2",
            "a b",
            "a,b",
            "a/b",
            "a?b",
            "a#b",
            "user@a",
            "[::1",
            "::1",
            "[]",
            "[::1]a",
            "[fe80::1%25eth0]",
            "[127.0.0.1]",
            "[v1.x]",
            "a%",
            "a%2",
            "a%2g",
            "a\\b",
            "a\"b",
            "<a>",
            "a|b",
            "a\0",
            "ä",
        ] {
            assert_eq!(Authority::parse(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(Authority::parse(b"\xFF"), None);
        assert!(Authority::parse(&[b'a'; HOST_LEN_MAX]).is_some());
        assert_eq!(Authority::parse(&[b'a'; HOST_LEN_MAX + 1]), None);
    }

    #[test]
    fn host_patterns() {
        let pattern = |text| HostPattern::new(text).expect("a sound pattern");
        assert!(pattern("Localhost").matches("localhost"));
        assert!(!pattern("localhost").matches("localhost.evil.example"));
        assert!(pattern("*").matches("anything"));
        assert!(pattern("[::1]").matches("[::1]"));
        for wrong in ["", "a:80", "http://a", "a b", "[::1", "[]", "ä"] {
            assert_eq!(HostPattern::new(wrong), None, "{wrong:?}");
        }
    }
}
