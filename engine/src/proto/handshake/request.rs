//! Reads a client's opening handshake (RFC 6455 section 4.2.1), or the plain request that came instead.
//! Every rule is checked here, and what leaves has passed them all. It must not know what will be answered.

use std::mem::MaybeUninit;

use super::{
    authority::{Authority, HostPattern},
    extensions,
    grammar::{elements, token},
    head::HeadScanner,
    headers::{HEADER_FIELDS_MAX, Headers},
    key::Key,
    origin::OriginRules,
    refusal::{Refusal, Versions},
};

/// The most subprotocols a client may offer. They are compared pairwise, and no client knows as many.
pub const SUBPROTOCOLS_MAX: usize = 64;

/// What a server asks of requests beyond the protocol's own rules.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestRules {
    /// The versions of the protocol that are spoken. Default: 13 and 8.
    pub versions: Versions,
    /// Which origins may connect. Default: pages of the server's own origin, and programs without one.
    pub origins: OriginRules,
    /// The hosts this server answers for; others get 421. Default: none, which means any. Say them where a
    /// server listens on loopback or in a private network: that is what stops DNS rebinding.
    pub hosts: Vec<HostPattern>,
    /// The port clients must have asked for, by Host, where it is not the one listened on. Default: none,
    /// which means any.
    pub external_port: Option<u16>,
    /// Whether clients reach this server over TLS, be it ours or a trusted proxy's. It decides the default port
    /// of Host. Default: false.
    pub secure: bool,
    /// Whether a request to upgrade to something else, such as `h2c`, is taken for a plain request, as RFC
    /// 9110 section 7.8 allows, and not refused. Some HTTP clients offer `h2c` with every request.
    /// Default: false.
    pub ignore_other_upgrades: bool,
}

/// What a head turned out to be.
#[derive(Debug, Clone)]
pub enum Parsed<'a> {
    /// A sound opening handshake.
    Upgrade(Request<'a>),
    /// A sound GET or HEAD that asks for no upgrade. To be served, or answered with
    /// [`Refusal::UpgradeRequired`].
    Plain(PlainRequest<'a>),
}

/// A sound opening handshake, borrowed from its head.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    target: Target<'a>,
    host: Authority<'a>,
    headers: Headers<'a>,
    origin: Option<&'a str>,
    key: Key,
    version: u8,
}

impl<'a> Request<'a> {
    /// The path, as sent: it begins with `/`, and nothing in it is decoded.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.target.path
    }

    /// What follows the `?`, as sent, if there was one.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.target.query
    }

    /// The host and port the request was sent to.
    #[must_use]
    pub fn host(&self) -> &Authority<'a> {
        &self.host
    }

    /// The origin of the page that asks, if a browser asks. For version 8 it comes from Sec-WebSocket-Origin.
    #[must_use]
    pub fn origin(&self) -> Option<&'a str> {
        self.origin
    }

    /// The version of the protocol: 13 or 8.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The key to answer.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The subprotocols offered, the client's favourite first; each is a token, none occurs twice.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> + use<'_, 'a> {
        self.headers
            .list("sec-websocket-protocol")
            .filter_map(token)
    }

    /// The subprotocol to speak: the first one of `supported` that the client offers, so that the server's
    /// order decides. For the client's order, look through [`subprotocols`](Self::subprotocols).
    #[must_use]
    pub fn choose_subprotocol<'s>(&self, supported: &[&'s str]) -> Option<&'s str> {
        supported
            .iter()
            .copied()
            .find(|&wanted| self.subprotocols().any(|offered| offered == wanted))
    }

    /// The values of the Sec-WebSocket-Extensions fields, found to follow their grammar; for
    /// [`extensions_in`](super::extensions_in).
    pub fn extension_offers(&self) -> impl Iterator<Item = &'a [u8]> + use<'_, 'a> {
        self.headers.get_all("sec-websocket-extensions")
    }

    /// The cookies, as name and value.
    pub fn cookies(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'_, 'a> {
        self.headers.cookies()
    }

    /// All header fields.
    #[must_use]
    pub fn headers(&self) -> &Headers<'a> {
        &self.headers
    }
}

/// A sound GET or HEAD without an upgrade, borrowed from its head.
#[derive(Debug, Clone)]
pub struct PlainRequest<'a> {
    target: Target<'a>,
    host: Authority<'a>,
    headers: Headers<'a>,
    is_head: bool,
}

