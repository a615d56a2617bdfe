//! The client's side of the handshake: writes the request (RFC 6455 section 4.1) and checks the answer as
//! strictly as that section asks. It must not know who connects, nor follow a redirect by itself.

use std::{fmt, mem::MaybeUninit};

use super::{
    authority::Authority,
    extensions::{self, extensions_in},
    grammar::{elements, token},
    head::{HeadError, HeadScanner},
    headers::{HEADER_FIELDS_MAX, Headers},
    key::{Key, accept_for},
    respond::{HeaderError, check_extensions, check_headers, check_product, push_field},
};

/// What a client asks for. Make one with [`new`](Self::new) and set what differs.
#[derive(Debug, Clone, Copy)]
pub struct ClientRequest<'a> {
    /// The value of Host: `example.com`, with the port where it is not the default one of the scheme.
    pub host: &'a str,
    /// Path and query, beginning with `/`, percent-encoded; no fragment (RFC 6455 section 3).
    pub target: &'a str,
    /// 13 or 8. Default: 13.
    pub version: u8,
    /// The key: 16 octets drawn at random for this connection alone.
    pub key: &'a Key,
    /// The origin, for programs that act for a page. Default: none.
    pub origin: Option<&'a str>,
    /// The subprotocols offered, the favourite first. Default: none.
    pub subprotocols: &'a [&'a str],
    /// The extensions offered, as they stand in the field. Default: none.
    pub extensions: Option<&'a str>,
    /// The value of User-Agent. Default: none.
    pub user_agent: Option<&'a str>,
    /// Whether to tell caches on the way to keep out, as browsers do, with two fields more. Default: true.
    pub no_cache: bool,
    /// Header fields of the program: Authorization, Cookie and the like. Default: none.
    pub headers: &'a [(&'a str, &'a str)],
}

impl<'a> ClientRequest<'a> {
    /// A request with nothing but what it must have.
    #[must_use]
    pub fn new(host: &'a str, target: &'a str, key: &'a Key) -> Self {
        Self {
            host,
            target,
            version: 13,
            key,
            origin: None,
            subprotocols: &[],
            extensions: None,
            user_agent: None,
            no_cache: true,
            headers: &[],
        }
    }

    /// What an answer to this request must be held against.
    #[must_use]
    pub fn expectation(&self) -> Expectation<'a> {
        Expectation {
            key: self.key,
            subprotocols: self.subprotocols,
            extensions: self.extensions,
            subprotocol_required: false,
        }
    }

    fn check(&self) -> Result<(), HeaderError> {
        if Authority::parse(self.host.as_bytes()).is_none() {
            return Err(HeaderError::Host);
        }
        let is_target = self.target.starts_with('/')
            && self
                .target
                .bytes()
                .all(|octet| octet.is_ascii_graphic() && octet != b'#');
        if !is_target {
            return Err(HeaderError::Target);
        }
        if !matches!(self.version, 8 | 13) {
            return Err(HeaderError::Version);
        }
        let is_origin = |origin: &str| {
            !origin.is_empty() && origin.bytes().all(|octet| octet.is_ascii_graphic())
        };
        if self.origin.is_some_and(|origin| !is_origin(origin)) {
            return Err(HeaderError::Origin);
        }
        for (index, name) in self.subprotocols.iter().enumerate() {
            let is_again = self
                .subprotocols
                .iter()
                .take(index)
                .any(|earlier| earlier == name);
            if is_again || token(name.as_bytes()).is_none() {
                return Err(HeaderError::Subprotocol);
            }
        }
        check_extensions(self.extensions)?;
        check_product(self.user_agent)?;
        check_headers(self.headers)?;
        // Fields that have a place of their own here; twice they would make the request void.
        for (index, (name, _)) in self.headers.iter().enumerate() {
            let is_ours = name.eq_ignore_ascii_case("origin")
                || (self.user_agent.is_some() && name.eq_ignore_ascii_case("user-agent"));
            if is_ours {
                return Err(HeaderError::Reserved { index });
            }
        }
        Ok(())
    }
}

