//! Where the load goes: a URI, the addresses it stands for, and whether they may be loaded without
//! asking twice. Knows nothing of connections.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// A server to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    endpoint: Endpoint,
    host: String,
    resource: String,
    raw: bool,
}

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// An address and port.
    Tcp(SocketAddr),
    /// A path in the file system.
    Unix(PathBuf),
}

/// Why a URI is no target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// None of the schemes that can be loaded.
    #[error("{0}: begin with ws://, ws+unix: or tcp://")]
    Scheme(String),
    /// A URI with a fragment, without a host, or the like.
    #[error("{0}: {1}")]
    Malformed(String, &'static str),
    /// The host has no address.
    #[error("{0}: {1}")]
    Resolve(String, io::Error),
    /// Somebody else's machine.
    #[error("{0} is neither a loopback nor a private address; say --i-own-this-server to load it")]
    Foreign(IpAddr),
}

impl Target {
    /// Reads a URI and resolves its host, once: all connections go to the first address.
    ///
    /// | URI | meaning |
    /// |---|---|
    /// | `ws://host[:port][/path][?query]` | RFC 6455 section 3; port 80 if none is given |
    /// | `ws+unix:/path/to.sock[:/path]` | WebSocket over a Unix socket |
    /// | `tcp://host:port` | no WebSocket: the same octets to a raw TCP echo, as a limit |
    ///
    /// # Errors
    /// [`TargetError`], for all but `Foreign`.
    ///
    /// ```
    /// use wirebahn_bench::load::Target;
    ///
    /// let target = Target::parse("ws://127.0.0.1:9000/echo")?;
    /// assert_eq!((target.host(), target.resource()), ("127.0.0.1:9000", "/echo"));
    /// assert!(target.is_near());
    /// assert!(Target::parse("http://127.0.0.1/").is_err());
    /// # Ok::<(), wirebahn_bench::load::TargetError>(())
    /// ```
    pub fn parse(uri: &str) -> Result<Self, TargetError> {
        let malformed = |why| TargetError::Malformed(uri.to_owned(), why);
        if uri.contains('#') {
            return Err(malformed(
                "a WebSocket URI has no fragment (RFC 6455 section 3)",
            ));
        }
        if let Some(rest) = uri.strip_prefix("ws+unix:") {
            let (path, resource) = rest.split_once(":/").unwrap_or((rest, ""));
            if path.is_empty() {
                return Err(malformed("the path of the socket is missing"));
            }
            return Ok(Self {
                endpoint: Endpoint::Unix(PathBuf::from(path)),
                host: "localhost".to_owned(),
                resource: format!("/{resource}"),
                raw: false,
            });
        }
        let (raw, rest) = match (uri.strip_prefix("ws://"), uri.strip_prefix("tcp://")) {
            (Some(rest), _) => (false, rest),
            (None, Some(rest)) => (true, rest),
            (None, None) => return Err(TargetError::Scheme(uri.to_owned())),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, resource) = rest.split_at(end);
        if host.is_empty() || host.contains('@') {
            return Err(malformed("the host is missing or has a user name"));
        }
        let resource = match resource.strip_prefix('/') {
            Some(_) => resource.to_owned(),
            None => format!("/{resource}"),
        };
        // A colon that is not within the brackets of an IPv6 address begins a port.
        let has_port = host.rfind(':') > host.rfind(']');
        let authority = if has_port {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let failed = |error| TargetError::Resolve(uri.to_owned(), error);
        let address = authority
            .to_socket_addrs()
            .map_err(failed)?
            .next()
            .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        Ok(Self {
            endpoint: Endpoint::Tcp(address),
            host: host.to_owned(),
            resource,
            raw,
        })
    }

    /// Refuses what is not near, unless the caller vouches for owning it.
    ///
    /// # Errors
    /// [`TargetError::Foreign`].
    pub fn permit(self, owned: bool) -> Result<Self, TargetError> {
        match self.endpoint {
            Endpoint::Tcp(address) if !owned && !self.is_near() => {
                Err(TargetError::Foreign(address.ip()))
            }
            _ => Ok(self),
        }
    }

    /// A loopback, link-local or private address, or a Unix socket.
    #[must_use]
    pub fn is_near(&self) -> bool {
        let Endpoint::Tcp(address) = self.endpoint else {
            return true;
        };
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            IpAddr::V6(ip) => {
                ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
            }
        }
    }

    /// Where to connect to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The value of Host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Path and query.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// No WebSocket, only its octets.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.raw
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Endpoint::Unix(path) => write!(f, "ws+unix:{}:{}", path.display(), self.resource),
            Endpoint::Tcp(_) if self.raw => write!(f, "tcp://{}", self.host),
            Endpoint::Tcp(_) => write!(f, "ws://{}{}", self.host, self.resource),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_taken_apart() {
        for (uri, host, resource, raw) in [
            ("ws://127.0.0.1", "127.0.0.1", "/", false),
            ("ws://127.0.0.1:9000?a=b", "127.0.0.1:9000", "/?a=b", false),
            ("ws://[::1]:9000/a?b", "[::1]:9000", "/a?b", false),
            ("ws://[::1]/", "[::1]", "/", false),
            ("tcp://10.0.0.1:7", "10.0.0.1:7", "/", true),
        ] {
            let target = Target::parse(uri).unwrap();
            assert_eq!(
                (target.host(), target.resource(), target.is_raw()),
                (host, resource, raw),
                "{uri}"
            );
        }
        let unix = Target::parse("ws+unix:/tmp/a.sock:/chat").unwrap();
        assert_eq!(unix.endpoint(), &Endpoint::Unix("/tmp/a.sock".into()));
        assert_eq!(unix.resource(), "/chat");
        for uri in [
            "",
            "127.0.0.1:9000",
            "ws://",
            "ws://u@127.0.0.1/",
            "ws://127.0.0.1/#a",
            "ws+unix:",
        ] {
            assert!(Target::parse(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn only_what_is_near_may_be_loaded_unasked() {
        for (uri, near) in [
            ("ws://127.0.0.9/", true),
            ("ws://10.1.2.3/", true),
            ("ws://172.16.0.1/", true),
            ("ws://192.168.1.1/", true),
            ("ws://169.254.1.1/", true),
            ("ws://[::1]/", true),
            ("ws://[fd00::1]/", true),
            ("ws://[fe80::1]/", true),
            ("ws://[::ffff:127.0.0.1]/", true),
            ("ws://172.32.0.1/", false),
            ("ws://192.0.2.1/", false),
            ("ws://[2001:db8::1]/", false),
            ("tcp://192.0.2.1:7", false),
        ] {
            let target = Target::parse(uri).unwrap();
            assert_eq!(target.clone().permit(false).is_ok(), near, "{uri}");
            assert!(target.permit(true).is_ok(), "{uri}");
        }
    }
}
