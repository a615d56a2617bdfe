//! Every way the server side of the handshake says no, and the exact answer to each. It must not know how
//! the verdict was reached.

use std::{fmt, io::Write as _};

use super::{grammar::is_field_value, head::HeadError, respond::reason_phrase};

/// The versions of the protocol a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versions {
    /// 13 (RFC 6455) and 8 (drafts 8 to 12), which differ in the handshake only, by the name of the Origin field.
    #[default]
    V13AndV8,
    /// 13 alone.
    V13,
}

impl Versions {
    /// The value of Sec-WebSocket-Version in an answer that names them.
    #[must_use]
    pub fn list(self) -> &'static str {
        match self {
            Self::V13AndV8 => "13, 8",
            Self::V13 => "13",
        }
    }

    /// The version a Sec-WebSocket-Version field asks for, if it is spoken. The field is a decimal number
    /// without sign, space or leading zero (RFC 6455 section 4.3), so only the exact characters will do.
    pub(super) fn of_field(self, value: &[u8]) -> Option<u8> {
        match (value, self) {
            (b"13", _) => Some(13),
            (b"8", Self::V13AndV8) => Some(8),
            _ => None,
        }
    }
}

/// Why an opening handshake was refused. One variant a rule; each has one status and one line of text.
///
/// The last four are for the owner of the connection, who has reasons of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The head is larger than allowed. 431.
    HeadTooLarge,
    /// There are more than [`HEADER_FIELDS_MAX`](super::HEADER_FIELDS_MAX) header fields. 431.
    TooManyFields,
    /// What came is not HTTP. 400, if there is an answer at all.
    NotHttp,
    /// The head has no end. 400.
    HeadUnfinished,
    /// A line ends with CR or LF alone. 400.
    LineEnd,
    /// The request line does not have exactly three parts, method, target, version. 400.
    RequestLine,
    /// The version of HTTP is not 1.1. 505.
    HttpVersion,
    /// The method is not GET. 405.
    Method,
    /// The method is HEAD, and the request asks for an upgrade. 405, without a body, as HEAD demands.
    MethodHead,
    /// The request target is neither a path nor an absolute `http`, `https`, `ws` or `wss` URI. 400.
    Target,
    /// The request target has a fragment. 400.
    TargetFragment,
    /// A line is no header field: the name is empty or no token, a space stands before the colon, the colon
    /// is missing, or the line continues the one before. 400.
    FieldName,
    /// A header field's value has a control character. 400.
    FieldValue,
    /// There is no Host. 400.
    HostMissing,
    /// There are several. 400.
    HostDuplicate,
    /// Host is not `host` or `host:port`. 400.
    HostMalformed,
    /// Host names another port than the server's public one. 400.
    HostPort,
    /// Host names none of the server's hosts. 421.
    HostForeign,
    /// Content-Length is no number, occurs twice, or stands beside Transfer-Encoding: two readers would see two
    /// different requests. 400.
    Framing,
    /// The request announces a body. 400.
    Body,
    /// The resource is for WebSocket only, and the request asks for no upgrade. 426.
    UpgradeRequired(Versions),
    /// Upgrade names other protocols, but not `websocket`. 400.
    UpgradeForeign,
    /// Connection does not have the option `upgrade`. 400.
    ConnectionWithoutUpgrade,
    /// There is no Sec-WebSocket-Version: the request may be of the Hixie drafts. 400.
    VersionMissing(Versions),
    /// There are several. 400.
    VersionDuplicate(Versions),
    /// The version is not spoken here. 426.
    VersionUnsupported(Versions),
    /// There is no Sec-WebSocket-Key. 400.
    KeyMissing,
    /// There are several. 400.
    KeyDuplicate,
    /// The key is not base64 of 16 octets. 400.
    KeyMalformed,
    /// There are several origins. 400.
    OriginDuplicate,
    /// The origin has characters no origin has, or none. 400.
    OriginMalformed,
    /// The origin is not allowed. 403.
    OriginForeign,
    /// The origin is `null`, and that is not allowed. 403.
    OriginNull,
    /// There is no Origin, and one is required. 403.
    OriginMissing,
    /// A subprotocol is no token, or the list is empty. 400.
    SubprotocolMalformed,
    /// A subprotocol is offered twice. 400.
    SubprotocolDuplicate,
    /// More than [`SUBPROTOCOLS_MAX`](super::SUBPROTOCOLS_MAX) subprotocols are offered. 400.
    SubprotocolsTooMany,
    /// Sec-WebSocket-Extensions does not follow its grammar, or lists too much. 400.
    Extensions,
    /// Octets came behind the head, before it was answered: no WebSocket client sends them, and an
    /// intermediary may take them for something else (RFC 9931). 400.
    EarlyData,
    /// There is nothing at this target. 404. For the owner of the connection.
    NotFound,
    /// The head did not come in time. 408. For the owner of the connection.
    Timeout,
    /// Deciding failed. 500. For the owner of the connection.
    Internal,
    /// No more connections for now. 503. For the owner of the connection.
    Busy,
}

