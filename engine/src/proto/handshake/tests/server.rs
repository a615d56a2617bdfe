//! What the server side takes and refuses.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// What the tests compare: all that a request says, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Upgrade {
        path: String,
        query: Option<String>,
        host: String,
        origin: Option<String>,
        version: u8,
        subprotocols: Vec<String>,
    },
    Plain {
        path: String,
        is_head: bool,
    },
    Refused(Refusal),
    /// More octets are needed.
    Waiting,
}

fn verdict_of(parsed: Result<Parsed<'_>, Refusal>) -> Verdict {
    match parsed {
        Ok(Parsed::Upgrade(request)) => Verdict::Upgrade {
            path: request.path().to_owned(),
            query: request.query().map(str::to_owned),
            host: request.host().to_string(),
            origin: request.origin().map(str::to_owned),
            version: request.version(),
            subprotocols: request.subprotocols().map(str::to_owned).collect(),
        },
        Ok(Parsed::Plain(request)) => Verdict::Plain {
            path: request.path().to_owned(),
            is_head: request.is_head(),
        },
        Err(refusal) => Verdict::Refused(refusal),
    }
}

/// What a server makes of octets that arrive in pieces ending at `cuts`.
fn serve(input: &[u8], rules: &RequestRules, cuts: impl Iterator<Item = usize>) -> Verdict {
    let mut scanner = HeadScanner::default();
    for cut in cuts.chain([input.len()]) {
        let received = &input[..cut];
        match scanner.find_end(received, HEAD_LEN_MAX) {
            Ok(None) => {}
            Ok(Some(head_len)) => return verdict_of(parse_request(&received[..head_len], rules)),
            Err(error) => return Verdict::Refused(error.into()),
        }
    }
    Verdict::Waiting
}

/// The verdict, having checked that it is the same for every split in two and octet by octet.
fn served(input: &[u8], rules: &RequestRules) -> Verdict {
    let whole = serve(input, rules, [].into_iter());
    for cut in 0..=input.len() {
        assert_eq!(
            serve(input, rules, [cut].into_iter()),
            whole,
            "cut at {cut}: {}",
            input.escape_ascii()
        );
    }
    assert_eq!(serve(input, rules, 0..input.len()), whole);
    whole
}

#[track_caller]
fn refuses(input: &[u8], refusal: Refusal, status: u16) {
    assert_eq!(
        served(input, &RequestRules::default()),
        Verdict::Refused(refusal),
        "{}",
        input.escape_ascii()
    );
    assert_eq!(refusal.status(), status, "{refusal:?}");
}

#[track_caller]
fn upgrades(input: &[u8]) {
    assert!(
        matches!(
            served(input, &RequestRules::default()),
            Verdict::Upgrade { .. }
        ),
        "{} is not taken: {:?}",
        input.escape_ascii(),
        serve(input, &RequestRules::default(), [].into_iter())
    );
}

const BOTH: Versions = Versions::V13AndV8;
const LINE: &str = "GET /chat HTTP/1.1\r\n";
const HOST: &str = "Host: example.com\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\n";
const CONNECTION: &str = "Connection: Upgrade\r\n";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";

#[test]
fn the_base_is_taken() {
    assert_eq!(
        served(BASE.as_bytes(), &RequestRules::default()),
        Verdict::Upgrade {
            path: "/chat".to_owned(),
            query: None,
            host: "example.com".to_owned(),
            origin: None,
            version: 13,
            subprotocols: vec![],
        }
    );
}

