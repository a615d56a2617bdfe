//! The table of requests, right and wrong, and of what is no request at all.

use super::head::Head;
use super::{Answer, Case, Ends, HEAD_MAX, HEADERS_MAX, Refuses, Upgrades};
use crate::peer::{KEY, request, text};

pub(super) fn case(name: impl Into<String>, octets: impl Into<Vec<u8>>, answer: Answer) -> Case {
    Case {
        name: name.into(),
        octets: octets.into(),
        answer,
    }
}

/// What is right, however odd it looks.
pub(super) fn accepted() -> Vec<Case> {
    let good = Head::good;
    let with = |name: &str, value: &str| good().with(name, value).octets();
    let lower = String::from_utf8(good().octets()).unwrap();
    let lower = lower
        .replace("Host", "host")
        .replace("Sec-WebSocket", "sec-websocket");
    let mut heads = vec![
        ("plain", good().octets()),
        (
            "names in lower case",
            lower.replace("Upgrade:", "upgrade:").into_bytes(),
        ),
        (
            "names in upper case",
            lower.replace("sec-websocket", "SEC-WEBSOCKET").into_bytes(),
        ),
        ("Upgrade: WebSocket", with("Upgrade", "WebSocket")),
        ("Upgrade: WEBSOCKET", with("Upgrade", "WEBSOCKET")),
        (
            "Upgrade with another protocol",
            with("Upgrade", "foo/2, websocket"),
        ),
        ("Connection: upgrade", with("Connection", "upgrade")),
        (
            "Connection: keep-alive, Upgrade",
            with("Connection", "keep-alive, Upgrade"),
        ),
        (
            "Connection: Upgrade,keep-alive",
            with("Connection", "Upgrade,keep-alive"),
        ),
        (
            "Connection twice",
            good()
                .with("Connection", "keep-alive")
                .plus("Connection", "Upgrade")
                .octets(),
        ),
        (
            "white space around values",
            with("Upgrade", " \t websocket \t "),
        ),
        (
            "white space around the key",
            with("Sec-WebSocket-Key", &format!("\t{KEY}  ")),
        ),
        (
            "no white space before values",
            lower.replace(": ", ":").into_bytes(),
        ),
        ("an empty value", with("X-Empty", "")),
        (
            "octets above 127 in a value",
            good().plus("X-Latin", [b'h', 0xE9]).octets(),
        ),
        ("a tab inside a value", with("X-Tab", "a\tb")),
        (
            "a target with a query",
            good().line("GET /a/b?c=d&e=%20 HTTP/1.1").octets(),
        ),
        (
            "a long target",
            good()
                .line(&format!("GET /{} HTTP/1.1", "p".repeat(4000)))
                .octets(),
        ),
        (
            "an absolute target, http",
            good().line("GET http://127.0.0.1:9000/a HTTP/1.1").octets(),
        ),
        (
            "an absolute target, ws",
            good().line("GET ws://127.0.0.1:9000/a HTTP/1.1").octets(),
        ),
        ("Host without a port", with("Host", "localhost")),
        ("Host with an IPv6 address", with("Host", "[::1]:9000")),
        ("Content-Length: 0", with("Content-Length", "0")),
        ("an Origin", with("Origin", "https://example.com")),
        ("Origin: null", with("Origin", "null")),
        ("cookies", with("Cookie", "a=b; c=\"d\"")),
        (
            "version 8",
            good()
                .with("Sec-WebSocket-Version", "8")
                .plus("Sec-WebSocket-Origin", "http://a.b")
                .octets(),
        ),
        (
            "a subprotocol nobody speaks",
            with("Sec-WebSocket-Protocol", "chat, superchat"),
        ),
        (
            "an extension nobody knows",
            with(
                "Sec-WebSocket-Extensions",
                "foo; bar=1; baz=\"q\", x-webkit-frame",
            ),
        ),
        (
            "an extension named as a member of objects",
            with("Sec-WebSocket-Extensions", "hasOwnProperty, __proto__"),
        ),
        (
            "a long extension",
            with(
                "Sec-WebSocket-Extensions",
                &format!("{}; {}=1", "e".repeat(3000), "p".repeat(3000)),
            ),
        ),
        ("the most octets", good().long(HEAD_MAX)),
    ];
    let mut most = good();
    for n in most.fields.len()..HEADERS_MAX {
        most = most.plus(&format!("X-{n}"), "v");
    }
    heads.push(("the most header fields", most.octets()));
    heads
        .into_iter()
        .map(|(name, octets)| case(name, octets, Upgrades))
        .collect()
}