impl<'a> PlainRequest<'a> {
    /// Whether the method is HEAD and not GET: the answer is the same, without its body.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.is_head
    }

    /// The path, as sent: it begins with `/`, and nothing in it is decoded.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.target.path
    }

    /// What follows the `?`, as sent, if there was one.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.target.query
    }

    /// The host and port the request was sent to.
    #[must_use]
    pub fn host(&self) -> &Authority<'a> {
        &self.host
    }

    /// The cookies, as name and value.
    pub fn cookies(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'_, 'a> {
        self.headers.cookies()
    }

    /// All header fields.
    #[must_use]
    pub fn headers(&self) -> &Headers<'a> {
        &self.headers
    }
}

/// Reads one head, from its first octet through the empty line that ends it. What follows that line is not
/// looked at: nothing after a handshake means anything before it is answered (RFC 9931).
///
/// ```
/// use wirebahn::proto::handshake::{Parsed, Refusal, RequestRules, parse_request};
///
/// let head = b"GET /chat?room=1 HTTP/1.1\r\n\
///              Host: example.com\r\n\
///              Upgrade: websocket\r\n\
///              Connection: keep-alive, Upgrade\r\n\
///              Sec-WebSocket-Version: 13\r\n\
///              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///              Sec-WebSocket-Protocol: chat.2, chat.1\r\n\r\n";
/// let Ok(Parsed::Upgrade(request)) = parse_request(head, &RequestRules::default()) else {
///     panic!("a handshake");
/// };
/// assert_eq!((request.path(), request.query()), ("/chat", Some("room=1")));
/// assert_eq!(request.choose_subprotocol(&["chat.1", "chat.2"]), Some("chat.1"));
///
/// let refused = parse_request(b"GET / HTTP/1.1\r\n\r\n", &RequestRules::default());
/// assert_eq!(refused.err(), Some(Refusal::HostMissing));
/// ```
///
/// # Errors
/// The first rule that is broken, in the order of the table in the [module's documentation](super).
pub fn parse_request<'a>(head: &'a [u8], rules: &RequestRules) -> Result<Parsed<'a>, Refusal> {
    // The scanner has been over these octets when they arrived. It goes over them again, for less than 0.1 µs,
    // so that this function stands on nothing but its own argument.
    let head_len = HeadScanner::request()
        .find_end(head, usize::MAX)?
        .ok_or(Refusal::HeadUnfinished)?;
    let head = head.get(..head_len).ok_or(Refusal::HeadUnfinished)?;

    let mut room = [const { MaybeUninit::uninit() }; HEADER_FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut room) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Refusal::HeadUnfinished),
        Err(error) => return Err(refusal_of(error, head)),
    }
    if parsed.version != Some(1) {
        return Err(Refusal::HttpVersion);
    }
    let fields = Fields::collect(parsed.headers);

    fields.check_framing()?;
    let is_head = match parsed.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Refusal::Method),
    };
    let target = Target::parse(parsed.path.unwrap_or_default())?;
    let host = fields.host(&target, rules)?;
    fields.check_no_body()?;

    if fields.upgrade.count == 0 {
        // A handshake whose Upgrade was lost on the way: answering it with a page would hide the fault.
        if fields.key.count > 0 || fields.version.count > 0 {
            return Err(Refusal::UpgradeRequired(rules.versions));
        }
    } else if fields.upgrade_to_websocket {
        if is_head {
            return Err(Refusal::MethodHead);
        }
        if !fields.connection_upgrade {
            return Err(Refusal::ConnectionWithoutUpgrade);
        }
        let version = fields.version(rules.versions)?;
        let key = fields.key()?;
        let origin = fields.origin(version)?;
        rules.origins.check(origin, &host, rules.secure)?;
        let headers = Headers::new(parsed.headers);
        check_subprotocols(&headers, fields.subprotocol.count)?;
        if fields.extensions.count > 0 {
            extensions::check_all(headers.get_all("sec-websocket-extensions"))
                .map_err(|_| Refusal::Extensions)?;
        }
        return Ok(Parsed::Upgrade(Request {
            target,
            host,
            headers,
            origin,
            key,
            version,
        }));
    } else if !rules.ignore_other_upgrades {
        return Err(Refusal::UpgradeForeign);
    }
    Ok(Parsed::Plain(PlainRequest {
        target,
        host,
        headers: Headers::new(parsed.headers),
        is_head,
    }))
}

/// A field that may occur: its first value, and how often it does.
#[derive(Debug, Clone, Copy, Default)]
struct Field<'a> {
    first: &'a [u8],
    count: usize,
}

impl<'a> Field<'a> {
    fn note(&mut self, value: &'a [u8]) {
        if self.count == 0 {
            self.first = value;
        }
        self.count = self.count.saturating_add(1);
    }