impl Refusal {
    /// The status code of the answer.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::OriginForeign | Self::OriginNull | Self::OriginMissing => 403,
            Self::NotFound => 404,
            Self::Method | Self::MethodHead => 405,
            Self::Timeout => 408,
            Self::HostForeign => 421,
            Self::UpgradeRequired(_) | Self::VersionUnsupported(_) => 426,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::Internal => 500,
            Self::Busy => 503,
            Self::HttpVersion => 505,
            _ => 400,
        }
    }

    /// The reason phrase that goes with the status.
    #[must_use]
    pub fn reason(self) -> &'static str {
        reason_phrase(self.status())
    }

    /// What to tell a human, in one line: the body of the answer. Nothing of the request is in it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::HeadTooLarge => "The head of the request is too large.",
            Self::TooManyFields => "The request has too many header fields.",
            Self::NotHttp => "This is not HTTP.",
            Self::HeadUnfinished => "The head of the request does not end.",
            Self::LineEnd => "A line of the request does not end with CR LF.",
            Self::RequestLine => "The request line is not a method, a target and a version.",
            Self::HttpVersion => "Only HTTP/1.1 is spoken here.",
            Self::Method => "Only GET opens a WebSocket connection.",
            Self::MethodHead => "",
            Self::Target => "The request target is neither a path nor an absolute URI.",
            Self::TargetFragment => "The request target has a fragment.",
            Self::FieldName => "A line of the request is not a header field.",
            Self::FieldValue => "A header field has a control character.",
            Self::HostMissing => "The Host field is missing.",
            Self::HostDuplicate => "The Host field is there more than once.",
            Self::HostMalformed => "The Host field is not a host with an optional port.",
            Self::HostPort => "The Host field names another port than this server's.",
            Self::HostForeign => "This server does not answer for that host.",
            Self::Framing => "The length of the request is ambiguous.",
            Self::Body => "A request that opens a connection has no body.",
            Self::UpgradeRequired(_) => {
                "This resource speaks WebSocket. Was the Upgrade field removed by a proxy?"
            }
            Self::UpgradeForeign => "The Upgrade field does not name websocket.",
            Self::ConnectionWithoutUpgrade => {
                "The Connection field does not name upgrade. Was it removed by a proxy?"
            }
            Self::VersionMissing(_) => "The Sec-WebSocket-Version field is missing.",
            Self::VersionDuplicate(_) => "The Sec-WebSocket-Version field is there more than once.",
            Self::VersionUnsupported(_) => {
                "This version of the WebSocket protocol is not spoken here."
            }
            Self::KeyMissing => "The Sec-WebSocket-Key field is missing.",
            Self::KeyDuplicate => "The Sec-WebSocket-Key field is there more than once.",
            Self::KeyMalformed => "The Sec-WebSocket-Key field is not 16 octets in base64.",
            Self::OriginDuplicate => "The origin is there more than once.",
            Self::OriginMalformed => "The origin is malformed.",
            Self::OriginForeign => "Pages of this origin may not connect.",
            Self::OriginNull => "Pages of the origin null may not connect.",
            Self::OriginMissing => "The Origin field is missing.",
            Self::SubprotocolMalformed => {
                "The Sec-WebSocket-Protocol field is not a list of tokens."
            }
            Self::SubprotocolDuplicate => "A subprotocol is offered more than once.",
            Self::SubprotocolsTooMany => "Too many subprotocols are offered.",
            Self::Extensions => "The Sec-WebSocket-Extensions field is malformed or too long.",
            Self::EarlyData => "Something follows the request before it was answered.",
            Self::NotFound => "There is nothing here.",
            Self::Timeout => "The request did not come in time.",
            Self::Internal => "The server failed to decide.",
            Self::Busy => "The server takes no more connections for now.",
        }
    }

    /// The fields that this refusal adds to the answer, as name and value.
    pub fn fields(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let (first, second) = match self {
            Self::Method | Self::MethodHead => (Some(("Allow", "GET")), None),
            // RFC 9110 section 15.5.22: a 426 must name the protocols; RFC 6455 section 4.4: and the versions.
            Self::UpgradeRequired(versions) | Self::VersionUnsupported(versions) => (
                Some(("Upgrade", "websocket")),
                Some(("Sec-WebSocket-Version", versions.list())),
            ),
            Self::VersionMissing(versions) | Self::VersionDuplicate(versions) => {
                (Some(("Sec-WebSocket-Version", versions.list())), None)
            }
            _ => (None, None),
        };
        first.into_iter().chain(second)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status(), self.reason())?;
        match self.text() {
            "" => Ok(()),
            text => write!(f, ": {text}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<HeadError> for Refusal {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::TooLarge => Self::HeadTooLarge,
            HeadError::NotHttp => Self::NotHttp,
            HeadError::BareLf => Self::LineEnd,
        }
    }
}