/// Request lines, methods and versions of HTTP.
pub(super) fn request_lines() -> Vec<Case> {
    let rows: &[(&str, &[u16])] = &[
        ("POST / HTTP/1.1", &[405]),
        ("PUT / HTTP/1.1", &[405]),
        ("DELETE / HTTP/1.1", &[405]),
        ("OPTIONS / HTTP/1.1", &[405]),
        ("HEAD / HTTP/1.1", &[405]),
        ("PATCH / HTTP/1.1", &[405]),
        ("BREW / HTTP/1.1", &[405]),
        ("get / HTTP/1.1", &[400, 405]),
        ("GET / HTTP/1.0", &[505]),
        ("GET / HTTP/1.2", &[400, 505]),
        ("GET / HTTP/2.0", &[400, 505]),
        ("GET / HTTP/0.9", &[400, 505]),
        ("GET / HTTP/1", &[400, 505]),
        ("GET / HTTP/11.1", &[400, 505]),
        ("GET / http/1.1", &[400, 505]),
        ("GET / HTTQ/1.1", &[400, 505]),
        ("GET /", &[400]),
        ("GET", &[400]),
        ("GET HTTP/1.1", &[400]),
        ("GET  HTTP/1.1", &[400]),
        ("GET / / HTTP/1.1", &[400]),
        ("GET  / HTTP/1.1", &[400]),
        ("GET /  HTTP/1.1", &[400]),
        ("GET\t/\tHTTP/1.1", &[400]),
        (" GET / HTTP/1.1", &[400]),
        ("GET / HTTP/1.1 ", &[400, 505]),
        ("GET * HTTP/1.1", &[400]),
        ("GET relative HTTP/1.1", &[400]),
        ("GET 127.0.0.1:9000 HTTP/1.1", &[400]),
        ("GET /#fragment HTTP/1.1", &[400]),
        ("GET ftp://127.0.0.1/ HTTP/1.1", &[400]),
        ("GET /a\u{0}b HTTP/1.1", &[400]),
        ("GET /a\u{1}b HTTP/1.1", &[400]),
        ("GET /a\u{7f}b HTTP/1.1", &[400]),
        ("G(T / HTTP/1.1", &[400, 405]),
        ("PRI * HTTP/2.0", &[400, 405, 505]),
    ];
    let to_case = |(line, statuses): &(&str, &'static [u16])| {
        case(
            format!("request line {line:?}"),
            Head::good().line(line).octets(),
            Refuses(statuses),
        )
    };
    rows.iter().map(to_case).collect()
}

