//! Writes what a server answers when its program has decided: the 101 that opens the connection, or a denial
//! of the program's own making. What programs put into headers is checked, so that no value can end a line
//! and begin another. It must not know the request.

use std::{fmt, io::Write as _};

use super::{
    grammar::{is_field_value, token},
    key::{Key, accept_for},
};

/// A header field, or another part of a head, that a program gave us and that must not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name at this place in the list is no token (RFC 9110 section 5.6.2).
    Name {
        /// Place in the list of headers, from 0.
        index: usize,
    },
    /// The value at this place has CR, LF, NUL or another control character.
    Value {
        /// Place in the list of headers, from 0.
        index: usize,
    },
    /// The name at this place belongs to the handshake itself, or frames the message.
    Reserved {
        /// Place in the list of headers, from 0.
        index: usize,
    },
    /// The name of the server, or of the user agent, has a control character.
    Product,
    /// The subprotocol is no token, is listed twice, or was not offered.
    Subprotocol,
    /// The extensions do not follow their grammar.
    Extensions,
    /// The status is not one of 300 to 599: what is neither a redirect nor an error denies nothing.
    Status,
    /// The reason phrase has a control character.
    Reason,
    /// A status that has no body (304) was given one.
    BodyNotAllowed,
    /// The host of a request is not `host` or `host:port`.
    Host,
    /// The target of a request is not a path with an optional query in visible ASCII.
    Target,
    /// The origin of a request has a space, a control or a character beyond ASCII, or is empty.
    Origin,
    /// The version of a request is neither 13 nor 8.
    Version,
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { index } => write!(f, "the name of header {index} is not a token"),
            Self::Value { index } => {
                write!(f, "the value of header {index} has a control character")
            }
            Self::Reserved { index } => write!(f, "header {index} belongs to the handshake itself"),
            Self::Product => f.write_str("the name of the program has a control character"),
            Self::Subprotocol => {
                f.write_str("a subprotocol is not a token, is listed twice, or was not offered")
            }
            Self::Extensions => f.write_str("the extensions do not follow their grammar"),
            Self::Status => f.write_str("the status of a denial is not one of 300 to 599"),
            Self::Reason => f.write_str("the reason phrase has a control character"),
            Self::BodyNotAllowed => f.write_str("a response with this status has no body"),
            Self::Host => f.write_str("the host is not a host with an optional port"),
            Self::Target => f.write_str("the target is not a path with an optional query"),
            Self::Origin => f.write_str("the origin is not visible ASCII"),
            Self::Version => f.write_str("the version is neither 13 nor 8"),
        }
    }
}

impl std::error::Error for HeaderError {}

