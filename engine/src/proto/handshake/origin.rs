//! Which origins may open a connection: the defence against cross-site WebSocket hijacking (RFC 6455 section
//! 10.2). A browser lets any page connect to any server and sends the user's cookies along; only the server,
//! by the Origin field, can tell its own pages from foreign ones. It must not know the rest of the request.

use std::fmt;

use super::{authority::Authority, grammar::wildcard, refusal::Refusal};

/// The longest pattern taken, in octets: scheme, a host of the longest kind, port.
const PATTERN_LEN_MAX: usize = 512;

/// What is required of the Origin field. The default lets in pages of the server's own origin, and programs
/// that are no browsers.
///
/// ```
/// use wirebahn::proto::handshake::{Authority, OriginPattern, OriginPolicy, OriginRules, Refusal};
///
/// let host = Authority::parse(b"example.com").unwrap();
/// let rules = OriginRules::default();
/// assert_eq!(rules.check(Some("https://example.com"), &host, true), Ok(()));
/// assert_eq!(rules.check(Some("https://evil.example"), &host, true), Err(Refusal::OriginForeign));
///
/// let rules = OriginRules {
///     policy: OriginPolicy::Allow(vec![OriginPattern::new("https://*.example.com").unwrap()]),
///     ..OriginRules::default()
/// };
/// assert_eq!(rules.check(Some("https://app.example.com"), &host, true), Ok(()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OriginRules {
    /// Which origins pass. Default: [`OriginPolicy::SameOrigin`].
    pub policy: OriginPolicy,
    /// Whether the origin `null` passes where a policy looks at origins: sandboxed frames, `data:` pages and
    /// local files have it, and any site can make a frame of that kind. Default: false.
    pub allow_null: bool,
    /// Whether a request without Origin is refused. Browsers always send one, other programs seldom do; who
    /// wants browsers only says true. Default: false.
    pub require_origin: bool,
}

/// Which origins pass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OriginPolicy {
    /// Those with the host and port the request itself was sent to.
    #[default]
    SameOrigin,
    /// All, `null` included: for services that take no cookies and trust no page. Refusing `null` here would
    /// keep out nobody, as any page passes.
    Any,
    /// Those that fit one of the patterns. An empty list lets no page in.
    Allow(Vec<OriginPattern>),
}

impl OriginRules {
    /// Judges the value of the Origin field, if there is one.
    ///
    /// `host` is what the request was sent to; `secure` whether the client spoke TLS (to us, or to a proxy we
    /// trust). Under [`OriginPolicy::SameOrigin`] host and port must be the same, letters in any case and
    /// default ports filled in, and behind TLS the origin must be `https` too: a page that came without TLS
    /// may be anybody's.
    /// Without TLS, an `https` origin at its default port passes for a Host without a port: that is how a
    /// request looks behind a proxy that ends TLS, and such a page is trusted more, not less.
    ///
    /// # Errors
    /// [`Refusal::OriginForeign`], [`Refusal::OriginNull`], [`Refusal::OriginMissing`]: all 403.
    pub fn check(
        &self,
        origin: Option<&str>,
        host: &Authority<'_>,
        secure: bool,
    ) -> Result<(), Refusal> {
        let Some(origin) = origin else {
            return if self.require_origin {
                Err(Refusal::OriginMissing)
            } else {
                Ok(())
            };
        };
        if self.policy == OriginPolicy::Any {
            return Ok(());
        }
        // `file://` is how some shells of web views write what RFC 6454 section 6.2 calls `null`.
        if origin == "null" || origin == "file://" {
            return if self.allow_null {
                Ok(())
            } else {
                Err(Refusal::OriginNull)
            };
        }
        let passes = Origin::parse(origin).is_some_and(|origin| match &self.policy {
            OriginPolicy::SameOrigin => origin.is_same(host, secure),
            OriginPolicy::Any => true,
            OriginPolicy::Allow(patterns) => {
                let written = Written::of(&origin);
                patterns.iter().any(|pattern| pattern.fits(&written))
            }
        });
        if passes {
            Ok(())
        } else {
            Err(Refusal::OriginForeign)
        }
    }
}