/// The fields that make it a WebSocket handshake: absent, wrong, twice.
pub(super) fn fields() -> Vec<Case> {
    let absent = |name: &str, statuses| {
        case(
            format!("no {name}"),
            Head::good().without(name).octets(),
            Refuses(statuses),
        )
    };
    let mut cases = vec![
        absent("Host", &[400]),
        absent("Upgrade", &[400, 426]),
        absent("Connection", &[400]),
        absent("Sec-WebSocket-Key", &[400]),
        absent("Sec-WebSocket-Version", &[400, 426]),
        case(
            "a plain GET",
            Head::good()
                .without("Upgrade")
                .without("Connection")
                .without("Sec-WebSocket-Key")
                .without("Sec-WebSocket-Version")
                .octets(),
            Refuses(&[426]),
        ),
    ];
    let other: &'static [u16] = &[400, 426];
    let version: &'static [u16] = &[426];
    let wrong: &[(&str, &str, &'static [u16])] = &[
        ("Upgrade", "", other),
        ("Upgrade", "h2c", other),
        ("Upgrade", "TLS/1.0", other),
        ("Upgrade", "websocket2", other),
        ("Upgrade", "web socket", other),
        ("Upgrade", "\"websocket\"", other),
        ("Connection", "", &[400]),
        ("Connection", "close", &[400]),
        ("Connection", "keep-alive", &[400]),
        ("Connection", "Upgraded", &[400]),
        ("Connection", "up grade", &[400]),
        ("Sec-WebSocket-Version", "0", version),
        ("Sec-WebSocket-Version", "7", version),
        ("Sec-WebSocket-Version", "9", version),
        ("Sec-WebSocket-Version", "12", version),
        ("Sec-WebSocket-Version", "14", version),
        ("Sec-WebSocket-Version", "25", version),
        ("Sec-WebSocket-Version", "255", version),
        ("Sec-WebSocket-Version", "256", other),
        ("Sec-WebSocket-Version", "269", other),
        ("Sec-WebSocket-Version", "4294967309", other),
        ("Sec-WebSocket-Version", "", other),
        ("Sec-WebSocket-Version", "abc", other),
        ("Sec-WebSocket-Version", "+13", other),
        ("Sec-WebSocket-Version", "-13", other),
        ("Sec-WebSocket-Version", "013", other),
        ("Sec-WebSocket-Version", "13.0", other),
        ("Sec-WebSocket-Version", "0xd", other),
        ("Sec-WebSocket-Version", "1 3", other),
        ("Sec-WebSocket-Version", "13, 13", other),
        ("Sec-WebSocket-Version", "13, 8", other),
        ("Sec-WebSocket-Key", "", &[400]),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=", &[400]),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ", &[400]),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j", &[400]), // 15 octets
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZWE=", &[400]), // 17 octets
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZWFi", &[400]), // 18 octets
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZR==", &[400]), // bits after the end
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ===", &[400]),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25-_Q==", &[400]), // the alphabet of URLs
        ("Sec-WebSocket-Key", "dGhlIHNhbXBs*SBub25jZQ==", &[400]),
        ("Sec-WebSocket-Key", "dGhlIHNhbX sZSBub25jZQ==", &[400]),
        ("Sec-WebSocket-Key", "=GhlIHNhbXBsZSBub25jZQ==", &[400]),
        ("Sec-WebSocket-Key", "the sample nonce", &[400]),
        ("Host", "", &[400]),
        ("Host", "a b", &[400]),
        ("Host", "a/b", &[400]),
        ("Host", "user@localhost", &[400]),
        ("Host", "localhost:abc", &[400]),
        ("Host", "localhost:99999", &[400]),
        ("Host", "localhost:-1", &[400]),
        ("Host", "a, b", &[400]),
        ("Host", "[::1", &[400]),
        ("Host", "a?b", &[400]),
        ("Sec-WebSocket-Protocol", "chat, chat", &[400]),
        ("Sec-WebSocket-Protocol", "ch at", &[400]),
        ("Sec-WebSocket-Protocol", "ch@t", &[400]),
        ("Sec-WebSocket-Extensions", ";", &[400]),
        ("Sec-WebSocket-Extensions", "foo;", &[400]),
        ("Sec-WebSocket-Extensions", "foo; =1", &[400]),
        ("Sec-WebSocket-Extensions", "foo bar", &[400]),
        ("Sec-WebSocket-Extensions", "foo; a=", &[400]),
        ("Sec-WebSocket-Extensions", "foo; a=\"open", &[400]),
        ("Sec-WebSocket-Extensions", "foo; a=\"\"", &[400]),
        ("Sec-WebSocket-Extensions", "foo; a=\"b c\"", &[400]),
        ("Sec-WebSocket-Extensions", "\"foo\"", &[400]),
    ];
    for (name, value, statuses) in wrong {
        let octets = Head::good().with(name, value).octets();
        cases.push(case(format!("{name}: {value}"), octets, Refuses(statuses)));
    }
    let twice: &[(&str, &str, &'static [u16])] = &[
        ("Host", "127.0.0.1:9000", &[400]),
        ("Host", "other:9000", &[400]),
        ("Sec-WebSocket-Key", KEY, &[400]),
        ("Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEA==", &[400]),
        ("Sec-WebSocket-Version", "13", other),
        ("Sec-WebSocket-Version", "8", other),
    ];
    for (name, value, statuses) in twice {
        let octets = Head::good().plus(name, value).octets();
        cases.push(case(
            format!("a second {name}: {value}"),
            octets,
            Refuses(statuses),
        ));
    }
    let origins = Head::good()
        .plus("Origin", "http://a.b")
        .plus("Origin", "http://a.b")
        .octets();
    cases.push(case("Origin twice", origins, Refuses(&[400])));
    cases
}