/// Appends the 101 that opens the connection.
///
/// `subprotocol` must be one the client offered, `extensions` what was agreed on; `headers` are the
/// program's own, cookies for example. On an error nothing is appended.
///
/// ```
/// use wirebahn::proto::handshake::{HeaderError, Key, write_accept};
///
/// let key = Key::parse(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap();
/// let mut out = Vec::new();
/// write_accept(&mut out, &key, Some("chat"), None, &[("Set-Cookie", "a=b")], None).unwrap();
/// assert_eq!(
///     String::from_utf8(out).unwrap(),
///     "HTTP/1.1 101 Switching Protocols\r\n\
///      Upgrade: websocket\r\n\
///      Connection: Upgrade\r\n\
///      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
///      Sec-WebSocket-Protocol: chat\r\n\
///      Set-Cookie: a=b\r\n\r\n"
/// );
/// let split = [("X", "a\r\nSet-Cookie: c=d")];
/// let refused = write_accept(&mut Vec::new(), &key, None, None, &split, None);
/// assert_eq!(refused, Err(HeaderError::Value { index: 0 }));
/// ```
///
/// # Errors
/// What of the program's parts must not leave.
pub fn write_accept(
    out: &mut Vec<u8>,
    key: &Key,
    subprotocol: Option<&str>,
    extensions: Option<&str>,
    headers: &[(&str, &str)],
    server: Option<&str>,
) -> Result<(), HeaderError> {
    if subprotocol.is_some_and(|name| token(name.as_bytes()).is_none()) {
        return Err(HeaderError::Subprotocol);
    }
    check_extensions(extensions)?;
    check_product(server)?;
    check_headers(headers)?;

    // The fixed part has 129 octets; most answers fit into the first reservation.
    out.reserve(256);
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(&accept_for(key));
    out.extend_from_slice(b"\r\n");
    if let Some(subprotocol) = subprotocol {
        push_field(out, "Sec-WebSocket-Protocol", subprotocol);
    }
    if let Some(extensions) = extensions {
        push_field(out, "Sec-WebSocket-Extensions", extensions);
    }
    if let Some(server) = server {
        push_field(out, "Server", server);
    }
    for (name, value) in headers {
        push_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Appends a denial of the program's own making; the connection is to be closed behind it.
///
/// `status` is one of 300 to 599. Without a `reason` the registered phrase stands there. A body without a
/// Content-Type among `headers` is called plain text in UTF-8. On an error nothing is appended.
///
/// ```
/// use wirebahn::proto::handshake::write_denial;
///
/// let mut out = Vec::new();
/// let headers = [("WWW-Authenticate", "Bearer")];
/// write_denial(&mut out, 401, None, &headers, b"who?", None).unwrap();
/// assert_eq!(
///     String::from_utf8(out).unwrap(),
///     "HTTP/1.1 401 Unauthorized\r\n\
///      Connection: close\r\n\
///      WWW-Authenticate: Bearer\r\n\
///      Content-Type: text/plain; charset=utf-8\r\n\
///      Content-Length: 4\r\n\r\n\
///      who?"
/// );
/// ```
///
/// # Errors
/// What of the program's parts must not leave.
pub fn write_denial(
    out: &mut Vec<u8>,
    status: u16,
    reason: Option<&str>,
    headers: &[(&str, &str)],
    body: &[u8],
    server: Option<&str>,
) -> Result<(), HeaderError> {
    if !(300..=599).contains(&status) {
        return Err(HeaderError::Status);
    }
    let has_body = status != 304;
    if !has_body && !body.is_empty() {
        return Err(HeaderError::BodyNotAllowed);
    }
    let reason = reason.unwrap_or_else(|| reason_phrase(status));
    if !is_field_value(reason.as_bytes()) {
        return Err(HeaderError::Reason);
    }
    check_product(server)?;
    check_headers(headers)?;

    out.reserve(body.len().saturating_add(256));
    // Writing to a vector cannot fail.
    let _ = write!(out, "HTTP/1.1 {status} {reason}\r\n");
    if status == 426 {
        // RFC 9110 section 15.5.22: a 426 names what to upgrade to.
        out.extend_from_slice(b"Connection: close, Upgrade\r\nUpgrade: websocket\r\n");
    } else {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    if let Some(server) = server {
        push_field(out, "Server", server);
    }
    for (name, value) in headers {
        push_field(out, name, value);
    }
    let is_typed = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !body.is_empty() && !is_typed {
        push_field(out, "Content-Type", "text/plain; charset=utf-8");
    }
    if has_body {
        let _ = write!(out, "Content-Length: {}\r\n", body.len());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    Ok(())
}

/// Whether header fields of a program may go into a handshake, so that a configuration can be checked before
/// the first connection.
///
/// Reserved are Connection, Upgrade, Host, Content-Length, Transfer-Encoding, Trailer, TE and all names that
/// begin with `Sec-WebSocket-`.
///
/// # Errors
/// The first field that may not.
pub fn check_headers(headers: &[(&str, &str)]) -> Result<(), HeaderError> {
    for (index, (name, value)) in headers.iter().enumerate() {
        if token(name.as_bytes()).is_none() {
            return Err(HeaderError::Name { index });
        }
        if is_reserved(name) {
            return Err(HeaderError::Reserved { index });
        }
        if !is_field_value(value.as_bytes()) {
            return Err(HeaderError::Value { index });
        }
    }
    Ok(())
}

fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 7] = [
        "connection",
        "upgrade",
        "host",
        "content-length",
        "transfer-encoding",
        "trailer",
        "te",
    ];
    const PREFIX: &str = "sec-websocket-";
    NAMES.iter().any(|own| name.eq_ignore_ascii_case(own))
        || name
            .get(..PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Server or User-Agent.
pub(super) fn check_product(product: Option<&str>) -> Result<(), HeaderError> {
    if product.is_some_and(|product| !is_field_value(product.as_bytes())) {
        return Err(HeaderError::Product);
    }
    Ok(())
}

pub(super) fn check_extensions(extensions: Option<&str>) -> Result<(), HeaderError> {
    super::extensions::check_all(extensions.map(str::as_bytes).into_iter())
        .map_err(|_| HeaderError::Extensions)
}

pub(super) fn push_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The registered phrase of a status, or an empty one, which RFC 9112 section 4 allows.
pub(super) const fn reason_phrase(status: u16) -> &'static str {
    match status {
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::from_nonce(*b"the sample nonce")
    }

    fn accept(
        subprotocol: Option<&str>,
        extensions: Option<&str>,
        headers: &[(&str, &str)],
        server: Option<&str>,
    ) -> Result<String, HeaderError> {
        let mut out = b"kept".to_vec();
        match write_accept(&mut out, &key(), subprotocol, extensions, headers, server) {
            Ok(()) => Ok(String::from_utf8(out).expect("ASCII")),
            Err(error) => {
                assert_eq!(out, b"kept", "nothing is appended on an error");
                Err(error)
            }
        }
    }

    #[test]
    fn an_accept_with_everything() {
        let got = accept(
            Some("wamp.2.json"),
            Some("permessage-deflate; server_max_window_bits=10"),
            &[("X-A", "1"), ("X-A", "ä 2")],
            Some("Wirebahn"),
        );
        assert_eq!(
            got.as_deref(),
            Ok("keptHTTP/1.1 101 Switching Protocols\r\n\
                Upgrade: websocket\r\n\
                Connection: Upgrade\r\n\
                Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                Sec-WebSocket-Protocol: wamp.2.json\r\n\
                Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n\
                Server: Wirebahn\r\n\
                X-A: 1\r\n\
                X-A: ä 2\r\n\r\n")
        );
    }

    #[test]
    fn injection_is_refused_wherever_a_program_has_a_say() {
        for bad in ["a\r\nb: c", "a\nb", "a\rb", "a\0", "\x7F", "\x1B[0m"] {
            assert_eq!(
                accept(None, None, &[("ok", ""), ("X", bad)], None),
                Err(HeaderError::Value { index: 1 }),
                "{bad:?}"
            );
            assert_eq!(
                accept(None, None, &[(bad, "x")], None),
                Err(HeaderError::Name { index: 0 })
            );
            assert_eq!(
                accept(Some(bad), None, &[], None),
                Err(HeaderError::Subprotocol)
            );
            assert_eq!(
                accept(None, Some(bad), &[], None),
                Err(HeaderError::Extensions)
            );
            assert_eq!(
                accept(None, None, &[], Some(bad)),
                Err(HeaderError::Product)
            );
            let mut out = Vec::new();
            assert_eq!(
                write_denial(&mut out, 403, Some(bad), &[], b"", None),
                Err(HeaderError::Reason)
            );
            assert_eq!(
                write_denial(&mut out, 403, None, &[("X", bad)], b"", None),
                Err(HeaderError::Value { index: 0 })
            );
            assert_eq!(
                write_denial(&mut out, 403, None, &[], b"", Some(bad)),
                Err(HeaderError::Product)
            );
            assert!(out.is_empty());
        }
    }

    #[test]
    fn names_of_the_handshake_are_its_own() {
        for name in [
            "Connection",
            "upgrade",
            "HOST",
            "Content-Length",
            "Transfer-Encoding",
            "Trailer",
            "TE",
            "Sec-WebSocket-Accept",
            "sec-websocket-protocol",
            "Sec-WebSocket-Anything",
        ] {
            assert_eq!(
                check_headers(&[(name, "x")]),
                Err(HeaderError::Reserved { index: 0 }),
                "{name}"
            );
        }
        assert_eq!(
            check_headers(&[("Sec-WebSocket", "x"), ("Set-Cookie", "a=b")]),
            Ok(())
        );
        for name in ["", " ", "a b", "a:", "ä", "sec-websocke\u{e4}"] {
            assert_eq!(
                check_headers(&[(name, "x")]),
                Err(HeaderError::Name { index: 0 }),
                "{name:?}"
            );
        }
    }

    #[test]
    fn subprotocol_and_extensions_must_be_sound() {
        for wrong in ["", "a b", "a,b", "\"a\""] {
            assert_eq!(
                accept(Some(wrong), None, &[], None),
                Err(HeaderError::Subprotocol)
            );
        }
        for wrong in ["", "a;", "a; b=\""] {
            assert_eq!(
                accept(None, Some(wrong), &[], None),
                Err(HeaderError::Extensions)
            );
        }
    }

    fn denial(status: u16, reason: Option<&str>, headers: &[(&str, &str)], body: &[u8]) -> String {
        let mut out = Vec::new();
        write_denial(&mut out, status, reason, headers, body, None).expect("a sound denial");
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn denials() {
        assert_eq!(
            denial(
                403,
                Some("Not today"),
                &[("Content-Type", "text/html")],
                b"<p>"
            ),
            "HTTP/1.1 403 Not today\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 3\r\n\r\n<p>"
        );
        assert_eq!(
            denial(302, None, &[("Location", "/login")], b""),
            "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(
            denial(426, None, &[], b""),
            "HTTP/1.1 426 Upgrade Required\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\
             Content-Length: 0\r\n\r\n"
        );
        assert_eq!(
            denial(599, None, &[], b"").lines().next(),
            Some("HTTP/1.1 599 ")
        );
        assert_eq!(
            denial(304, None, &[], b""),
            "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"
        );
        let mut out = Vec::new();
        for status in [0, 100, 101, 200, 299, 600, 999, u16::MAX] {
            assert_eq!(
                write_denial(&mut out, status, None, &[], b"", None),
                Err(HeaderError::Status)
            );
        }
        assert_eq!(
            write_denial(&mut out, 304, None, &[], b"x", None),
            Err(HeaderError::BodyNotAllowed)
        );
        assert!(out.is_empty());
    }
}