#[test]
fn request_lines() {
    for (line, refusal, status) in [
        ("GET /chat\r\n", Refusal::RequestLine, 400),
        ("GET\r\n", Refusal::NotHttp, 400),
        ("GET  HTTP/1.1\r\n", Refusal::RequestLine, 400),
        ("GET  / HTTP/1.1\r\n", Refusal::RequestLine, 400),
        ("GET /  HTTP/1.1\r\n", Refusal::RequestLine, 400),
        ("GET / HTTP/1.1 \r\n", Refusal::RequestLine, 400),
        ("GET / x HTTP/1.1\r\n", Refusal::RequestLine, 400),
        ("GET\t/\tHTTP/1.1\r\n", Refusal::NotHttp, 400),
        (" GET / HTTP/1.1\r\n", Refusal::NotHttp, 400),
        ("\r\nGET / HTTP/1.1\r\n", Refusal::NotHttp, 400),
        ("G@T / HTTP/1.1\r\n", Refusal::NotHttp, 400),
        ("GET / HTTP/1.1x\r\n", Refusal::RequestLine, 400),
        ("GET / HTTP/11\r\n", Refusal::RequestLine, 400),
        ("GET / HTTP/1,1\r\n", Refusal::RequestLine, 400),
        ("GET / http/1.1\r\n", Refusal::RequestLine, 400),
        ("GET / XTTP/1.1\r\n", Refusal::RequestLine, 400),
        ("GET / HTTP/\r\n", Refusal::RequestLine, 400),
        ("GET / \r\n", Refusal::RequestLine, 400),
        ("GET / HTTP/1.0\r\n", Refusal::HttpVersion, 505),
        ("GET / HTTP/0.9\r\n", Refusal::HttpVersion, 505),
        ("GET / HTTP/1.2\r\n", Refusal::HttpVersion, 505),
        ("GET / HTTP/2.0\r\n", Refusal::HttpVersion, 505),
        ("PRI * HTTP/2.0\r\n", Refusal::HttpVersion, 505),
        ("POST / HTTP/1.0\r\n", Refusal::HttpVersion, 505),
        ("POST / HTTP/1.1\r\n", Refusal::Method, 405),
        ("PUT / HTTP/1.1\r\n", Refusal::Method, 405),
        ("get / HTTP/1.1\r\n", Refusal::Method, 405),
        ("GETT / HTTP/1.1\r\n", Refusal::Method, 405),
        ("OPTIONS * HTTP/1.1\r\n", Refusal::Method, 405),
        ("CONNECT example.com:80 HTTP/1.1\r\n", Refusal::Method, 405),
        ("HEAD / HTTP/1.1\r\n", Refusal::MethodHead, 405),
        ("GET /a#b HTTP/1.1\r\n", Refusal::TargetFragment, 400),
        ("GET /# HTTP/1.1\r\n", Refusal::TargetFragment, 400),
        (
            "GET http://example.com/#b HTTP/1.1\r\n",
            Refusal::TargetFragment,
            400,
        ),
        ("GET * HTTP/1.1\r\n", Refusal::Target, 400),
        ("GET chat HTTP/1.1\r\n", Refusal::Target, 400),
        ("GET ?a HTTP/1.1\r\n", Refusal::Target, 400),
        ("GET example.com:80 HTTP/1.1\r\n", Refusal::Target, 400),
        ("GET ftp://example.com/ HTTP/1.1\r\n", Refusal::Target, 400),
        ("GET http:/example.com/ HTTP/1.1\r\n", Refusal::Target, 400),
        ("GET http:///chat HTTP/1.1\r\n", Refusal::Target, 400),
        (
            "GET http://user@example.com/ HTTP/1.1\r\n",
            Refusal::Target,
            400,
        ),
        (
            "GET http://example.com:x/ HTTP/1.1\r\n",
            Refusal::Target,
            400,
        ),
        ("GET /ä HTTP/1.1\r\n", Refusal::Target, 400),
        ("GET /\0 HTTP/1.1\r\n", Refusal::Target, 400),
        ("GET /\x7F HTTP/1.1\r\n", Refusal::Target, 400),
        ("GET / HTTP/1.1\rX\r\n", Refusal::LineEnd, 400),
        ("GET / HTTP/1.1\r\r\n", Refusal::LineEnd, 400),
        ("GET /\r HTTP/1.1\r\n", Refusal::LineEnd, 400),
        ("GET / HTTP/1.1\n", Refusal::LineEnd, 400),
    ] {
        refuses(&edited(BASE, LINE, line), refusal, status);
    }
    // Octets that are no UTF-8 cannot be written in the table.
    let mut input = BASE.as_bytes().to_vec();
    input[5] = 0xFF;
    refuses(&input, Refusal::Target, 400);
}

#[test]
fn targets() {
    for (target, path, query, host) in [
        ("/", "/", None, "example.com"),
        ("/a/b%20c;d", "/a/b%20c;d", None, "example.com"),
        ("/a?", "/a", Some(""), "example.com"),
        ("/a?b=c?d", "/a", Some("b=c?d"), "example.com"),
        ("//a", "//a", None, "example.com"),
        ("/?q={|}\"<>", "/", Some("q={|}\"<>"), "example.com"),
        ("http://other.example", "/", None, "other.example"),
        ("HTTP://other.example:81/a", "/a", None, "other.example:81"),
        ("ws://other.example?b", "/", Some("b"), "other.example"),
        ("wss://[::1]:9000/a?b", "/a", Some("b"), "[::1]:9000"),
        ("https://a/http://b/", "/http://b/", None, "a"),
    ] {
        let input = edited(BASE, "/chat", target);
        let Verdict::Upgrade {
            path: got_path,
            query: got_query,
            host: got_host,
            ..
        } = served(&input, &RequestRules::default())
        else {
            panic!("{target} is not taken");
        };
        assert_eq!(
            (got_path.as_str(), got_query.as_deref(), got_host.as_str()),
            (path, query, host),
            "{target}"
        );
    }
}