/// A pattern of origins, `*` standing for any characters.
///
/// It is held against `scheme://host:port`, all letters small. A pattern that names a port, or ends with `*`,
/// is held against the origin with its port always written out, 80 and 443 filled in for `http` and `https`.
/// A pattern that names none means the default port. Everything but `*` stands for itself.
///
/// | pattern | fits | does not fit |
/// |---|---|---|
/// | `https://example.com` | `https://example.com` | `http://example.com`, `https://example.com:8443` |
/// | `https://*.example.com:*` | `https://a.example.com:8443` | `https://example.com` |
/// | `*://localhost:*` | `http://localhost:3000` | `http://localhost.evil.example` |
/// | `*` | all but `null` | |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    text: String,
    names_port: bool,
}

impl OriginPattern {
    /// A pattern to compare origins with.
    ///
    /// # Errors
    /// A pattern that could never match is a mistake of its author and refused: see [`OriginPatternError`].
    pub fn new(pattern: &str) -> Result<Self, OriginPatternError> {
        if pattern.is_empty() || pattern.len() > PATTERN_LEN_MAX {
            return Err(OriginPatternError::Length);
        }
        if !pattern.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(OriginPatternError::Character);
        }
        let text = pattern.to_ascii_lowercase();
        let (scheme, authority) = match text.split_once("://") {
            Some((scheme, authority)) => (scheme, authority),
            None if text.contains('*') => ("*", text.as_str()),
            None => return Err(OriginPatternError::Scheme),
        };
        if scheme.is_empty() || scheme.contains('/') {
            return Err(OriginPatternError::Scheme);
        }
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            return Err(OriginPatternError::Path);
        }
        let after_host = authority
            .rsplit_once(']')
            .map_or(authority, |(_, after)| after);
        let names_port = after_host.contains(':') || authority.ends_with('*');
        Ok(Self { text, names_port })
    }

    /// Whether the origin, as a browser writes it, fits.
    ///
    /// ```
    /// use wirebahn::proto::handshake::OriginPattern;
    ///
    /// let pattern = OriginPattern::new("https://*.example.com").unwrap();
    /// assert!(pattern.matches("https://app.example.com"));
    /// assert!(!pattern.matches("https://app.example.com:8443"));
    /// ```
    #[must_use]
    pub fn matches(&self, origin: &str) -> bool {
        Origin::parse(origin).is_some_and(|origin| self.fits(&Written::of(&origin)))
    }

    fn fits(&self, written: &Written) -> bool {
        if self.names_port {
            wildcard(self.text.as_bytes(), written.whole.as_bytes())
        } else {
            written
                .portless
                .as_deref()
                .is_some_and(|text| wildcard(self.text.as_bytes(), text.as_bytes()))
        }
    }
}

/// Why a pattern of origins is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginPatternError {
    /// It is empty or longer than 512 octets.
    Length,
    /// It has a character that no origin has: a space, a control, a letter beyond ASCII.
    Character,
    /// It has no scheme and no `*` that could stand for one.
    Scheme,
    /// It goes on after the port, or has user information: an origin has neither. `https://example.com/` is
    /// one `/` too long.
    Path,
}

impl fmt::Display for OriginPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a pattern of origins has 1 to 512 octets",
            Self::Character => "a pattern of origins has visible ASCII characters only",
            Self::Scheme => "a pattern of origins begins with a scheme, as in https://example.com",
            Self::Path => "a pattern of origins ends with the host or port, without a path",
        })
    }
}

impl std::error::Error for OriginPatternError {}

/// An origin taken apart (RFC 6454 section 6.2).
#[derive(Debug, Clone, Copy)]
struct Origin<'a> {
    scheme: &'a str,
    authority: Authority<'a>,
}

