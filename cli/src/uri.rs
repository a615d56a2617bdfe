//! The URI to listen on (RFC 6455 section 3): `ws://HOST[:PORT][/PATH]`.
//!
//! Knows syntax only; resolves nothing.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use wirebahn::proto::handshake::Authority;

/// Where a server listens, and for which path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenUri {
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// With its `/`; none when every path is served.
    path: Option<String>,
}

/// The port of the scheme (RFC 6455 section 3).
const PORT_DEFAULT: u16 = 80;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum UriError {
    #[error("wss:// is not in this build; put a proxy that ends TLS in front, or use ws://")]
    Tls,
    #[error("expected ws://HOST[:PORT][/PATH]")]
    Scheme,
    #[error("the host must be a name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    #[error("the port must be a number from 0 to 65535")]
    Port,
    #[error("a path has visible ASCII characters only; others are written as %XX")]
    Path,
    #[error("a URI to listen on has neither a query nor a fragment")]
    Query,
}

impl ListenUri {
    /// What to bind to.
    pub(crate) fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The only path that is served; none when all are, as with `/`.
    pub(crate) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }
}

impl FromStr for ListenUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once("://").ok_or(UriError::Scheme)?;
        if scheme.eq_ignore_ascii_case("wss") {
            return Err(UriError::Tls);
        }
        if !scheme.eq_ignore_ascii_case("ws") {
            return Err(UriError::Scheme);
        }
        if rest.contains(['?', '#']) {
            return Err(UriError::Query);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !path.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(UriError::Path);
        }
        let (host, port) = match authority.rsplit_once(':') {
            // A colon within brackets belongs to the address.
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let sound =
            Authority::parse(host.as_bytes()).is_some_and(|authority| authority.host() == host);
        if !sound {
            return Err(UriError::Host);
        }
        let port = match port {
            // `host:` is legal and means the default port (RFC 3986 section 3.2.3).
            None | Some("") => PORT_DEFAULT,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().map_err(|_| UriError::Port)?
            }
            Some(_) => return Err(UriError::Port),
        };
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        Ok(Self {
            host: host.to_owned(),
            port,
            path: Some(path.to_owned()).filter(|path| path.len() > 1),
        })
    }
}

impl fmt::Display for ListenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, path } = self;
        let path = path.as_deref().unwrap_or_default();
        if host.contains(':') {
            write!(f, "ws://[{host}]:{port}{path}")
        } else {
            write!(f, "ws://{host}:{port}{path}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_found() {
        for (text, host, port, path) in [
            ("ws://127.0.0.1:9000", "127.0.0.1", 9000, None),
            ("ws://127.0.0.1:9000/", "127.0.0.1", 9000, None),
            ("WS://localhost", "localhost", 80, None),
            ("ws://localhost:", "localhost", 80, None),
            ("ws://localhost:0/ws", "localhost", 0, Some("/ws")),
            ("ws://[::1]", "::1", 80, None),
            ("ws://[::]:65535/a/b", "::", 65535, Some("/a/b")),
            ("ws://example.com/a:1", "example.com", 80, Some("/a:1")),
            ("ws://a//", "a", 80, Some("//")),
        ] {
            let uri: ListenUri = text.parse().expect(text);
            assert_eq!(uri.address(), (host, port), "{text}");
            assert_eq!(uri.path(), path, "{text}");
        }
    }

    #[test]
    fn it_is_written_in_full() {
        for (text, full) in [
            ("ws://localhost", "ws://localhost:80"),
            ("ws://[::1]:9000/ws", "ws://[::1]:9000/ws"),
        ] {
            assert_eq!(text.parse::<ListenUri>().unwrap().to_string(), full);
        }
    }

    #[test]
    fn what_cannot_be_listened_on_is_refused_with_the_reason() {
        for (text, reason) in [
            ("wss://localhost", UriError::Tls),
            ("http://localhost", UriError::Scheme),
            ("localhost:9000", UriError::Scheme),
            ("", UriError::Scheme),
            ("ws://", UriError::Host),
            ("ws://:9000", UriError::Host),
            ("ws://user@localhost", UriError::Host),
            ("ws://::1", UriError::Host),
            ("ws://[::1", UriError::Host),
            ("ws://[nine]", UriError::Host),
            ("ws://[::1]x", UriError::Host),
            ("ws://lo cal", UriError::Host),
            ("ws://höst", UriError::Host),
            ("ws://localhost:65536", UriError::Port),
            ("ws://localhost:-1", UriError::Port),
            ("ws://localhost:+1", UriError::Port),
            ("ws://localhost:http", UriError::Port),
            ("ws://localhost/a b", UriError::Path),
            ("ws://localhost/ä", UriError::Path),
            ("ws://localhost?q", UriError::Query),
            ("ws://localhost/a#b", UriError::Query),
        ] {
            assert_eq!(text.parse::<ListenUri>(), Err(reason), "{text:?}");
        }
    }
}