#[test]
fn field_syntax() {
    for (lines, refusal) in [
        ("X : 1\r\n", Refusal::FieldName),
        ("X\t: 1\r\n", Refusal::FieldName),
        (" X: 1\r\n", Refusal::FieldName),
        ("X: 1\r\n folded\r\n", Refusal::FieldName),
        ("X: 1\r\n\tfolded\r\n", Refusal::FieldName),
        (": 1\r\n", Refusal::FieldName),
        ("X\r\n", Refusal::FieldName),
        ("X y: 1\r\n", Refusal::FieldName),
        ("X(: 1\r\n", Refusal::FieldName),
        ("X\0: 1\r\n", Refusal::FieldName),
        ("Xä: 1\r\n", Refusal::FieldName),
        ("X: \0\r\n", Refusal::FieldValue),
        ("X: a\0b\r\n", Refusal::FieldValue),
        ("X: a\x01b\r\n", Refusal::FieldValue),
        ("X: a\x1Bb\r\n", Refusal::FieldValue),
        ("X: a\x7Fb\r\n", Refusal::FieldValue),
        ("X: a\rb\r\n", Refusal::FieldValue),
        ("X: a\r\r\n", Refusal::FieldValue),
        ("X:\r\r\n", Refusal::FieldValue),
        ("\rX: a\r\n", Refusal::LineEnd),
        ("X: a\nY: b\r\n", Refusal::LineEnd),
        ("X: a\n", Refusal::LineEnd),
        ("\n", Refusal::LineEnd),
    ] {
        refuses(&added(BASE, lines), refusal, 400);
    }
    for lines in [
        "X:\r\n",
        "X: \r\n",
        "X:1\r\n",
        "X: \t 1\t \r\n",
        "X: a\tb ä\r\n",
        "!#$%&'*+-.^_`|~09: 1\r\n",
    ] {
        upgrades(&added(BASE, lines));
    }
    let mut latin_1 = added(BASE, "X: ?\r\n");
    let at = latin_1.len() - 5;
    latin_1[at] = 0xE9;
    upgrades(&latin_1);
    // Controls in a value are found at any place, by any path of the parser through it.
    for len in 0..70 {
        for bad in ["\0", "\x08", "\x0B", "\x1F", "\x7F"] {
            let line = format!("X: {}{bad}{}\r\n", "a".repeat(len), "b".repeat(70 - len));
            assert_eq!(
                serve(
                    &added(BASE, &line),
                    &RequestRules::default(),
                    [].into_iter()
                ),
                Verdict::Refused(Refusal::FieldValue),
                "{bad:?} at {len}"
            );
        }
    }
}

#[test]
fn sizes_and_counts() {
    let fields = |count: usize| added(BASE, &"a: b\r\n".repeat(count));
    let of_base = 5;
    upgrades(&fields(HEADER_FIELDS_MAX - of_base));
    refuses(
        &fields(HEADER_FIELDS_MAX - of_base + 1),
        Refusal::TooManyFields,
        431,
    );
    // 3,000 fields: over the length as well, which the scanner sees first.
    let many = fields(3000);
    assert_eq!(
        serve(&many, &RequestRules::default(), [].into_iter()),
        Verdict::Refused(Refusal::HeadTooLarge)
    );
    assert_eq!(
        verdict_of(parse_request(&many, &RequestRules::default())),
        Verdict::Refused(Refusal::TooManyFields)
    );

    let filled_to = |len: usize| {
        added(
            BASE,
            &format!("X: {}\r\n", "a".repeat(len - BASE.len() - 5)),
        )
    };
    let exact = filled_to(HEAD_LEN_MAX);
    assert_eq!(exact.len(), HEAD_LEN_MAX);
    for cut in [0, 1, HEAD_LEN_MAX - 1] {
        assert!(matches!(
            serve(&exact, &RequestRules::default(), [cut].into_iter()),
            Verdict::Upgrade { .. }
        ));
    }
    let over = filled_to(HEAD_LEN_MAX + 1);
    for cuts in [vec![], vec![HEAD_LEN_MAX], (0..=HEAD_LEN_MAX).collect()] {
        assert_eq!(
            serve(&over, &RequestRules::default(), cuts.into_iter()),
            Verdict::Refused(Refusal::HeadTooLarge)
        );
    }
    assert_eq!(Refusal::HeadTooLarge.status(), 431);
}

#[test]
fn no_http_at_all() {
    let client_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03";
    refuses(client_hello, Refusal::NotHttp, 400);
    refuses(b"\x7F\xF1\x00\x00", Refusal::NotHttp, 400);
    refuses(b"\0", Refusal::NotHttp, 400);
    refuses(b"<policy-file-request/>\0", Refusal::NotHttp, 400);
    assert_eq!(served(b"", &RequestRules::default()), Verdict::Waiting);
    assert_eq!(
        served(b"GET / HTTP/1.1\r\n", &RequestRules::default()),
        Verdict::Waiting
    );
    assert_eq!(
        parse_request(b"GET / HTTP/1.1\r\n", &RequestRules::default()).err(),
        Some(Refusal::HeadUnfinished)
    );
    assert_eq!(
        parse_request(b"", &RequestRules::default()).err(),
        Some(Refusal::HeadUnfinished)
    );
}

#[test]
fn what_follows_the_head_is_not_looked_at() {
    for early in [
        "\0\0\0\n\r",
        "\u{81}\u{85}frame",
        "GET / HTTP/1.1\r\n\r\n",
        "\r\n",
    ] {
        let input = format!("{BASE}{early}").into_bytes();
        upgrades(&input);
        assert!(matches!(
            parse_request(&input, &RequestRules::default()),
            Ok(Parsed::Upgrade(_))
        ));
    }
}

#[test]
fn hosts() {
    refuses(&edited(BASE, HOST, ""), Refusal::HostMissing, 400);
    refuses(&added(BASE, HOST), Refusal::HostDuplicate, 400);
    refuses(
        &added(BASE, "HOST: other.example\r\n"),
        Refusal::HostDuplicate,
        400,
    );
    for wrong in [
        "", "a b", "a,b", "a/b", "http://a", "user@a", "a:b", "a:0", "a:65536", "a:1:2", "::1",
        "[::1", "ä",
    ] {
        refuses(
            &edited(BASE, "example.com", wrong),
            Refusal::HostMalformed,
            400,
        );
    }
    for right in [
        "a",
        "a:1",
        "A.b-c_d:65535",
        "127.0.0.1:80",
        "[::1]",
        "[::1]:80",
    ] {
        upgrades(&edited(BASE, "example.com", right));
    }
    // With an absolute target, Host does not count but must be sound.
    let absolute = edited(BASE, "/chat", "http://a/chat");
    let absolute = String::from_utf8(absolute).expect("ASCII");
    refuses(&edited(&absolute, HOST, ""), Refusal::HostMissing, 400);
    refuses(
        &edited(&absolute, "example.com", "b,c"),
        Refusal::HostMalformed,
        400,
    );
}