impl<'a> Origin<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let (first, rest) = scheme.as_bytes().split_first()?;
        let sound = first.is_ascii_alphabetic()
            && rest
                .iter()
                .all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'-' | b'.'));
        if !sound {
            return None;
        }
        let authority = Authority::parse(authority.as_bytes())?;
        Some(Self { scheme, authority })
    }

    fn is_tls(&self) -> bool {
        ["https", "wss"]
            .iter()
            .any(|scheme| self.scheme.eq_ignore_ascii_case(scheme))
    }

    /// The port of the scheme, where the scheme has one.
    fn port_default(&self) -> Option<u16> {
        if self.is_tls() {
            return Some(443);
        }
        ["http", "ws"]
            .iter()
            .any(|scheme| self.scheme.eq_ignore_ascii_case(scheme))
            .then_some(80)
    }

    fn is_same(&self, host: &Authority<'_>, secure: bool) -> bool {
        let Some(port_default) = self.port_default() else {
            return false;
        };
        if secure && !self.is_tls() {
            return false;
        }
        // Without TLS on our side, a Host without port may stand for either default: see `check`.
        let port_expected = host
            .port()
            .unwrap_or(if secure { 443 } else { port_default });
        self.authority.port().unwrap_or(port_default) == port_expected
            && self.authority.host().eq_ignore_ascii_case(host.host())
    }
}

/// An origin written for comparing with patterns: small letters, ports as patterns expect them.
#[derive(Debug)]
struct Written {
    /// With the port, wherever there is one to write.
    whole: String,
    /// Without the port, if it is the default one of the scheme, or if there is none to know.
    portless: Option<String>,
}