/// What HTTP itself forbids, and what has served to smuggle requests.
pub(super) fn http() -> Vec<Case> {
    let good = Head::good;
    let chunked = ("Transfer-Encoding", "chunked");
    let mut cases = Vec::new();
    for (name, octets) in [
        (
            "Content-Length: 5 and a body",
            [
                good().plus("Content-Length", "5").octets(),
                b"hello".to_vec(),
            ]
            .concat(),
        ),
        (
            "Content-Length: 5 and no body",
            good().plus("Content-Length", "5").octets(),
        ),
        (
            "Content-Length: -1",
            good().plus("Content-Length", "-1").octets(),
        ),
        (
            "Content-Length: +0",
            good().plus("Content-Length", "+0").octets(),
        ),
        (
            "Content-Length: 0x0",
            good().plus("Content-Length", "0x0").octets(),
        ),
        (
            "Content-Length: 2^64",
            good()
                .plus("Content-Length", "18446744073709551616")
                .octets(),
        ),
        (
            "Content-Length without a value",
            good().plus("Content-Length", "").octets(),
        ),
        (
            "two different Content-Length",
            good()
                .plus("Content-Length", "0")
                .plus("Content-Length", "5")
                .octets(),
        ),
        (
            "Transfer-Encoding",
            good().plus(chunked.0, chunked.1).octets(),
        ),
        (
            "Transfer-Encoding: identity",
            good().plus(chunked.0, "identity").octets(),
        ),
        (
            "Transfer-Encoding and Content-Length",
            [
                good()
                    .plus(chunked.0, chunked.1)
                    .plus("Content-Length", "4")
                    .octets(),
                b"0\r\n\r\n".to_vec(),
            ]
            .concat(),
        ),
        ("NUL in a value", good().plus("X-Bad", "a\0b").octets()),
        ("CR in a value", good().plus("X-Bad", "a\rb").octets()),
        (
            "a control octet in a value",
            good().plus("X-Bad", "a\x01b").octets(),
        ),
        ("DEL in a value", good().plus("X-Bad", "a\x7fb").octets()),
        (
            "a line that ends in LF alone",
            good().plus("X-Bad", "a\nX-More: b").octets(),
        ),
        ("a folded line", good().raw_line(b"X-Bad: a\r\n b")),
        ("a folded line, tab", good().raw_line(b"X-Bad: a\r\n\tb")),
        (
            "a first line that begins with a space",
            good().line("GET / HTTP/1.1\r\n X-Bad: a").octets(),
        ),
        (
            "white space before the colon",
            good().raw_line(b"X-Bad : a"),
        ),
        ("no colon", good().raw_line(b"X-Bad")),
        ("an empty name", good().raw_line(b": a")),
        ("a space in a name", good().raw_line(b"X Bad: a")),
        ("a bracket in a name", good().raw_line(b"X(Bad: a")),
        ("a control octet in a name", good().raw_line(b"X\x01Bad: a")),
        (
            "an octet above 127 in a name",
            good().raw_line(b"X\xe9Bad: a"),
        ),
        ("NUL in a name", good().raw_line(b"X\0Bad: a")),
    ] {
        cases.push(case(name, octets, Refuses(&[400])));
    }
    let h2c = good()
        .with("Upgrade", "h2c")
        .with("Connection", "Upgrade, HTTP2-Settings")
        .plus("HTTP2-Settings", "AAMAAABk");
    cases.push(case("h2c", h2c.octets(), Refuses(&[400, 426])));
    cases
}

/// Heads over the limits.
pub(super) fn too_much() -> Vec<Case> {
    let mut many = Head::good();
    for n in many.fields.len()..=HEADERS_MAX {
        many = many.plus(&format!("X-{n}"), "v");
    }
    let mut thousands = Head::good();
    for n in 0..3_000 {
        thousands = thousands.plus(&format!("X-{n}"), "v");
    }
    let long_target = format!("GET /{} HTTP/1.1", "t".repeat(HEAD_MAX + 1_000));
    let endless = [
        &b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: "[..],
        &b"l".repeat(HEAD_MAX + 4096),
    ]
    .concat();
    let names = [&b"GET / HTTP/1.1\r\n"[..], &b"n".repeat(HEAD_MAX + 4096)].concat();
    let lines = [
        &b"GET / HTTP/1.1\r\n"[..],
        &b"X-A: b\r\n".repeat(HEAD_MAX / 8 + 1),
    ]
    .concat();
    vec![
        case("one header field too many", many.octets(), Refuses(&[431])),
        case("3,000 header fields", thousands.octets(), Refuses(&[431])),
        case(
            "one octet too many",
            Head::good().long(HEAD_MAX + 1),
            Refuses(&[431]),
        ),
        case(
            "a target without end",
            Head::good().line(&long_target).octets(),
            Refuses(&[414, 431]),
        ),
        case("a value without end", endless, Refuses(&[431])),
        case("a name without end", names, Refuses(&[400, 431])),
        case("fields without end", lines, Refuses(&[431])),
    ]
}

/// What comes with the head, in its segment, before any 101 could have been seen
/// (RFC 9931): never read as frames.
pub(super) fn early() -> Vec<Case> {
    let with = |name, rest: &[u8]| case(name, [request(), rest.to_vec()].concat(), Refuses(&[400]));
    vec![
        with("a frame with the head", &text("early")),
        with("half a frame with the head", &text("early")[..3]),
        with("one octet with the head", b"\x81"),
        with("a second request with the head", &request()),
        with("garbage with the head", b"\xff\xff\xff\xff"),
        with("an empty line more with the head", b"\r\n"),
    ]
}

/// What is not HTTP, and can be seen not to be at its first octets.
pub(super) fn not_http() -> Vec<Case> {
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &[0x55; 500]].concat();
    let rows: [(&str, Vec<u8>); 6] = [
        ("a TLS ClientHello", hello),
        ("zeros", vec![0; 64]),
        ("a WAMP RawSocket greeting", vec![0x7F, 0xF1, 0, 0]),
        ("octets above 127", vec![0xFF; 64]),
        ("a WebSocket frame", text("hello")),
        ("a colon first", b": / HTTP/1.1\r\n\r\n".to_vec()),
    ];
    rows.into_iter()
        .map(|(name, octets)| case(name, octets, Ends))
        .collect()
}