#[test]
fn hosts_that_the_server_knows() {
    let mut rules = RequestRules {
        external_port: Some(80),
        ..RequestRules::default()
    };
    let with = |host: &str, rules: &RequestRules| served(&edited(BASE, "example.com", host), rules);
    assert!(matches!(with("a", &rules), Verdict::Upgrade { .. }));
    assert!(matches!(with("a:80", &rules), Verdict::Upgrade { .. }));
    assert_eq!(with("a:81", &rules), Verdict::Refused(Refusal::HostPort));
    assert_eq!(Refusal::HostPort.status(), 400);
    rules.secure = true;
    assert_eq!(with("a", &rules), Verdict::Refused(Refusal::HostPort));
    rules.external_port = Some(443);
    assert!(matches!(with("a", &rules), Verdict::Upgrade { .. }));
    rules.external_port = Some(8443);
    assert!(matches!(with("a:8443", &rules), Verdict::Upgrade { .. }));

    let rules = RequestRules {
        hosts: ["localhost", "*.example.com"]
            .map(|text| HostPattern::new(text).expect("a pattern"))
            .to_vec(),
        ..RequestRules::default()
    };
    assert!(matches!(
        with("LocalHost:9000", &rules),
        Verdict::Upgrade { .. }
    ));
    assert!(matches!(
        with("a.example.com", &rules),
        Verdict::Upgrade { .. }
    ));
    assert_eq!(
        with("evil.example", &rules),
        Verdict::Refused(Refusal::HostForeign)
    );
    assert_eq!(Refusal::HostForeign.status(), 421);
    // Plain requests are held to the same.
    assert_eq!(
        served(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", &rules),
        Verdict::Refused(Refusal::HostForeign)
    );
}

#[test]
fn bodies_and_their_framing() {
    for (lines, refusal) in [
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            Refusal::Framing,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            Refusal::Framing,
        ),
        (
            "Content-Length: 0\r\nContent-Length: 0\r\n",
            Refusal::Framing,
        ),
        (
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            Refusal::Framing,
        ),
        ("Content-Length: 5, 5\r\n", Refusal::Framing),
        ("Content-Length: -1\r\n", Refusal::Framing),
        ("Content-Length: +0\r\n", Refusal::Framing),
        ("Content-Length:\r\n", Refusal::Framing),
        ("Content-Length: 0x0\r\n", Refusal::Framing),
        ("Content-Length: 5\r\n", Refusal::Body),
        ("Content-Length: 00\r\n", Refusal::Body),
        (
            "Content-Length: 99999999999999999999999999\r\n",
            Refusal::Body,
        ),
        ("Transfer-Encoding: chunked\r\n", Refusal::Body),
        ("Transfer-Encoding: identity\r\n", Refusal::Body),
        ("Transfer-Encoding:\r\n", Refusal::Body),
    ] {
        refuses(&added(BASE, lines), refusal, 400);
        let plain = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        refuses(plain.as_bytes(), refusal, 400);
        // Ambiguity is worse than the wrong method; a body alone is not.
        let post = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        match refusal {
            Refusal::Framing => refuses(post.as_bytes(), Refusal::Framing, 400),
            _ => refuses(post.as_bytes(), Refusal::Method, 405),
        }
    }
    upgrades(&added(BASE, "Content-Length: 0\r\n"));
}

#[test]
fn upgrade_and_connection() {
    // Without Upgrade a handshake is broken; without any of its fields it is a plain request.
    refuses(
        &edited(BASE, UPGRADE, ""),
        Refusal::UpgradeRequired(BOTH),
        426,
    );
    for lines in [KEY, VERSION] {
        let input = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        refuses(input.as_bytes(), Refusal::UpgradeRequired(BOTH), 426);
    }
    for foreign in [
        "",
        ",",
        "h2c",
        "foo",
        "web socket",
        "websockets",
        "xwebsocket",
        "websocket/13",
        "\"websocket\"",
        "websocket;q=1",
    ] {
        refuses(
            &edited(BASE, UPGRADE, &format!("Upgrade: {foreign}\r\n")),
            Refusal::UpgradeForeign,
            400,
        );
    }
    refuses(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
          HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        Refusal::UpgradeForeign,
        400,
    );
    for right in [
        "WebSocket",
        "WEBSOCKET",
        "h2c, websocket",
        " websocket\t,h2c",
        ",websocket,",
    ] {
        upgrades(&edited(BASE, UPGRADE, &format!("Upgrade: {right}\r\n")));
    }
    upgrades(&added(BASE, "Upgrade: h2c\r\n"));

    for wrong in [
        "",
        "Connection: close\r\n",
        "Connection: upgraded\r\n",
        "Connection:\r\n",
        "Connection: Upgrade;x\r\n",
    ] {
        refuses(
            &edited(BASE, CONNECTION, wrong),
            Refusal::ConnectionWithoutUpgrade,
            400,
        );
    }
    for right in [
        "Connection: upgrade\r\n",
        "Connection: keep-alive, Upgrade\r\n",
        "Connection: UPGRADE,close\r\n",
        "Connection: keep-alive\r\nConnection: Upgrade\r\n",
    ] {
        upgrades(&edited(BASE, CONNECTION, right));
    }
}