/// Appends the request. On an error nothing is appended.
///
/// ```
/// use wirebahn::proto::handshake::{ClientRequest, Key, write_request};
///
/// let key = Key::from_nonce(*b"the sample nonce");
/// let mut request = ClientRequest::new("example.com:9000", "/chat", &key);
/// request.subprotocols = &["chat.2", "chat.1"];
/// request.no_cache = false;
/// let mut out = Vec::new();
/// write_request(&mut out, &request).unwrap();
/// assert_eq!(
///     String::from_utf8(out).unwrap(),
///     "GET /chat HTTP/1.1\r\n\
///      Host: example.com:9000\r\n\
///      Upgrade: websocket\r\n\
///      Connection: Upgrade\r\n\
///      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///      Sec-WebSocket-Version: 13\r\n\
///      Sec-WebSocket-Protocol: chat.2, chat.1\r\n\r\n"
/// );
/// ```
///
/// # Errors
/// What of the request must not leave.
pub fn write_request(out: &mut Vec<u8>, request: &ClientRequest<'_>) -> Result<(), HeaderError> {
    request.check()?;
    out.reserve(512);
    out.extend_from_slice(b"GET ");
    out.extend_from_slice(request.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    push_field(out, "Host", request.host);
    out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
    if request.no_cache {
        out.extend_from_slice(b"Pragma: no-cache\r\nCache-Control: no-cache\r\n");
    }
    out.extend_from_slice(b"Sec-WebSocket-Key: ");
    out.extend_from_slice(request.key.as_bytes());
    out.extend_from_slice(b"\r\n");
    let (version, origin_name) = if request.version == 8 {
        ("8", "Sec-WebSocket-Origin")
    } else {
        ("13", "Origin")
    };
    push_field(out, "Sec-WebSocket-Version", version);
    if let Some(origin) = request.origin {
        push_field(out, origin_name, origin);
    }
    if let Some((first, others)) = request.subprotocols.split_first() {
        out.extend_from_slice(b"Sec-WebSocket-Protocol: ");
        out.extend_from_slice(first.as_bytes());
        for name in others {
            out.extend_from_slice(b", ");
            out.extend_from_slice(name.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
    if let Some(extensions) = request.extensions {
        push_field(out, "Sec-WebSocket-Extensions", extensions);
    }
    if let Some(user_agent) = request.user_agent {
        push_field(out, "User-Agent", user_agent);
    }
    for (name, value) in request.headers {
        push_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// What the answer is held against: the parts of the request that it refers to.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// The key that was sent.
    pub key: &'a Key,
    /// The subprotocols that were offered.
    pub subprotocols: &'a [&'a str],
    /// The extensions that were offered, as they stood in the field.
    pub extensions: Option<&'a str>,
    /// Whether an answer that chooses none of the subprotocols offered is an error, as it is for browsers.
    /// RFC 6455 section 4.1 lets it pass. Default: false.
    pub subprotocol_required: bool,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub enum Answer<'a> {
    /// The connection is open.
    Accepted(Response<'a>),
    /// The server wants something else: a redirect, authentication, to be left alone. To be acted upon by choice.
    Other(OtherResponse<'a>),
}

/// An answer that opened the connection, all of its parts checked.
#[derive(Debug, Clone)]
pub struct Response<'a> {
    headers: Headers<'a>,
    subprotocol: Option<&'a str>,
    extensions: Option<&'a [u8]>,
}

impl<'a> Response<'a> {
    /// The subprotocol to speak: one of those offered, or none.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&'a str> {
        self.subprotocol
    }

    /// The extensions to use, for [`extensions_in`]. They follow their grammar, and each was offered; whether
    /// their parameters were is for the extension to say.
    #[must_use]
    pub fn extensions(&self) -> Option<&'a [u8]> {
        self.extensions
    }

    /// All header fields.
    #[must_use]
    pub fn headers(&self) -> &Headers<'a> {
        &self.headers
    }
}

/// An answer that did not open the connection.
#[derive(Debug, Clone)]
pub struct OtherResponse<'a> {
    status: u16,
    reason: &'a str,
    headers: Headers<'a>,
}

impl<'a> OtherResponse<'a> {
    /// The status code, 100 to 999, not 101.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase; empty if there was none, or none in ASCII.
    #[must_use]
    pub fn reason(&self) -> &'a str {
        self.reason
    }

    /// Whether this is but an interim answer (RFC 9110 section 15.2), behind which another head will come.
    #[must_use]
    pub fn is_interim(&self) -> bool {
        self.status < 200
    }

    /// All header fields.
    #[must_use]
    pub fn headers(&self) -> &Headers<'a> {
        &self.headers
    }
}