impl Written {
    fn of(origin: &Origin<'_>) -> Self {
        let mut bare = format!("{}://{}", origin.scheme, origin.authority.host());
        bare.make_ascii_lowercase();
        let port_default = origin.port_default();
        match origin.authority.port().or(port_default) {
            None => Self {
                whole: bare.clone(),
                portless: Some(bare),
            },
            Some(port) => Self {
                whole: format!("{bare}:{port}"),
                portless: (Some(port) == port_default).then_some(bare),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(origin: &str, host: &str, secure: bool) -> bool {
        let host = Authority::parse(host.as_bytes()).expect("a sound host");
        match OriginRules::default().check(Some(origin), &host, secure) {
            Ok(()) => true,
            Err(refusal) => {
                assert_eq!(refusal, Refusal::OriginForeign);
                assert_eq!(refusal.status(), 403);
                false
            }
        }
    }

    #[test]
    fn same_origin_compares_host_and_port() {
        assert!(same("http://example.com", "example.com", false));
        assert!(same("http://EXAMPLE.com", "example.COM", false));
        assert!(same("http://example.com:80", "example.com", false));
        assert!(same("http://example.com", "example.com:80", false));
        assert!(same("http://localhost:9000", "localhost:9000", false));
        assert!(same("https://example.com", "example.com", true));
        assert!(same("https://example.com", "example.com:443", true));
        assert!(same("http://[::1]:9000", "[::1]:9000", false));

        assert!(!same("http://example.com:8080", "example.com", false));
        assert!(!same("http://example.com", "example.com:8080", false));
        assert!(!same("http://evil.example", "example.com", false));
        assert!(!same(
            "http://example.com.evil.example",
            "example.com",
            false
        ));
        assert!(!same("https://example.com:8443", "example.com", true));
    }

    #[test]
    fn same_origin_and_tls() {
        assert!(!same("http://example.com", "example.com", true));
        assert!(!same("http://example.com:443", "example.com", true));
        assert!(
            same("https://example.com", "example.com", false),
            "TLS ended by a proxy"
        );
        assert!(!same("https://example.com:444", "example.com", false));
        assert!(!same("https://example.com", "example.com:80", false));
    }

    #[test]
    fn what_is_no_origin_is_foreign() {
        for wrong in [
            "",
            "example.com",
            "http://",
            "http:/example.com",
            "http://example.com/",
            "http://user@example.com",
            "://example.com",
            "1http://example.com",
            "NULL",
            "chrome-extension://example.com",
        ] {
            assert!(!same(wrong, "example.com", false), "{wrong:?}");
        }
    }

    #[test]
    fn null_and_missing_have_their_own_switches() {
        let host = Authority::parse(b"example.com").expect("a sound host");
        let mut rules = OriginRules {
            policy: OriginPolicy::Allow(vec![OriginPattern::new("*").expect("a pattern")]),
            ..OriginRules::default()
        };
        for null in ["null", "file://"] {
            assert_eq!(
                rules.check(Some(null), &host, false),
                Err(Refusal::OriginNull)
            );
        }
        assert_eq!(rules.check(None, &host, false), Ok(()));
        rules.allow_null = true;
        rules.require_origin = true;
        for null in ["null", "file://"] {
            assert_eq!(rules.check(Some(null), &host, false), Ok(()));
        }
        assert_eq!(rules.check(None, &host, false), Err(Refusal::OriginMissing));
        rules.policy = OriginPolicy::Any;
        rules.allow_null = false;
        assert_eq!(rules.check(Some("null"), &host, false), Ok(()));
        assert_eq!(rules.check(Some("whatever"), &host, false), Ok(()));
        assert_eq!(rules.check(None, &host, false), Err(Refusal::OriginMissing));
        rules.policy = OriginPolicy::Allow(Vec::new());
        assert_eq!(
            rules.check(Some("http://example.com"), &host, false),
            Err(Refusal::OriginForeign)
        );
    }

    #[test]
    fn patterns() {
        let fits = |pattern: &str, origin: &str| {
            OriginPattern::new(pattern)
                .expect("a sound pattern")
                .matches(origin)
        };
        assert!(fits("*", "http://example.com"));
        assert!(fits("*", "chrome-extension://abcdef"));
        assert!(fits(
            "chrome-extension://abcdef",
            "chrome-extension://abcdef"
        ));
        assert!(fits("*://*.example.com:*", "https://a.example.com"));
        assert!(fits("*://*.example.com:*", "https://a.b.example.com:8443"));
        assert!(!fits("*://*.example.com:*", "https://example.com"));
        assert!(!fits(
            "*://*.example.com:*",
            "https://a.example.com.evil.example"
        ));
        assert!(
            !fits("*://*.example.com:*", "https://aXexample.com"),
            "a dot is a dot"
        );
        assert!(fits("https://example.com:443", "https://Example.com"));
        assert!(fits("https://EXAMPLE.com", "https://example.com:443"));
        assert!(!fits("https://example.com", "https://example.com:8443"));
        assert!(!fits("https://example.com", "http://example.com"));
        assert!(fits("http://localhost:*", "http://localhost"));
        assert!(fits("*:8080", "http://localhost:8080"));
        assert!(fits("*", "http://example.com:8080"));
        assert!(fits("*://*", "http://example.com:8080"));
        assert!(fits("http://localhost*", "http://localhost:3000"));
        assert!(fits("*.example.com", "http://a.example.com"));
        assert!(fits("http://[::1]", "http://[::1]:80"));
        assert!(fits("http://[::1]:9000", "http://[::1]:9000"));
        assert!(!fits("http://[::1]", "http://[::1]:9000"));
        assert!(!fits("http://ex.mple.com", "http://example.com"));
        assert!(
            !fits("http://(a|b).com", "http://a.com"),
            "no regular expressions"
        );
    }

    #[test]
    fn patterns_that_never_match_are_refused() {
        for (pattern, error) in [
            ("", OriginPatternError::Length),
            ("http://exämple.com", OriginPatternError::Character),
            ("http://a b", OriginPatternError::Character),
            ("example.com", OriginPatternError::Scheme),
            ("://example.com", OriginPatternError::Scheme),
            ("https://", OriginPatternError::Path),
            ("https://example.com/", OriginPatternError::Path),
            ("https://example.com/*", OriginPatternError::Path),
            ("https://user@example.com", OriginPatternError::Path),
        ] {
            assert_eq!(OriginPattern::new(pattern), Err(error), "{pattern:?}");
        }
        assert_eq!(
            OriginPattern::new(&"a".repeat(PATTERN_LEN_MAX + 1)),
            Err(OriginPatternError::Length)
        );
    }
}