#[test]
fn plain_requests() {
    let rules = RequestRules::default();
    for (method, is_head) in [("GET", false), ("HEAD", true)] {
        let input =
            format!("{method} /health?x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n");
        assert_eq!(
            served(input.as_bytes(), &rules),
            Verdict::Plain {
                path: "/health".to_owned(),
                is_head
            }
        );
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "Get"] {
        refuses(
            format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
            Refusal::Method,
            405,
        );
    }
    refuses(b"GET / HTTP/1.0\r\n\r\n", Refusal::HttpVersion, 505);
    refuses(b"GET / HTTP/1.1\r\n\r\n", Refusal::HostMissing, 400);

    let h2c = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n";
    let lenient = RequestRules {
        ignore_other_upgrades: true,
        ..RequestRules::default()
    };
    assert!(matches!(served(h2c, &lenient), Verdict::Plain { .. }));
    assert!(matches!(
        served(BASE.as_bytes(), &lenient),
        Verdict::Upgrade { .. }
    ));

    let Ok(Parsed::Plain(request)) = parse_request(
        b"GET /a?b HTTP/1.1\r\nHost: h:1\r\nCookie: c=d\r\nX: y\r\n\r\n",
        &rules,
    ) else {
        panic!("a plain request");
    };
    assert_eq!(request.path(), "/a");
    assert_eq!(request.query(), Some("b"));
    assert_eq!(
        (request.host().host(), request.host().port()),
        ("h", Some(1))
    );
    assert_eq!(request.cookies().collect::<Vec<_>>(), [("c", "d")]);
    assert_eq!(request.headers().text("x"), Some("y"));
}

#[test]
fn versions() {
    refuses(
        &edited(BASE, VERSION, ""),
        Refusal::VersionMissing(BOTH),
        400,
    );
    refuses(&added(BASE, VERSION), Refusal::VersionDuplicate(BOTH), 400);
    refuses(
        &added(BASE, "sec-websocket-version: 8\r\n"),
        Refusal::VersionDuplicate(BOTH),
        400,
    );
    for wrong in [
        "",
        "0",
        "7",
        "9",
        "12",
        "14",
        "25",
        "255",
        "256",
        "-13",
        "+13",
        "013",
        "13.0",
        "1 3",
        "0x0D",
        "abc",
        "13, 8",
        "13,13",
        "\"13\"",
        "99999999999999999999",
    ] {
        refuses(
            &edited(BASE, "Version: 13", &format!("Version: {wrong}")),
            Refusal::VersionUnsupported(BOTH),
            426,
        );
    }
    upgrades(&edited(BASE, "Version: 13", "Version: \t13 "));
    let version_8 = edited(BASE, "Version: 13", "Version: 8");
    assert!(matches!(
        served(&version_8, &RequestRules::default()),
        Verdict::Upgrade { version: 8, .. }
    ));
    let only_13 = RequestRules {
        versions: Versions::V13,
        ..RequestRules::default()
    };
    assert_eq!(
        served(&version_8, &only_13),
        Verdict::Refused(Refusal::VersionUnsupported(Versions::V13))
    );
    // Hixie-76, whose body of eight octets lies behind the head.
    refuses(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\
          Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n^n:ds[4U",
        Refusal::VersionMissing(BOTH),
        400,
    );
}

#[test]
fn keys() {
    refuses(&edited(BASE, KEY, ""), Refusal::KeyMissing, 400);
    refuses(&added(BASE, KEY), Refusal::KeyDuplicate, 400);
    for wrong in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25jZWE=",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub2 jZQ==",
        "dGhlIHNhbXBsZSBub2-jZQ==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        refuses(
            &edited(BASE, "dGhlIHNhbXBsZSBub25jZQ==", wrong),
            Refusal::KeyMalformed,
            400,
        );
    }
    upgrades(&edited(BASE, "Key: dGhl", "Key:\t  dGhl"));
}