/// What is wrong with a server's answer. The client fails the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// The head is larger than allowed.
    HeadTooLarge,
    /// There are more than [`HEADER_FIELDS_MAX`](super::HEADER_FIELDS_MAX) header fields.
    TooManyFields,
    /// What came is not HTTP.
    NotHttp,
    /// The head has no end.
    HeadUnfinished,
    /// A line ends with CR or LF alone.
    LineEnd,
    /// The status line is malformed.
    StatusLine,
    /// The version of HTTP is neither 1.1 nor, for an answer other than 101, 1.0.
    HttpVersion,
    /// A line is no header field.
    FieldName,
    /// A header field's value has a control character.
    FieldValue,
    /// Upgrade is not there exactly once with the value `websocket`.
    Upgrade,
    /// Connection does not have the option `upgrade`.
    Connection,
    /// There is no Sec-WebSocket-Accept.
    AcceptMissing,
    /// There are several.
    AcceptDuplicate,
    /// It does not answer our key: whoever spoke did not read the request as a handshake.
    AcceptWrong,
    /// Several subprotocols were chosen.
    SubprotocolDuplicate,
    /// A subprotocol was chosen that was not offered.
    SubprotocolNotOffered,
    /// No subprotocol was chosen, and one is required.
    SubprotocolMissing,
    /// Sec-WebSocket-Extensions is there more than once.
    ExtensionsDuplicate,
    /// Sec-WebSocket-Extensions does not follow its grammar.
    ExtensionsMalformed,
    /// An extension was chosen that was not offered.
    ExtensionNotOffered,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HeadTooLarge => "the head of the response is too large",
            Self::TooManyFields => "the response has too many header fields",
            Self::NotHttp => "the response is not HTTP",
            Self::HeadUnfinished => "the head of the response does not end",
            Self::LineEnd => "a line of the response does not end with CR LF",
            Self::StatusLine => "the status line is malformed",
            Self::HttpVersion => "the response is not HTTP/1.1",
            Self::FieldName => "a line of the response is not a header field",
            Self::FieldValue => "a header field of the response has a control character",
            Self::Upgrade => "the Upgrade field of the response is not websocket",
            Self::Connection => "the Connection field of the response does not name upgrade",
            Self::AcceptMissing => "the response has no Sec-WebSocket-Accept",
            Self::AcceptDuplicate => "the response has several Sec-WebSocket-Accept",
            Self::AcceptWrong => "the Sec-WebSocket-Accept does not answer the key",
            Self::SubprotocolDuplicate => "the server chose several subprotocols",
            Self::SubprotocolNotOffered => "the server chose a subprotocol that was not offered",
            Self::SubprotocolMissing => "the server chose no subprotocol",
            Self::ExtensionsDuplicate => "the response has several Sec-WebSocket-Extensions",
            Self::ExtensionsMalformed => {
                "the Sec-WebSocket-Extensions of the response is malformed"
            }
            Self::ExtensionNotOffered => "the server chose an extension that was not offered",
        })
    }
}

impl std::error::Error for ResponseError {}

impl From<HeadError> for ResponseError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::TooLarge => Self::HeadTooLarge,
            HeadError::NotHttp => Self::NotHttp,
            HeadError::BareLf => Self::LineEnd,
        }
    }
}

/// Reads the head of an answer, from its first octet through the empty line that ends it, as
/// [`HeadScanner::response`] finds it. What follows a 101 are frames.
///
/// ```
/// use wirebahn::proto::handshake::{Answer, ClientRequest, Key, parse_response};
///
/// let key = Key::from_nonce(*b"the sample nonce");
/// let request = ClientRequest::new("example.com", "/", &key);
/// let head = b"HTTP/1.1 101 Switching Protocols\r\n\
///              Upgrade: websocket\r\n\
///              Connection: Upgrade\r\n\
///              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// assert!(matches!(parse_response(head, &request.expectation()), Ok(Answer::Accepted(_))));
///
/// let head = b"HTTP/1.1 302 Found\r\nLocation: ws://other.example/\r\n\r\n";
/// let Ok(Answer::Other(other)) = parse_response(head, &request.expectation()) else {
///     panic!("a redirect");
/// };
/// assert_eq!((other.status(), other.headers().text("location")), (302, Some("ws://other.example/")));
/// ```
///
/// # Errors
/// The first rule of RFC 6455 section 4.1 that is broken.
pub fn parse_response<'a>(
    head: &'a [u8],
    expectation: &Expectation<'_>,
) -> Result<Answer<'a>, ResponseError> {
    let head_len = HeadScanner::response()
        .find_end(head, usize::MAX)?
        .ok_or(ResponseError::HeadUnfinished)?;
    let head = head.get(..head_len).ok_or(ResponseError::HeadUnfinished)?;

    let mut room = [const { MaybeUninit::uninit() }; HEADER_FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let outcome = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        head,
        &mut room,
    );
    match outcome {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(ResponseError::HeadUnfinished),
        Err(error) => return Err(error_of(error, head)),
    }
    let status = parsed.code.unwrap_or_default();
    if status < 100 {
        return Err(ResponseError::StatusLine);
    }
    let headers = Headers::new(parsed.headers);
    if status != 101 {
        return Ok(Answer::Other(OtherResponse {
            status,
            reason: parsed.reason.unwrap_or_default(),
            headers,
        }));
    }
    if parsed.version != Some(1) {
        return Err(ResponseError::HttpVersion);
    }

    let upgrade = at_most_one(&headers, "upgrade", ResponseError::Upgrade)?;
    if !upgrade.is_some_and(|value| value.eq_ignore_ascii_case(b"websocket")) {
        return Err(ResponseError::Upgrade);
    }
    if !headers
        .list("connection")
        .any(|option| option.eq_ignore_ascii_case(b"upgrade"))
    {
        return Err(ResponseError::Connection);
    }
    let accept = at_most_one(
        &headers,
        "sec-websocket-accept",
        ResponseError::AcceptDuplicate,
    )?;
    if accept.ok_or(ResponseError::AcceptMissing)? != accept_for(expectation.key) {
        return Err(ResponseError::AcceptWrong);
    }
    let subprotocol = chosen_subprotocol(&headers, expectation)?;
    let extensions = chosen_extensions(&headers, expectation)?;
    Ok(Answer::Accepted(Response {
        headers,
        subprotocol,
        extensions,
    }))
}