    fn once(&self, missing: Refusal, duplicate: Refusal) -> Result<&'a [u8], Refusal> {
        match self.count {
            0 => Err(missing),
            1 => Ok(self.first),
            _ => Err(duplicate),
        }
    }

    fn at_most_once(&self, duplicate: Refusal) -> Result<Option<&'a [u8]>, Refusal> {
        match self.count {
            0 => Ok(None),
            1 => Ok(Some(self.first)),
            _ => Err(duplicate),
        }
    }
}

/// The fields a handshake is made of, found in one pass.
#[derive(Debug, Default)]
struct Fields<'a> {
    host: Field<'a>,
    content_length: Field<'a>,
    transfer_encoding: Field<'a>,
    upgrade: Field<'a>,
    upgrade_to_websocket: bool,
    connection_upgrade: bool,
    version: Field<'a>,
    key: Field<'a>,
    origin: Field<'a>,
    origin_of_version_8: Field<'a>,
    subprotocol: Field<'a>,
    extensions: Field<'a>,
}

impl<'a> Fields<'a> {
    fn collect(headers: &[httparse::Header<'a>]) -> Self {
        let mut fields = Self::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let value = header.value;
            // The length alone rules out most names.
            match header.name.len() {
                4 if is("host") => fields.host.note(value),
                6 if is("origin") => fields.origin.note(value),
                7 if is("upgrade") => {
                    fields.upgrade.note(value);
                    fields.upgrade_to_websocket |= lists(value, b"websocket");
                }
                10 if is("connection") => fields.connection_upgrade |= lists(value, b"upgrade"),
                14 if is("content-length") => fields.content_length.note(value),
                17 if is("sec-websocket-key") => fields.key.note(value),
                17 if is("transfer-encoding") => fields.transfer_encoding.note(value),
                20 if is("sec-websocket-origin") => fields.origin_of_version_8.note(value),
                21 if is("sec-websocket-version") => fields.version.note(value),
                22 if is("sec-websocket-protocol") => fields.subprotocol.note(value),
                24 if is("sec-websocket-extensions") => fields.extensions.note(value),
                _ => {}
            }
        }
        fields
    }

    /// RFC 9112 section 6.3: what two readers could measure differently is refused before anything else.
    fn check_framing(&self) -> Result<(), Refusal> {
        let length = self.content_length.at_most_once(Refusal::Framing)?;
        if let Some(length) = length {
            let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            if !is_number || self.transfer_encoding.count > 0 {
                return Err(Refusal::Framing);
            }
        }
        Ok(())
    }

    /// Nobody here reads a body, so none may be announced: its octets would be taken for frames.
    fn check_no_body(&self) -> Result<(), Refusal> {
        let has_length = self.content_length.count > 0 && self.content_length.first != b"0";
        if has_length || self.transfer_encoding.count > 0 {
            return Err(Refusal::Body);
        }
        Ok(())
    }

    fn host(&self, target: &Target<'a>, rules: &RequestRules) -> Result<Authority<'a>, Refusal> {
        let value = self
            .host
            .once(Refusal::HostMissing, Refusal::HostDuplicate)?;
        let in_field = Authority::parse(value).ok_or(Refusal::HostMalformed)?;
        // RFC 9112 section 3.2.2: where the target names a host, Host must be there and is ignored.
        let host = target.authority.unwrap_or(in_field);
        if let Some(port) = rules.external_port {
            let port_default = if rules.secure { 443 } else { 80 };
            if host.port().unwrap_or(port_default) != port {
                return Err(Refusal::HostPort);
            }
        }
        if !rules.hosts.is_empty()
            && !rules
                .hosts
                .iter()
                .any(|pattern| pattern.matches(host.host()))
        {
            return Err(Refusal::HostForeign);
        }
        Ok(host)
    }

    fn version(&self, versions: Versions) -> Result<u8, Refusal> {
        let value = self.version.once(
            Refusal::VersionMissing(versions),
            Refusal::VersionDuplicate(versions),
        )?;
        versions
            .of_field(value)
            .ok_or(Refusal::VersionUnsupported(versions))
    }

    fn key(&self) -> Result<Key, Refusal> {
        let value = self.key.once(Refusal::KeyMissing, Refusal::KeyDuplicate)?;
        Key::parse(value).ok_or(Refusal::KeyMalformed)
    }

    /// Version 8 calls the field Sec-WebSocket-Origin. No browser of today speaks it, and one that did and sent
    /// Origin instead must not slip through as a program without origin; so that is read in second place.
    fn origin(&self, version: u8) -> Result<Option<&'a str>, Refusal> {
        let origin = self.origin.at_most_once(Refusal::OriginDuplicate)?;
        let value = if version == 8 {
            self.origin_of_version_8
                .at_most_once(Refusal::OriginDuplicate)?
                .or(origin)
        } else {
            origin
        };
        let Some(value) = value else {
            return Ok(None);
        };
        if value.is_empty() || !value.iter().all(u8::is_ascii_graphic) {
            return Err(Refusal::OriginMalformed);
        }
        std::str::from_utf8(value)
            .map(Some)
            .map_err(|_| Refusal::OriginMalformed)
    }
}