#[test]
fn origins() {
    let any = RequestRules {
        origins: OriginRules {
            policy: OriginPolicy::Any,
            ..OriginRules::default()
        },
        ..RequestRules::default()
    };
    let origin_of = |lines: &str, version: &str| {
        let text = String::from_utf8(added(BASE, lines)).expect("ASCII");
        match served(&edited(&text, "Version: 13", version), &any) {
            Verdict::Upgrade { origin, .. } => Ok(origin),
            Verdict::Refused(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    };
    let one = "Origin: http://a\r\n";
    let other = "Sec-WebSocket-Origin: http://b\r\n";
    let both = format!("{one}{other}");
    let (v13, v8) = ("Version: 13", "Version: 8");
    assert_eq!(origin_of(one, v13), Ok(Some("http://a".to_owned())));
    assert_eq!(origin_of(other, v13), Ok(None));
    assert_eq!(origin_of(&both, v13), Ok(Some("http://a".to_owned())));
    assert_eq!(origin_of(one, v8), Ok(Some("http://a".to_owned())));
    assert_eq!(origin_of(other, v8), Ok(Some("http://b".to_owned())));
    assert_eq!(origin_of(&both, v8), Ok(Some("http://b".to_owned())));
    assert_eq!(
        origin_of(&one.repeat(2), v13),
        Err(Refusal::OriginDuplicate)
    );
    assert_eq!(
        origin_of(&other.repeat(2), v8),
        Err(Refusal::OriginDuplicate)
    );
    assert_eq!(origin_of(&other.repeat(2), v13), Ok(None));
    assert_eq!(Refusal::OriginDuplicate.status(), 400);
    for wrong in ["", "http://a http://b", "http://ä"] {
        refuses(
            &added(BASE, &format!("Origin: {wrong}\r\n")),
            Refusal::OriginMalformed,
            400,
        );
    }

    // The default: the server's own pages, and programs.
    upgrades(&added(BASE, "Origin: http://example.com\r\n"));
    refuses(
        &added(BASE, "Origin: http://evil.example\r\n"),
        Refusal::OriginForeign,
        403,
    );
    refuses(&added(BASE, "Origin: null\r\n"), Refusal::OriginNull, 403);
    let only_browsers = RequestRules {
        origins: OriginRules {
            require_origin: true,
            ..OriginRules::default()
        },
        ..RequestRules::default()
    };
    assert_eq!(
        served(BASE.as_bytes(), &only_browsers),
        Verdict::Refused(Refusal::OriginMissing)
    );
    assert_eq!(Refusal::OriginMissing.status(), 403);
    // A plain request has no origin to speak of.
    assert!(matches!(
        served(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &only_browsers),
        Verdict::Plain { .. }
    ));
}

#[test]
fn subprotocols() {
    let with = |lines: &str| match served(&added(BASE, lines), &RequestRules::default()) {
        Verdict::Upgrade { subprotocols, .. } => Ok(subprotocols.join(" ")),
        Verdict::Refused(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    };
    let list = |value: &str| with(&format!("Sec-WebSocket-Protocol: {value}\r\n"));
    assert_eq!(list("b, a"), Ok("b a".to_owned()));
    assert_eq!(list(",b ,,\ta,"), Ok("b a".to_owned()));
    assert_eq!(
        with("Sec-WebSocket-Protocol: b\r\nX: y\r\nsec-websocket-protocol: a, c\r\n"),
        Ok("b a c".to_owned())
    );
    assert_eq!(list("a, A"), Ok("a A".to_owned()), "names differ by case");
    for wrong in ["", ",", "a b", "a/b", "a;b", "\"a\"", "a, ä", "a@b", "[a]"] {
        assert_eq!(list(wrong), Err(Refusal::SubprotocolMalformed), "{wrong:?}");
    }
    assert_eq!(list("a, b, a"), Err(Refusal::SubprotocolDuplicate));
    assert_eq!(
        with("Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n"),
        Err(Refusal::SubprotocolDuplicate)
    );
    let many = |count: usize| (0..count).map(|n| format!("p{n},")).collect::<String>();
    assert!(list(&many(SUBPROTOCOLS_MAX)).is_ok());
    assert_eq!(
        list(&many(SUBPROTOCOLS_MAX + 1)),
        Err(Refusal::SubprotocolsTooMany)
    );
    for refusal in [
        Refusal::SubprotocolMalformed,
        Refusal::SubprotocolDuplicate,
        Refusal::SubprotocolsTooMany,
    ] {
        assert_eq!(refusal.status(), 400);
    }

    let head = added(BASE, "Sec-WebSocket-Protocol: chat.1, chat.2\r\n");
    let Ok(Parsed::Upgrade(request)) = parse_request(&head, &RequestRules::default()) else {
        panic!("a handshake");
    };
    assert_eq!(
        request.choose_subprotocol(&["x", "chat.2", "chat.1"]),
        Some("chat.2")
    );
    assert_eq!(request.choose_subprotocol(&["x"]), None);
    assert_eq!(request.choose_subprotocol(&[]), None);
}

#[test]
fn extension_offers() {
    let with = |value: &str| added(BASE, &format!("Sec-WebSocket-Extensions: {value}\r\n"));
    for wrong in [
        "",
        ",",
        "a;",
        "a b",
        "a; b=",
        "a; b=\"c",
        "a; b=\"c d\"",
        "a=b",
        ";",
        "a; =b",
    ] {
        refuses(&with(wrong), Refusal::Extensions, 400);
    }
    for right in [
        "a",
        "a, a",
        "a; b; b",
        "a; b=\"c\"",
        "constructor; __proto__",
        "permessage-deflate; client_max_window_bits=99",
    ] {
        upgrades(&with(right));
    }
    refuses(
        &with(&"a,".repeat(EXTENSIONS_MAX + 1)),
        Refusal::Extensions,
        400,
    );
    refuses(
        &with(&format!("a{}", ";b".repeat(EXTENSION_PARAMS_MAX + 1))),
        Refusal::Extensions,
        400,
    );
    let head = added(
        BASE,
        "Sec-WebSocket-Extensions: a; b\r\nSec-WebSocket-Extensions: c\r\n",
    );
    let Ok(Parsed::Upgrade(request)) = parse_request(&head, &RequestRules::default()) else {
        panic!("a handshake");
    };
    let names: Vec<_> = request
        .extension_offers()
        .flat_map(extensions_in)
        .map(|extension| extension.expect("checked before").name())
        .collect();
    assert_eq!(names, ["a", "c"]);
}

#[test]
fn accessors_of_a_request() {
    let head = added(BASE, "Cookie: a=b; c=d\r\nX-A: 1\r\nX-A: 2\r\n");
    let Ok(Parsed::Upgrade(request)) = parse_request(&head, &RequestRules::default()) else {
        panic!("a handshake");
    };
    assert_eq!(request.key().as_bytes(), b"dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(
        request.cookies().collect::<Vec<_>>(),
        [("a", "b"), ("c", "d")]
    );
    assert_eq!(request.headers().get_all("x-a").count(), 2);
    assert_eq!(request.headers().len(), 8);
    assert_eq!(request.host().host(), "example.com");
}

/// One part of a head: how it stands there, and which rule it breaks, if any.
type Part = (&'static str, Option<Refusal>);

/// For every rule, in the order in which the rules are applied, right and wrong ways.
const PARTS: [&[Part]; 11] = [
    &[
        ("", None),
        (
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            Some(Refusal::Framing),
        ),
    ],
    &[("", None), ("POST", Some(Refusal::Method))],
    &[
        ("/", None),
        ("/?a", None),
        ("/#", Some(Refusal::TargetFragment)),
        ("*", Some(Refusal::Target)),
    ],
    &[
        ("Host: a\r\n", None),
        ("HOST:a:80\r\n", None),
        ("", Some(Refusal::HostMissing)),
        ("Host: a\r\nhost: b\r\n", Some(Refusal::HostDuplicate)),
        ("Host: a b\r\n", Some(Refusal::HostMalformed)),
    ],
    &[
        ("", None),
        ("Transfer-Encoding: chunked\r\n", Some(Refusal::Body)),
    ],
    &[
        ("Upgrade: websocket\r\n", None),
        ("upgrade: h2c, WebSocket\r\n", None),
        ("Upgrade: h2c\r\n", Some(Refusal::UpgradeForeign)),
    ],
    &[
        ("Connection: Upgrade\r\n", None),
        ("connection: a,upgrade\r\n", None),
        ("", Some(Refusal::ConnectionWithoutUpgrade)),
    ],
    &[
        ("Sec-WebSocket-Version: 13\r\n", None),
        ("Sec-WebSocket-Version: 8\r\n", None),
        ("", Some(Refusal::VersionMissing(BOTH))),
        (
            "Sec-WebSocket-Version: 7\r\n",
            Some(Refusal::VersionUnsupported(BOTH)),
        ),
    ],
    &[
        (KEY, None),
        ("", Some(Refusal::KeyMissing)),
        ("Sec-WebSocket-Key: x\r\n", Some(Refusal::KeyMalformed)),
    ],
    &[
        ("", None),
        ("Origin: http://a\r\n", None),
        ("Origin: http://b\r\n", Some(Refusal::OriginForeign)),
        ("Origin: null\r\n", Some(Refusal::OriginNull)),
    ],
    &[
        ("", None),
        ("Sec-WebSocket-Protocol: a\r\n", None),
        (
            "Sec-WebSocket-Protocol: a,a\r\n",
            Some(Refusal::SubprotocolDuplicate),
        ),
    ],
];

proptest! {
    /// Any mixture of right and wrong parts, fields in any order, gives the answer of the first rule broken.
    #[test]
    fn the_first_broken_rule_decides(
        choices in proptest::array::uniform11(0..60_usize),
        order in Just((3..11_usize).chain([0]).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let part = |index: usize| PARTS[index][choices[index] % PARTS[index].len()];
        let method = if part(1).1.is_some() { "POST" } else { "GET" };
        let mut head = format!("{method} {} HTTP/1.1\r\n", part(2).0);
        for index in order {
            head += part(index).0;
        }
        head += "\r\n";
        let expected = (0..PARTS.len()).find_map(|index| part(index).1);
        // Content-Length beside Transfer-Encoding is ambiguous too, but then it is also twice there.
        prop_assert_eq!(parse_request(head.as_bytes(), &RequestRules::default()).err(), expected, "{}", head);
    }

    #[test]
    fn random_octets_never_panic(octets: Vec<u8>, cut: usize) {
        let rules = RequestRules::default();
        let cut = cut % (octets.len() + 1);
        prop_assert_eq!(
            serve(&octets, &rules, [cut].into_iter()),
            serve(&octets, &rules, [].into_iter())
        );
        let _ = parse_request(&octets, &rules);
    }

    /// A good head with a few octets changed: whatever is still taken keeps what taking it promises.
    #[test]
    fn damaged_heads_never_panic_and_promises_hold(
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        cut: proptest::sample::Index,
    ) {
        let mut head = added(
            BASE,
            "Origin: http://example.com\r\nSec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: c; d=\"e\"\r\n",
        );
        for (index, octet) in damage {
            let at = index.index(head.len());
            head[at] = octet;
        }
        let rules = RequestRules::default();
        let whole = serve(&head, &rules, [].into_iter());
        prop_assert_eq!(&serve(&head, &rules, [cut.index(head.len())].into_iter()), &whole);
        if let Ok(Parsed::Upgrade(request)) = parse_request(&head, &rules) {
            prop_assert!(request.path().starts_with('/'));
            prop_assert!(Authority::parse(request.host().as_str().as_bytes()).is_some());
            prop_assert!(matches!(request.version(), 8 | 13));
            prop_assert!(Key::parse(request.key().as_bytes()).is_some());
            for value in request.extension_offers() {
                prop_assert!(extensions_in(value).all(|extension| extension.is_ok()));
            }
            let names: Vec<_> = request.subprotocols().collect();
            for (index, name) in names.iter().enumerate() {
                prop_assert!(!names[..index].contains(name));
            }
            for (_, value) in request.headers().iter() {
                prop_assert!(!value.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)));
            }
        }
    }
}

/// Heads of 16 KiB of shapes that have made other parsers quadratic, each under the 5 ms it may cost. The best of a few
/// runs counts, so that a busy machine does not fail the test; what is quadratic in 16 KiB takes a hundred times as long.
#[test]
fn worst_shapes_stay_linear() {
    fn filled(prefix: &str, unit: &str, suffix: &str) -> Vec<u8> {
        let fixed = BASE.len() + prefix.len() + suffix.len() + 2;
        let count = (HEAD_LEN_MAX - fixed) / unit.len();
        added(BASE, &format!("{prefix}{}{suffix}\r\n", unit.repeat(count)))
    }
    let mut shapes = Vec::new();
    for name in [
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Connection",
        "Upgrade",
        "Cookie",
        "X",
    ] {
        for unit in [
            ",",
            " ",
            " ,",
            "\t",
            "a,",
            "a, ",
            "a;",
            "; ",
            "\\c",
            "\"",
            "a=\"\\",
            "=",
            "a",
            "upgrade ,",
            "websocket;",
        ] {
            for (start, end) in [("", ""), ("a; b=\"", ""), ("a", "a"), ("a; b=\"", "\", c")] {
                shapes.push(filled(&format!("{name}: {start}"), unit, end));
            }
        }
    }
    // As many different subprotocols as fit, and as many parameters and fields as are allowed.
    let names: String = (0..3000).map(|n| format!("{n:x},")).collect();
    shapes.push(added(BASE, &format!("Sec-WebSocket-Protocol: {names}\r\n")));
    let names: String = (0..SUBPROTOCOLS_MAX)
        .map(|n| format!("{}{n:03},", "a".repeat(240)))
        .collect();
    shapes.push(added(BASE, &format!("Sec-WebSocket-Protocol: {names}\r\n")));
    let params = format!(";{}=\"\\b\"", "a".repeat(10)).repeat(EXTENSION_PARAMS_MAX);
    shapes.push(added(
        BASE,
        &format!(
            "Sec-WebSocket-Extensions: {}\r\n",
            format!("a{params},").repeat(EXTENSIONS_MAX)
        ),
    ));
    shapes.push(added(BASE, &"Sec-WebSocket-Protocol: ,\r\n".repeat(90)));
    shapes.push(added(BASE, &format!("{}: b\r\n", "a".repeat(16_000))));
    shapes.push(edited(BASE, "/chat", &format!("/{}", "%".repeat(16_000))));
    shapes.push(edited(
        BASE,
        "/chat",
        &format!("http://{}/", "%41".repeat(5_000)),
    ));
    shapes.push(edited(BASE, "example.com", &"a.".repeat(8_000)));
    shapes.push(added(
        BASE,
        &format!("Origin: http://{}\r\n", "a.".repeat(8_000)),
    ));
    shapes.push(edited(
        BASE,
        VERSION,
        &format!("Sec-WebSocket-Version: {}\r\n", "1".repeat(16_000)),
    ));

    let rules = RequestRules {
        origins: OriginRules {
            policy: OriginPolicy::Allow(vec![
                OriginPattern::new(&format!("*{}", "a*".repeat(200))).expect("a pattern"),
            ]),
            ..OriginRules::default()
        },
        ..RequestRules::default()
    };
    for shape in shapes {
        let best = (0..5)
            .map(|_| {
                let start = Instant::now();
                let verdict = serve(&shape, &rules, [].into_iter());
                assert_ne!(verdict, Verdict::Waiting);
                start.elapsed()
            })
            .min()
            .expect("five runs");
        assert!(
            best < Duration::from_millis(5),
            "{best:?} for {}…",
            shape[..200.min(shape.len())].escape_ascii()
        );
    }
}

/// Prints what reading and answering one handshake costs; run by name, with `--release -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn cost_of_a_handshake() {
    let browser = added(
        BASE,
        "Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 \
         (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\nOrigin: http://example.com\r\nAccept-Encoding: gzip, \
         deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
    );
    let rules = RequestRules::default();
    for (name, head) in [("least", BASE.as_bytes()), ("browser", &browser)] {
        let mut out = Vec::new();
        let rounds = 200_000_u32;
        let time = |work: &mut dyn FnMut()| {
            (0..5)
                .map(|_| {
                    let start = Instant::now();
                    for _ in 0..rounds {
                        work();
                    }
                    start.elapsed().as_nanos() / u128::from(rounds)
                })
                .min()
                .expect("five runs")
        };
        let scan = time(&mut || {
            let _ = std::hint::black_box(
                HeadScanner::default().find_end(std::hint::black_box(head), HEAD_LEN_MAX),
            );
        });
        let parse = time(&mut || {
            let _ = std::hint::black_box(parse_request(std::hint::black_box(head), &rules));
        });
        let key = Key::from_nonce(*b"the sample nonce");
        let accept = time(&mut || {
            out.clear();
            let _ = std::hint::black_box(write_accept(
                &mut out,
                std::hint::black_box(&key),
                None,
                None,
                &[],
                None,
            ));
        });
        println!(
            "{name} ({} octets): scan {scan} ns, parse {parse} ns, accept {accept} ns",
            head.len()
        );
    }
}