fn at_most_one<'a>(
    headers: &Headers<'a>,
    name: &str,
    duplicate: ResponseError,
) -> Result<Option<&'a [u8]>, ResponseError> {
    let mut values = headers.get_all(name);
    let first = values.next();
    if values.next().is_some() {
        return Err(duplicate);
    }
    Ok(first)
}

/// RFC 6455 sections 4.1 and 11.3.4: one field at most, one value, one of those offered.
fn chosen_subprotocol<'a>(
    headers: &Headers<'a>,
    expectation: &Expectation<'_>,
) -> Result<Option<&'a str>, ResponseError> {
    let value = at_most_one(
        headers,
        "sec-websocket-protocol",
        ResponseError::SubprotocolDuplicate,
    )?;
    let Some(value) = value else {
        return if expectation.subprotocol_required && !expectation.subprotocols.is_empty() {
            Err(ResponseError::SubprotocolMissing)
        } else {
            Ok(None)
        };
    };
    if elements(value).nth(1).is_some() {
        return Err(ResponseError::SubprotocolDuplicate);
    }
    let name = token(value).ok_or(ResponseError::SubprotocolNotOffered)?;
    if !expectation.subprotocols.contains(&name) {
        return Err(ResponseError::SubprotocolNotOffered);
    }
    Ok(Some(name))
}

/// RFC 6455 sections 4.1 and 11.3.2: one field at most, and nothing in it that was not offered.
fn chosen_extensions<'a>(
    headers: &Headers<'a>,
    expectation: &Expectation<'_>,
) -> Result<Option<&'a [u8]>, ResponseError> {
    let value = at_most_one(
        headers,
        "sec-websocket-extensions",
        ResponseError::ExtensionsDuplicate,
    )?;
    let Some(value) = value else {
        return Ok(None);
    };
    extensions::check_all([value].into_iter()).map_err(|_| ResponseError::ExtensionsMalformed)?;
    let offered = expectation.extensions.unwrap_or_default().as_bytes();
    for chosen in extensions_in(value).flatten() {
        let was_offered = extensions_in(offered)
            .flatten()
            .any(|offer| offer.name() == chosen.name());
        if !was_offered {
            return Err(ResponseError::ExtensionNotOffered);
        }
    }
    Ok(Some(value))
}

#[cold]
fn error_of(error: httparse::Error, head: &[u8]) -> ResponseError {
    match error {
        // The parser says so too where the version is good and no space follows it.
        httparse::Error::Version if matches!(head.get(..8), Some(b"HTTP/1.1" | b"HTTP/1.0")) => {
            ResponseError::StatusLine
        }
        httparse::Error::HeaderName => ResponseError::FieldName,
        httparse::Error::HeaderValue => ResponseError::FieldValue,
        httparse::Error::TooManyHeaders => ResponseError::TooManyFields,
        httparse::Error::Version => ResponseError::HttpVersion,
        httparse::Error::NewLine => ResponseError::LineEnd,
        httparse::Error::Status | httparse::Error::Token => ResponseError::StatusLine,
    }
}
