//! The request line, the syntax of fields, sizes, and what is not HTTP at all.

use super::*;

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