/// Appends the whole answer to a refused request; the connection is to be closed behind it.
///
/// `server` is the value of the Server field; one that is no field value is left out, because a refusal
/// cannot itself be refused.
///
/// ```
/// use wirebahn::proto::handshake::{Refusal, write_refusal};
///
/// let mut out = Vec::new();
/// write_refusal(&mut out, Refusal::Method, Some("Wirebahn"));
/// assert_eq!(
///     String::from_utf8(out).unwrap(),
///     "HTTP/1.1 405 Method Not Allowed\r\n\
///      Connection: close\r\n\
///      Allow: GET\r\n\
///      Server: Wirebahn\r\n\
///      Content-Type: text/plain; charset=utf-8\r\n\
///      Content-Length: 39\r\n\
///      \r\n\
///      Only GET opens a WebSocket connection.\n"
/// );
/// ```
pub fn write_refusal(out: &mut Vec<u8>, refusal: Refusal, server: Option<&str>) {
    let text = refusal.text();
    // RFC 9110 section 7.8: who sends Upgrade names it in Connection too.
    let connection = if refusal.status() == 426 {
        "close, Upgrade"
    } else {
        "close"
    };
    out.reserve(512);
    // Writing to a vector cannot fail.
    let _ = write!(
        out,
        "HTTP/1.1 {} {}\r\nConnection: {connection}\r\n",
        refusal.status(),
        refusal.reason()
    );
    for (name, value) in refusal.fields() {
        let _ = write!(out, "{name}: {value}\r\n");
    }
    if let Some(server) = server.filter(|server| is_field_value(server.as_bytes())) {
        let _ = write!(out, "Server: {server}\r\n");
    }
    if text.is_empty() {
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    } else {
        let body_len = text.len().saturating_add(1);
        let _ = write!(
            out,
            "Content-Type: text/plain; charset=utf-8\r\nContent-Length: {body_len}\r\n\r\n{text}\n"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Refusal] = &[
        Refusal::HeadTooLarge,
        Refusal::TooManyFields,
        Refusal::NotHttp,
        Refusal::HeadUnfinished,
        Refusal::LineEnd,
        Refusal::RequestLine,
        Refusal::HttpVersion,
        Refusal::Method,
        Refusal::MethodHead,
        Refusal::Target,
        Refusal::TargetFragment,
        Refusal::FieldName,
        Refusal::FieldValue,
        Refusal::HostMissing,
        Refusal::HostDuplicate,
        Refusal::HostMalformed,
        Refusal::HostPort,
        Refusal::HostForeign,
        Refusal::Framing,
        Refusal::Body,
        Refusal::UpgradeRequired(Versions::V13AndV8),
        Refusal::UpgradeForeign,
        Refusal::ConnectionWithoutUpgrade,
        Refusal::VersionMissing(Versions::V13),
        Refusal::VersionDuplicate(Versions::V13),
        Refusal::VersionUnsupported(Versions::V13),
        Refusal::KeyMissing,
        Refusal::KeyDuplicate,
        Refusal::KeyMalformed,
        Refusal::OriginDuplicate,
        Refusal::OriginMalformed,
        Refusal::OriginForeign,
        Refusal::OriginNull,
        Refusal::OriginMissing,
        Refusal::SubprotocolMalformed,
        Refusal::SubprotocolDuplicate,
        Refusal::SubprotocolsTooMany,
        Refusal::Extensions,
        Refusal::NotFound,
        Refusal::Timeout,
        Refusal::Internal,
        Refusal::Busy,
    ];

    /// Every answer parses as HTTP, closes, and has just the body it announces.
    #[test]
    fn every_answer_is_whole() {
        for &refusal in ALL {
            let mut out = Vec::new();
            write_refusal(&mut out, refusal, Some("x"));
            let mut room = [httparse::EMPTY_HEADER; 16];
            let mut response = httparse::Response::new(&mut room);
            let Ok(httparse::Status::Complete(head_len)) = response.parse(&out) else {
                panic!("{refusal:?} is not a response");
            };
            let value = |wanted: &str| {
                let mut found = response.headers.iter().filter(|field| field.name == wanted);
                let value = found
                    .next()
                    .map(|field| str::from_utf8(field.value).expect("ASCII"));
                assert!(found.next().is_none(), "{wanted} twice in {refusal:?}");
                value
            };
            assert_eq!(response.code, Some(refusal.status()));
            assert_eq!(response.reason, Some(refusal.reason()));
            assert!(
                !refusal.reason().is_empty(),
                "{refusal:?} has no reason phrase"
            );
            assert_eq!(value("Server"), Some("x"));
            let body_len: usize = value("Content-Length")
                .expect("a length")
                .parse()
                .expect("a number");
            assert_eq!(body_len, out.len() - head_len, "{refusal:?}");
            let body = str::from_utf8(&out[head_len..]).expect("ASCII");
            assert_eq!(body.trim_end(), refusal.text());
            assert_eq!(
                body.lines().count(),
                usize::from(!refusal.text().is_empty())
            );
            match refusal.status() {
                426 => {
                    assert_eq!(value("Connection"), Some("close, Upgrade"));
                    assert_eq!(value("Upgrade"), Some("websocket"));
                    assert!(
                        value("Sec-WebSocket-Version")
                            .expect("versions")
                            .starts_with("13")
                    );
                }
                _ => assert_eq!(value("Connection"), Some("close")),
            }
            assert_eq!(value("Allow"), (refusal.status() == 405).then_some("GET"));
        }
    }

    #[test]
    fn a_426_names_the_versions_spoken() {
        let mut out = Vec::new();
        write_refusal(
            &mut out,
            Refusal::VersionUnsupported(Versions::V13AndV8),
            None,
        );
        let text = String::from_utf8(out).expect("ASCII");
        assert!(
            text.starts_with("HTTP/1.1 426 Upgrade Required\r\n"),
            "{text}"
        );
        assert!(
            text.contains("\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13, 8\r\n"),
            "{text}"
        );
        assert!(!text.contains("Server"), "{text}");
    }

    #[test]
    fn a_server_name_cannot_split_the_answer() {
        let mut out = Vec::new();
        write_refusal(&mut out, Refusal::Busy, Some("x\r\nSet-Cookie: a=b"));
        let text = String::from_utf8(out).expect("ASCII");
        assert!(
            !text.contains("Set-Cookie") && !text.contains("Server"),
            "{text}"
        );
    }
}