/// Whether a list names `wanted`, letters in any case.
fn lists(value: &[u8], wanted: &[u8]) -> bool {
    elements(value).any(|element| element.eq_ignore_ascii_case(wanted))
}

/// All fields together are a list of one or more tokens, none twice (RFC 6455 section 4.1 (10)).
fn check_subprotocols(headers: &Headers<'_>, fields_count: usize) -> Result<(), Refusal> {
    if fields_count == 0 {
        return Ok(());
    }
    let mut seen = [""; SUBPROTOCOLS_MAX];
    let mut seen_count = 0_usize;
    for element in headers.list("sec-websocket-protocol") {
        let name = token(element).ok_or(Refusal::SubprotocolMalformed)?;
        if seen.iter().take(seen_count).any(|&earlier| earlier == name) {
            return Err(Refusal::SubprotocolDuplicate);
        }
        *seen
            .get_mut(seen_count)
            .ok_or(Refusal::SubprotocolsTooMany)? = name;
        seen_count = seen_count.saturating_add(1);
    }
    if seen_count == 0 {
        return Err(Refusal::SubprotocolMalformed);
    }
    Ok(())
}

/// The request target (RFC 9112 section 3.2) in the two forms that a GET to an origin server may have.
#[derive(Debug, Clone, Copy)]
struct Target<'a> {
    path: &'a str,
    query: Option<&'a str>,
    authority: Option<Authority<'a>>,
}

impl<'a> Target<'a> {
    fn parse(text: &'a str) -> Result<Self, Refusal> {
        if text.contains('#') {
            return Err(Refusal::TargetFragment);
        }
        // The parser lets octets above ASCII through; a URI has none.
        if !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(Refusal::Target);
        }
        let (rest, authority) = if text.starts_with('/') {
            (text, None)
        } else {
            let (scheme, after) = text.split_once("://").ok_or(Refusal::Target)?;
            if !["http", "https", "ws", "wss"]
                .iter()
                .any(|known| scheme.eq_ignore_ascii_case(known))
            {
                return Err(Refusal::Target);
            }
            let authority_len = after.find(['/', '?']).unwrap_or(after.len());
            let (authority, rest) = after
                .split_at_checked(authority_len)
                .ok_or(Refusal::Target)?;
            let authority = Authority::parse(authority.as_bytes()).ok_or(Refusal::Target)?;
            (rest, Some(authority))
        };
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        // RFC 9110 section 4.2.3: an empty path of an absolute URI means `/`.
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self {
            path,
            query,
            authority,
        })
    }
}

/// The rule behind an error of the parser, which speaks only of kinds of characters.
#[cold]
fn refusal_of(error: httparse::Error, head: &[u8]) -> Refusal {
    match error {
        httparse::Error::HeaderName => Refusal::FieldName,
        httparse::Error::HeaderValue => Refusal::FieldValue,
        httparse::Error::TooManyHeaders => Refusal::TooManyFields,
        httparse::Error::Version
        | httparse::Error::Token
        | httparse::Error::NewLine
        | httparse::Error::Status => request_line_refusal(head),
    }
}

/// What is wrong with the request line; if nothing is, a line end elsewhere must be.
fn request_line_refusal(head: &[u8]) -> Refusal {
    let line_len = memchr::memchr(b'\r', head).unwrap_or(head.len());
    let (line, after) = head.split_at_checked(line_len).unwrap_or((head, b""));
    if !after.starts_with(b"\r\n") {
        return Refusal::LineEnd;
    }
    let mut parts = line.split(|&octet| octet == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Refusal::RequestLine;
    };
    if token(method).is_none() || target.is_empty() {
        return Refusal::RequestLine;
    }
    match version {
        b"HTTP/1.1" => {}
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Refusal::HttpVersion;
        }
        _ => return Refusal::RequestLine,
    }
    if target.iter().all(u8::is_ascii_graphic) {
        Refusal::LineEnd
    } else {
        Refusal::Target
    }
}
